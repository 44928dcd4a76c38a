"""Campaigns attached over HTTP: the same answers and errors as here, told once whatever is lost, open to no one else.

Invariants: what a verb returns is what `Campaign` returns; a repeated call is done once; nothing is read without a
token.
"""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import uvicorn
from starlette.responses import PlainTextResponse
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.campaign.telling import Refusal
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app as command
from isd_ray.data.export import Exported
from isd_ray.errors import ClusterError, ConfigError, InputFileError, LabelError, ResourceError, StoreError
from isd_ray.ops import calls as sending
from isd_ray.ops.calls import CHANGES, LOOKS, TAKE_FILE, WRITES, VerbCall
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.interim import Interim
from isd_ray.ops.telling import FailedPlate, Told
from isd_ray.remote import over_http, wire
from isd_ray.remote.attach import coordinated, stop
from isd_ray.remote.tokens import Tokens
from isd_ray.report.certificate import Certificate
from isd_ray.serve.coordinators import app, calls, campaigns, guard
from isd_ray.serve.coordinators.run import Served
from tests.unit.attached_helpers import Here, running
from tests.unit.test_arguments import LABORATORY

READOUT = "BBB+"


@pytest.fixture(scope="module")
def asked(make_config, tmp_path_factory) -> Path:
    """The folder of a campaign whose first batch is out."""
    made = Campaign.create(tmp_path_factory.mktemp("asked") / "kinase", make_config(**LABORATORY))
    made.ask()
    return made.path


@pytest.fixture
def made(asked, tmp_path) -> Campaign:
    """The same, for a test alone."""
    return Campaign.open(shutil.copytree(asked, tmp_path / "kinase"))


@pytest.fixture
def service(made, tmp_path, monkeypatch):
    """A service of it, and its token where callers look for it."""
    monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setattr(over_http, "_RETRY_S", 0.05)
    with running({"kinase": made.path}, tmp_path / "token", tmp_path / "scratch") as service:
        yield service


def told_events(campaign: Campaign) -> list:
    return [event for event in campaign.store.events() if event["kind"] == "tell"]


def losing(monkeypatch, when, failure=requests.ConnectionError):
    """Lose the answers of some requests, once each; the paths of all requests."""
    sent, lost = [], set()
    real = requests.Session.request

    def request(session, method, url, **content):
        answer = real(session, method, url, **content)
        sent.append((method, url))
        if when(method, url) and url not in lost:
            lost.add(url)
            raise failure("the answer was lost")
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    return sent


# --- the same answers -----------------------------------------------------------------------------------------------


def test_every_answer_is_that_of_the_campaign_itself(made, service, tmp_path):
    campaign = isd.attach(f"{service.url}/kinase")
    batch = campaign.ask()
    assert batch == made.batch()
    assert batch.table.schema == made.batch().table.schema
    names = [file.name for file in campaign.dispatch(tmp_path / "there")]
    assert names == [file.name for file in made.dispatch(tmp_path / "here")]
    for name in names:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    file = tmp_path / "day 1.csv"
    file.write_text("name,bbb\n" + "".join(f"{name},{READOUT}\n" for name in (*batch.ids[:3], "nobody")))
    assert campaign.preview(file) == made.preview(file)
    told = campaign.tell(file)
    assert (told.n_new, told.refused[0].line, told.head) == (3, 5, made.status().head)
    assert campaign.tell({batch.ids[3]: READOUT}).n_new == 1
    assert campaign.fail(batch.ids[4], "spilt") == 1
    file.write_text(f"name,bbb\n{batch.ids[0]},BBB-\n")
    assert campaign.amend(file, "a typing error") == 1
    for verb in ("status", "certificate", "told_files", "batch"):
        assert getattr(campaign, verb)() == getattr(made, verb)()
    assert campaign.history(batch.ids[0]) == made.history(batch.ids[0])
    assert (campaign.has_ended, campaign.is_dispatched(0), campaign.was_restarted) == (False, True, False)
    campaign.report(tmp_path / "there.html")
    made.report(tmp_path / "here.html")
    assert (tmp_path / "there.html").read_bytes() == (tmp_path / "here.html").read_bytes()


