"""Memory of the processes of a screen: the one model, for `isd plan` and for the check before a start.

Counted is what a process holds alone. Libraries and the features of observed rows are memory-mapped, and give way to
what is needed more. `tests/benchmarks/memory.py` holds the model against screens on Ray.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MIB = 1 << 20
PROCESS_BYTES = {"driver": 340 * MIB, "coordinator": 205 * MIB, "trainer": 350 * MIB, "scorer": 285 * MIB}
"""Memory of a process that has loaded what it needs, before any row."""
BOUND_BYTES = 70 * MIB
"""Likewise of the one that judges."""
RAY_BYTES = 340 * MIB
"""Memory of Ray's own processes on a machine."""
TARGET_ROW_BYTES = {"driver": 120, "coordinator": 48, "trainer": 0, "scorer": 48}
"""Memory of one target row: labels with their ids in the driver, sets in the coordinator, labels and predictions in the
scorer that has the row."""
PART_ROW_BYTES = 1200
"""Memory of one row of a part of the library in the scorer that freezes its predictions, or writes its lines of the
hybrid screen; what Arrow keeps of it for the next part is counted."""
CELL_BYTES = 0.25
"""Memory of one cell of a panel in a process that has its row: two bits."""
VALUE_CELL_BYTES = 16
"""The same of a panel with numbers: a label and a prediction."""
VALUE_BYTES_AT_ONCE = 20
"""Memory of a cell of such a panel in the block that a scorer is at, of each member: its answer, and in double
precision its difference from the mean."""
PROBABILITY_BYTES, ANSWER_BYTES = 4, 8
"""Memory of a cell of a panel in the block that a scorer is at: of each member's answer, and of the committee's."""
OBSERVED_ROW_BYTES = {"driver": 0, "coordinator": 64, "trainer": 64, "scorer": 0}
"""Memory of one observed row: label, place, order, role and well."""
WEIGHTS = {"driver": 0, "coordinator": 2, "trainer": 4, "scorer": 2}
"""Copies of weights: of the committee, or, in a trainer, of the member with its gradient and two moments."""
VALUE_BYTES = 26
"""Memory of one set bit or value of an observed row, in a trainer of a family that reads them as one sparse matrix: of
the linear family; trees take two thirds."""


@dataclass(frozen=True, slots=True)
class ScreenSize:
    """What the memory of a screen depends on.

    Attributes
    ----------
    n_rows, n_observed:
        Rows of the target set, and those of them that are measured at the end, at most.
    n_outputs, has_numbers:
        Of a panel, else 0; and whether some of these are numbers.
    members, member_bytes:
        Of the committee; bytes of the weights of the largest member.
    row_values:
        Set bits, or values, of one row, where a family reads the observed rows as one matrix; else 0.
    block_rows, part_rows:
        Rows that are scored at a time, and rows of the largest part of the library.
    trainers, scorers:
        Processes of each kind.
    resident_bytes:
        Parts of the library that each scorer keeps.
    """

    n_rows: int
    n_observed: int
    n_outputs: int
    members: int
    member_bytes: float
    row_values: float
    block_rows: int
    part_rows: int
    trainers: int
    scorers: int
    resident_bytes: float = 0.0
    has_numbers: bool = False


def memory_of_each(size: ScreenSize) -> dict[str, float]:
    """Bytes of one process of each kind: driver, coordinator, trainer, scorer."""
    rows = {"driver": size.n_rows, "coordinator": size.n_rows, "trainer": 0, "scorer": size.n_rows / size.scorers}
    cell = VALUE_CELL_BYTES if size.has_numbers else CELL_BYTES
    weights = {kind: WEIGHTS[kind] * size.member_bytes for kind in WEIGHTS}
    for kind in ("coordinator", "scorer"):
        weights[kind] *= size.members
    found = {
        kind: PROCESS_BYTES[kind]
        + (TARGET_ROW_BYTES[kind] + cell * size.n_outputs) * rows[kind]
        + OBSERVED_ROW_BYTES[kind] * size.n_observed
        + weights[kind]
        for kind in PROCESS_BYTES
    }
    found["trainer"] += VALUE_BYTES * size.row_values * size.n_observed
    found["scorer"] += size.resident_bytes + PART_ROW_BYTES * size.part_rows
    of_member = VALUE_BYTES_AT_ONCE if size.has_numbers else PROBABILITY_BYTES
    found["scorer"] += (of_member * size.members + ANSWER_BYTES) * size.block_rows * size.n_outputs
    return found


def memory_together(size: ScreenSize, object_store_bytes: float) -> float:
    """Bytes of a screen whose processes all run on one machine."""
    each, n = memory_of_each(size), {"driver": 1, "coordinator": 1, "trainer": size.trainers, "scorer": size.scorers}
    return sum(n[kind] * each[kind] for kind in each) + BOUND_BYTES + RAY_BYTES + object_store_bytes


def memory_in_one(size: ScreenSize) -> float:
    """Bytes of a screen that runs in one process, without Ray."""
    each = memory_of_each(replace(size, trainers=1, scorers=1))
    return max(PROCESS_BYTES.values()) + sum(each[kind] - PROCESS_BYTES[kind] for kind in each)


def network_bytes(width: int, hidden_size: int, residual_blocks: int, n_outputs: int) -> int:
    """Bytes of the weights of a residual network of float32, but for its biases."""
    return 4 * hidden_size * (width + 2 * residual_blocks * hidden_size + n_outputs)
