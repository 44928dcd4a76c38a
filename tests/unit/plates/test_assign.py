"""Placing a batch: every compound once, and roles cannot be told from positions."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.config import ControlWells, PlatesConfig
from isd_ray.errors import ConfigError
from isd_ray.plates.assign import PLATE_MAP, barcode, plate_map

CONFIG = PlatesConfig(
    format=96,
    positive=ControlWells(columns=(1,)),
    negative=ControlWells(shifted=8),
    transfer_volume="25 nL",
)
CAPACITY = 80


def place(rows, seed=0, first_plate=1, config=CONFIG):
    rows = np.asarray(rows, np.int64)
    return plate_map(rows, [f"c{row}" for row in rows], config, seed=seed, first_plate=first_plate)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 10**9), max_size=250), st.integers(0, 2**62), st.integers(1, 500))
def test_every_compound_gets_exactly_one_well(rows, seed, first_plate):
    table = place(sorted(rows), seed, first_plate)
    assert table.schema == PLATE_MAP
    lines = table.to_pylist()
    placed = [line for line in lines if line["content"] == "sample"]
    assert sorted(line["row"] for line in placed) == sorted(rows)
    assert all(line["id"] == f"c{line['row']}" and line["volume_nl"] == 25 for line in placed)
    assert len({(line["plate"], line["well"]) for line in lines}) == len(lines) == 96 * -(-len(rows) // CAPACITY)
    others = [line for line in lines if line["content"] != "sample"]
    assert all(line["row"] is line["id"] is line["volume_nl"] is None for line in others)


def test_plates_are_equally_full_and_keep_their_controls():
    lines = place(range(CAPACITY + 30), first_plate=9).to_pylist()
    for plate in ("P00009", "P00010"):
        contents = [line["content"] for line in lines if line["plate"] == plate]
        assert [contents.count(kind) for kind in ("sample", "positive", "negative")] == [55, 8, 8]
        rows = {line["well"][0] for line in lines if line["plate"] == plate and line["content"] == "sample"}
        assert rows == set("ABCDEFGH")


@pytest.mark.parametrize(("n", "replicates"), [(CAPACITY, 3), (53, 3), (50, 2), (10, 4), (1, 90), (7, 1)])
def test_replicates_are_on_as_many_plates_as_there_are_and_at_places_of_their_own(n, replicates):
    config = CONFIG.model_copy(update={"replicates": replicates})
    samples = [line for line in place(range(n), config=config).to_pylist() if line["content"] == "sample"]
    n_plates = -(-n * replicates // CAPACITY)
    assert len({line["plate"] for line in samples}) == n_plates
    by_row = defaultdict(list)
    for line in samples:
        by_row[line["row"]].append(line)
    for lines in by_row.values():
        assert len(lines) == replicates
        on = Counter(line["plate"] for line in lines)
        assert max(on.values()) - (0 if len(on) < n_plates else min(on.values())) <= 1
    if replicates == 3:
        assert sum(len({line["well"] for line in lines}) > 1 for lines in by_row.values()) > 0.8 * n


def test_the_same_batch_is_placed_alike_whatever_its_order():
    rows = np.arange(100)
    assert place(rows).equals(place(rows[::-1]))
    assert not place(rows).equals(place(rows, seed=1))
    first, later = (place(rows, first_plate=plate, config=PlatesConfig(format=96)) for plate in (1, 2))
    assert first["row"].drop_null() != later["row"].drop_null()


def test_shifted_controls_move_on_within_a_batch_and_behind_it():
    lines = [*place(range(200)).to_pylist(), *place(range(200, 280), first_plate=4).to_pylist()]
    wells = {
        plate: tuple(line["well"] for line in lines if (line["plate"], line["content"]) == (plate, "negative"))
        for plate in ("P00001", "P00002", "P00003", "P00004")
    }
    assert len(set(wells.values())) == 4


def test_roles_are_independent_of_plate_row_and_column():
    """Chi-square of role against place over many seeds: below its 99.9 % quantile for mixed batches."""
    n, n_seeds = 200, 150
    # As a batch is drawn: audit and random rows together, best rows first.
    roles = np.repeat([0, 1, 2], [30, 30, 140])
    places = {"plate": 3, "row": 8, "column": 12}
    counts = {name: np.zeros((3, size)) for name, size in places.items()}
    for seed in range(n_seeds):
        table = place(np.arange(n), seed)
        row = table["row"].to_numpy(zero_copy_only=False)
        at = np.flatnonzero(~np.isnan(row))
        role = roles[row[at].astype(int)]
        for name, place_of in (("plate", at // 96), ("row", at % 96 // 12), ("column", at % 12)):
            np.add.at(counts[name], (role, place_of), 1)
    quantiles = {"plate": 18.47, "row": 36.12, "column": 45.31}  # 4, 14 and 20 degrees of freedom
    for name, table in counts.items():
        table = table[:, table.sum(axis=0) > 0]
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        assert ((table - expected) ** 2 / expected).sum() < quantiles[name], name


def test_structures_are_carried_along():
    table = plate_map(np.array([5, 3]), ["five", "three"], CONFIG, seed=0, first_plate=1, smiles=["CCO", None])
    found = {line["id"]: line["smiles"] for line in table.to_pylist() if line["content"] == "sample"}
    assert found == {"five": "CCO", "three": None}


def test_barcodes_are_numbered_on_and_never_grow():
    config = PlatesConfig(barcode_prefix="KIN-", barcode_digits=3)
    assert barcode(config, 7) == "KIN-007"
    assert barcode(config, 999) == "KIN-999"
    with pytest.raises(ConfigError, match="plate number 1000 does not fit into 3 digits"):
        barcode(config, 1000)
