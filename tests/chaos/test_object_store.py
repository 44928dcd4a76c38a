"""A campaign on an object store: commands from machines that have no copy of it, and the same result as in a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer

from isd_ray.campaign.store import CampaignStore
from isd_ray.config import AcquisitionConfig, LibraryConfig
from isd_ray.config_file import to_toml
from isd_ray.data.library import Library
from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.ops.build import build_library
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.compare import compare
from isd_ray.ops.results import report_of
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.storage.client import create_object, read_object
from isd_ray.storage.copies import local_path
from tests.chaos.crashes import Disk, Killed
from tests.chaos.laboratory import assert_same, create, ledger, outcome

BUCKET = "screens"


@pytest.fixture(scope="module")
def server():
    """An S3 server of this process's own."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path) -> str:
    """The URI of an empty bucket; nothing of it is on this machine."""
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "ISD_CACHE": str(tmp_path / "machine"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.resource("s3", endpoint_url=server)
    bucket = s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield f"s3://{BUCKET}"
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def new_machine(monkeypatch, tmp_path) -> Callable[[], None]:
    """Go on from a machine that has no copy of anything."""
    machines = iter(range(10**6))

    def move() -> None:
        monkeypatch.setenv("ISD_CACHE", str(tmp_path / f"machine-{next(machines)}"))

    return move


def test_the_server_rejects_a_second_create(bucket):
    assert create_object(f"{bucket}/a.json", b"first")
    assert not create_object(f"{bucket}/a.json", b"second")
    assert bytes(obstore.get(obstore.store.from_url(bucket), "a.json").bytes()) == b"first"


def test_every_command_from_another_machine_gives_the_undisturbed_result(
    bucket, new_machine, laboratory_config, technician, tmp_path
):
    """Killed at each of its puts in turn, and repeated elsewhere, until it comes through."""
    # Large batches: fewer rounds with as many kinds of command.
    config = laboratory_config.model_copy(update={"acquisition": AcquisitionConfig(batch_size=150)})
    create(tmp_path / "undisturbed", config)
    technician.finish(tmp_path / "undisturbed")
    address, n_killed = f"{bucket}/kinase", 0

    def give(command: Callable[[Campaign], object]) -> object:
        nonlocal n_killed
        for point in range(1000):
            new_machine()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(obstore, "put", Disk(point).around(obstore.put))
                try:
                    return command(Campaign.open(address))
                except Killed:
                    n_killed += 1
        raise AssertionError("it never came through")

    Campaign.create(address, config)
    while (batch := give(Campaign.ask)) is not None:
        for step in technician.steps(batch.round, sorted(batch.ids)):
            give(step)
    new_machine()
    assert_same(address, outcome(tmp_path / "undisturbed"))
    assert n_killed > 50
    new_machine()
    assert Campaign.open(address).export(Path(local_path(address).parent) / "hybrid.csv").n_lines == 900


def test_two_coordinators_on_two_machines_do_not_both_decide(bucket, new_machine):
    first = CampaignStore.create(f"{bucket}/x", {"campaign_id": "x"})
    new_machine()
    second = CampaignStore.open(f"{bucket}/x")
    first.commit(0, {"round": 0, "decision": "continue"})
    with pytest.raises(StoreError, match="another process asked at the same time"):
        second.commit(0, {"round": 0, "decision": "stop"})
    assert [event["kind"] for event in second.events()] == ["decision"]


def test_a_create_whose_answer_was_lost_has_succeeded(bucket, monkeypatch):
    put = obstore.put

    def put_twice(*arguments, **options):
        put(*arguments, **options)
        return put(*arguments, **options)

    store = CampaignStore.create(f"{bucket}/x", {"campaign_id": "x"})
    monkeypatch.setattr(obstore, "put", put_twice)
    assert store.append_event("tell", {"n": 1})
    store.commit(0, {"round": 0, "decision": "continue"})
    assert [event["kind"] for event in store.events()] == ["tell", "decision"]


def test_a_store_that_overwrites_is_refused(bucket, monkeypatch):
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *arguments, mode="overwrite": put(*arguments))
    with pytest.raises(StoreError, match="overwrites what exists"):
        CampaignStore.create(f"{bucket}/x", {"campaign_id": "x"})


def test_copies_of_a_campaign_that_was_removed_are_not_read(bucket):
    old = CampaignStore.create(f"{bucket}/x", {"campaign_id": "old"})
    old.append_event("tell", {"n": 1})
    store = obstore.store.from_url(f"{bucket}/x")
    obstore.delete(store, [meta["path"] for page in obstore.list(store) for meta in page])
    assert not CampaignStore.exists(f"{bucket}/x")
    assert CampaignStore.create(f"{bucket}/x", {"campaign_id": "new"}).events() == []


