"""Compounds in several wells: where these are, when they count, what is left of them when some are lost."""

from __future__ import annotations

import csv
from collections import defaultdict

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.laboratory import Laboratory
from isd_ray.errors import LabelError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify

N_BATCH = 80
PLATES = {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}, "replicates": 3}
"""80 wells for samples: three plates hold 80 compounds."""


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, str]:
    table = pyarrow.csv.read_csv(compounds)
    return dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))


@pytest.fixture
def start(make_config, tmp_path):
    def begin(**changes) -> Campaign:
        settings = {
            "labels": {"column": "signal", "classes": ["low", "high"], "transform": "threshold", "threshold": 0.5},
            "model": {"hidden_size": 8, "epochs": 2, "members": 1},
            "acquisition": {"batch_size": None, "n_plates": 3},
            "stopping": {"rule": "certify", "gamma": 0.7},
            "plates": PLATES,
            **changes,
        }
        return Campaign.create(tmp_path / "run", make_config(**settings))

    return begin


def wells_of(campaign) -> dict[str, list[tuple[str, str]]]:
    """Plate and well of each compound that is out."""
    found = defaultdict(list)
    for line in campaign.batch().plate_map.to_pylist():
        if line["content"] == "sample":
            found[line["id"]].append((line["plate"], line["well"]))
    return found


def write(path, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("plate", "well", "signal", "flag"), *lines])
    return path


def readouts(campaign):
    """Readouts of the first round by id, as committed."""
    files = campaign.store.rounds()[0]
    table = campaign.store.read_readouts(files.committed["readouts_sha256"]).to_pylist()
    ids = files.read_batch()["id"].to_pylist()
    return dict(zip(ids, table, strict=True))


def test_plates_are_filled_by_as_many_compounds_as_their_layout_leaves_wells_for(start):
    campaign = start()
    batch = campaign.ask()
    assert len(batch) == N_BATCH
    wells = wells_of(campaign)
    assert {len({plate for plate, _ in places}) for places in wells.values()} == {3}
    listed = {line["id"]: (line["plate"], line["well"]) for line in batch.table.to_pylist()}
    for name, places in wells.items():
        assert listed[name] == tuple(";".join(cells) for cells in zip(*places, strict=True))