class Heard(Watcher):
    """The steps that were told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []

    def step(self, name, progress):
        self.steps.append((progress.round, progress.state))


def test_a_screen_to_its_end_with_steps_and_exports(asked, made, service, tmp_path):
    def measured(batch):
        return {name: ("BBB+", "BBB-")[at % 2] for at, name in enumerate(batch.ids)}

    there, here = Heard(), Heard()
    campaign = isd.attach("kinase", service.url, there)
    assert campaign.run(measured) == made.summary()
    Campaign.open(shutil.copytree(asked, tmp_path / "alone"), here).run(measured)
    assert there.steps == here.steps
    assert there.steps[-1][1] == "done"
    assert campaign.export(tmp_path / "there.csv") == made.export(tmp_path / "here.csv")
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert campaign.ask() is None
    with pytest.raises(StoreError, match="the screen has ended"):
        campaign.stop("enough")


def test_errors_are_those_of_the_campaign_word_for_word(made, service, tmp_path):
    campaign = isd.attach(f"{service.url}/kinase")
    for verb, given in (("fail", ("nobody", "spilt")), ("exclude", ("C0000", " ")), ("close", ("",))):
        with pytest.raises(LabelError) as here:
            getattr(made, verb)(*given)
        with pytest.raises(LabelError) as there:
            getattr(campaign, verb)(*given)
        assert there.value.args == here.value.args
    with pytest.raises(StoreError, match="no round of this campaign has a model yet"):
        campaign.export_interim(tmp_path / "week.csv")
    with pytest.raises(InputFileError, match="no such file here"):
        campaign.tell("/etc/passwd.csv")
    with pytest.raises(StoreError, match="no campaign of this name is served here"):
        isd.attach("another", service.url)


@pytest.mark.parametrize(
    ("verb", "returned"),
    [
        ("export", Exported(7, 1)),
        ("export_interim", Interim(7, 1, 2, ("as of now",), Path("week.csv.NOT-CERTIFIED.txt"))),
        ("certificate", Certificate({"certificate_id": "c", "low": 0.95, "none": None}, withdrawn="an error")),
        ("certificate", None),
        (
            "tell",
            Told(1, 2, 3, (Refusal(4, "unknown"),), 5, failed_plates=(FailedPlate("P1", "Z'"),), fates={"new": 1}),
        ),
        ("summary", {"bound": float("inf"), "rounds": [1, 2], "certified": False}),
        ("told_files", {"a", "b"}),
    ],
)
def test_what_a_verb_returns_is_the_same_behind_the_wire(verb, returned):
    found = wire.value_from_json(verb, json.loads(json.dumps(wire.value_to_json(returned))))
    assert (found, type(found)) == (returned, type(returned))
    with pytest.raises(ClusterError, match=f"the answer to {verb} cannot be read"):
        wire.value_from_json(verb, 3.5)


def test_the_name_on_record_is_that_of_the_token_or_else_what_the_caller_says(made, tmp_path, monkeypatch):
    secrets = {name: letter * 40 for name, letter in (("ada", "a"), ("grace", "g"))}
    (tmp_path / "tokens").write_text(
        "# who may call\n" + "".join(f"{name} {token}\n" for name, token in secrets.items()) + "n" * 40 + "\n"
    )
    monkeypatch.setenv("LOGNAME", "somebody")
    with running({"kinase": made.path}, tmp_path / "tokens", tmp_path / "scratch") as service:
        for at, token in enumerate((*secrets.values(), "n" * 40)):
            isd.attach("kinase", service.url, token=token).tell({made.batch().ids[at]: READOUT})
    assert [event["who"] for event in told_events(made)] == ["ada", "grace", "somebody"]


# --- what is lost on the way ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [requests.ConnectionError, requests.Timeout])
def test_what_is_told_again_as_its_answer_was_lost_is_told_once(made, service, monkeypatch, failure):
    campaign = isd.attach("kinase", service.url)
    sent = losing(monkeypatch, lambda method, url: method == "POST", failure)
    told = campaign.tell({made.batch().ids[0]: READOUT})
    assert len(sent) == 2
    assert (told.n_new, told.n_unchanged) == (1, 0)
    assert len(told_events(made)) == 1


def test_a_service_that_is_started_again_in_between_tells_once(made, service, monkeypatch):
    """It forgets its calls; the coordinator stays and knows the one that it has done."""
    campaign = isd.attach("kinase", service.url)
    again = requests.Session.request

    def request(session, method, url, **content):
        answer = again(session, method, url, **content)
        if method == "POST":
            monkeypatch.setattr(requests.Session, "request", again)
            service.stop()
            threading.Timer(0.2, service.start).start()
            raise requests.ConnectionError("lost")
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    assert campaign.tell({made.batch().ids[0]: READOUT}).n_new == 1
    assert len(told_events(made)) == 1


def test_a_long_call_is_asked_for_again_and_again_and_found_after_a_restart(made, service, monkeypatch):
    monkeypatch.setattr(app, "WAIT_S", 0.05)
    goes_on, real = threading.Event(), Here.transport
    n_polls = []

    class Slow:
        def __init__(self, transport):
            self._transport = transport

        def look(self, call):
            assert goes_on.wait(30)
            return self._transport.look(call)

    campaign = isd.attach("kinase", service.url)
    monkeypatch.setattr(Here, "transport", lambda here, name: Slow(real(here, name)))
    asked = over_http.Service.asked

    def asking(self, method, path, **content):
        if method == "GET":
            n_polls.append(path)
            if len(n_polls) == 2:
                service.stop()
                service.start()
            if len(n_polls) == 4:
                goes_on.set()
        return asked(self, method, path, **content)

    monkeypatch.setattr(over_http.Service, "asked", asking)
    assert campaign.status() == made.status()
    assert len(n_polls) >= 4


def test_a_file_that_comes_in_part_is_fetched_again(made, service, tmp_path, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    real, cut = requests.Response.iter_content, []

    def iter_content(answer, size):
        for piece in real(answer, size):
            if answer.url.endswith("/file") and not cut:
                cut.append(True)
                yield piece[:100]
                return
            yield piece

    monkeypatch.setattr(requests.Response, "iter_content", iter_content)
    campaign.report(tmp_path / "there.html")
    made.report(tmp_path / "here.html")
    assert (tmp_path / "there.html").read_bytes() == (tmp_path / "here.html").read_bytes()


def test_answers_are_kept_for_a_while_and_files_go_with_them(made, service, tmp_path, monkeypatch):
    monkeypatch.setattr(calls, "MAX_KEPT", 2)
    campaign = isd.attach("kinase", service.url)
    for _ in range(4):
        campaign.report(tmp_path / "report.html")
    assert len(list(service.scratch.iterdir())) == 2
    monkeypatch.setattr(calls, "MAX_RUNNING", 0)
    monkeypatch.setattr(over_http, "PATIENCE_S", 0.1)
    with pytest.raises(ResourceError, match="0 calls are under way"):
        campaign.status()


def test_two_callers_at_once_are_both_answered(made, service):
    ids = made.batch().ids
    callers = [isd.attach("kinase", service.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda caller, name: caller.tell({name: READOUT}), callers, ids))
    assert [each.n_new for each in told] == [1] * 4
    assert sorted(each.n_missing for each in told) == [len(ids) - n for n in (4, 3, 2, 1)]


# --- who may call, and what -----------------------------------------------------------------------------------------


def test_without_a_token_of_the_service_nothing_is_read(made, service):
    with pytest.raises(ClusterError, match="refuses the token"):
        isd.attach("kinase", service.url, token="w" * 43)
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic " + "w" * 43}):
        for method, path in (("GET", "/v1/campaigns"), ("POST", "/v1/calls"), ("GET", "/nowhere")):
            answer = requests.request(method, f"{service.url}{path}", headers=headers, timeout=30)
            assert (answer.status_code, wire.VERSION_HEADER in answer.headers) == (401, False)
    assert requests.get(f"{service.url}/healthz", timeout=30).text == "ok\n"


def test_a_netrc_does_not_replace_the_token(made, service, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine localhost login eve password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert isd.attach("kinase", service.url).status() == made.status()


@pytest.mark.parametrize(
    "said",
    [
        {"verb": "store"},
        {"verb": "__init__"},
        {"verb": "create", "arguments": ["/tmp/x", "/tmp/y"]},
        {"verb": "tell", "arguments": ["/etc/passwd"]},
        {"verb": "amend", "keywords": {"file": "/etc/passwd", "reason": "x"}},
        {"verb": "report", "arguments": ["/tmp/report.html"]},
        {"verb": "report", "keywords": {"file": "/tmp/report.html"}},
        {"verb": "fail", "arguments": [{"a": 1}, "spilt"]},
        {"verb": "fail", "arguments": ["C0000"]},
        {"verb": "stop", "arguments": ["enough"], "keywords": {"last_look": "yes"}},
        {"verb": "status", "arguments": "C"},
    ],
    ids=lambda said: json.dumps(said),
)
def test_only_verbs_are_called_with_what_they_take(said, made, service):
    call = {"campaign": "kinase", "campaign_id": "x", "who": "eve", "key": "k", "arguments": [], "keywords": {}, **said}
    before = made.store.events()
    with pytest.raises(ClusterError, match="the call cannot be read"):
        over_http.Service(service.url).asked("POST", "/v1/calls", files={"call": (None, json.dumps(call))})
    assert made.store.events() == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_what_is_no_call_is_refused(body, service):
    with pytest.raises(ClusterError, match="holds no call"):
        over_http.Service(service.url).asked("POST", "/v1/calls", files={"call": (None, body)})
    with pytest.raises(ClusterError, match="nothing is served so"):
        over_http.Service(service.url).asked("GET", "/v2/calls")


def test_an_output_is_named_by_no_path(made, service, tmp_path):
    there = isd.attach("kinase", service.url)._transport
    call = VerbCall(made.store.manifest["campaign_id"], "eve", "report")
    there.write(call, f"../../{tmp_path.name}-out.html", tmp_path / "report.html")
    assert not list(Path(tmp_path.parent).glob("*-out.html"))
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_what_is_too_large_is_not_read(made, service, tmp_path, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    monkeypatch.setattr(guard, "MAX_SENT_BYTES", 10)
    monkeypatch.setattr(guard, "MAX_CALL_BYTES", 10)
    with pytest.raises(InputFileError, match="more than the 10 that are sent"):
        campaign.status()
    monkeypatch.setattr(sending, "MAX_SENT_BYTES", 100)
    (tmp_path / "large.csv").write_text("x" * 101)
    with pytest.raises(InputFileError, match="101 bytes are more than the 100"):
        campaign.tell(tmp_path / "large.csv")


# --- a place that is wrong ------------------------------------------------------------------------------------------


def answering(service, status: int, headers=None):
    """Have the service's port be that of something else."""
    service.stop()

    async def other(scope, receive, send):
        if scope["type"] == "http":
            await PlainTextResponse("<html>", status, headers)(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", service.port))
    service._server = uvicorn.Server(uvicorn.Config(other, log_level="error", lifespan="off"))
    service._thread = threading.Thread(target=service._server.run, kwargs={"sockets": [listening]})
    service._thread.start()


@pytest.mark.parametrize(
    ("status", "headers", "kind", "words"),
    [
        (200, None, ClusterError, r"no service of coordinators \(HTTP 200\)"),
        (404, None, ClusterError, r"no service of coordinators \(HTTP 404\)"),
        (302, {"Location": "https://login.example"}, ClusterError, r"no service of coordinators \(HTTP 302\)"),
        (502, None, ClusterError, r"a proxy answers for a service that is away \(HTTP 502\)"),
        (200, {wire.VERSION_HEADER: "0.0.9"}, ResourceError, "the service runs isd_ray 0.0.9, this process"),
    ],
)
def test_what_answers_and_is_no_such_service_is_named(status, headers, kind, words, made, service, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    answering(service, status, headers)
    with pytest.raises(kind, match=words):
        isd.attach("kinase", service.url)
    monkeypatch.setattr(over_http, "PATIENCE_S", 0.1)
    with pytest.raises(kind, match=words):
        campaign.status()


def test_a_service_that_is_away_is_waited_for_once_it_has_answered(made, service, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    service.stop()
    with pytest.raises(ClusterError, match="no service answers here"):
        isd.attach("kinase", service.url)
    threading.Timer(0.3, service.start).start()
    assert campaign.status() == made.status()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://head.example:8766", "would travel in the clear"),
        ("https://ada:secret@head.example", "more than a place"),
        ("https://head.example/?token=abc", "more than a place"),
    ],
)
def test_a_url_that_would_give_the_token_away_is_refused(url, words, service):
    with pytest.raises(ConfigError, match=words) as refused:
        isd.attach("kinase", url)
    assert "secret" not in str(refused.value)


def test_a_token_is_given_or_in_a_file(service, tmp_path, monkeypatch):
    monkeypatch.delenv("ISD_TOKEN_FILE")
    with pytest.raises(ConfigError, match="asks for a token, and there is none here"):
        isd.attach("kinase", service.url)
    with pytest.raises(ConfigError, match="a token of 5 letters is none"):
        isd.attach("kinase", service.url, token="short")
    monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(InputFileError, match="cannot be read"):
        isd.attach("kinase", service.url)
    (tmp_path / "two").write_text(f"ada {'a' * 40}\ngrace {'g' * 40}\n")
    monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "two"))
    with pytest.raises(InputFileError, match="holds 2 tokens"):
        isd.attach("kinase", service.url)


