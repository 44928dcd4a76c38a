"""A coordinator that stays on the cluster serves a campaign's verbs, warm, with the answers of cold ones.

Invariants: warm or cold, killed between two asks or in one, the batches, decisions and hybrid screen are the same; who
serves the same folder reaches the same coordinator; stopped, it leaves no process behind.
"""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import ray
from nbclient import NotebookClient

from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import ActorLostError, InputFileError, LabelError, ResourceError, StoreError
from isd_ray.ops import calls
from isd_ray.ops.campaign import Campaign
from isd_ray.remote import over_ray
from isd_ray.remote.attach import attach, coordinated
from isd_ray.remote.attached import AttachedCampaign
from tests.chaos.laboratory import CONFIG, Technician, assert_same, create, outcome

WAIT_S = 300.0
WORKERS = ("Trainer", "Scorer", "BoundActor")
NOTEBOOK = """
import isd_ray as isd
campaign = isd.attach({folder!r}, {address!r})
campaign.ask()
"""


def processes(*actors: str) -> dict[int, psutil.Process]:
    """Those of this Ray that run one of these classes, by pid."""
    titles = tuple(f"ray::{actor}" for actor in actors)
    every = psutil.Process().children(recursive=True)
    return {process.pid: process for process in every if any(part.startswith(titles) for part in command(process))}


def started(actor: str, before: Iterable[int]) -> list[psutil.Process]:
    return [process for pid, process in processes(actor).items() if pid not in before]


def kill(actor: str, before: Iterable[int]) -> None:
    [process] = started(actor, before)
    process.kill()


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def wait_until(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


class Heard(Watcher):
    """Rounds and states of the steps that were told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []

    def step(self, name, progress):
        self.steps.append((progress.round, progress.state))


def steps_of(config, technician, path: Path) -> list[tuple[int, str]]:
    """Those of a campaign in this process."""
    heard = Heard()
    create(path, config)
    while technician.work(Campaign.open(path, heard)):
        pass
    return heard.steps


@pytest.fixture(scope="module")
def technician(compounds) -> Technician:
    table = pyarrow.csv.read_csv(compounds)
    return Technician(dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True)))


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(**CONFIG)


@pytest.fixture(scope="module")
def cold(config, technician, tmp_path_factory) -> Path:
    """A campaign that was worked through in this process."""
    path = tmp_path_factory.mktemp("cold") / "run"
    create(path, config)
    technician.finish(path)
    return path


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory) -> Path:
    """A campaign with a batch out."""
    path = tmp_path_factory.mktemp("folder") / "run"
    create(path, config)
    Campaign.open(path).ask()
    return path


@pytest.fixture(scope="module")
def asked_elsewhere(folder, ray_cluster) -> tuple[dict, list[int]]:
    """What a command in another process was told, and the process of the coordinator that it started."""
    arguments = ["ask", str(folder), "--json", "--address", ray.get_runtime_context().gcs_address]
    command = [sys.executable, "-c", "from isd_ray.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), list(processes("Coordinator"))


@pytest.fixture(scope="module")
def campaign(folder, asked_elsewhere):
    """The same coordinator's."""
    campaign = attach(folder)
    yield campaign
    campaign.stop_coordinator()


def test_a_warm_campaign_is_that_of_cold_asks(config, cold, technician, ray_cluster, tmp_path):
    create(tmp_path / "warm", config)
    heard = Heard()
    before, campaign = processes(*WORKERS).keys(), attach(tmp_path / "warm", watcher=heard)
    workers = []
    while technician.work(campaign):
        workers.append(processes(*WORKERS).keys() - before)
    assert len(workers) > 2
    assert len(workers[0]) == len(WORKERS)
    assert all(found == workers[0] for found in workers)
    assert_same(tmp_path / "warm", outcome(cold))
    assert campaign.has_ended
    assert heard.steps == steps_of(config, technician, tmp_path / "heard")
    assert campaign.summary() == Campaign.open(tmp_path / "warm").summary()
    campaign.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == (tmp_path / "warm" / "report.html").read_bytes()
    assert campaign.export(tmp_path / "here.parquet") == Campaign.open(cold).export(tmp_path / "there.parquet")
    assert pq.read_table(tmp_path / "here.parquet").equals(pq.read_table(tmp_path / "there.parquet"))
    wait_until(lambda: not processes(*WORKERS).keys() - before)
    campaign.stop_coordinator()


def test_killed_between_and_during_asks_it_goes_on_with_the_same_result(
    config, cold, technician, ray_cluster, tmp_path
):
    create(tmp_path / "warm", config)
    technician.work(Campaign.open(tmp_path / "warm"))
    before, heard = processes(*WORKERS, "Coordinator").keys(), Heard()
    campaign = attach(tmp_path / "warm", watcher=heard)
    assert (campaign.status().state, campaign.was_restarted) == ("ready", False)
    kill("Coordinator", before)
    assert technician.work(campaign)
    assert campaign.was_restarted

    [scorer] = started("Scorer", before)
    scorer.suspend()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(campaign.ask)
        wait_until(lambda: list((tmp_path / "warm").glob("rounds/00002/attempt-*/committee/*")))
        wait_until(lambda: (2, "score") in heard.steps)  # while the scorer stands still
        assert campaign.status().state == "ready"
        assert not asked.done()
        kill("Coordinator", before)
        assert asked.result(WAIT_S).round == 2
        assert heard.steps[-1] == (2, "measure")
        assert len(heard.steps) < 20  # none is told again and again
    while technician.work(campaign):
        pass
    assert_same(tmp_path / "warm", outcome(cold))

    campaign.stop_coordinator()
    wait_until(lambda: not processes(*WORKERS, "Coordinator").keys() - before)
    with pytest.raises(ActorLostError, match="was stopped"):
        campaign.status()


def test_it_outlives_the_process_that_started_it_and_is_reached_from_others(folder, asked_elsewhere, campaign):
    told, coordinator = asked_elsewhere
    assert campaign.batch().ids == told["ids"]
    assert campaign._transport._actor.glance("a_method_of_later_versions") is None
    assert list(processes("Coordinator")) == coordinator
    assert str(folder) in coordinated()


def test_a_notebook_shows_the_steps_below_the_cell(config, technician, ray_cluster, tmp_path):
    create(tmp_path / "run", config)
    address = ray.get_runtime_context().gcs_address
    cell = nbformat.v4.new_code_cell(NOTEBOOK.format(folder=str(tmp_path / "run"), address=address).strip())
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=WAIT_S, kernel_name="python3").execute()
    attach(tmp_path / "run").stop_coordinator()
    shown = [output for output in cell.outputs if output.output_type == "display_data"]
    assert len(shown) == 1
    assert "waiting for readouts" in shown[0]["data"]["text/html"]
    assert "Batch of round 0" in cell.outputs[-1]["data"]["text/html"]