def test_every_well_is_on_the_pick_list(start, compounds, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    source = tmp_path / "placed.csv"
    n = table.num_rows
    table = table.append_column("rack", pyarrow.array(["S1"] * n)).append_column("tube", pyarrow.array(["A1"] * n))
    pyarrow.csv.write_csv(table, source)
    library = {"source": str(source), "path": str(tmp_path / "library"), "columns": ["size", "rack", "tube"]}
    plates = {"source_plate_column": "rack", "source_well_column": "tube", "transfer_volume": "25 nL"}
    campaign = start(library=library, plates={**PLATES, **plates})
    campaign.ask()
    picks = next(file for file in campaign.dispatch(tmp_path / "out") if "picks" in file.name)
    lines = pyarrow.csv.read_csv(picks)
    placed = {place for places in wells_of(campaign).values() for place in places}
    found = zip(lines["Destination Plate Barcode"].to_pylist(), lines["Destination Well"].to_pylist(), strict=True)
    assert {(plate, f"{well[0]}{int(well[1:]):02d}") for plate, well in found} == placed
    assert lines.num_rows == 3 * N_BATCH


def test_a_compound_counts_by_the_median_once_all_its_plates_are_told(start, tmp_path):
    campaign = start()
    campaign.ask()
    wells, rng = wells_of(campaign), np.random.default_rng(0)
    values = {name: rng.random(3).round(3).tolist() for name in wells}
    lines = defaultdict(list)
    for name, places in wells.items():
        for (plate, well), value in zip(places, values[name], strict=True):
            lines[plate].append((plate, well, value, ""))
    files = [write(tmp_path / f"{plate}.csv", lines[plate]) for plate in sorted(lines)]
    for file in files[:2]:
        told = campaign.tell(file)
        assert (told.n_new, told.n_waiting, told.n_missing) == (0, N_BATCH, N_BATCH)
    n_events = len(campaign.store.events())
    assert campaign.tell(files[0]).n_waiting == N_BATCH
    assert len(campaign.store.events()) == n_events
    told = campaign.tell(files[2])
    assert (told.n_new, told.n_waiting, told.n_missing) == (N_BATCH, 0, 0)
    assert campaign.tell(files[1]).n_unchanged == N_BATCH
    campaign.ask()
    for name, line in readouts(campaign).items():
        assert line["value"] == np.median(values[name])
        assert line["label"] == float(np.median(values[name]) > 0.5)
        assert (line["n_replicates"], line["qc"]) == (3, None)
        assert list(zip(line["plate"].split(";"), line["well"].split(";"), strict=True)) == wells[name]


def test_lost_wells_leave_the_others_and_only_a_compound_without_any_fails(start, tmp_path):
    campaign = start()
    batch = campaign.ask()
    wells, ids = wells_of(campaign), sorted(batch.ids)
    n_bad = {ids[0]: 1, ids[1]: 2, ids[2]: 3}
    lines = [
        (plate, well, 0.1 * copy, "bubble" if copy < n_bad.get(name, 0) else "")
        for name, places in wells.items()
        for copy, (plate, well) in enumerate(places)
    ]
    told = campaign.tell(write(tmp_path / "all.csv", lines))
    assert (told.n_new, told.n_lost, told.n_missing) == (N_BATCH - 1, 1, 0)
    assert campaign.status().counts["FAILED"] == 1
    campaign.ask()
    found = readouts(campaign)
    assert [found[name]["n_replicates"] for name in ids[:4]] == [2, 1, None, 3]
    assert [found[name]["qc"] for name in ids[:2]] == [f"{n} of 3 wells without a readout" for n in (1, 2)]
    assert [found[name]["value"] for name in ids[:4]] == pytest.approx([0.15, 0.2, None, 0.1])


def test_a_lost_plate_leaves_the_readings_of_the_others_when_the_round_is_closed(start, tmp_path):
    campaign = start()
    ids = sorted(campaign.ask().ids)
    wells = wells_of(campaign)
    lines = [(*places[copy], 0.2 + 0.4 * copy, "") for places in wells.values() for copy in (0, 1)]
    campaign.tell(write(tmp_path / "two.csv", lines[:-2]))
    last = list(wells)[-1]
    # Nothing was read of one: it is missing when the round is closed.
    assert campaign.fail([ids[0] if ids[0] != last else ids[1]], "the third plate fell") == 0
    assert campaign.status().n_missing == N_BATCH - 1
    assert campaign.close("the third plate fell") == 1
    campaign.ask()
    found = readouts(campaign)
    assert found[last]["label"] is None
    kept = [line for name, line in found.items() if name != last]
    assert {(line["n_replicates"], line["qc"]) for line in kept} == {(2, "1 of 3 wells without a readout")}
    assert [line["value"] for line in kept] == pytest.approx([0.4] * (N_BATCH - 1))
    assert verify(campaign.store).is_sound


def test_another_reading_of_a_well_is_refused_and_a_good_one_replaces_a_flagged_one(start, tmp_path):
    campaign = start()
    campaign.ask()
    (first, places), (second, others), *_ = wells_of(campaign).items()
    campaign.tell(write(tmp_path / "one.csv", [(*places[0], 0.9, ""), (*others[0], 0.9, "bubble")]))
    told = campaign.tell(write(tmp_path / "two.csv", [(*places[0], 0.1, ""), (*others[0], 0.3, "")]))
    assert [refusal.line for refusal in told.refused] == [2]
    assert "another reading already" in told.refused[0].reason
    rest = [(*place, 0.3, "") for place in (*places[1:], *others[1:])]
    assert campaign.tell(write(tmp_path / "rest.csv", rest)).n_new == 2
    ledger = Laboratory(campaign.store).ledger()
    rows = campaign.library.rows_of([first, second])
    assert ledger.take(rows)["value"].to_pylist() == [0.3, 0.3]
    assert ledger.take(rows)["n_replicates"].to_pylist() == [3, 3]


def test_nonsense_leaves_no_trace(start, tmp_path):
    campaign = start()
    campaign.ask()
    n_events = len(campaign.store.events())
    with pytest.raises(LabelError):
        campaign.tell(write(tmp_path / "no.csv", [("X9", "A01", 0.3, "")]))
    assert len(campaign.store.events()) == n_events


def test_readings_by_id_are_whole_and_classes_go_by_the_majority(start, truth):
    labels = {"column": "bbb", "classes": ["BBB-", "BBB+"]}
    campaign = start(labels=labels)
    ids = sorted(campaign.ask().ids)
    names = [name for name in ids for _ in range(3)]
    classes = [
        "BBB+" if name == ids[0] and copy < 2 else "BBB-" if name == ids[0] else truth[name]
        for name in ids
        for copy in range(3)
    ]
    told = campaign.tell(pyarrow.table({"name": names, "bbb": classes}))
    assert (told.n_new, told.n_missing, len(told.refused)) == (N_BATCH, 0, 0)
    campaign.ask()
    found = readouts(campaign)
    assert found[ids[0]]["label"] == 1.0
    assert {line["n_replicates"] for line in found.values()} == {3}


def signals(campaign, truth, failed=()) -> dict[str, list[tuple[str, str, str, str]]]:
    """Lines of the wells of each plate that is out; the controls of `failed` plates overlap."""
    rng, lines = np.random.default_rng(1), defaultdict(list)
    for well in campaign.batch().plate_map.to_pylist():
        if well["content"] == "empty":
            continue
        low = well["content"] == "positive" or (well["content"] == "sample" and truth[well["id"]] == "BBB+")
        bad = well["plate"] in failed and well["content"] != "sample"
        value = rng.normal(50.0, 30.0) if bad else rng.normal(8.0 if low else 95.0, 3.0)
        lines[well["plate"]].append((well["plate"], well["well"], f"{value:.3f}", ""))
    return lines


CALLED = {
    "labels": {"column": "signal", "classes": ["BBB-", "BBB+"]},
    "hits": {"method": "percent_inhibition", "cut": 50.0, "min_z_prime": 0.5},
}


def test_hits_are_called_on_replicates_of_plates_that_are_told_one_by_one(start, truth, tmp_path):
    campaign = start(**CALLED)
    campaign.ask()
    lines = signals(campaign, truth, failed=("P00002",))
    told = [campaign.tell(write(tmp_path / f"{plate}.csv", lines[plate])) for plate in sorted(lines)]
    assert [(part.n_new, part.n_waiting, part.n_lost) for part in told] == [
        (0, N_BATCH, 0),
        (0, N_BATCH, 0),
        (N_BATCH, 0, 0),
    ]
    assert [[plate for plate, _ in part.failed_plates] for part in told] == [[], ["P00002"], []]
    campaign.ask()
    for name, line in readouts(campaign).items():
        assert line["label"] == float(truth[name] == "BBB+")
        assert line["n_replicates"] == 2
        assert line["qc"].endswith("1 of 3 wells without a readout")


def test_a_plate_that_is_on_record_in_part_is_no_refusal_of_a_later_file(start, truth, tmp_path):
    campaign = start(**CALLED)
    campaign.ask()
    first, second, third = signals(campaign, truth).values()
    told = campaign.tell(write(tmp_path / "one.csv", [*first, *second[:50]]))
    assert [refusal.line for refusal in told.refused] == [2 + len(first)]
    told = campaign.tell(write(tmp_path / "three.csv", third))
    assert (told.n_new, told.n_waiting, told.refused) == (0, N_BATCH, ())
    told = campaign.tell(write(tmp_path / "two.csv", second))
    assert (told.n_new, told.n_waiting, told.refused) == (N_BATCH, 0, ())


def test_replicates_money_and_late_readouts_end_in_a_hybrid_screen_that_reconciles(start, tmp_path):
    """To the end, plate by plate: 3 wells a compound at 0.5 each, and one reading from outside after the last round."""
    stopping = {"rule": "none", "max_cost": 300.0, "cost_per_compound": 0.5}
    campaign = start(stopping=stopping)
    rng, n_asked, failed = np.random.default_rng(2), 0, []
    while (batch := campaign.ask()) is not None:
        n_asked += len(batch)
        wells = wells_of(campaign)
        failed.append(min(wells))
        lines = defaultdict(list)
        for name, places in wells.items():
            for plate, well in places:
                lines[plate].append((plate, well, round(rng.random(), 3), "spilt" if name == failed[-1] else ""))
        for plate in sorted(lines):
            campaign.tell(write(tmp_path / f"{plate}.csv", lines[plate]))
        if n_asked == 200:
            asked = {name for files in campaign.store.rounds() for name in files.read_batch()["id"].to_pylist()}
            outside = next(name for name in campaign.library.ids() if name not in asked)
            assert failed[0] not in batch.ids
            assert campaign.tell({outside: 0.9}, external=True).n_new == 1
            assert campaign.tell({failed[0]: 0.8}).n_new == 1
    assert n_asked == 200
    rounds = pq.read_table(campaign.path / "rounds.parquet")
    assert rounds["spent"].to_pylist()[-1] == 300.0
    hybrid = {line["id"]: line for line in pq.read_table(campaign.path / "hybrid").to_pylist()}
    measured = {name for name, line in hybrid.items() if line["source"] == "measured"}
    late = {outside, failed[0]}
    assert len(measured) == 200 - len(failed) + len(late)
    assert {hybrid[name]["role"] for name in late & measured} == {"external"}
    usual = [line for name, line in hybrid.items() if name in measured - late]
    assert {line["n_replicates"] for line in usual} == {3}
    assert len(hybrid) == 900
    assert verify(campaign.store).is_sound
