"""Two Rays on one machine: nothing is done on the one that was not named, and what cannot be joined ends in words.

One head with token authentication serves the whole module; this process is connected to the Ray of the session.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

from isd_ray.config import ComputeConfig
from isd_ray.errors import ResourceError
from isd_ray.ops import reach
from isd_ray.ops.connect import ray_session
from isd_ray.ops.reach import require_reachable
from isd_ray.remote.attach import attach, coordinated, stop
from tests.chaos.laboratory import CONFIG, create
from tests.ray.head import Head, ray_head


@pytest.fixture(scope="module")
def head():
    with ray_head() as started:
        yield started


@pytest.fixture(autouse=True)
def token(head, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(head.token_file))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)


@pytest.fixture(scope="module")
def folder(make_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("folder") / "run"
    create(path, make_config(**CONFIG))
    return path


def gcs(head: Head) -> str:
    return f"127.0.0.1:{head.gcs_port}"


def test_no_verb_works_on_the_ray_that_happens_to_be_connected(head, folder, ray_cluster):
    def build() -> None:
        with ray_session(ComputeConfig(address=gcs(head))):
            pytest.fail("it was used")

    connected = ray.get_runtime_context().gcs_address
    for verb in (
        lambda: attach(folder, gcs(head)),
        lambda: coordinated(gcs(head)),
        lambda: stop(folder, gcs(head)),
        build,
    ):
        with pytest.raises(ResourceError, match=f"connected to another Ray, at {connected}"):
            verb()
    assert str(folder) not in coordinated(connected)


def test_a_node_reaches_its_cluster_and_others_do_not(head, monkeypatch):
    require_reachable(gcs(head))
    monkeypatch.setattr(reach, "_raylets", set)
    with pytest.raises(ResourceError, match=r"is no node of the cluster, whose nodes are [\d.]+\n"):
        require_reachable(gcs(head))


@pytest.mark.parametrize(
    ("content", "what"), [(None, "asks for a token, and there is none"), ("0" * 64, "refuses the token")]
)
def test_the_token_is_asked_for_in_words(content, what, head, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    if content:
        (tmp_path / "token").write_text(content)
    with pytest.raises(ResourceError, match=what):
        require_reachable(gcs(head))


def test_another_port_of_a_cluster_ends_a_command_in_words_and_no_process(head, folder):
    dashboard = head.address.removeprefix("http://")
    with pytest.raises(ResourceError, match="no GCS of a Ray cluster"):
        require_reachable(dashboard)
    command = [sys.executable, "-c", "from isd_ray.cli import main; main()", "ask", str(folder), "--address", dashboard]
    environment = {**os.environ, **head.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "no GCS of a Ray cluster" in " ".join(done.stderr.split())) == (1, True), done.stderr[
        -2000:
    ]