def test_what_is_told_is_the_callers_and_twice_changes_nothing(folder, campaign, technician, tmp_path, monkeypatch):
    ids = campaign.ask().ids
    file = tmp_path / "readouts.csv"
    file.write_text("name,bbb\n" + "".join(f"{name},{technician.truth[name]}\n" for name in ids[:10]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ada")
    shown = campaign.preview("readouts.csv")
    first, second = campaign.tell("readouts.csv"), campaign.tell("readouts.csv")
    assert shown == first
    assert (first.n_new, first.n_missing, second.n_new, second.n_unchanged) == (10, len(ids) - 10, 0, 10)
    assert campaign.tell({ids[10]: technician.truth[ids[10]]}).n_new == 1
    [told, _] = [event for event in Campaign.open(folder).store.events() if event["kind"] == "tell"]
    assert (told["file"], told["who"]) == ("readouts.csv", "ada")
    with pytest.raises(LabelError, match="are not in the library"):
        campaign.fail(["nobody"], "no signal")
    monkeypatch.setattr(calls, "MAX_SENT_BYTES", 100)
    with pytest.raises(InputFileError, match="more than the 100 that are sent"):
        campaign.tell(file)


def test_other_versions_and_campaigns_are_refused(campaign, config, make_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(over_ray, "version", lambda name: "9.9")
        with pytest.raises(ResourceError, match=r"runs isd_ray .*, this process 9\.9"):
            attach(campaign.path)
    with pytest.raises(StoreError, match="there is no campaign here"):
        attach(tmp_path / "nothing")
    assert str(tmp_path / "nothing") not in coordinated()
    path = tmp_path / "run"
    create(path, config)
    replaced = attach(path)
    shutil.rmtree(path)
    create(path, make_config(**CONFIG, name="other"))
    with pytest.raises(StoreError, match=r"campaign other-\w+ lies here, not small-"):
        replaced.ask()
    assert attach(path).status().campaign_id.startswith("other-")
    replaced.stop_coordinator()


def test_a_cluster_must_be_named(monkeypatch, folder):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ResourceError, match="no cluster is named"):
        attach(folder)


def test_it_has_the_verbs_of_a_campaign():
    made_elsewhere = {"create", "open", "library"}
    for name, member in vars(Campaign).items():
        if name.startswith("_") or name in made_elsewhere:
            continue
        assert name == "path" or name == "config" or hasattr(AttachedCampaign, name), name
        if inspect.isfunction(member):
            assert inspect.signature(member) == inspect.signature(getattr(AttachedCampaign, name)), name
