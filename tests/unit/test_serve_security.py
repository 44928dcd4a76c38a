"""Who may do what at the web page of a laboratory, and what is refused before it is read."""

from __future__ import annotations

import html
import re
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app as commands
from isd_ray.config.limits import MAX_FORM_BYTES, MAX_UPLOAD_BYTES
from isd_ray.errors import ConfigError, ResourceError
from isd_ray.ops.campaign import Campaign
from isd_ray.serve import sessions, uploads
from isd_ray.serve.settings import Settings
from isd_ray.serve.uploads import file_name
from tests.unit.serve_helpers import ADDRESS, TOKEN, Visitor, ada, page, page_of, words
from tests.unit.test_laboratory import LABORATORY, truth
from tests.unit.test_serve import by_id, contents

__all__ = ["ada", "page", "truth"]

FILES = ["/rounds/0/structures/0", "/refused/0", "/refused/0/csv", "/interim/0", "/interim/0/file"]
OTHERS = ["/report", "/uploads/0", *FILES]
SEEN = ["", "/live?seen=0", "/batch", "/batch?q=C", "/batch/live?seen=0", "/events", "/events/live?seen=0", *OTHERS]
SAID = ["/dispatch", "/uploads", "/uploads/0", "/fail", "/close", "/undo", "/stop", "/interim"]


@pytest.fixture(scope="module")
def campaign(make_config, tmp_path_factory) -> Campaign:
    """Nothing in this file changes it."""
    made = Campaign.create(tmp_path_factory.mktemp("served") / "run", make_config(**LABORATORY))
    made.ask()
    return made


# --- who ------------------------------------------------------------------------------------------------------------


def test_nobody_sees_or_says_anything_before_a_login(page):
    nobody = Visitor(page[0], None)
    nobody.form_token = ""
    for what in ["/", *(f"/c/{page[1]}{end}" for end in SEEN)]:
        answer = nobody.get(what)
        assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/login", b"")
    for end in SAID:
        assert nobody.post(f"/c/{page[1]}{end}").headers["location"] == "/login"
    assert nobody.get(f"/c/{page[1]}/live?seen=0", **{"HX-Request": "true"}).headers["hx-redirect"] == "/login"
    assert nobody.get("/static/htmx.js").status_code == 200


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_cannot_be_made(page, ada):
    nobody = Visitor(page[0], None)
    cookie = nobody.log_in(TOKEN).headers["set-cookie"]
    assert re.search("httponly", cookie, re.IGNORECASE)
    assert re.search("samesite=strict", cookie, re.IGNORECASE)
    name, value = cookie.split(";")[0].split("=", 1)
    assert TOKEN not in value
    session_id, time, signature = value.rsplit(".", 2)
    forged = Visitor(page[0], None)
    for made in (session_id, f"{session_id}.{time}.{signature[::-1]}", f"{'A' * 43}.{time}.{signature}", ""):
        forged.client.cookies.set(name, made)
        assert forged.get("/").headers["location"] == "/login"
        forged.client.cookies.clear()


def test_a_wrong_token_is_refused_and_only_some_tries_are_looked_at(page, monkeypatch):
    eve = Visitor(page[0], None)
    for _ in range(sessions.MAX_ATTEMPTS):
        assert eve.log_in("x" * 43).status_code == 403
    assert eve.log_in(TOKEN).status_code == 429
    now = sessions.time.monotonic()
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now + sessions.ATTEMPTS_WINDOW_S + 1)
    assert eve.log_in(TOKEN).status_code == 303


def test_a_session_ends_with_its_logout_wherever_its_cookie_is(page, ada):
    thief = Visitor(page[0], None)
    thief.client.cookies.update(ada.client.cookies)
    assert thief.get("/").status_code == 200
    ada.post("/logout")
    assert thief.get("/").headers["location"] == "/login"


def test_a_session_ends_after_a_day(page, ada, monkeypatch):
    now = sessions.time.time()
    monkeypatch.setattr(sessions.time, "time", lambda: now + sessions.SESSION_S + 1)
    assert ada.get("/").headers["location"] == "/login"


def test_a_name_is_one_line_of_printable_letters():
    assert sessions.name_of("  Ada\n\x00Love\u202elace ") == "Ada Lovelace"
    assert len(sessions.name_of("x" * 500)) == sessions.MAX_NAME_LETTERS


