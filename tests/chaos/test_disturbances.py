"""Clocks, full disks, rivals, repeated and late files: the same result, or a clear error with nothing lost."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign import events
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import CorruptFileError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from isd_ray.storage import files, folder
from tests.chaos.laboratory import FEW, assert_same, create, outcome


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
    with pytest.raises(StoreError, match="another process asked at the same time") as error:
        second.ask()
    assert "give `isd ask` again" in error.value.remedy
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
        elif batch.round > 1 and len(ids) > FEW:
            campaign.fail(ids[:2], "no signal")
            ids = ids[2:]
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


NAMED = [
    "rounds/00000/batch.json",
    "rounds/00001/round.json",
    "rounds/00001",
    "rounds/{last}",
    "rounds/{last}/round.json",
    "readouts/{told}.parquet",
    "hybrid/part-00001.parquet",
    "certificate.json",
    "delivered.json",
]


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_gone_is_found_and_named_where_an_event_names_it(name, finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run")
    store = CampaignStore.open(path)
    told = next(event["readouts_sha256"] for event in store.events() if event["kind"] == "tell")
    gone = path / name.format(last=f"{store.rounds()[-1].round:05d}", told=told)
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    problems = verify(CampaignStore.open(path)).problems
    assert any(str(gone) in problem for problem in problems), problems


def test_a_campaign_whose_batch_is_gone_does_not_choose_another_one(path, technician):
    technician.work(Campaign.open(path))
    ids = Campaign.open(path).ask().ids
    file = path / "rounds" / "00001" / "batch.json"
    data = file.read_bytes()
    file.unlink()
    with pytest.raises(CorruptFileError, match=r"00001/batch\.json: is missing, and the log tells of it"):
        Campaign.open(path).ask()
    file.write_bytes(data)
    assert Campaign.open(path).ask().ids == ids


def test_another_certificate_than_that_of_the_log_is_found(finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run")
    file = path / "certificate.json"
    content = json.loads(file.read_bytes())
    del content["certificate_id"]
    content["gamma"] = 0.99
    name = hashlib.sha256(files.canonical_json(content)).hexdigest()[:16]
    file.write_bytes(files.canonical_json({**content, "certificate_id": name}))
    # And the summary does not follow from it.
    problems = verify(CampaignStore.open(path)).problems
    assert any("another certificate than the log tells of" in problem for problem in problems)


def test_a_table_that_no_event_names_is_told_and_no_problem(path, technician, monkeypatch):
    """A command that is cut off between the two leaves one behind."""
    campaign = Campaign.open(path)
    ids = campaign.ask().ids
    assert verify(campaign.store).notes == ()

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CampaignStore, "append_event", killed)
        with pytest.raises(KeyboardInterrupt):
            campaign.tell({ids[0]: technician.truth[ids[0]]})
    tables = sorted((path / "readouts").iterdir())
    found = verify(CampaignStore.open(path))
    assert found.is_sound
    assert [note.partition(": ")[0] for note in found.notes] == [str(table) for table in tables]
    assert all("no event names this table" in note for note in found.notes)


def snapshot(path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


COMMANDS = {
    "status": lambda campaign, ids: campaign.status(),
    "ask": lambda campaign, ids: campaign.ask(),
    "tell": lambda campaign, ids: campaign.tell({ids[0]: "BBB+"}),
    "fail": lambda campaign, ids: campaign.fail(ids[:1], "spilt"),
    "exclude": lambda campaign, ids: campaign.exclude(["C0500"], "out of stock"),
    "include": lambda campaign, ids: campaign.include(["C0500"], "wanted"),
    "close": lambda campaign, ids: campaign.close("the reader broke"),
    "history": lambda campaign, ids: campaign.history(ids[0]),
}


@pytest.fixture(scope="module")
def under_way(laboratory_config, technician, tmp_path_factory):
    """A campaign whose second batch is out."""
    path = tmp_path_factory.mktemp("under_way") / "run"
    create(path, laboratory_config)
    technician.work(Campaign.open(path))
    Campaign.open(path).ask()
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_log_with_a_gap_is_refused_and_stays_as_it_is(command, under_way, tmp_path):
    path = shutil.copytree(under_way, tmp_path / "run")
    ids = Campaign.open(path).batch().ids
    (path / "events" / "000002.json").unlink()
    before = snapshot(path)
    with pytest.raises(StoreError, match=r"events/000002\.json is missing, and later events are there") as error:
        COMMANDS[command](Campaign.open(path), ids)
    assert "restore that file from a backup" in error.value.remedy
    assert snapshot(path) == before


def test_a_gap_in_the_log_is_the_one_problem_that_is_found(finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run")
    (path / "events" / "000000.json").unlink()
    [problem] = verify(CampaignStore.open(path)).problems
    assert "events/000000.json is missing" in problem


def test_an_event_that_comes_while_the_log_is_read_is_no_gap(path, technician, monkeypatch):
    """Of a folder that is listed while others append, the later of two new events may be seen alone."""
    second = Campaign.open(path)
    ids = second.ask().ids
    names = folder.Folder.names

    def meanwhile(*arguments):
        monkeypatch.setattr(folder.Folder, "names", names)
        second.fail(ids[:1], "spilt")
        second.fail(ids[1:2], "spilt")
        found = sorted(names(*arguments))
        return {*found[:-2], found[-1]}

    monkeypatch.setattr(folder.Folder, "names", meanwhile)
    assert Campaign.open(path).status().counts["FAILED"] == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_campaign_whose_goal_was_rewritten_is_refused(command, under_way, tmp_path):
    path = shutil.copytree(under_way, tmp_path / "run")
    ids = Campaign.open(path).batch().ids
    manifest = path / "campaign.json"
    manifest.write_text(manifest.read_text().replace('"gamma": 0.7', '"gamma": 0.6'))
    before = snapshot(path)
    with pytest.raises(StoreError, match=r"campaign\.json is not what the campaign began with"):
        COMMANDS[command](Campaign.open(path), ids)
    assert snapshot(path) == before
    [problem] = verify(CampaignStore.open(path)).problems
    assert "campaign.json is not what the campaign began with" in problem


def test_a_campaign_may_be_computed_elsewhere_and_its_library_may_move(under_way, tmp_path):
    path = shutil.copytree(under_way, tmp_path / "run")
    manifest = json.loads((path / "campaign.json").read_bytes())
    library = shutil.copytree(manifest["library"], tmp_path / "library")
    manifest["library"] = manifest["config"]["library"]["path"] = str(library)
    manifest["config"]["compute"]["scorers"] = 7
    (path / "campaign.json").write_text(json.dumps(manifest))
    assert Campaign.open(path).status().state == "waiting"
    assert verify(CampaignStore.open(path)).problems == ()


def test_a_campaign_that_began_before_its_origin_was_noted_is_opened(path, technician):
    Campaign.open(path).ask()
    file = path / "events" / "000000.json"
    event = json.loads(file.read_bytes())
    del event["origin_sha256"]
    for other in (path / "events").iterdir():
        other.unlink()
    file.write_bytes(files.canonical_json(event))
    technician.work(Campaign.open(path))
    assert verify(CampaignStore.open(path)).problems == ()


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
    assert found.notes == ()
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
