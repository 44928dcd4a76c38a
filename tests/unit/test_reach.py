"""Addresses that no process can join are refused in words, before Ray tries, which would end the process."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoReply

from isd_ray.config import ComputeConfig
from isd_ray.errors import ClusterError, ResourceError
from isd_ray.ops import connect, reach, security
from isd_ray.ops.reach import located, require_reachable, same_cluster, wait_until_up
from isd_ray.ops.security import Door

HEAD = "192.0.2.7:6379"


@pytest.fixture
def listening():
    """An address where something listens that never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("http://head:8265", "address of a dashboard"),
        ("https://head", "address of a dashboard"),
        ("ray://head:10001", "Ray Client is not supported"),
        ("head", "no HOST:PORT"),
        ("local", "no HOST:PORT"),
        ("head:", "no HOST:PORT"),
    ],
)
def test_addresses_of_another_kind_are_refused_wherever_they_are_given(address, what, monkeypatch):
    with pytest.raises(ResourceError, match=what) as given:
        located(address)
    assert f"compute.address={address!r}" in str(given.value)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ResourceError, match=what) as inherited:
        located("auto")
    assert f"RAY_ADDRESS={address!r}" in str(inherited.value)
    for verb in (connect.connect, lambda compute: connect.ray_session(compute).__enter__()):
        with pytest.raises(ResourceError, match=what):
            verb(ComputeConfig(address=address))


def test_auto_is_what_ray_address_says_and_else_the_cluster_of_this_machine(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", HEAD)
    assert located("auto") == HEAD
    assert located("10.0.0.1:1") == "10.0.0.1:1"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert located("auto") is None
    monkeypatch.delenv("RAY_ADDRESS")
    assert located("auto") is None


def test_a_cluster_of_this_machine_that_is_none_or_gone_is_an_error_in_words(monkeypatch):
    def none(address):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **options: pytest.fail("Ray was asked"))
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", none)
    with pytest.raises(ResourceError, match="no Ray cluster runs on this machine"):
        connect.connect(ComputeConfig(address="auto"))
    with socket.socket() as bound:  # where a head has been
        bound.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", lambda address: gone)
        with pytest.raises(ResourceError, match=f"{gone}: no Ray cluster is reached here"):
            connect.connect(ComputeConfig(address="auto"))


def test_where_nobody_listens_no_cluster_is_reached(listening, monkeypatch):
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ResourceError, match=r"no Ray cluster is reached here: .*refused"):
            require_reachable(f"127.0.0.1:{bound.getsockname()[1]}")
    with pytest.raises(ResourceError, match="no Ray cluster is reached here"):
        require_reachable("no-such-host.invalid:6379")
    monkeypatch.setattr(reach, "PROBE_TIMEOUT_S", 0.2)
    with pytest.raises(ResourceError, match="no GCS of a Ray cluster"):
        require_reachable(listening)


def test_the_machine_must_be_a_node(listening, monkeypatch):
    monkeypatch.setattr(reach, "_nodes", lambda address: {"aa": "10.0.0.1", "bb": "10.0.0.2"})
    monkeypatch.setattr(reach, "_raylets", lambda: {"cc"})
    with pytest.raises(ResourceError, match=r"no node of the cluster, whose nodes are 10\.0\.0\.1, 10\.0\.0\.2"):
        require_reachable(listening)
    monkeypatch.setattr(reach, "_raylets", lambda: {"cc", "bb"})
    require_reachable(listening)


def test_an_address_of_ipv6_stands_in_brackets(monkeypatch):
    def refuse(place, timeout):
        raise OSError(f"asked for {place}")

    monkeypatch.setattr(reach.socket, "create_connection", refuse)
    with pytest.raises(ResourceError, match=r"asked for \('::1', 6379\)"):
        require_reachable("[::1]:6379")


def test_nodes_that_are_gone_are_none_of_the_cluster():
    answer = GetAllNodeInfoReply()
    for state, (node, address) in enumerate([(b"\xaa", "10.0.0.1"), (b"\xbb", "10.0.0.2")]):
        answer.node_info_list.add(node_id=node, node_manager_address=address, state=state)
    assert reach._living(answer.SerializeToString()) == {"aa": "10.0.0.1"}


def test_the_first_node_of_a_cluster_is_waited_for(listening, monkeypatch):
    answers = iter([{}, {}, {"bb": "10.0.0.2"}])
    monkeypatch.setattr(reach, "_nodes", lambda address: next(answers))
    monkeypatch.setattr(reach, "_raylets", lambda: {"bb"})
    monkeypatch.setattr(reach, "_POLL_S", 0.0)
    require_reachable(listening)
    monkeypatch.setattr(reach, "_FIRST_NODE_S", 0.0)
    monkeypatch.setattr(reach, "_nodes", lambda address: {})
    with pytest.raises(ResourceError, match="whose nodes are gone"):
        require_reachable(listening)


