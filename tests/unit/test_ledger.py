"""The log summed up: labels and entries of panels by the same rules, whatever the order of rows and tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from isd_ray.campaign.entries import (
    ENTRIES,
    NEW,
    REFUSED,
    SAMPLES,
    Outcome,
    joined,
    lost_entries,
    lost_table,
    readouts_table,
)
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.telling import Place, placed
from isd_ray.core.panels import MISSING, pack_labels, unpack_labels
from isd_ray.data.packed import labels_from
from isd_ray.plates.cells import bad_because, not_dispensed
from isd_ray.plates.collect import REJECTS

N_OUTPUTS = 11
"""More than a byte of them."""


def entries(cells, n_outputs=0) -> pa.Table:
    """Entries (row, output, label) as the store keeps readouts."""
    lines = [{"row": row, "output": output, "label": float(label)} for row, output, label in sorted(cells)]
    for line in lines:
        line |= {"plate": f"P{line['output']}", "well": f"A{line['row']:02d}", "n_replicates": 1}
    return readouts_table(pa.Table.from_pylist(lines, schema=ENTRIES), n_outputs)


def told(ledger, *cells) -> None:
    ledger.enter({"kind": "tell", "round": 0}, entries(cells, ledger.n_outputs))


def failed(ledger, rows, outputs, reason, round_number=0) -> None:
    table = lost_table(lost_entries(np.array(rows), outputs, reason), ledger.n_outputs)
    ledger.enter({"kind": "fail", "round": round_number, "reason": reason}, table)


def said(ledger, kind, rows) -> None:
    ledger.enter({"kind": kind, "reason": "so"}, pa.table({"row": pa.array(rows, pa.int64())}))


@pytest.mark.parametrize("n_outputs", [0, 1])
def test_a_label_is_an_entry_of_a_panel_with_one_output(n_outputs):
    ledger, rows = Ledger(n_outputs), np.array([7, 2, 5, 9])
    told(ledger, (9, 0, 1), (2, 0, 0))
    failed(ledger, [5], [0], "spilt")
    assert ledger.rows.tolist() == [2, 9]
    assert ledger.is_told(rows).tolist() == [False, True, False, True]
    assert ledger.missing(0, rows).tolist() == [1, 0, 0, 0]
    assert ledger.missing(1, rows).tolist() == [1, 0, 1, 0], "it failed in another round"
    known = ledger.on_record(rows, np.zeros(4, np.int32))
    assert known["label"].to_pylist() == [None, 0.0, None, 1.0]
    assert ledger.take(rows)["well"].to_pylist() == [None, "A02", None, "A09"]


def test_an_empty_ledger_knows_nothing():
    for ledger in (Ledger(), Ledger(N_OUTPUTS)):
        rows = np.arange(3)
        assert ledger.missing(0, rows).tolist() == [max(1, ledger.n_outputs)] * 3
        assert (len(ledger.all()), len(ledger.excluded), len(ledger.wanted)) == (0, 0, 0)
        assert ledger.why_lost(rows, np.zeros(3, np.int32), np.zeros(3, np.int64)) == {}


def test_entries_of_a_panel_come_together_from_any_table():
    ledger, rng = Ledger(N_OUTPUTS), np.random.default_rng(0)
    matrix = rng.integers(MISSING, 2, (20, N_OUTPUTS))
    matrix[3] = MISSING
    cells = [(row, output, matrix[row, output]) for row, output in np.argwhere(matrix != MISSING).tolist()]
    rng.shuffle(cells)
    for part in np.array_split(np.array(cells), 7):
        told(ledger, *part.tolist())
    rows = rng.permutation(20)
    assert np.array_equal(unpack_labels(labels_from(ledger.take(rows)), N_OUTPUTS), matrix[rows])
    assert ledger.missing(0, rows).tolist() == (matrix[rows] == MISSING).sum(axis=1).tolist()
    assert 3 not in ledger.rows
    of_row, output = np.divmod(np.arange(20 * N_OUTPUTS), N_OUTPUTS)
    expected = [None if label == MISSING else float(label) for label in matrix[rows].ravel()]
    assert ledger.on_record(rows[of_row], output)["label"].to_pylist() == expected


def test_the_wells_of_several_tables_are_named_once():
    ledger = Ledger(N_OUTPUTS)
    told(ledger, (1, 9, 1))
    told(ledger, (1, 0, 1), (1, 10, 0))
    [line] = ledger.all().select(["plate", "well"]).to_pylist()
    assert line == {"plate": "P9;P0;P10", "well": "A01"}


@pytest.mark.parametrize("n_outputs", [0, N_OUTPUTS])
def test_of_an_entry_the_first_readout_counts(n_outputs):
    ledger, rows = Ledger(n_outputs), np.array([3, 4, 5])
    told(ledger, (4, 0, 1), (5, 0, 0))
    told(ledger, (4, 0, 0), (3, 0, 0), (5, 0, 1))
    assert ledger.on_record(rows, np.zeros(3, np.int32))["label"].to_pylist() == [0.0, 1.0, 0.0]


def test_what_hit_calling_froze_stays():
    ledger = Ledger()
    for hits in ({"spread": 1.0}, {"spread": 2.0}, None):
        ledger.enter({"kind": "tell", "round": 0, "hits": hits}, entries([(4, 0, 1)]))
    assert ledger.hits == {"spread": 1.0}


def test_an_entry_failed_for_the_last_reason_that_counts():
    ledger, rows, outputs = Ledger(N_OUTPUTS), np.array([1, 1, 2, 1]), np.array([0, 9, 9, 10])
    failed(ledger, [1, 2], [9], "bubble")
    failed(ledger, [1], [0, 9], "spilt", round_number=1)
    since = np.zeros(4, np.int64)
    assert ledger.why_lost(rows, outputs, since) == {0: "spilt", 1: "spilt", 2: "bubble"}
    assert ledger.why_lost(rows, outputs, since + 1) == {0: "spilt", 1: "spilt"}
    assert ledger.lost(0, np.array([1, 2, 3])).tolist() == [[0, 0b01000000], [0, 0b01000000], [0, 0]]
    assert ledger.missing(1, np.array([1, 2])).tolist() == [N_OUTPUTS - 2, N_OUTPUTS]


def test_whole_compounds_of_a_panel_fail_in_every_output():
    ledger = Ledger(N_OUTPUTS)
    said(ledger, "exclude", [4])
    ledger.enter({"kind": "fail", "round": 0, "reason": "fell"}, pa.table({"row": pa.array([4], pa.int64())}))
    assert ledger.missing(0, np.array([4, 5])).tolist() == [0, N_OUTPUTS]


def test_the_last_wish_counts():
    ledger = Ledger()
    said(ledger, "exclude", [3, 1])
    said(ledger, "include", [1, 2])
    said(ledger, "exclude", [2])
    assert (ledger.excluded.tolist(), ledger.wanted.tolist()) == ([2, 3], [1])


def test_texts_of_groups_are_joined_in_their_order():
    cells = pa.chunked_array([["b", None, "a"], ["b", None, "a", "b", "a"]])
    group = np.array([0, 0, 0, 0, 2, 3, 3, 3])
    assert joined(cells, group, 4).to_pylist() == ["b;a;b", None, None, "a;b;a"]
    assert joined(cells, group, 4, distinct=True).to_pylist() == ["b;a", None, None, "a;b"]
    assert joined(cells.slice(0, 0), group[:0], 2).to_pylist() == [None, None]


def test_packed_labels_are_those_of_the_entries():
    matrix = np.array([[1, MISSING, 0], [MISSING, MISSING, 1]])
    cells = [(row + 5, output, matrix[row, output]) for row, output in np.argwhere(matrix != MISSING).tolist()]
    table = entries(cells, 3)
    assert table["row"].to_pylist() == [5, 6]
    assert np.array_equal(labels_from(table), pack_labels(matrix))


NOTHING_WAS_THERE = bad_because(not_dispensed("no fluid"))


@pytest.mark.parametrize(
    ("reason", "audited", "failed_in", "fate"),
    [
        ("bubble", False, 1, NEW),
        ("bubble", True, 1, REFUSED),
        ("bubble", True, 0, NEW),
        (NOTHING_WAS_THERE, False, 1, REFUSED),
        (NOTHING_WAS_THERE, False, 0, NEW),
    ],
)
def test_what_failed_may_be_read_again_but_not_in_an_audit_nor_where_nothing_was_dispensed(
    reason, audited, failed_in, fate
):
    """Nor by the failures of the rounds before: it is out once more."""
    ledger, rows, nothing = Ledger(), np.array([4]), REJECTS.empty_table()
    failed(ledger, [4], [0], reason, round_number=failed_in)
    place = Place(1, rows, rows, frozenset({4} if audited else ()))
    read = pa.Table.from_pylist([{"row": 4, "output": 0, "label": 1.0, "id": "C4"}], schema=ENTRIES)
    outcome = placed(Outcome(read, SAMPLES.empty_table(), nothing, nothing), ledger, place, (), external=False)
    assert outcome.entries["fate"].to_pylist() == [fate]
    assert outcome.n_revived == (fate == NEW and failed_in == 1)
