"""Counting again, from the readouts on record, what a look was judged by.

Without the loop, its history or its workers: by batches, the log and frozen predictions alone. Records of earlier
versions may rest on other counts: those that took readouts from outside the plan as they were first told, and not as
they were amended, counted hits that were none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isd_ray.campaign.batch import selection_of
from isd_ray.campaign.judged import audits_from, doubted, judged_hits, passes_still, without_amended
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.look_rounds import rounds_of_look
from isd_ray.campaign.oracle import Readout, Readouts, with_amendments
from isd_ray.campaign.round_files import RoundFiles, RoundRecord
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import version_by
from isd_ray.core.goals import Goal
from isd_ray.core.panels import has_readout, without_readout
from isd_ray.core.stopping import Audit
from isd_ray.data.predictions import read_predictions
from isd_ray.messages import ROLES, LabelArray, Rows
from isd_ray.storage.addresses import within
from isd_ray.storage.copies import fetched

_ROUNDING = 1e-9
"""Difference of two losses that is none."""
_AUDIT, _FILLING = map(ROLES.index, ("audit", "filling"))


@dataclass(frozen=True, slots=True)
class Recount:
    """What the readouts on record say of a look that was judged.

    Attributes
    ----------
    look:
        The record of its round, with the counts of measured hits and others as they are on record.
    audits:
        Its audits, with losses by the readouts on record.
    differences:
        In words, what its record counts otherwise; empty where all agrees.
    passes:
        Whether the look passes by what is on record.
    """

    look: Mapping[str, Any]
    audits: tuple[Audit, ...]
    differences: tuple[str, ...]
    passes: bool

    @property
    def words(self) -> str:
        """The differences as a sentence."""
        return "; ".join(self.differences)


def recount(
    store: CampaignStore,
    goal: Goal,
    rounds: Sequence[RoundFiles],
    look: RoundRecord,
    amended: Mapping[int, Readout],
    amended_since_release: Mapping[int, Readout],
) -> Recount:
    """Count again what the look of a round was judged by.

    Parameters
    ----------
    look:
        The record of the round in which it was judged.
    amended, amended_since_release:
        Readouts that were corrected until it was judged, and those of them that were while its batch was out.
    """
    of_look = rounds_of_look(rounds, look["round"])
    rows, labels = measured_by(store, rounds[: look["round"] + 1], amended)
    stored_hits, n_others = judged_hits(look), look["judged"]["n_others"]
    hits = stored_hits
    if goal.knows_hits:
        inside = np.concatenate([_inside(files) for files in of_look])
        outside = ~np.isin(rows, inside)
        hits = list(goal.count_hits(labels[outside]))
        doubtful = {
            row: amended_since_release[row] for row in np.intersect1d(rows, list(amended_since_release)).tolist()
        }
        hits, n_others = without_amended(goal, hits, int(outside.sum()) - sum(hits), doubtful, inside)
    stored = audits_from(store.read_readouts(look["audits_sha256"]), 1 if goal.outputs else len(look["look"] or ()))
    audits = tuple(_judged_again(store, goal, of_look, audit, rows, labels, amended) for audit in stored)
    found = [
        *differences("measured hits", stored_hits, hits),
        *differences("other measured compounds", [look["judged"]["n_others"]], [n_others]),
        *(line for before, now in zip(stored, audits, strict=True) for line in _of_audit(before, now)),
    ]
    again = {**look, "judged": {"hits": hits, "n_others": n_others}}
    return Recount(again, audits, tuple(found), passes_still(goal, again, audits, {}))


def measured_by(
    store: CampaignStore, rounds: Sequence[RoundFiles], amended: Mapping[int, Readout]
) -> tuple[Rows, LabelArray]:
    """Every row that was measured by the end of some rounds, the first ones, ascending; and its label as corrected.

    Those of readouts from outside the plan that the rounds had heard of are among them.
    """
    laboratory, in_laboratory = Laboratory(store), store.manifest["in_laboratory"]
    found: list[tuple[Rows, Readouts]] = []
    known = np.empty(0, np.int64)

    def take(rows: Rows, readouts: Readouts) -> None:
        nonlocal known
        new = np.flatnonzero(readouts.present & ~np.isin(rows, known))
        found.append((rows[new], readouts.take(new)))
        known = np.concatenate([known, rows[new]])

    if not in_laboratory:
        for event in store.events():
            if event.get("known"):
                table = store.read_readouts(event["readouts_sha256"])
                take(table["row"].to_numpy(), Readouts.of(table))
    for files in rounds:
        if in_laboratory and (n_events := files.released.get("n_events")) is not None:
            standing = laboratory.standing(n_events).within(version_by(store, n_events).n_rows)
            take(standing.rows, standing.readouts)
        if files.committed is not None:
            table = store.read_readouts(files.committed["readouts_sha256"])
            take(table["row"].to_numpy(), Readouts.of(table))
    if not found:
        return known, np.empty(0)
    readouts = with_amendments(found[0][1].joined(*(more for _, more in found[1:])), known, amended)
    order = np.argsort(known)
    return known[order], readouts.labels[order]


def _inside(files: RoundFiles) -> Rows:
    """Rows of a batch of a look that are of its audit, or fill its plates: none of them counts as measured before."""
    selection = selection_of(files.read_batch())
    rows: Rows = selection.scored.rows[np.isin(selection.roles, (_AUDIT, _FILLING))]
    return rows


def _judged_again(
    store: CampaignStore,
    goal: Goal,
    of_look: Sequence[RoundFiles],
    audit: Audit,
    rows: Rows,
    labels: LabelArray,
    amended: Mapping[int, Readout],
) -> Audit:
    """An audit whose losses are those of its frozen predictions against the readouts on record."""
    places = np.minimum(np.searchsorted(rows, audit.rows), len(rows) - 1)
    is_there = rows[places] == audit.rows
    found, prediction = without_readout(labels[places], ~is_there), _frozen(store, of_look[0], audit.rows)
    again = replace(
        audit,
        losses=goal.losses(prediction, found),
        measured=has_readout(found),
        outcomes=None if audit.outcomes is None else goal.outcomes(prediction, found),
        lost=None if audit.lost is None else goal.kept(found),
        amended=None,
    )
    return doubted(again, np.array(sorted(amended), np.int64))


def _frozen(store: CampaignStore, first: RoundFiles, rows: Rows) -> LabelArray:
    """What the look of a round had predicted of some rows, in that order."""
    address = within(store.address, str(first.released["frozen"]))
    found = []
    for name in sorted(first.released["predictions"]):
        part = read_predictions(fetched(within(address, name)))
        found.append(part.take(np.flatnonzero(np.isin(part.rows, rows))))
    known = np.concatenate([part.rows for part in found])
    order = np.argsort(known)
    prediction: LabelArray = np.concatenate([part.prediction for part in found])
    return prediction[order[np.searchsorted(known, rows, sorter=order)]]


def differences(what: str, stored: Sequence[float], now: Sequence[float]) -> Iterator[str]:
    """A count that differs from the one on record, in words; nothing if it does not."""
    if list(stored) != list(now):
        yield f"it counts {_listed(stored)} {what}, and the readouts on record hold {_listed(now)}"


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:,g}" for number in numbers)


def _of_audit(stored: Audit, now: Audit) -> Iterator[str]:
    counts = {
        "errors of its audit": (float(stored.losses.sum()), float(now.losses.sum())),
        "lost wells of its audit": (stored.n_lost, now.n_lost),
        "amended readouts of its audit": (stored.n_amended, now.n_amended),
    }
    different = [line for what, (before, after) in counts.items() for line in differences(what, [before], [after])]
    yield from different
    if not different and not np.allclose(stored.losses, now.losses, rtol=0.0, atol=_ROUNDING):
        yield "other compounds of its audit are wrong by the readouts on record than it says"
