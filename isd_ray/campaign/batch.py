"""A batch: its rows with their roles, as a table and back, and its plates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import PlatesConfig
from isd_ray.core.goals import Goal
from isd_ray.core.scored import ranks_from_histogram
from isd_ray.core.topk import concatenate_rows
from isd_ray.data.library import Library
from isd_ray.data.packed import from_arrow, to_arrow
from isd_ray.messages import ROLES, Role, ScoredRows
from isd_ray.plates.assign import plate_map

Ranks: TypeAlias = Callable[[ScoredRows], NDArray[np.float64]]
_SCORED = ("row", "score", "second_score", "prediction", "uncertainty")


def ranks_by(goal: Goal, histogram: NDArray[np.int64]) -> Ranks:
    """Ranks of rows in their groups, read off the groups' histograms of uncertainty, (groups, bins)."""

    def ranks(scored: ScoredRows) -> NDArray[np.float64]:
        found = np.empty(len(scored.rows))
        groups = goal.groups(scored.prediction)
        for group, counts in enumerate(histogram):
            found[groups == group] = ranks_from_histogram(counts, scored.uncertainty[groups == group])
        return found

    return ranks


@dataclass(frozen=True, slots=True)
class Selection:
    """A batch.

    Attributes
    ----------
    scored:
        Its rows with scores and predictions.
    roles:
        int8 (n,): the role of each as an index into `ROLES`.
    ranks:
        float64 (n,): about how many rows of its group were more uncertain; NaN where no model had scored the row.
    """

    scored: ScoredRows
    roles: NDArray[np.int8]
    ranks: NDArray[np.float64]

    @classmethod
    def of(cls, scored: ScoredRows, role: Role, ranks: Ranks | None = None) -> Selection:
        """Rows that share one role."""
        n = len(scored.rows)
        known = np.full(n, np.nan) if ranks is None else ranks(scored)
        return cls(scored, np.full(n, ROLES.index(role), np.int8), known)

    def take(self, places: NDArray[np.int64]) -> Selection:
        """The rows at some places."""
        return Selection(self.scored.take(places), self.roles[places], self.ranks[places])


def unscored(rows: NDArray[np.int64]) -> ScoredRows:
    """Rows chosen before any model existed: scores 0, predictions NaN."""
    zeros = np.zeros(len(rows), np.float32)
    return ScoredRows(rows, zeros, zeros, np.full(len(rows), np.nan), np.full(len(rows), np.nan, np.float32))


def join(parts: Sequence[Selection]) -> Selection:
    """One batch of several."""
    return Selection(
        concatenate_rows([part.scored for part in parts]),
        np.concatenate([part.roles for part in parts]),
        np.concatenate([part.ranks for part in parts]),
    )


def batch_table(selection: Selection, library: Library, plates: pa.Table | None) -> pa.Table:
    """What is released: rows with id, structure, role, what the model says of them (null before there is one), wells.

    `plates` is the plate map, if there is one; plates and wells of replicates are joined by semicolons, in one order.
    """
    scored = selection.scored
    by_row = {} if plates is None else wells_by_row(plates)
    wells = [by_row.get(row, []) for row in scored.rows.tolist()]
    return pa.table(
        {
            "row": scored.rows,
            "id": pa.array(library.ids(scored.rows), pa.string()),
            "smiles": pa.array(library.smiles(scored.rows), pa.string()),
            "role": pa.array([ROLES[role] for role in selection.roles], pa.string()),
            "score": scored.primary,
            "second_score": scored.secondary,
            "prediction": to_arrow(scored.prediction),
            "uncertainty": pa.array(scored.uncertainty, from_pandas=True),
            "rank": pa.array(selection.ranks, from_pandas=True),
            "plate": pa.array([";".join(place[0] for place in places) or None for places in wells], pa.string()),
            "well": pa.array([";".join(place[1] for place in places) or None for places in wells], pa.string()),
        }
    )


def plates_of(
    selection: Selection, library: Library, plates: PlatesConfig | None, n_plates: int | None, seed: int, n_before: int
) -> pa.Table | None:
    """The batch on plates, numbered on from the `n_before` made before; None where the campaign has none.

    Parameters
    ----------
    n_plates:
        Of an acquisition batch, where the configuration says it.
    seed:
        Of the campaign.
    """
    rows = selection.scored.rows
    if plates is None or not len(rows):
        return None
    # An effect of one plate that no control sees would touch a large part of an audit on few plates. What is measured
    # once more has no ranks, and is small.
    is_audit = selection.roles == ROLES.index("audit")
    least = (n_plates or 1) if np.isfinite(selection.ranks[is_audit]).any() else 1
    return plate_map(
        rows,
        library.ids(rows).tolist(),
        plates,
        seed=seed,
        first_plate=1 + n_before,
        smiles=library.smiles(rows).tolist(),
        least=least,
    )


def wells_by_row(plates: pa.Table) -> dict[int, list[tuple[str, str]]]:
    """Plate and well of each sample of a row, in the order of the plate map (`isd_ray.plates.assign.PLATE_MAP`)."""
    found = defaultdict(list)
    for row, plate, well in zip(*(plates[name].to_pylist() for name in ("row", "plate", "well")), strict=True):
        if row is not None:
            found[row].append((plate, well))
    return found


def selection_of(table: pa.Table) -> Selection:
    """The selection that `batch_table` wrote."""
    roles = np.array([ROLES.index(role) for role in table["role"].to_pylist()], np.int8)
    return Selection(ScoredRows(*(from_arrow(table[name]) for name in _SCORED)), roles, table["rank"].to_numpy())
