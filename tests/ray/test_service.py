"""A cluster's coordinators by the service, a process of its own with TLS: a screen from a machine that is no node.

Invariants: the batches, decisions and hybrid screen are those of a campaign in this process; the service may die at any
moment, and only it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.csv
import pytest
import ray
import requests

import isd_ray as isd
from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import ActorLostError, ClusterError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.remote.attach import coordinated
from tests.chaos.laboratory import CONFIG, Technician, assert_same, create, outcome
from tests.ray.head import free_ports

WAIT_S = 120.0


class Heard(Watcher):
    """The states that were told."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def step(self, name, progress):
        self.states.append(progress.state)


@contextmanager
def service(folder: Path, tls: tuple[Path, Path], port: int) -> Iterator[subprocess.Popen]:
    """`isd coordinators serve` in a process of its own, which answers."""
    words = f"coordinators serve {folder} --address {ray.get_runtime_context().gcs_address} --port {port}"
    words += f" --token-file {folder.parent / 'token'} --tls-cert {tls[0]} --tls-key {tls[1]}"
    arguments = [sys.executable, "-c", "from isd_ray.cli import main; main()", *words.split()]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        give_up = time.monotonic() + WAIT_S
        while not answers(f"https://localhost:{port}/healthz", tls[0]):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < give_up
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(WAIT_S)


def answers(url: str, authority: Path) -> bool:
    try:
        return requests.get(url, timeout=5, verify=str(authority)).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate of this machine, and its key."""
    certificate, key = (tmp_path_factory.mktemp("tls") / name for name in ("cert.pem", "key.pem"))
    made_out = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 {made_out} -out {certificate} -keyout {key}"
    subprocess.run(words.split(), check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def technician(compounds) -> Technician:
    table = pyarrow.csv.read_csv(compounds)
    return Technician(dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True)))


def test_a_screen_from_elsewhere_is_that_of_this_process(
    make_config, technician, tls, ray_cluster, tmp_path, monkeypatch
):
    places, [port] = tmp_path / "runs", free_ports(1)
    for folder in (places / "kinase", tmp_path / "alone"):
        create(folder, make_config(**CONFIG))
    technician.finish(tmp_path / "alone")
    url = f"https://localhost:{port}"
    with service(places, tls, port):
        with pytest.raises(ClusterError, match="refuses the token"):
            isd.attach(f"{url}/kinase", token="w" * 43, ca_file=tls[0])
        monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "token"))
        with pytest.raises(ClusterError, match="certificate is not accepted"):
            isd.attach(f"{url}/kinase")
        monkeypatch.setenv("ISD_CA_FILE", str(tls[0]))
        assert coordinated(url) == [str(places / "kinase")]
        with pytest.raises(StoreError, match="those are: kinase"):
            isd.attach("another", url)

        heard = Heard()
        campaign = isd.attach("kinase", url, heard)
        assert technician.work(campaign)  # the batch of round 0, told by mappings
        assert heard.states[-1] == "measure"
        batch = campaign.ask()
        [listed, *_] = campaign.dispatch(tmp_path / "to-the-lab")
        assert pyarrow.csv.read_csv(listed)["id"].to_pylist() == batch.ids
        file = tmp_path / "readouts.csv"
        file.write_text("name,bbb\n" + "".join(f"{name},{technician.truth[name]}\n" for name in sorted(batch.ids)[3:6]))
        told = isd.attach("kinase", url).tell(file)  # by another caller
        assert (told.n_new, campaign.status().n_missing) == (3, len(batch) - 3)

    # The service is gone, and comes back while somebody asks: the coordinator stayed, and nothing is lost.
    answered: list = []
    asking = threading.Thread(target=lambda: answered.append(campaign.status()))
    asking.start()
    with service(places, tls, port):
        asking.join(WAIT_S)
        assert answered[0].n_missing == len(batch) - 3
        while technician.work(campaign):
            pass
        campaign.report(tmp_path / "report.html")
        assert "certif" in (tmp_path / "report.html").read_text().lower()
        campaign.export(tmp_path / "there.csv")
        Campaign.open(tmp_path / "alone").export(tmp_path / "here.csv")
        assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
        campaign.stop_coordinator()
        with pytest.raises(ActorLostError, match="was stopped"):
            campaign.status()
    assert_same(places / "kinase", outcome(tmp_path / "alone"))
