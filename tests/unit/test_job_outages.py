"""Who waits for a job bears a cluster that is away for a moment, and does not wait for ever for one that is gone."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
import requests
from ray.job_submission import JobStatus as RayStatus

from isd_ray.errors import ClusterError, JobError
from isd_ray.remote import jobs, jobs_client
from isd_ray.remote.jobs import Job
from isd_ray.remote.jobs_client import JobsClient, Submission
from tests.unit.test_unreached import answering

ADDRESS = "http://10.0.0.1:8265"
COMMAND = Submission.new("forecast", 1, "", {}, ("plan", "campaign.toml"))


class Head:
    """Ray's client of a head that is away when it is asked the first time, and then for the times given."""

    def __init__(self, n_away: int, error: type[Exception] = requests.ConnectionError) -> None:
        self._n_away, self._error = n_away, error
        self.n_asked = 0

    def get_job_info(self, name):
        self.n_asked += 1
        if self.n_asked <= self._n_away:
            raise self._error("no route to host")
        return SimpleNamespace(status=RayStatus.SUCCEEDED, message="")

    def get_job_logs(self, name):
        self.get_job_info(name)
        return "done\n"


def job_of(head: Head) -> Job:
    return Job(JobsClient(ADDRESS, head), COMMAND)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(jobs, "FOLLOW_S", 0.0)


@pytest.mark.parametrize("error", [requests.ConnectionError, requests.ReadTimeout, ConnectionError])
def test_a_head_that_is_away_for_a_moment_is_waited_for(error):
    assert job_of(Head(3, error)).wait(progress=False).state == "succeeded"
    assert list(job_of(Head(3, error)).logs(follow=True)) == ["done\n"]


def test_one_that_stays_away_is_an_error_that_says_how_jobs_come_back(monkeypatch):
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.0)
    with pytest.raises(ClusterError, match=r"does not answer any more.*\n.*isd jobs resubmit FOLDER"):
        job_of(Head(1000)).wait(progress=False)


def test_no_longer_than_the_caller_waits():
    with pytest.raises(ClusterError, match="does not answer any more"):
        job_of(Head(1000)).wait(progress=False, timeout_s=0.0)


def test_who_only_asks_is_told_at_once():
    head = Head(1)
    with pytest.raises(ClusterError, match="does not answer any more"):
        job_of(head).status()
    assert head.n_asked == 1


def test_a_head_that_has_forgotten_the_job_is_no_outage():
    head = Head(1000, lambda words: RuntimeError("Request failed with status code 404: no job"))
    with pytest.raises(JobError, match=r"knows no such job \(any more\)\n.*isd jobs resubmit FOLDER"):
        job_of(head).wait(progress=False)
    assert head.n_asked == 1


def test_an_answer_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(jobs_client, "ANSWER_S", 0.1)
    monkeypatch.setattr(jobs_client, "refuse_open_jobs_api", lambda *_, **__: None)
    monkeypatch.setattr(jobs_client, "ray_version_of", lambda *_: ("2.60.0", None))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match=r"does not answer any more: timed out"):
            JobsClient.open(address).state_of("forecast")


@pytest.mark.parametrize("code", [502, 503, 504])
def test_a_proxy_whose_head_is_away_speaks_of_an_outage(code, monkeypatch):
    """As an Ingress does while the pod of the head is made anew."""
    monkeypatch.setattr(jobs_client, "refuse_open_jobs_api", lambda *_, **__: None)
    monkeypatch.setattr(jobs_client, "ray_version_of", lambda *_: ("2.60.0", None))
    away = f"HTTP/1.1 {code} Away\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    refusal = pytest.raises(ClusterError, match=f"does not answer any more: HTTP {code}")
    with answering(away) as port, refusal as refused:
        JobsClient.open(f"http://127.0.0.1:{port}").state_of("forecast")
    assert jobs_client.is_unanswered(refused.value)