def test_a_token_that_could_be_guessed_is_refused():
    with pytest.raises(ConfigError, match="fewer than 16"):
        Settings("secret")


# --- from where -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", SAID)
def test_a_form_without_the_token_of_the_session_or_from_elsewhere_does_nothing(end, campaign, page, ada):
    before, other = contents(campaign.path), Visitor(page[0], "Bob")
    fields = {"others": campaign.batch().ids[0], "reason": "spilt", "confirmed": "true"}
    files = {"file": ("readouts.csv", b"name,bbb\n")} if end == "/uploads" else None
    for token in ("", "x", other.form_token):
        assert ada.post(f"/c/{page[1]}{end}", files=files, **{**fields, "form_token": token}).status_code == 403
    for origin in ("http://evil.example", "null", "", "http://127.0.0.1:1", "http://127.0.0.1:8765.evil.example"):
        assert ada.post(f"/c/{page[1]}{end}", origin, files=files, **fields).status_code == 403
    assert contents(campaign.path) == before


def test_a_host_of_another_name_is_refused(page):
    """DNS rebinding: a page of evil.example whose name is pointed at this machine."""
    nobody = Visitor(page[0], None)
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""):
        assert nobody.get("/login", Host=host).status_code == 400
    for host in ("localhost:8765", "127.0.0.1", "[::1]:8765"):
        assert nobody.get("/login", Host=host).status_code == 200


@pytest.mark.parametrize("what", ["/", "/login", "/static/htmx.js", "/nothing", "/c/nothing"])
def test_every_answer_has_the_headers_that_protect_it(what, ada, page):
    for answer in (ada.get(what), Visitor(page[0], None).get(what, Host="evil.example")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        stays = what.startswith("/static") and answer.status_code == 200
        assert answer.headers["cache-control"].startswith("private" if stays else "no-store")


def test_pages_have_no_script_or_style_of_their_own(ada, page):
    for what in ["/", "/login", *(f"/c/{page[1]}{end}" for end in SEEN if end not in OTHERS)]:
        text = ada.get(what).text
        for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
            assert "src=" in attributes or "application/json" in attributes, content
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


def test_the_report_runs_nothing_but_its_own_two_scripts_in_a_box(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    for _ in range(2):  # of the second batch there are figures
        ids = campaign.ask().ids
        campaign.tell({name: ("BBB+", "BBB-")[place % 2] for place, name in enumerate(ids)})
    app, [key] = page_of(campaign.path, scratch=tmp_path / "scratch")
    answer = Visitor(app).get(f"/c/{key}/report")
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert re.search(r"script-src 'sha256-[^ ]+' 'sha256-[^ ]+';", html.unescape(answer.text))


# --- how much, and what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "limit"), [("/uploads", MAX_UPLOAD_BYTES), ("/fail", MAX_FORM_BYTES)])
def test_what_is_too_large_is_not_read(end, limit, ada, page):
    headers = {"Origin": ADDRESS, "Content-Type": "application/x-www-form-urlencoded"}
    announced = {**headers, "Content-Length": str(limit + 1)}
    assert ada.client.post(f"/c/{page[1]}{end}", content=b"", headers=announced).status_code == 413
    stream = iter([b"form_token=x"])
    assert ada.client.post(f"/c/{page[1]}{end}", content=stream, headers=headers).status_code == 411


def test_other_methods_are_not_answered(ada, page):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ada.client.request(method, f"/c/{page[1]}").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/../serve/app.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static/..%2f..%2ferrors.py",
        "/c/..%2f..%2fetc",
        "/c/../../campaign.json",
        "/c/KEY/uploads/..%2f..%2fcampaign.json",
        "/c/KEY/report/../../events",
    ],
)
def test_no_address_is_a_path(path, ada, page):
    answer = ada.get(path.replace("KEY", page[1]))
    assert answer.status_code == 404
    assert "schema_version" not in answer.text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plate7.csv", "plate7.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\plate 7.parquet", "plate_7.parquet"),
        ("..", "readouts.csv"),
        (".hidden", "hidden"),
        ("", "readouts.csv"),
        ("a/..", "readouts.csv"),
        ("x" * 300 + ".csv", "x" * 80 + ".csv"),
        ("\u202ename\x00.csv", "_name_.csv"),
    ],
)
def test_the_name_of_a_file_is_no_path(given, kept):
    assert file_name(given) == kept


