"""Clocks, full disks, rivals, repeated and late files: the same result, or a clear error with nothing lost."""

from __future__ import annotations

import errno
import shutil
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign import events, files
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import CorruptFileError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.chaos.laboratory import assert_same, create, outcome


@pytest.fixture
def path(laboratory_config, tmp_path):
    create(tmp_path / "run", laboratory_config)
    return tmp_path / "run"


@pytest.fixture(scope="module")
def finished(laboratory_config, technician, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run"
    create(path, laboratory_config)
    technician.finish(path)
    return path


def test_a_clock_that_goes_backwards_changes_nothing(path, technician, undisturbed, monkeypatch):
    class Backwards(datetime):
        """Each look at it shows an hour less than the one before."""

        shown = datetime(2030, 1, 1, tzinfo=timezone.utc)

        @classmethod
        def now(cls, tz=None):
            cls.shown -= timedelta(hours=1)
            return cls.shown

    monkeypatch.setattr(events, "datetime", Backwards)
    technician.finish(path)
    times = [event["time"] for event in CampaignStore.open(path).events()]
    assert times == sorted(times, reverse=True)
    assert_same(path, undisturbed)


@pytest.mark.parametrize("target", ["put_if_absent", "write_table"])
def test_a_full_disk_is_an_error_that_says_so_and_loses_nothing(target, path, technician, undisturbed, monkeypatch):
    technician.work(Campaign.open(path))
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_, **__):
        raise full

    with monkeypatch.context() as patch:
        if target == "put_if_absent":
            patch.setattr(files.os, "fsync", refuse)
        else:
            patch.setattr(pq, "write_table", refuse)
        with pytest.raises(StoreError, match="No space left"):
            technician.work(Campaign.open(path))
    technician.finish(path)
    assert_same(path, undisturbed)


def test_of_two_coordinators_one_releases_and_the_other_stops(path, technician, undisturbed, monkeypatch):
    first, second = Campaign.open(path), Campaign.open(path)
    release = CampaignStore.release

    def after_the_rival(store, *arguments):
        monkeypatch.setattr(CampaignStore, "release", release)
        first.ask()
        return release(store, *arguments)

    monkeypatch.setattr(CampaignStore, "release", after_the_rival)
    with pytest.raises(StoreError, match="another coordinator"):
        second.ask()
    assert second.ask().ids == first.batch().ids
    technician.finish(path)
    assert_same(path, undisturbed)


def test_two_people_who_tell_at_the_same_time_are_both_heard(path, technician, monkeypatch):
    campaign, rival = Campaign.open(path), Campaign.open(path)
    ids = campaign.ask().ids
    append = CampaignStore.append_event

    def after_the_rival(store, kind, details, **options):
        monkeypatch.setattr(CampaignStore, "append_event", append)
        assert rival.tell({name: technician.truth[name] for name in ids[20:40]}).n_new == 20
        return append(store, kind, details, **options)

    monkeypatch.setattr(CampaignStore, "append_event", after_the_rival)
    told = campaign.tell({name: technician.truth[name] for name in ids[:30]})
    assert (told.n_new, told.n_unchanged, told.n_missing) == (20, 10, 20)
    rows = [
        row
        for event in campaign.store.events()
        if event["kind"] == "tell"
        for row in campaign.store.read_readouts(event["readouts_sha256"])["row"].to_pylist()
    ]
    assert len(rows) == len(set(rows)) == 40