def test_a_cluster_that_is_not_there_yet_is_waited_for_and_that_is_said_once(monkeypatch):
    heard, answers = [], iter([OSError("refused"), OSError("refused"), None])

    def call_at(address):
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(reach, "_call_at", call_at)
    monkeypatch.setattr(reach, "_UP_POLL_S", 0.0)
    wait_until_up(HEAD, 60.0, heard.append)
    assert next(answers, "none left") == "none left"
    [line] = heard
    assert HEAD in line
    assert "60 s at most" in line


def test_a_cluster_of_this_machine_is_waited_for_from_before_ray_is_started(monkeypatch):
    started = iter([ConnectionError("Could not find any running Ray instance."), None])

    def found(address):
        if (error := next(started)) is not None:
            raise error
        return HEAD

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", found)
    monkeypatch.setattr(reach, "_call_at", [].append)
    monkeypatch.setattr(reach, "_UP_POLL_S", 0.0)
    wait_until_up("auto", 60.0, lambda line: None)
    assert next(started, "none left") == "none left"


def test_one_that_never_comes_is_left_to_whoever_connects(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", lambda address: "127.0.0.1:1")
    heard = []
    wait_until_up("auto", 0.0, heard.append)
    assert heard == []
    with pytest.raises(ResourceError, match="Ray Client"):
        wait_until_up("ray://head:10001", 0.0, heard.append)


def test_raylets_of_this_machine_are_found_by_their_ids():
    before = reach._raylets()
    with subprocess.Popen([sys.executable, "-c", "input()", "--node_id=0f0f"], stdin=subprocess.PIPE) as raylet:
        assert reach._raylets() - before == {"0f0f"}
        raylet.communicate(b"\n")


@pytest.mark.parametrize(
    ("address", "other", "expected"),
    [
        (HEAD, HEAD, True),
        (HEAD, "192.0.2.7:6380", False),
        (HEAD, "192.0.2.8:6379", False),
        ("127.0.0.1:6379", "localhost:6379", True),
        ("127.0.0.1:6379", HEAD, False),
        ("no-such-host.invalid:1", "no-such-host.invalid:1", True),
        ("no-such-host.invalid:1", HEAD, False),
    ],
)
def test_a_cluster_is_known_by_any_name_of_its_host(address, other, expected):
    assert same_cluster(address, other) is expected
    assert same_cluster(other, address) is expected


def test_loopback_and_own_address_are_one_machine(monkeypatch):
    own = {"eth0": [SimpleNamespace(address="192.0.2.7")]}
    monkeypatch.setattr(reach.psutil, "net_if_addrs", lambda: own)
    assert same_cluster("127.0.0.1:6379", HEAD)


class Connected:
    """A process that has initialised Ray itself."""

    gcs_address = HEAD

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setattr("ray.is_initialized", lambda: True)
        monkeypatch.setattr("ray.get_runtime_context", lambda: self)
        monkeypatch.setattr("ray.cluster_resources", dict)
        monkeypatch.setattr("ray.init", lambda **options: pytest.fail("it was initialised twice"))
        monkeypatch.setattr("ray.shutdown", lambda: pytest.fail("it is not ours"))
        monkeypatch.delenv("RAY_ADDRESS", raising=False)


def session(compute: ComputeConfig) -> None:
    with connect.ray_session(compute):
        pass


@pytest.mark.parametrize("verb", [connect.connect, session])
def test_a_ray_that_is_initialised_must_be_the_one_that_is_named(verb, monkeypatch):
    Connected(monkeypatch)
    monkeypatch.setattr(security, "grpc_door", lambda place, method: Door.GUARDED)
    other = ComputeConfig(address="192.0.2.8:6379")
    with pytest.raises(ResourceError, match=r"connected to another Ray, at 192\.0\.2\.7:6379"):
        verb(other)
    for address in (HEAD, "auto", None):
        verb(ComputeConfig(address=address))
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.8:6379")
    with pytest.raises(ResourceError, match="connected to another Ray"):
        verb(ComputeConfig(address="auto"))


@pytest.mark.parametrize("verb", [connect.connect, session])
def test_an_open_cluster_is_refused_also_where_ray_is_initialised(verb, monkeypatch):
    Connected(monkeypatch)
    monkeypatch.setattr(security, "grpc_door", lambda place, method: Door.OPEN)
    with pytest.raises(ClusterError, match="answers without a token"):
        verb(ComputeConfig(address=HEAD))
    verb(ComputeConfig(address=HEAD, allow_cluster_without_authentication=True))


def test_a_ray_that_does_not_start_is_an_error_in_words(monkeypatch):
    def init(**options):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    with pytest.raises(ResourceError, match=r"did not start: .* timed out during startup\. \(load .* GiB memory"):
        session(ComputeConfig())
    assert not connect._SESSIONS
