"""What a measured batch says: its random rows of the screen before it, its audit of the frozen model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts
from isd_ray.campaign.judged import doubted, without_amended
from isd_ray.campaign.look_rounds import FrozenLook
from isd_ray.campaign.record import Bound
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Measured, Released
from isd_ray.core.goals import OTHERS, ByOutput
from isd_ray.core.panels import has_readout
from isd_ray.core.seeding import tie_keys
from isd_ray.core.stopping import Audit, RandomSample, random_bound
from isd_ray.messages import ROLES, RankRequest, ScoredRows

_RANDOM, _AUDIT, _FILLING = map(ROLES.index, ("random", "audit", "filling"))


def bound_by_random_rows(screen: Screen, batch: Released, losses: NDArray[np.float64]) -> Bound:
    """What the random rows of the batch say of the screen before it, which the history still holds.

    Parameters
    ----------
    losses:
        float64 (n,): of the batch.
    """
    goal = screen.goal
    # Claims about each output of a panel have ranges of their own (`output_ranges`).
    if not goal.has_losses or goal.outputs or "group_sizes" not in batch.details:
        return None, None
    scored, sizes = batch.selection.scored, tuple(batch.details["group_sizes"])
    is_random, groups = batch.selection.roles == _RANDOM, goal.groups(scored.prediction)
    # By a random key: betting needs a random order, and these rows lie in file order.
    order = np.argsort(tie_keys(screen.seed("order", batch.number), scored.rows))
    samples = [
        RandomSample(size, losses[order][(is_random & (groups == group))[order]]) for group, size in enumerate(sizes)
    ]
    return random_bound(goal, screen.history.counts(sizes), samples, screen.config.stopping.delta)


def output_ranges(screen: Screen, measured: Measured) -> list[Any]:
    """What the random rows of the batch say of each output that has a claim (`ByOutput.range`)."""
    batch, goal = measured.released, screen.goal
    if "group_sizes" not in batch.details or not isinstance(goal, ByOutput):
        return []
    prediction, counts = batch.selection.scored.prediction, screen.history.counts(tuple(batch.details["group_sizes"]))
    speaks = (batch.selection.roles == _RANDOM) & (goal.groups(prediction) == OTHERS)
    # By a random key, as in `bound_by_random_rows`.
    order = np.argsort(tie_keys(screen.seed("order", batch.number), batch.selection.scored.rows))
    outcomes = goal.outcomes(prediction, measured.readouts.labels)[order][speaks[order]]
    delta = screen.config.stopping.delta
    return [goal.range(column, counts, place, delta) for place, column in enumerate(outcomes.T)]


def audits_of(screen: Screen, measured: Measured, look: FrozenLook) -> tuple[Audit, ...]:
    """The audit of each group of a look: rows of its batch, or the reserve. Outputs of a panel share one.

    Of wells that were lost and measured once more the second try counts. Rows whose readouts were amended count as
    errors (`doubted`).
    """
    goal, backend, history = screen.goal, screen.backend, screen.history
    amended = np.array(sorted(screen.amended), np.int64)
    selection, readouts = measured.all_of_look
    scored, labels = selection.scored, readouts.labels
    is_audit, present = selection.roles == _AUDIT, readouts.present
    losses = history.losses(selection, readouts)
    if screen.config.stopping.in_force.is_reserved:
        scored = backend.look_up(look.frozen, history.sets.reserve)
        # By a random key, as in `bound_by_random_rows`.
        scored = scored.take(np.argsort(tie_keys(screen.seed("order", measured.number), scored.rows)))
        labels = history.labels_of(scored.rows)
        losses, present = goal.losses(scored.prediction, labels), has_readout(labels)
        is_audit = np.ones(len(losses), np.bool_)
    if goal.outputs:
        outcomes = goal.outcomes(scored.prediction, labels)[is_audit]
        whole = Audit(np.empty(0, np.int64), losses[is_audit], present[is_audit], outcomes, rows=scored.rows[is_audit])
        return (doubted(whole, amended),)
    groups = goal.groups(scored.prediction)
    audits = []
    tie_seed = screen.seed("tie", look.round)

    def ranks(rows: ScoredRows, group: int) -> NDArray[np.int64]:
        return backend.count_ranks(RankRequest(look.frozen, group, rows.rows, rows.uncertainty, tie_seed))

    filling = selection.scored.take(np.flatnonzero((selection.roles == _FILLING) & readouts.present))
    for plan in look.plans:
        inside = np.flatnonzero(is_audit & (groups == plan.group))
        audited = scored.take(inside)
        found = Audit(
            ranks(audited, plan.group),
            losses[inside],
            present[inside],
            rows=audited.rows,
            filling=ranks(filling, plan.group) if len(filling.rows) else np.empty(0, np.int64),
            lost=goal.kept(labels[inside]),
        )
        audits.append(doubted(found, amended))
    return tuple(audits)


def measured_elsewhere(screen: Screen, measured: Measured) -> tuple[list[int], int]:
    """Hits and other rows measured outside the audit of a look and its filling, without those amended since.

    The population of a look holds its filling, which is measured beside the audit and credits nothing.
    """
    selection, readouts = measured.all_of_look
    is_inside = np.isin(selection.roles, (_AUDIT, _FILLING))
    inside = readouts.labels[is_inside]
    found = zip(screen.history.hits, screen.goal.count_hits(inside), strict=True)
    hits = [n_all - n_inside for n_all, n_inside in found]
    n_others = screen.sets.n_measured - int(has_readout(inside).sum()) - sum(hits)
    # A release of an earlier version does not say which corrections it knew: then none is trusted.
    batch = measured.released
    known = batch.details.get("n_amendments", 0) if batch.earlier is None else batch.earlier.n_amendments
    since = amended_readouts(screen.store, known)
    doubtful = {row: readout for row, readout in since.items() if not screen.sets.is_left(np.array([row]))[0]}
    return without_amended(screen.goal, hits, n_others, doubtful, selection.scored.rows[is_inside])