def test_a_file_of_tokens_is_made_for_its_owner_alone(tmp_path):
    file = tmp_path / "token"
    tokens = Tokens.read(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert (tokens.holder(token), tokens.holder(token[:-1]), tokens.holder("")) == ("", None, None)
    assert Tokens.read(file) == tokens
    assert token not in repr(tokens)
    for content, kind, words in (
        ("", InputFileError, "holds no token"),
        ("a b c\n", InputFileError, "a line has 3 words"),
        ("ada short\n", ConfigError, "a token of 5 letters is none"),
        ("é" * 40, ConfigError, "a token of 40 letters is none"),
    ):
        file.write_text(content)
        with pytest.raises(kind, match=words):
            Tokens.read(file)
    with pytest.raises(InputFileError, match="cannot be made"):
        Tokens.read(tmp_path / "nowhere" / "token")


def test_others_reach_the_service_only_by_tls(tmp_path):
    with pytest.raises(ConfigError, match=r"tokens would travel in the clear\n.*--behind-proxy"):
        Served("0.0.0.0", 8766)
    assert Served("0.0.0.0", 8766, behind_proxy=True).url(8766) == "http://HOST:8766"
    with pytest.raises(ConfigError, match="go together"):
        Served("0.0.0.0", 8766, certificate=tmp_path / "cert.pem")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no certificate\n")
    with pytest.raises(ConfigError, match="no TLS can be served"):
        Served("0.0.0.0", 8766, tmp_path / "cert.pem", tmp_path / "key.pem")


def test_campaigns_go_by_the_names_of_their_folders_where_those_are_their_own(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(campaigns, "connect", lambda compute: None)
    for folder in ("one/kinase", "two/kinase", "two/gpcr"):
        shutil.copytree(asked, tmp_path / folder)
    paths = campaigns.Campaigns([str(tmp_path / "one"), str(tmp_path / "two")], "auto").paths()
    assert sorted(paths.values()) == [str(tmp_path / name) for name in ("one/kinase", "two/gpcr", "two/kinase")]
    assert paths["gpcr"] == str(tmp_path / "two/gpcr")
    assert [name.startswith("kinase-") for name in paths if name != "gpcr"] == [True, True]


def test_a_certificate_is_trusted_by_its_authority_only(made, tmp_path, monkeypatch):
    tls = (tmp_path / "cert.pem", tmp_path / "key.pem")
    made_out = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 {made_out} -out {tls[0]} -keyout {tls[1]}"
    subprocess.run(words.split(), check=True, capture_output=True)
    with running({"kinase": made.path}, tmp_path / "token", tmp_path / "scratch", tls=tls) as service:
        monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "token"))
        with pytest.raises(ClusterError, match="certificate is not accepted"):
            isd.attach("kinase", service.url)
        assert isd.attach("kinase", service.url, ca_file=tls[0]).status() == made.status()
        with pytest.raises(ClusterError, match="certificate is not accepted"):
            isd.attach("kinase", service.url.replace("localhost", "127.0.0.1"), ca_file=tls[0])
        with pytest.raises(ConfigError, match="no such file"):
            isd.attach("kinase", service.url, ca_file=tmp_path / "absent.pem")
        monkeypatch.setenv("ISD_CA_FILE", str(tls[0]))
        assert coordinated(service.url) == [str(made.path)]


