"""What of jobs and of the doctor needs no cluster: who is refused, what a log says, what finds room."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

import isd_ray as isd
from isd_ray.campaign.standing import standing_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import ComputeConfig
from isd_ray.errors import ClusterError, ConfigError, InputFileError, IsdError
from isd_ray.ops import connect, security
from isd_ray.ops.security import Door, bearer, is_loopback, refuse_open_gcs
from isd_ray.ops.simulate import simulate
from isd_ray.remote import jobs_client
from isd_ray.remote.doctor import Verdict, examine
from isd_ray.remote.joblog import MARK, error_line, error_of, last_of, marked, words_of

TOKEN = "a-token-that-nobody-may-see"


@pytest.fixture
def dashboard(monkeypatch):
    """A server that answers as a dashboard without authentication does, with a version that may be changed."""
    answers = {"/api/version": {"version": "4", "ray_version": "2.60.0"}, "/api/jobs/": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


@pytest.fixture
def on_a_network(monkeypatch):
    """What is on this machine looks as if it were on another one."""
    monkeypatch.setattr(security, "is_loopback", lambda host: False)
    monkeypatch.setattr("isd_ray.remote.doctor.is_loopback", lambda host: False)


def test_a_jobs_api_that_asks_for_no_token_is_refused_unless_the_configuration_says_otherwise(
    dashboard, on_a_network, make_config, tmp_path
):
    address, answers = dashboard
    with pytest.raises(ClusterError, match="answers without a token: whoever reaches it runs code") as refused:
        isd.submit(make_config(), address=address, out=tmp_path)
    assert "compute.allow_cluster_without_authentication = true" in refused.value.remedy
    answers["/api/version"]["ray_version"] = "2.9.0"  # refused for another reason then: the first one is passed
    allowed = make_config(compute={"allow_cluster_without_authentication": True})
    with pytest.raises(ClusterError, match=r"the cluster runs Ray 2\.9\.0, this package needs .*>=2\.60"):
        isd.submit(allowed, address=address, out=tmp_path)


def test_on_loopback_an_open_jobs_api_is_this_machine_s_own_business(dashboard):
    address, _ = dashboard
    jobs_client.refuse_open_jobs_api(address, allowed=False)


def test_variables_of_ray_lead_to_no_other_cluster_than_the_one_named(dashboard, monkeypatch):
    address, _ = dashboard
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert jobs_client.JobsClient.open(address).submissions() == []
    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("192.0.2.1", False), ("", False)],
)
def test_loopback_is_told_from_the_network(host, expected):
    assert is_loopback(host) is expected


def test_an_open_gcs_is_refused_and_a_guarded_one_is_not(monkeypatch):
    address, asked = "10.0.0.1:6379", []

    def door(found):
        return lambda place, method: asked.append((place, method)) or found

    monkeypatch.setattr(security, "grpc_door", door(Door.OPEN))
    with pytest.raises(ClusterError, match="answers without a token"):
        refuse_open_gcs(address, allowed=False)
    refuse_open_gcs(address, allowed=True)
    refuse_open_gcs("127.0.0.1:6379", allowed=False)
    monkeypatch.setattr(security, "grpc_door", door(Door.GUARDED))
    refuse_open_gcs(address, allowed=False)
    assert set(asked) == {(address, security.GCS_METHOD)}


def test_a_token_is_found_where_ray_looks_for_it(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bearer() == {}
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("default\n")
    assert bearer() == {"Authorization": "Bearer default"}
    (tmp_path / "mine").write_text("mine\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "mine"))
    assert bearer() == {"Authorization": "Bearer mine"}
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert bearer() == {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("ray://head:10001", "no URL of a dashboard"),
        ("auto", "no URL of a dashboard"),
        ("127.0.0.1:1", "no cluster answers"),
    ],
)
def test_what_is_no_cluster_is_said_and_the_token_is_not(address, what, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with pytest.raises(ClusterError, match=what) as refused:
        isd.job("kinase", address)
    assert TOKEN not in str(refused.value)


def test_a_submission_names_its_own_cluster_and_a_proper_name(make_config, tmp_path):
    elsewhere = make_config(compute={"address": "10.0.0.1:6379"})
    with pytest.raises(ConfigError, match=r"compute\.address: a job runs on the cluster that it is submitted to"):
        isd.submit(elsewhere, address="127.0.0.1:1", out=tmp_path)
    with pytest.raises(ConfigError, match="'a/b' is no name of a job"):
        isd.submit(make_config(), address="127.0.0.1:1", out=tmp_path, name="a/b")


def test_a_log_is_read_by_people_and_by_programs():
    error = InputFileError("no such file", "late.csv", "check the path")
    log = (
        "first\n"
        + marked("standing", {"round": 1})
        + "\nsecond\n"
        + error_line(error)
        + "\n"
        + MARK
        + '{"standing": {"ro'
    )
    assert words_of(log) == "first\nsecond\n"
    assert last_of(log, "standing") == {"round": 1}
    assert last_of(log, "nodes") is None
    raised = error_of(log)
    assert type(raised) is InputFileError
    assert raised.args == error.args


@pytest.mark.parametrize("name", ["SystemExit", "annotations", "NoSuchError"])
def test_a_log_cannot_raise_what_is_no_error_of_ours(name):
    log = marked("error", {"type": name, "args": ["what", "where", "remedy"]})
    assert type(error_of(log)) is IsdError


def test_the_doctor_says_what_is_open(dashboard, on_a_network):
    address, answers = dashboard
    answers["/api/version"]["ray_version"] = "2.9.0"
    checks = examine(address, gcs_port=1, client_port=1)
    found = {check.name: check for check, _ in zip(checks, range(6), strict=False)}
    assert found["open_jobs_api"].verdict is Verdict.PROBLEM
    assert "whoever reaches it runs code" in found["open_jobs_api"].found
    assert found["open_gcs"].verdict is Verdict.OK
    assert found["transport"].verdict is Verdict.WARNING
    assert found["ray"].verdict is Verdict.PROBLEM
    assert TOKEN not in str(found)


@pytest.mark.parametrize(
    ("named", "given", "asked"),
    [("10.0.0.7:26379", None, 26379), ("[::1]:26379", None, 26379), ("10.0.0.7:26379", 7, 7), ("auto", None, 6379)],
)
def test_the_doctor_asks_at_the_gcs_that_the_campaign_names(named, given, asked, dashboard, on_a_network, make_config):
    config = make_config(compute={"address": named})
    checks = examine(dashboard[0], config, gcs_port=given, client_port=1)
    found = {check.name: check for check, _ in zip(checks, range(2), strict=False)}
    assert found["open_gcs"].what.endswith(f":{asked}")


@pytest.mark.parametrize("limit", [{"max_fraction": 0.5}, {"max_cost": 900.0, "cost_per_compound": 2.0}])
def test_time_left_is_that_of_the_budget_at_the_pace_of_the_last_rounds(limit, make_config, tmp_path):
    config = make_config(stopping={"rule": "none", **limit})
    simulate(config, tmp_path / "run")
    store = CampaignStore.open(tmp_path / "run")
    done = standing_of(store)
    assert (done.n_acquired, done.n_target, done.seconds_left) == (450, 900, 0.0)
    assert done.decision == "stop"
    (tmp_path / "run" / "delivered.json").unlink()
    for file in sorted((tmp_path / "run" / "rounds").glob("*/round.json"))[2:]:
        file.unlink()
    [last] = [event for event in store.events() if event["kind"] == "decision" and event["round"] == 1]
    for file in sorted((tmp_path / "run" / "events").iterdir())[last["sequence"] + 1 :]:
        file.unlink()
    store = CampaignStore.open(tmp_path / "run")
    under_way = standing_of(store)
    records = [files.committed for files in store.rounds() if files.committed]
    assert (under_way.round, under_way.n_acquired) == (1, 240)
    assert under_way.seconds_left == pytest.approx(210 * sum(r["round_seconds"] for r in records) / 240)


def test_a_driver_leaves_an_open_cluster_before_it_does_anything(monkeypatch):
    left = []
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: left.append(True))
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(gcs_address="192.0.2.1:6379"))
    monkeypatch.setattr("ray.init", lambda **options: None)
    monkeypatch.setattr(connect, "require_reachable", lambda address: None)
    monkeypatch.setattr(security, "grpc_door", lambda place, method: Door.OPEN)
    compute = ComputeConfig(address="192.0.2.1:6379")
    refused = pytest.raises(ClusterError, match=r"192\.0\.2\.1:6379: the cluster answers without a token")
    with refused, connect.ray_session(compute):
        pytest.fail("it was used")
    with refused:
        connect.connect(compute)
    assert len(left) == 2
