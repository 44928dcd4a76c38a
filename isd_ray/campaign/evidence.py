"""What a measured batch says: its random rows of the screen before it, its audit of the frozen model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.history import History
from isd_ray.campaign.judged import doubted
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.record import Bound
from isd_ray.campaign.selection import Selection
from isd_ray.campaign.work import RoundWork
from isd_ray.config import CampaignConfig
from isd_ray.core.goals import OTHERS, ByOutput, Goal
from isd_ray.core.panels import has_readout
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.core.stopping import Audit, RandomSample, random_bound
from isd_ray.messages import ROLES, RankRequest, Rows, ScoredRows

_RANDOM, _AUDIT, _FILLING = map(ROLES.index, ("random", "audit", "filling"))


def bound_by_random_rows(
    config: CampaignConfig, goal: Goal, work: RoundWork, history: History, losses: NDArray[np.float64]
) -> Bound:
    """What the random rows of the batch say of the screen before it, which the history still holds.

    Parameters
    ----------
    losses:
        float64 (n,): of the batch.
    """
    # Claims about each output of a panel have ranges of their own (`output_ranges`).
    if not goal.has_losses or goal.outputs or work.selection is None or "group_sizes" not in work.details:
        return None, None
    scored, sizes = work.selection.scored, tuple(work.details["group_sizes"])
    is_random, groups = work.selection.roles == _RANDOM, goal.groups(scored.prediction)
    # By a random key: betting needs a random order, and these rows lie in file order.
    order = np.argsort(tie_keys(derive_seed(config.seed, "order", work.number), scored.rows))
    samples = [
        RandomSample(size, losses[order][(is_random & (groups == group))[order]]) for group, size in enumerate(sizes)
    ]
    return random_bound(goal, history.counts(sizes), samples, config.stopping.delta)


def output_ranges(config: CampaignConfig, goal: Goal, work: RoundWork, history: History) -> list[Any]:
    """What the random rows of the batch say of each output that has a claim (`ByOutput.range`)."""
    if work.selection is None or work.readouts is None or "group_sizes" not in work.details:
        return []
    if not isinstance(goal, ByOutput):
        return []
    prediction, counts = work.selection.scored.prediction, history.counts(tuple(work.details["group_sizes"]))
    speaks = (work.selection.roles == _RANDOM) & (goal.groups(prediction) == OTHERS)
    outcomes = goal.outcomes(prediction, work.readouts.labels)[speaks]
    return [goal.range(column, counts, place, config.stopping.delta) for place, column in enumerate(outcomes.T)]


def audits_of(
    config: CampaignConfig,
    goal: Goal,
    work: RoundWork,
    selection: Selection,
    readouts: Readouts,
    history: History,
    backend: Backend,
    amended: Rows,
) -> tuple[Audit, ...]:
    """The audit of each group of the round's look: rows of the batch, or the reserve. Outputs of a panel share one.

    Parameters
    ----------
    selection, readouts:
        The batch of the look, and what came back: of wells that were lost and measured once more, the second time.
    amended:
        Rows whose readouts were amended: in an audit they count as errors (`doubted`).
    """
    assert work.frozen is not None, "a look has frozen predictions"
    scored, labels = selection.scored, readouts.labels
    is_audit, present = selection.roles == _AUDIT, readouts.present
    losses = history.losses(selection, readouts)
    if config.stopping.in_force.is_reserved:
        scored = backend.look_up(work.frozen, history.sets.reserve)
        # By a random key, as in `bound_by_random_rows`.
        scored = scored.take(np.argsort(tie_keys(derive_seed(config.seed, "order", work.number), scored.rows)))
        labels = history.labels_of(scored.rows)
        losses, present = goal.losses(scored.prediction, labels), has_readout(labels)
        is_audit = np.ones(len(losses), np.bool_)
    if goal.outputs:
        outcomes = goal.outcomes(scored.prediction, labels)[is_audit]
        whole = Audit(np.empty(0, np.int64), losses[is_audit], present[is_audit], outcomes, rows=scored.rows[is_audit])
        return (doubted(whole, amended),)
    groups = goal.groups(scored.prediction)
    audits = []
    frozen, tie_seed = work.frozen, derive_seed(config.seed, "tie", work.look_round)

    def ranks(rows: ScoredRows, group: int) -> NDArray[np.int64]:
        return backend.count_ranks(RankRequest(frozen, group, rows.rows, rows.uncertainty, tie_seed))

    filling = selection.scored.take(np.flatnonzero((selection.roles == _FILLING) & readouts.present))
    for plan in work.look:
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
