"""What is lost on the way is asked for again, and done once."""

from __future__ import annotations

import itertools
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import contextmanager

import pytest
import requests
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.cli import app as command
from isd_ray.errors import ClusterError, ResourceError
from isd_ray.remote import over_http
from isd_ray.serve.coordinators import app, calls
from tests.unit.attached_helpers import READOUT, Here, certified, running, told_events


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


@pytest.mark.parametrize("failure", [requests.ConnectionError, requests.Timeout])
def test_what_is_told_again_as_its_answer_was_lost_is_told_once(made, service, monkeypatch, failure):
    campaign = isd.attach("kinase", service.url)
    posts = itertools.count()  # the first asks what columns are called
    sent = losing(monkeypatch, lambda method, url: method == "POST" and next(posts) == 1, failure)
    told = campaign.tell({made.batch().ids[0]: READOUT})
    assert len(sent) == 3
    assert (told.n_new, told.n_unchanged) == (1, 0)
    assert len(told_events(made)) == 1


def test_a_call_that_is_sent_again_while_it_is_under_way_is_that_one(tmp_path):
    service, goes_on, done = calls.Calls(tmp_path), threading.Event(), []

    def work(call):
        assert goes_on.wait(30)
        done.append(call)

    first, again = service.begin("key", work), service.begin("key", work)
    goes_on.set()
    first.answer.result(30)
    assert again is first
    assert done == [first]


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


def test_a_service_that_is_away_is_waited_for_once_it_has_answered(made, service, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    service.stop()
    with pytest.raises(ClusterError, match="no service answers here"):
        isd.attach("kinase", service.url)
    threading.Timer(0.3, service.start).start()
    assert campaign.status() == made.status()


def test_a_first_answer_that_breaks_off_is_asked_for_again(made, service, monkeypatch):
    sent = losing(monkeypatch, lambda method, url: True, requests.exceptions.ChunkedEncodingError)
    assert isd.attach("kinase", service.url).status() == made.status()
    assert len(sent) > len(set(sent))


def test_a_tunnel_whose_far_end_is_away_has_no_bad_certificate_and_is_waited_for(made, tmp_path, monkeypatch):
    """It takes connections in and ends them, in the middle of the greeting of TLS."""
    tls = certified(tmp_path)
    monkeypatch.setattr(over_http, "_RETRY_S", 0.05)
    with running({"kinase": made.path}, tmp_path / "token", tmp_path / "scratch", tls=tls) as service:
        reached = {"token": (tmp_path / "token").read_text(), "ca_file": tls[0]}
        campaign = isd.attach("kinase", service.url, **reached)
        service.stop()
        with tunnel_to_nowhere(service.port):
            with pytest.raises(ClusterError, match="no service answers here") as refused:
                isd.attach("kinase", service.url, **reached)
            assert "certificate" not in str(refused.value)
            waiting = ThreadPoolExecutor(1).submit(campaign.status)
            with pytest.raises(StillWaiting):
                waiting.result(0.3)
        service.start()
        assert waiting.result(60) == made.status()


@contextmanager
def tunnel_to_nowhere(port):
    """Takes in what comes to a port, and ends it."""

    class Ending(socketserver.BaseRequestHandler):
        def handle(self):
            pass

    class Tunnel(socketserver.TCPServer):
        allow_reuse_address = True

    with Tunnel(("127.0.0.1", port), Ending) as tunnel:
        serving = threading.Thread(target=tunnel.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield
        tunnel.shutdown()
        serving.join()


def test_a_service_that_begins_before_its_cluster_says_so_and_connects_when_it_is_there(made, tmp_path, monkeypatch):
    def wait(address, timeout_s, say):
        say(f"waiting for {address}")
        up.append(address)

    def connected(places, address):
        assert up == [address]
        raise ResourceError("nothing more is tried")

    up: list[str] = []
    monkeypatch.setattr(app, "wait_until_up", wait)
    monkeypatch.setattr(app, "Campaigns", connected)
    words = ["coordinators", "serve", str(made.path), "--token-file", str(tmp_path / "token"), "--address", "head:6379"]
    done = CliRunner().invoke(command, words)
    assert "waiting for head:6379" in done.stdout
    assert str(done.exception) == "nothing more is tried"
