"""The evidence of a look as it is kept, and its verdict once more after readouts were amended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.campaign.look_rounds import plan_of
from isd_ray.campaign.oracle import Readout
from isd_ray.core.goals import Goal
from isd_ray.core.panels import LOST
from isd_ray.core.stopping import Audit, decide_look
from isd_ray.messages import Rows

_AUDITS = pa.schema(
    [
        ("audit", pa.int8()),
        ("row", pa.int64()),
        ("rank", pa.int64()),
        ("loss", pa.float64()),
        ("measured", pa.bool_()),
        ("amended", pa.bool_()),
        ("outcomes", pa.list_(pa.int8())),
        ("lost", pa.float64()),
    ]
)
"""`audit` is the place of a row's audit among those of the look; the lines of one are in the order of drawing. Where a
mean error is claimed of some outputs, `outcomes` are float64 (`isd_ray.core.goals.by_output.Column`)."""


def doubted(audit: Audit, amended: Rows) -> Audit:
    """An audit whose rows among `amended` count as errors that nobody corrects, in every output."""
    touched = np.isin(audit.rows, amended)
    if not touched.any():
        return audit
    outcomes = audit.outcomes
    if outcomes is not None:
        outcomes = np.where(touched[:, None], np.int8(LOST), outcomes)
    before = False if audit.amended is None else audit.amended
    return replace(audit, losses=np.where(touched, 1.0, audit.losses), amended=touched | before, outcomes=outcomes)


def audits_table(audits: Sequence[Audit]) -> pa.Table:
    """The audits of a look for the store."""
    lines = [
        {
            "audit": place,
            "row": row,
            "rank": rank,
            "loss": loss,
            "measured": measured,
            "amended": amended,
            "outcomes": outcomes,
            "lost": lost,
        }
        for place, audit in enumerate(audits)
        for row, rank, loss, measured, amended, outcomes, lost in zip(
            audit.rows.tolist(),
            audit.ranks.tolist() or [None] * len(audit.rows),
            audit.losses.tolist(),
            audit.measured.tolist(),
            [False] * len(audit.rows) if audit.amended is None else audit.amended.tolist(),
            [None] * len(audit.rows) if audit.outcomes is None else audit.outcomes.tolist(),
            [None] * len(audit.rows) if audit.lost is None else audit.lost.tolist(),
            strict=True,
        )
    ]
    schema = _AUDITS
    if any(audit.outcomes is not None and audit.outcomes.dtype.kind == "f" for audit in audits):
        place = schema.get_field_index("outcomes")
        schema = schema.set(place, schema.field(place).with_type(pa.list_(pa.float64())))
    return pa.Table.from_pylist(lines, schema)


def audits_from(table: pa.Table, n_audits: int) -> tuple[Audit, ...]:
    """What `audits_table` wrote, also that of a version before, whose audits do not say what was lost."""
    if "lost" not in table.column_names:
        table = table.append_column(_AUDITS.field("lost"), pa.nulls(len(table), pa.float64()))
    places = table["audit"].to_numpy()
    return tuple(_audit(table.filter(pa.array(places == place))) for place in range(n_audits))


def _audit(table: pa.Table) -> Audit:
    ranked, by_output = table["rank"].drop_null(), table["outcomes"].drop_null().to_pylist()
    lost = table["lost"].drop_null()
    return Audit(
        ranks=ranked.to_numpy(),
        losses=table["loss"].to_numpy(),
        measured=table["measured"].to_numpy(),
        outcomes=np.array(by_output, table["outcomes"].type.value_type.to_pandas_dtype()) if by_output else None,
        amended=table["amended"].to_numpy(),
        rows=table["row"].to_numpy(),
        lost=lost.to_numpy() if len(lost) else None,
    )


def without_amended(
    goal: Goal, hits: Sequence[int], n_others: int, amended: Mapping[int, Readout], audited: Rows
) -> tuple[list[int], int]:
    """Measured hits and other rows of a look without those that were amended since its model was frozen.

    An amended row counts neither as a hit nor as another one: every allowance grows with both numbers, so no amendment
    makes room for errors.

    Parameters
    ----------
    amended:
        Rows that were amended, with the readouts by which they are among the counts.
    audited:
        Rows that are not among the counts.
    """
    counted = sorted(amended.keys() - set(audited.tolist()))
    if not counted or not goal.knows_hits:
        return list(hits), n_others
    of_amended = goal.count_hits(np.array([amended[row][0] for row in counted]))
    kept = [n - n_amended for n, n_amended in zip(hits, of_amended, strict=True)]
    return kept, n_others - (len(counted) - sum(of_amended))


def judged_hits(look: Mapping[str, Any]) -> list[int]:
    """The measured hits by which a look was judged, by its record."""
    # A version before knew single labels only.
    return list(look["judged"].get("hits") or [look["judged"]["n_hits"]])


def passes_still(goal: Goal, look: Mapping[str, Any], audits: Sequence[Audit], amended: Mapping[int, Readout]) -> bool:
    """Whether a passed look passes when every row of its audits that was amended since counts as an error.

    With the same finish at most: what it measured is not extended.

    Parameters
    ----------
    look:
        The record of the look's round.
    audits:
        Its audits.
    amended:
        Rows that were amended since, with the readouts that the look had been judged by.
    """
    plans = tuple(plan_of(stored) for stored in look["look"])
    rows = np.concatenate([audit.rows for audit in audits])
    audits = tuple(doubted(audit, np.array(sorted(amended), np.int64)) for audit in audits)
    counts = without_amended(goal, judged_hits(look), look["judged"]["n_others"], amended, rows)
    plans = goal.settle(plans, *counts)
    decision = decide_look(plans, audits, goal, counts[0], sum(plan.n_inference for plan in plans))
    return decision.action != "continue" and decision.n_finish <= look["n_finish"]