def test_a_screen_on_ray_lies_in_the_bucket(bucket, new_machine, make_config, tmp_path):
    """Its library too; a second machine reads the same result and finds nothing wrong."""
    changes = {
        "library": {"path": None},
        "model": {"hidden_size": 16, "epochs": 3, "members": 2},
        "stopping": {"rule": "certify", "gamma": 0.7},
    }
    here = simulate(make_config(**changes), tmp_path / "here")
    compute = {"backend": "ray", "scorers": 2, "trainers": 2}
    config = tmp_path / "small.toml"
    config.write_text(to_toml(make_config(**changes, compute=compute)))
    command = [
        sys.executable,
        "-c",
        "from isd_ray.cli import main; main()",
        "simulate",
        str(config),
        "--out",
        f"{bucket}/screen",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    new_machine()
    assert outcome(f"{bucket}/screen")["hybrid"].equals(outcome(here.path)["hybrid"])
    store = CampaignStore.open(f"{bucket}/screen")
    assert verify(store).problems == ()
    assert report_of(store) == store.latest("report.html").read_text(encoding="utf-8")
    again = simulate(make_config(**changes, compute=compute), f"{bucket}/screen")
    assert again.summary["n_acquired"] == here.summary["n_acquired"]
    assert again.hybrid.equals(here.hybrid)


def test_sources_and_libraries_are_found_as_campaigns_are(bucket, new_machine):
    """By the same addresses, with the same settings, however a slash was lost or added on the way."""
    obstore.put(obstore.store.from_url(bucket), "x.csv", b"smiles\nCCO\nCCN\n")
    config = LibraryConfig.model_validate({"source": f"{bucket}/x.csv", "features": "light", "workers": 1})
    built = build_library(config, Path(f"{bucket}/lib"))
    assert built.address == f"{bucket}/lib"
    new_machine()
    for place in (f"{bucket}/lib", f"{bucket}/lib/", Path(f"{bucket}/lib")):
        assert Library.exists(place)
        assert Library.open(place).smiles().tolist() == ["CCO", "CCN"]


def test_an_altered_event_is_found(bucket, new_machine):
    store = CampaignStore.create(f"{bucket}/x", {"campaign_id": "x"})
    store.append_event("tell", {"n": 1})
    store.append_event("tell", {"n": 2})
    obstore.put(obstore.store.from_url(f"{bucket}/x/events"), "000000.json", b"{}")
    new_machine()
    with pytest.raises(CorruptFileError, match="does not follow from the one before"):
        CampaignStore.open(f"{bucket}/x").events()


def test_an_event_that_is_missing_before_others_is_found(bucket, new_machine):
    store = CampaignStore.create(f"{bucket}/x", {"campaign_id": "x"})
    for n in range(3):
        store.append_event("tell", {"n": n})
    obstore.delete(obstore.store.from_url(f"{bucket}/x/events"), "000001.json")
    new_machine()
    with pytest.raises(StoreError, match=r"events/000001\.json is missing"):
        CampaignStore.open(f"{bucket}/x").append_event("tell", {"n": 3})


@pytest.mark.parametrize("address", ["memory:///x", "http://host/x", "s3://bucket/x?region=eu", "s3://bucket/../x"])
def test_an_address_that_cannot_hold_a_campaign_is_refused(address):
    with pytest.raises(StoreError, match="do not live at such an address"):
        CampaignStore.create(address, {})


def test_a_store_that_cannot_be_reached_is_an_error_that_says_so(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="the object store gives an error"):
        CampaignStore.create("s3://unreachable/x", {})


def test_a_path_keeps_both_slashes_of_a_uri(bucket):
    CampaignStore.create(f"{bucket}/x", {"campaign_id": "x"})
    assert CampaignStore.open(Path(f"{bucket}/x")).manifest["campaign_id"] == "x"


def test_ledger_on_another_machine(bucket, new_machine, laboratory_config, technician):
    config = laboratory_config.model_copy(update={"acquisition": AcquisitionConfig(batch_size=60)})
    campaign = Campaign.create(f"{bucket}/y", config)
    batch = campaign.ask()
    campaign.tell({name: technician.truth[name] for name in batch.ids[:10]})
    said = ledger(f"{bucket}/y")
    new_machine()
    assert ledger(f"{bucket}/y") == said
    assert len(said["told"]) == 10


def test_a_comparison_on_an_object_store_is_that_of_a_folder(bucket, new_machine, make_config, tmp_path):
    small = {"model": {"hidden_size": 8, "epochs": 2, "members": 1}, "stopping": {"rule": "none", "max_rounds": 2}}
    config, agents = make_config(**small), ("active", "random")
    near = compare(config, tmp_path / "near", agents)
    far = compare(config, f"{bucket}/far", agents)
    assert far.summary == near.summary
    new_machine()
    assert compare(config, f"{bucket}/far", agents).summary == near.summary  # read, not run again
    for name in ("summary.json", "report.html", "comparison.parquet"):
        assert read_object(f"{bucket}/far/{name}"), name
