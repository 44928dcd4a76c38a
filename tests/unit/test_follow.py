"""Whoever follows a campaign learns of each entry of its log once, in order, whenever they begin or stop."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.errors import ConfigError, InputFileError, OutputFileError, WebhookError
from isd_ray.ops import follow as following
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.follow import Webhook, follow
from isd_ray.ops.simulate import simulate
from tests.unit.test_laboratory import LABORATORY, truth

__all__ = ["truth"]
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four.").decode()


@pytest.fixture(scope="module")
def run(make_config, tmp_path_factory):
    config = make_config(stopping={"rule": "certify", "gamma": 0.7})
    return simulate(config, tmp_path_factory.mktemp("followed") / "run")


@pytest.fixture
def receiver():
    """A server that checks what is posted as receivers do, and answers as it is told."""
    got, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            Receiver(SECRET).verify(body, headers)
            code = answers.pop(0) if answers else 204
            if code == 204:
                got.append((headers["webhook-id"], json.loads(body)))
            if code == "nonsense":
                self.wfile.write(b"nonsense\r\n\r\n")
                return
            self.send_response(code)
            if code in (301, 302, 303, 307, 308):
                self.send_header("location", f"{url}/elsewhere")
            self.end_headers()

        def do_GET(self):  # where urllib takes a redirected post
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}/isd"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield url, got, answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_function_is_told_every_entry_in_order(run):
    told = []
    number = follow(run.path, told.append)
    assert [notice.sequence for notice in told] == list(range(number))
    kinds = [notice.kind for notice in told]
    assert kinds[0] == "release"
    assert {"decision", "freeze", "certificate", "deliver"} <= set(kinds)
    rounds = run.rounds.to_pylist()
    assert [n.facts["n_batch"] for n in told if n.kind == "release"] == [row["n_batch"] for row in rounds]
    decisions = [n.facts for n in told if n.kind == "decision"]
    assert [facts["decision"] for facts in decisions] == [row["decision"] for row in rounds]
    looks = [facts["look"]["n"] for facts in decisions if "look" in facts]
    assert looks == [row["n_audit"] for row in rounds if row["n_audit"]] != []


def test_what_is_told_names_no_compound(make_config, tmp_path, truth):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids[1:]})
    campaign.fail(ids[:1], "no signal")
    told = []
    follow(tmp_path / "run", told.append, wait=False)
    text = json.dumps([dict(notice.facts) for notice in told])
    assert {"tell", "fail"} <= {notice.kind for notice in told}
    assert '"no signal"' in text
    assert not any(f'"{name}"' in text for name in truth)


def test_a_follower_that_was_stopped_goes_on_where_it_was(run, tmp_path):
    told, noted = [], tmp_path / "noted"

    def until_the_fifth(notice):
        if notice.sequence == 5:
            raise KeyboardInterrupt
        told.append(notice.sequence)

    with pytest.raises(KeyboardInterrupt):
        follow(run.path, until_the_fifth, noted=noted)
    number = follow(run.path, lambda notice: told.append(notice.sequence), noted=noted)
    assert told == list(range(number))
    noted.write_text("five\n")
    with pytest.raises(InputFileError, match="holds 'five', not the number of an entry"):
        follow(run.path, told.append, noted=noted)


def test_entries_that_come_later_are_told_until_the_screen_has_ended(make_config, tmp_path):
    told, pause = [], threading.Event()
    config = make_config(stopping={"rule": "none", "max_rounds": 2})
    thread = threading.Thread(target=simulate, args=(config, tmp_path / "run"))
    thread.start()
    while not CampaignStore.exists(tmp_path / "run"):
        pause.wait(0.05)
    follow(tmp_path / "run", told.append, poll_s=0.1)
    thread.join()
    n_rounds = len(CampaignStore.open(tmp_path / "run").rounds())
    assert told[-1].kind in ("deliver", "hybrid")
    assert sum(notice.kind == "decision" for notice in told) == n_rounds


def test_posts_are_signed_so_that_receivers_of_the_standard_take_them(run, receiver, monkeypatch, tmp_path):
    url, got, answers = receiver
    monkeypatch.setattr(following, "_WAIT_S", 0.001)
    answers += [500, 503]
    monkeypatch.setenv("ISD_WEBHOOK_SECRET", SECRET)
    command = ["follow", str(run.path), "--webhook", url, "--noted", str(tmp_path / "noted")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert len({name for name, _ in got}) == len(got) == int((tmp_path / "noted").read_text())
    assert [body["data"]["sequence"] for _, body in got] == list(range(len(got)))
    assert got[0][1]["type"] == "isd_ray.release"
    assert answers == []


def test_another_secret_is_not_taken():
    hook, sent = Webhook("https://lims.example/isd", base64.b64encode(b"another secret").decode()), {}

    class Request:
        def __init__(self, url, body, headers, method):
            sent.update(body=body, headers=headers)
            raise OSError("as far as it goes")

    notice = following.Notice("c", 0, "tell", "2026-01-01T00:00:00+00:00", "me", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "_WAIT_S", 0.0)
        patch.setattr(following.urllib.request, "Request", Request)
        with pytest.raises(OSError, match="as far as it goes"):
            hook(notice)
    with pytest.raises(WebhookVerificationError):
        Receiver(SECRET).verify(sent["body"], sent["headers"])


@pytest.mark.parametrize(("answer", "tries"), [(500, 6), (410, 1)])
def test_a_receiver_that_does_not_take_an_entry_is_named_and_nothing_is_skipped(
    answer, tries, run, receiver, monkeypatch, tmp_path
):
    url, got, answers = receiver
    monkeypatch.setattr(following, "_WAIT_S", 0.001)
    answers += [204] + [answer] * tries
    with pytest.raises(WebhookError, match=rf"entry 1 \(\w+\) was not taken: it answers {answer}"):
        follow(run.path, Webhook(url, SECRET), noted=tmp_path / "noted")
    assert (tmp_path / "noted").read_text() == "1\n"
    assert (len(got), answers) == (1, [])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *((code, rf"it answers {code} .*/isd/elsewhere") for code in (301, 302, 303, 307, 308)),
        ("nonsense", r"it does not answer \(nonsense"),
    ],
)
def test_an_entry_that_is_sent_elsewhere_or_answered_by_nonsense_was_not_taken(
    answer, words, run, receiver, monkeypatch, tmp_path
):
    url, got, answers = receiver
    monkeypatch.setattr(following, "_WAIT_S", 0.001)
    answers += [answer] * 6
    with pytest.raises(WebhookError, match=words):
        follow(run.path, Webhook(url, SECRET), noted=tmp_path / "noted")
    assert ((tmp_path / "noted").read_text(), got, answers) == ("0\n", [], [])


def test_a_number_that_cannot_be_noted_is_said_before_anything_is_told(run, tmp_path):
    told = []
    with pytest.raises(OutputFileError):
        follow(run.path, told.append, noted=tmp_path / "none" / "noted")
    with pytest.raises(InputFileError, match="cannot be read"):
        follow(run.path, told.append, noted=tmp_path)
    assert told == []


@pytest.mark.parametrize(
    ("url", "secret", "words"),
    [
        ("http://lims.example/isd", SECRET, "is not posted to"),
        ("ftp://lims.example", SECRET, "is not posted to"),
        ("https://lims.example", "whsec_?", "is not base64"),
        ("https://lims.example", "", "there is no secret to sign by"),
    ],
)
def test_addresses_and_secrets_that_do_not_do_are_refused(url, secret, words):
    with pytest.raises(ConfigError, match=words):
        Webhook(url, secret)


@pytest.mark.skipif(find_spec("sqlalchemy") is not None, reason="the whole package mlflow takes a database")
def test_the_example_says_what_takes_an_address_that_mlflow_skinny_does_not(run, tmp_path):
    pytest.importorskip("mlflow")
    script = Path(__file__).parents[2] / "examples" / "mlflow" / "follow.py"
    command = [sys.executable, str(script), str(run.path), "--once", "--tracking-uri", "sqlite:///mlflow.db"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    assert "'sqlite:///mlflow.db' cannot be used by the MLflow that is installed: name a running server" in ended.stderr
    assert "pip install mlflow" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_example_logs_a_campaign_to_mlflow_once_however_often_it_is_begun(run, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    script = Path(__file__).parents[2] / "examples" / "mlflow" / "follow.py"
    command = [sys.executable, str(script), str(run.path), "--tracking-uri", (tmp_path / "mlruns").as_uri()]
    for options in (["--once"], []):
        subprocess.run([*command, *options], check=True)
    [logged] = (tmp_path / "mlruns").glob("*/*/metrics/n_acquired")
    lines = [line.split() for line in logged.read_text().splitlines()]
    assert [float(value) for _, value, _ in lines] == run.rounds["n_acquired"].to_pylist()
    [certificate] = (tmp_path / "mlruns").glob("*/*/tags/isd_ray.certificate")
    assert certificate.read_text() == CampaignStore.open(run.path).certificate()["certificate_id"]