def test_readouts_twice_out_of_order_and_late_end_in_the_same_screen(path, technician, undisturbed, tmp_path):
    """A batch in files that overlap, come in any order, and come again when the next batch is out."""
    late = []
    while (batch := Campaign.open(path).ask()) is not None:
        campaign, ids = Campaign.open(path), sorted(batch.ids)
        if batch.round == 1:
            campaign.fail(ids[:2], "no signal")
            campaign.exclude([ids[2]], "precipitates")
            campaign.exclude(["C0007", "C0008", "C0009"], "out of stock")
            campaign.include(["C0011", "C0012"], "a chemist wants them")
            ids = ids[3:]
        files = [tmp_path / f"{batch.round}-{part}.csv" for part in range(3)]
        for part, file in enumerate(files):
            lines = [
                f"{name},{technician.truth[name]}\n" for name in ids[part * len(ids) // 4 : (part + 2) * len(ids) // 4]
            ]
            file.write_text("name,bbb\n" + "".join(lines))
        for file in (files[2], *late, files[0], files[2], files[1], files[0]):
            campaign.tell(file)
        late = files
    assert_same(path, undisturbed)


def test_a_readout_that_comes_after_its_round_was_closed_trains_the_next_models(path, technician):
    campaign = Campaign.open(path)
    ids = campaign.ask().ids
    campaign.tell({name: technician.truth[name] for name in ids[5:]})
    assert campaign.close("five plates are lost") == 5
    second = campaign.ask()
    told = campaign.tell({name: technician.truth[name] for name in ids[:5]})
    assert told.n_new + told.n_unchanged == 5
    campaign.tell({name: technician.truth[name] for name in second.ids})
    third = campaign.ask()
    assert not set(ids) & set(third.ids)
    assert campaign.status().counts["OBSERVED"] == 120
    records = [files.committed for files in campaign.store.rounds()]
    assert [record["n_lost"] for record in records[:2]] == [5, 0]


FILES = [
    "events/000003.json",
    "rounds/00001/attempt-*/batch.parquet",
    "rounds/00001/attempt-*/features.arrow",
    "rounds/00001/attempt-*/committee/member-000.safetensors",
    "rounds/0000?/attempt-*/predictions/part-00000.parquet",
    "rounds/00001/round.json",
    "readouts/*.parquet",
    "hybrid/part-00001.parquet",
    "certificate.json",
]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_found_and_named(name, damage, finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run")
    file = sorted(path.glob(name))[-1]
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        del data[len(data) // 2 :]
    else:
        digits = [place for place, byte in enumerate(data) if chr(byte) in "012345678"]
        place = digits[len(digits) // 2]
        data[place] += 1
    file.write_bytes(bytes(data))
    found = verify(CampaignStore.open(path))
    assert not found.is_sound
    assert any(file.name in problem or str(file.parent) in problem for problem in found.problems), found.problems


def test_a_campaign_with_a_damaged_batch_refuses_to_go_on(path, technician):
    technician.work(Campaign.open(path))
    file = next(path.glob("rounds/00000/attempt-*/batch.parquet"))
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(CorruptFileError, match=r"batch\.parquet"):
        Campaign.open(path).ask()


def test_damaged_features_of_readouts_from_outside_the_plan_are_found(path, technician):
    campaign = Campaign.open(path)
    ids = campaign.ask().ids
    outside = [name for name in sorted(technician.truth) if name not in ids][:50]
    campaign.tell({name: technician.truth[name] for name in ids})
    campaign.tell({name: technician.truth[name] for name in outside}, external=True)
    campaign.ask()
    file = next(path.glob("rounds/00001/attempt-*/external.arrow"))
    assert verify(CampaignStore.open(path)).problems == ()
    file.write_bytes(file.read_bytes()[:-9])
    assert any("external.arrow" in problem for problem in verify(CampaignStore.open(path)).problems)
    campaign.close("the reader broke")
    with pytest.raises(CorruptFileError, match=r"external\.arrow"):
        campaign.ask()


def test_a_missing_round_and_an_altered_hybrid_screen_are_found(finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run")
    file = path / "hybrid" / "part-00000.parquet"
    table = pq.read_table(file)
    labels = table["label"].to_pylist()
    wrong = [
        ("BBB-" if label == "BBB+" else "BBB+") if place in (3, 4) else label for place, label in enumerate(labels)
    ]
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", [wrong]), file)
    problems = verify(CampaignStore.open(path)).problems
    assert any("part-00000.parquet" in problem for problem in problems), problems


def test_a_finished_campaign_is_sound(finished, undisturbed):
    found = verify(CampaignStore.open(finished))
    assert found.problems == ()
    assert found.n_rows == 900
    assert found.n_files > 30
    hybrid = outcome(finished)["hybrid"]
    sources = np.array(hybrid["source"].to_pylist())
    assert [int((sources == name).sum()) for name in ("excluded", "abandoned")] == [2, 1]


def test_nothing_can_be_told_of_what_was_never_asked_for(path, technician):
    campaign = Campaign.open(path)
    campaign.ask()
    outside = [name for name in sorted(technician.truth) if name not in campaign.batch().ids][:3]
    with pytest.raises(LabelError, match="never asked for"):
        campaign.tell({name: technician.truth[name] for name in outside})
    assert campaign.tell({name: technician.truth[name] for name in outside}, external=True).n_new == 3
    assert campaign.status().counts["EXTERNAL"] == 3