# --- commands -------------------------------------------------------------------------------------------------------


def test_the_commands_work_from_elsewhere(made, service, tmp_path):
    def run(*words: str) -> str:
        done = CliRunner().invoke(command, [*words, "--address", service.url], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    ids = json.loads(run("ask", "kinase", "--out", str(tmp_path / "lab"), "--json"))["ids"]
    assert ids == made.batch().ids
    file = tmp_path / "readouts.csv"
    file.write_text("name,bbb\n" + "".join(f"{name},{READOUT}\n" for name in ids))
    assert "would leave 0 readouts missing" in run("tell", "kinase", str(file), "--preview")
    assert json.loads(run("tell", "kinase", str(file), "--preview", "--json"))[str(file)]["n_new"] == len(ids)
    assert f"{len(ids):,} new" in run("tell", "kinase", str(file))
    assert json.loads(run("status", "kinase", "--json"))["state"] == "ready"
    run("report", "kinase", "--out", str(tmp_path / "report.html"))
    assert "stopped" in run("stop", "kinase", "--reason", "the project ends")
    assert str(made.path) in run("coordinators", "list")
    assert "stopped" in run("coordinators", "stop", "kinase")
    assert stop("kinase", service.url)
    with pytest.raises(StoreError, match="no campaign of this name"):
        stop("another", service.url)


def test_every_verb_of_a_campaign_has_its_kind():
    made_elsewhere = {"create", "open", "library", "path", "config", "dispatch", "run"}
    verbs = {name for name in vars(Campaign) if not name.startswith("_")} - made_elsewhere
    assert verbs == {*CHANGES, *LOOKS, *WRITES}
    assert set(TAKE_FILE) <= verbs