def test_a_file_belongs_to_who_sent_it_and_is_forgotten(campaign, page, ada, truth, tmp_path, monkeypatch):
    preview = ada.send(page[1], by_id(truth, campaign.batch().ids[:5]))
    bob = Visitor(page[0], "Bob")
    assert bob.get(preview).status_code == 404
    assert bob.post(preview).status_code == 404
    now = uploads.time.monotonic()
    monkeypatch.setattr(uploads.time, "monotonic", lambda: now + uploads.UPLOAD_S + 1)
    answer = ada.post(preview)
    assert answer.status_code == 404
    assert "Send it again" in words(answer.text)
    assert not any(path.is_file() for path in (tmp_path / "scratch").rglob("*"))
    assert campaign.status().n_missing == 60


def test_only_so_many_files_wait(ada, page, tmp_path):
    previews = [ada.send(page[1], f"name,bbb\nC{number},BBB+\n") for number in range(uploads.MAX_UPLOADS + 2)]
    assert len([path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]) == uploads.MAX_UPLOADS
    assert [ada.get(preview).status_code for preview in previews[:3]] == [404, 404, 200]


# --- to look at only ------------------------------------------------------------------------------------------------


def test_a_read_only_page_shows_everything_and_takes_nothing(campaign, tmp_path):
    app, [key] = page_of(campaign.path, scratch=tmp_path / "scratch", read_only=True)
    ada, before = Visitor(app), contents(campaign.path)
    for end in ("", "/batch", "/events"):
        answer = ada.get(f"/c/{key}{end}")
        assert answer.status_code == 200
        assert re.findall(r'<form method="post" action="([^"]+)"', answer.text) == ["/logout"]
    for end in SAID:
        answer = ada.post(f"/c/{key}{end}", reason="spilt", others="C0001", confirmed="true")
        assert (answer.status_code, "read-only" in answer.text) == (403, True)
    assert contents(campaign.path) == before
    assert ada.post("/logout").status_code == 303


# --- the command ----------------------------------------------------------------------------------------------------


def started(monkeypatch, *arguments: str) -> dict:
    """What the command would serve, and what it says."""
    found = {}

    def run(places, settings, host, port, started):
        found.update(places=places, settings=settings, host=host, port=port)
        started("http://127.0.0.1:8765")

    monkeypatch.setattr("isd_ray.serve.app.serve", run)
    with TemporaryDirectory() as folder:
        result = CliRunner().invoke(commands, ["serve", folder, *arguments])
    if result.exception is not None:
        raise result.exception
    return {**found, "said": result.output}


def test_the_command_prints_a_new_token_once_and_stays_on_this_machine(monkeypatch):
    first, second = started(monkeypatch), started(monkeypatch)
    assert first["host"] == "127.0.0.1"
    assert first["settings"].token != second["settings"].token
    assert f"page at http://127.0.0.1:8765/login?token={first['settings'].token}" in first["said"]
    assert "NOT ENCRYPTED" not in first["said"]
    assert "no campaign lies there yet" in first["said"]


def test_a_given_token_is_not_printed(monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    found = started(monkeypatch, "--token-file", str(file))
    assert found["settings"].token == TOKEN
    assert TOKEN not in found["said"]
    monkeypatch.setenv("ISD_SERVE_TOKEN", TOKEN)
    assert started(monkeypatch)["settings"].token == TOKEN


def test_others_reach_the_page_only_if_that_is_said_and_are_warned(monkeypatch):
    with pytest.raises(ConfigError, match="--open-to-network"):
        started(monkeypatch, "--host", "10.0.0.7")
    with pytest.raises(ConfigError, match="--name HOST"):
        started(monkeypatch, "--host", "0.0.0.0", "--open-to-network")
    found = started(monkeypatch, "--host", "0.0.0.0", "--open-to-network", "--name", "lab.example.org")
    assert "NOT ENCRYPTED" in found["said"]
    assert found["settings"].names[0] == "lab.example.org"
    with pytest.raises(ConfigError, match="go together"):
        started(monkeypatch, "--tls-cert", "cert.pem")


def test_missing_packages_are_named_with_what_installs_them(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "isd_ray.serve.app", None)
    with pytest.raises(ResourceError, match=r"pip install 'isd_ray\[serve\]'"):
        started(monkeypatch)
