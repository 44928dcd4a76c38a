"""Taking back what was told by mistake: the log keeps it, the ledger leaves it out, and decisions stand."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.laboratory import Laboratory
from isd_ray.errors import LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.unit.test_laboratory import HITS, LABORATORY, PLATES, isd, signals, truth, write

__all__ = ["truth"]

PANEL = {
    **LABORATORY,
    "task": "panel",
    "labels": {"column": None, "columns": ["has_01", "has_02"]},
    "readouts": {"id": "name"},
    "stopping": {"rule": "certify", "gamma": 0.6},
}


@pytest.fixture
def campaign(make_config, tmp_path) -> Campaign:
    return Campaign.create(tmp_path / "run", make_config(**LABORATORY))


def other(label: str) -> str:
    return "BBB-" if label == "BBB+" else "BBB+"


def last(campaign: Campaign) -> int:
    return int(campaign.store.events()[-1]["sequence"])


def finished(campaign: Campaign, truth) -> list[dict]:
    """The hybrid screen in the end."""
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    lines = pq.read_table(campaign.path / "hybrid").to_pylist()
    return [{name: line[name] for name in ("id", "source", "label", "round", "role", "confidence")} for line in lines]


def test_readouts_that_were_told_by_mistake_are_taken_back_and_told_right(make_config, truth, tmp_path):
    """The screen ends as if the mistake had not been made."""
    screens = []
    for name, is_clumsy in (("clumsy", True), ("right", False)):
        made = Campaign.create(tmp_path / name, make_config(**LABORATORY, seed=3))
        ids = made.ask().ids
        if is_clumsy:
            made.tell({name: other(truth[name]) for name in ids})
            assert made.status().n_missing == 0
            assert made.undo(last(made), "the plates were swapped") == 60
            assert made.status().n_missing == 60
            assert made.status().counts["OBSERVED"] == 0
        told = made.tell({name: truth[name] for name in ids})
        assert (told.n_new, told.refused) == (60, ())
        screens.append(made)
    clumsy, right = screens
    assert finished(clumsy, truth) == finished(right, truth)
    found = verify(clumsy.store)
    assert (found.problems, found.notes) == ((), ()), "later decisions change nothing of what is taken back"


def test_the_log_keeps_what_was_taken_back_and_says_who_and_why(campaign, truth):
    first, second = campaign.ask().ids[:2]
    campaign.tell({first: truth[first], second: truth[second]})
    number = last(campaign)
    before = (campaign.path / "events" / f"{number:06d}.json").read_bytes()
    campaign.undo(number, "another lot")
    event = campaign.store.events()[-1]
    assert (event["kind"], event["undone"], event["n"], event["reason"]) == ("undo", [number], 2, "another lot")
    assert (campaign.path / "events" / f"{number:06d}.json").read_bytes() == before
    told, undo = campaign.history(first)[-2:]
    assert (told["kind"], told["label"], told["undone_by"]) == ("tell", truth[first], event["sequence"])
    assert (undo["kind"], undo["undone"], undo["reason"]) == ("undo", [number], "another lot")


def test_a_file_goes_with_the_failures_that_it_brought_and_twice_changes_nothing(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    file = write(tmp_path / "day.csv", ("name", "bbb", "flag"), [(ids[0], truth[ids[0]], ""), (ids[1], "", "clogged")])
    told = campaign.tell(file)
    assert (told.n_new, told.n_lost) == (1, 1)
    entry = campaign.undoable()[0]
    assert entry.about == "day.csv"
    assert len(entry.with_it) == 1
    assert campaign.undo(entry.number, "a test run") == 2
    assert campaign.status().n_missing == 60
    assert campaign.undo(entry.number, "a test run") == campaign.undo(entry.with_it[0], "again") == 0
    assert campaign.undoable() == ()
    assert campaign.tell(file).n_new == 1


def test_failures_exclusions_and_wishes_are_taken_back_and_others_stay(campaign, truth):
    ids = campaign.ask().ids
    outside = [name for name in sorted(truth) if name not in ids]
    campaign.fail(ids[:2], "no signal")
    failed = last(campaign)
    campaign.exclude(outside[:3], "out of stock")
    excluded = last(campaign)
    campaign.include(outside[3:4], "a chemist")
    wanted = last(campaign)
    campaign.fail(ids[2:3], "spilt")
    assert [entry.kind for entry in campaign.undoable()] == ["fail", "include", "exclude", "fail"]
    campaign.undo(failed, "it was another plate")
    campaign.undo(excluded, "found some")
    campaign.undo(wanted, "no need")
    ledger = Laboratory(campaign.store).ledger()
    assert (len(ledger.excluded), len(ledger.wanted)) == (0, 0)
    batch = np.sort(campaign.store.rounds()[-1].read_batch()["row"].to_numpy())
    why = ledger.why_lost(batch, np.zeros(len(batch), np.int64), np.zeros(len(batch), np.int64))
    assert [*why.values()] == ["spilt"]
    assert campaign.status().n_missing == 59


def test_what_a_decision_has_used_stays(campaign, truth):
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids})
    number = last(campaign)
    campaign.ask()
    assert campaign.undoable() == ()
    with pytest.raises(StoreError, match=rf"entry {number} has been used by a decision") as caught:
        campaign.undo(number, "too late")
    assert "isd amend" in caught.value.remedy
    assert campaign.store.events()[-1]["kind"] == "release"


def test_of_a_file_that_was_told_twice_only_what_is_not_used_is_taken_back(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    elsewhere = next(name for name in sorted(truth) if name not in ids)
    file = write(tmp_path / "day.csv", ("name", "bbb"), [(name, truth[name]) for name in (*ids, elsewhere)])
    assert campaign.tell(file).n_new == 60
    campaign.ask()
    assert campaign.tell(file, external=True).n_new == 1
    [entry] = campaign.undoable()
    assert (entry.number, entry.with_it) == (last(campaign), ())
    assert campaign.undo(entry.number, "another assay") == 1
    assert campaign.status().counts["OBSERVED"] == 60
    assert campaign.status().counts["EXTERNAL"] == 0


def test_the_rounds_are_read_as_often_however_much_may_be_taken_back(campaign, truth, monkeypatch):
    ids, reads, rounds = campaign.ask().ids, [], type(campaign.store).rounds

    def counting(store):
        reads.append(store)
        return rounds(store)

    monkeypatch.setattr(type(campaign.store), "rounds", counting)
    n_reads = []
    for n, name in enumerate(ids[:3], 1):
        campaign.tell({name: truth[name]})
        reads.clear()
        assert len(campaign.undoable()) == n
        n_reads.append(len(reads))
    assert len(set(n_reads)) == 1


def test_a_stopped_screen_takes_nothing_back(campaign, truth):
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids[:30]})
    number = last(campaign)
    campaign.stop("the project ends")
    with pytest.raises(StoreError, match="the end of the screen is decided"):
        campaign.undo(number, "no")


@pytest.mark.parametrize(
    ("number", "reason", "error", "words"),
    [
        (999, "why", StoreError, "the log has no entry 999"),
        (-1, "why", StoreError, "the log has no entry -1"),
        (0, "why", StoreError, "is no readout, failure, exclusion or wish of a person"),
        (0, " ", LabelError, "needs a reason"),
    ],
)
def test_what_cannot_be_meant_is_refused(number, reason, error, words, campaign):
    campaign.ask()
    n_events = len(campaign.store.events())
    with pytest.raises(error, match=words):
        campaign.undo(number, reason)
    assert len(campaign.store.events()) == n_events


def test_an_undo_beside_a_decision_has_no_effect_and_everybody_sees_that(campaign, truth, monkeypatch):
    """It was written while the decision was computed, which had used the readouts."""
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids})
    number, elsewhere = last(campaign), Campaign.open(campaign.path)
    commit = type(campaign.store).commit

    def late(store, round_number, record):
        assert elsewhere.undo(number, "in this moment") == 60
        assert elsewhere.status().n_missing == 60
        commit(store, round_number, record)

    monkeypatch.setattr(type(campaign.store), "commit", late)
    batch = campaign.ask()
    monkeypatch.undo()
    assert batch.round == 1
    for seen in (elsewhere, Campaign.open(campaign.path)):
        assert seen.status().counts["OBSERVED"] == 60
    assert campaign.tell({ids[0]: truth[ids[0]]}).n_unchanged == 1
    found = verify(campaign.store)
    assert found.problems == ()
    assert ["has no effect" in note for note in found.notes] == [True]


@pytest.mark.parametrize("at_the_end", [False, True])
def test_what_is_told_and_taken_back_beside_a_decision_is_gone_but_for_the_last(
    at_the_end, campaign, truth, monkeypatch
):
    """What is told after the end was decided is delivered at once."""
    elsewhere, commit = Campaign.open(campaign.path), type(campaign.store).commit

    def late(store, round_number, record):
        if at_the_end == (record["decision"] == "stop"):
            monkeypatch.undo()
            name = next(name for name in sorted(truth) if not elsewhere.history(name))
            elsewhere.tell({name: truth[name]}, external=True)
            assert elsewhere.undo(last(elsewhere), "in this moment") == 1
        commit(store, round_number, record)

    monkeypatch.setattr(type(campaign.store), "commit", late)
    while (batch := campaign.ask()) is not None and (at_the_end or batch.round == 0):
        campaign.tell({name: truth[name] for name in batch.ids})
    assert campaign.status().counts["EXTERNAL"] == at_the_end
    found = verify(campaign.store)
    assert (found.problems, len(found.notes)) == ((), int(at_the_end))


@pytest.mark.parametrize("is_hit", [False, True])
def test_what_is_told_in_the_place_of_what_a_decision_uses_in_this_moment_mixes_with_nothing(
    is_hit, make_config, tmp_path, monkeypatch
):
    """Of a panel too each entry is the first that was told: the one that the decision has used."""
    made = Campaign.create(tmp_path / "run", make_config(**PANEL))
    ids = made.ask().ids
    made.tell({name: {"has_01": int(is_hit), "has_02": place % 2} for place, name in enumerate(ids)})
    number, elsewhere, commit = last(made), Campaign.open(made.path), type(made.store).commit

    def late(store, round_number, record):
        monkeypatch.undo()
        elsewhere.undo(number, "in this moment")
        elsewhere.tell({name: {"has_01": int(not is_hit), "has_02": place % 2} for place, name in enumerate(ids)})
        commit(store, round_number, record)

    monkeypatch.setattr(type(made.store), "commit", late)
    assert made.ask().round == 1
    used = made.store.read_readouts(made.store.rounds()[0].committed["readouts_sha256"])
    found = Laboratory(made.store).ledger().take(used["row"].to_numpy())
    assert found.select(["row", "labels", "measured"]).equals(used.select(["row", "labels", "measured"]))


def test_an_undo_that_somebody_has_forged_is_found(campaign, truth):
    ids = campaign.ask().ids
    campaign.tell({ids[0]: truth[ids[0]]})
    campaign.store.append_event("undo", {"undone": [0], "n": 1, "reason": "x", "round": 0})
    assert any("are not all earlier readouts or words of people" in words for words in verify(campaign.store).problems)


def test_where_wells_count_together_the_last_file_is_taken_back_first(make_config, truth, tmp_path):
    """Two wells of each compound, read one plate after the other."""
    plates = {**PLATES, "replicates": 2}
    made = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, "plates": plates}))
    made.ask()
    wells = [line for line in made.batch().plate_map.to_pylist() if line["content"] == "sample"]
    files = []
    for plate in dict.fromkeys(line["plate"] for line in wells):
        lines = [(line["plate"], line["well"], truth[line["id"]]) for line in wells if line["plate"] == plate]
        files.append(write(tmp_path / f"{plate}.csv", ("plate", "well", "bbb"), lines))
    numbers = []
    for file in files:
        made.tell(file)
        numbers.append(last(made))
    assert made.status().n_missing == 0
    with pytest.raises(StoreError, match=rf"readouts of entry {numbers[-1]} were counted with those") as caught:
        made.undo(numbers[0], "wrong plate")
    assert caught.value.remedy.startswith(f"undo entry {numbers[-1]} first")
    for number in reversed(numbers):
        made.undo(number, "wrong plate")
    assert made.status().n_missing == 60
    assert Laboratory(made.store).ledger().readings == []
    for file in files:
        assert made.tell(file).refused == ()
    assert made.status().n_missing == 0


def test_what_hit_calling_froze_with_a_file_is_free_again(make_config, truth, tmp_path):
    made = Campaign.create(tmp_path / "run", make_config(**{**HITS, "hits": {"method": "robust_z", "cut": 3.0}}))
    made.ask()
    file = write(tmp_path / "plate.csv", ("plate", "well", "signal"), signals(made, truth, 1))
    made.tell(file)
    frozen = Laboratory(made.store).ledger().hits
    assert frozen is not None
    made.undo(made.undoable()[0].number, "the lamp was off")
    assert Laboratory(made.store).ledger().hits is None
    made.tell(write(tmp_path / "again.csv", ("plate", "well", "signal"), signals(made, truth, 2)))
    assert Laboratory(made.store).ledger().hits not in (None, frozen)


def test_entries_of_a_panel_and_readouts_from_elsewhere_are_taken_back(make_config, compounds, tmp_path):
    made = Campaign.create(tmp_path / "run", make_config(**PANEL))
    first, second = made.ask().ids[:2]
    elsewhere = next(
        name for name in pyarrow.csv.read_csv(compounds)["name"].to_pylist() if name not in made.batch().ids
    )
    made.tell({first: {"has_01": 1, "has_02": 0}})
    made.tell({second: {"has_01": 1}})
    told = last(made)
    made.fail([second], "clogged", assays="has_02")
    failed = last(made)
    made.tell({elsewhere: {"has_01": 1, "has_02": 1}}, external=True)
    external = last(made)
    assert (made.status().n_missing, made.status().counts["EXTERNAL"]) == (116, 1)
    assert [made.undo(number, "mistaken") for number in (told, failed, external)] == [1, 1, 2]
    assert (made.status().n_missing, made.status().counts["EXTERNAL"]) == (118, 0)
    assert made.history(first)[-1]["readouts"] == {"has_01": "1", "has_02": "0"}
    assert made.tell({second: {"has_01": 0, "has_02": 0}}).n_new == 2


def test_the_command_lists_what_may_be_undone_and_takes_it_back(campaign, truth, tmp_path):
    ids = campaign.ask().ids
    campaign.tell(write(tmp_path / "day.csv", ("name", "bbb"), [(ids[0], truth[ids[0]])]))
    number = last(campaign)
    assert f"{number}  " in isd("undo", campaign.path)
    assert "tell of 1: day.csv" in isd("undo", campaign.path)
    assert f"isd undo {campaign.path} NUMBER --reason WHY" in isd("undo", campaign.path)
    assert [entry["number"] for entry in json.loads(isd("undo", campaign.path, "--json"))["undoable"]] == [number]
    said = isd("undo", campaign.path, number, "--reason", "wrong file")
    assert said == f"entry {number}: 1 taken back; the round waits for 60 readouts\n"
    assert isd("undo", campaign.path, number, "--reason", "wrong file") == "undone before\n"
    assert isd("undo", campaign.path) == "nothing can be undone: decisions have used what was said, or a look will\n"


def test_what_was_amended_is_not_taken_back(campaign, truth, tmp_path):
    """What is told in its place would be corrected by an amendment of something else."""
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids[:2]})
    number = last(campaign)
    campaign.tell({ids[2]: truth[ids[2]]})
    campaign.amend(write(tmp_path / "a.csv", ("name", "bbb"), [(ids[0], other(truth[ids[0]]))]), "another lot")
    with pytest.raises(StoreError, match=rf"entry {last(campaign)} has corrected readouts of entry {number}"):
        campaign.undo(number, "wrong file")
    assert [entry.number for entry in campaign.undoable()] == [number + 1]


def test_what_is_taken_back_in_this_moment_is_not_amended(campaign, truth, tmp_path, monkeypatch):
    ids = campaign.ask().ids
    campaign.tell({name: truth[name] for name in ids[:2]})
    number, elsewhere, keep = last(campaign), Campaign.open(campaign.path), type(campaign.store).keep

    def late(store, table):
        monkeypatch.undo()
        assert elsewhere.undo(number, "wrong file") == 2
        return keep(store, table)

    monkeypatch.setattr(type(campaign.store), "keep", late)
    file = write(tmp_path / "a.csv", ("name", "bbb"), [(ids[0], other(truth[ids[0]]))])
    with pytest.raises(LabelError, match="1 compounds were never measured"):
        campaign.amend(file, "another lot")
    assert campaign.store.events()[-1]["kind"] == "undo"
