"""Deciding on a measured batch: what it says of the screen, and whether the screen goes on."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts
from isd_ray.campaign.constant import constant_record
from isd_ray.campaign.families import SeenBlocks
from isd_ray.campaign.history import calibration_warning
from isd_ray.campaign.honesty import (
    Caution,
    age_cautions,
    column_cautions,
    constant_cautions,
    leading_cautions,
    news,
    race_cautions,
)
from isd_ray.campaign.judged import audits_table, doubted, without_amended
from isd_ray.campaign.look_rounds import FrozenLook, plan_of, stored_look
from isd_ray.campaign.record import Bound, batch_record, decision_record, metrics_after, outputs_after
from isd_ray.campaign.round_files import RoundRecord, some_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Decided, Measured, Released
from isd_ray.campaign.steps.further import before_judging
from isd_ray.campaign.steps.look import is_last_look
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.goals import OTHERS, ByOutput
from isd_ray.core.looks import LookPlan
from isd_ray.core.panels import has_readout
from isd_ray.core.portions import judged_plans
from isd_ray.core.race import race_record
from isd_ray.core.seeding import tie_keys
from isd_ray.core.stopping import Audit, RandomSample, random_bound
from isd_ray.messages import ROLES, UNJUDGED, RankRequest, RoundEvidence, ScoredRows, StopDecision

_RANDOM, _TOP, _HIT, _AUDIT, _FINISH, _FILLING = map(
    ROLES.index, ("random", "top", "hit", "audit", "finish", "filling")
)
_OF_LOOK = ("audit_seed", "n_events")
"""What the record of a look says of its release, also where it is judged rounds later."""


def decide(screen: Screen, measured: Measured) -> Decided:
    """Take the batch into the observation set and commit the round."""
    batch, readouts = measured.released, measured.readouts
    number, selection, earlier = batch.number, batch.selection, batch.earlier
    details: RoundRecord = {**measured.details}
    sets = screen.sets
    n_before, n_left, n_abandoned = sets.n_measured, sets.n_inference, len(sets.lost)
    correct = screen.history.correct(selection, readouts)
    losses, present = screen.history.losses(selection, readouts), readouts.present
    bound = bound_by_random_rows(screen, batch, losses)
    race = screen.judge_race(batch, readouts)
    if race is not None:
        screen.history.race.append(race)
        details["race"] = race_record(details["race"], race)
    details["output_ranges"] = output_ranges(screen, measured)
    screen.history.observe(batch.attempt, selection, readouts, details, number)
    constant = screen.constant_answer()
    cautions = _cautions(screen, details, constant)
    decision, plans, audits, judged = _judge(screen, measured)
    details.update(judged)
    if earlier is not None:
        details.update(some_of(earlier.record, _OF_LOOK))
        if n_filling := earlier.record.get("n_filling", 0) + details.get("n_filling", 0):
            details["n_filling"] = n_filling
    if "group_sizes" in details:
        after = metrics_after(details, selection, present, losses, correct, screen.history, screen.goal)
        details.update(after)
        details.update(outputs_after(details, selection, readouts, screen.history, screen.goal))
    calibration = screen.history.calibration()
    if calibration.raised:
        screen.warnings.append(f"round {number}: {calibration_warning(calibration)}")
    last = screen.history.records[-1] if screen.history.records else None
    screen.warnings += [f"round {number}: {words}" for words in news(cautions, last)]
    record: RoundRecord = {
        "fit_seconds": 0.0,
        "score_seconds": 0.0,
        **details,
        **stored_look(batch.look and replace(batch.look, plans=plans), screen.store.address),
        **batch_record(selection, losses, correct, audits, screen.goal),
        **decision_record(decision, bound),
        **constant_record(screen.goal, constant, screen.classes),
        "round": number,
        "n_observed": n_before,
        "n_inference": n_left,
        "n_abandoned": n_abandoned,
        "fraction_acquired": n_before / sets.n_target,
        "n_acquired": sets.n_measured,
        **({"n_known": screen.history.n_known} if screen.history.n_known else {}),
        "spent": screen.budget.spent,
        "n_amendments": screen.n_amendments,
        "n_lost": int((~present).sum()),
        "n_repeated": 0 if earlier is None else earlier.n_known(selection.scored.rows),
        **({"warnings": cautions} if cautions else {}),
        "calibration_pvalue": calibration.pvalue,
        "calibration_alarm": calibration.raised,
        "round_seconds": time.perf_counter() - batch.started,
    }
    screen.store.commit(number, record)
    return Decided(measured, record)


def _cautions(screen: Screen, details: RoundRecord, constant: ConstantAnswer | None) -> list[Caution]:
    """What the round warns of, by a history that holds its batch already."""
    config, history = screen.config, screen.history
    names = screen.outputs or screen.classes
    seen = SeenBlocks(config.model, screen.store.manifest.get("blocks") or {}, screen.library)
    cautions = race_cautions(history.race, config.model.families) if screen.goal.knows_hits else []
    if screen.sets.n_inference:  # where everything is measured no claim rests on predictions
        cautions += constant_cautions(screen.goal, constant, screen.classes)
    cautions += leading_cautions(details, seen)
    cautions += column_cautions(screen.store, screen.library, seen, history, config.task, names)
    cautions += age_cautions(config.library.history, seen, screen.began)
    return cautions


def _judge(
    screen: Screen, measured: Measured
) -> tuple[StopDecision, tuple[LookPlan, ...], tuple[Audit, ...], RoundRecord]:
    """What is decided on the batch, which the history holds already.

    Returns
    -------
    tuple
        The decision; the look as it was judged, and its audits, empty where no look is judged in this round; and what
        the record says of it.
    """
    look, number = measured.released.look, measured.number
    plans: tuple[LookPlan, ...] = ()
    audits: tuple[Audit, ...] = ()
    found: RoundRecord = {}
    if look is None or not look.plans:
        decision = screen.backend.decide(_evidence(screen, measured))
    else:
        audits = audits_of(screen, measured, look)
        hits, n_others = measured_elsewhere(screen, measured)
        selection, readouts = measured.all_of_look
        unread = selection.scored.prediction[(selection.roles == _HIT) & ~readouts.present]
        plans = screen.goal.settle(screen.goal.with_unread(judged_plans(look.plans), unread), hits, n_others)
        # A finish would be the next round.
        wells = 0 if screen.asks_no_more else screen.budget.look(_is_last(screen, plans), number + 1)
        decision = screen.backend.decide_look(plans, audits, hits, wells)
        found["judged"] = {"hits": hits, "n_others": n_others}
    decision, goes_on = before_judging(screen, measured, plans, decision, is_at_end=_is_last(screen, plans))
    if decision.action in UNJUDGED:
        # The look is judged, and on record, in a later round.
        return decision, (), (), goes_on
    if audits:
        found["audits_sha256"] = screen.store.keep(audits_table(audits))
    return decision, plans, audits, found


def _is_last(screen: Screen, plans: tuple[LookPlan, ...]) -> bool:
    """Whether the look of the round, or of its finish, is the one at the end of the budget."""
    looks = [record["look"] for record in screen.history.records if record["look"]]
    plans = plans or tuple(map(plan_of, looks[-1] if looks else ()))
    return bool(plans) and is_last_look(screen, plans)


def _evidence(screen: Screen, measured: Measured) -> RoundEvidence:
    """What a stopping rule goes by in a round without a look."""
    (selection, readouts), number = measured.all_of_look, measured.number
    # Where right and wrong are not defined, or no model had spoken, no row is evidence.
    top = selection.scored.is_predicted & screen.config.counts_errors & (selection.roles == _TOP)
    correct = screen.history.correct(selection, readouts)
    return RoundEvidence(
        round=number,
        n_target=screen.sets.n_target,
        n_observed=screen.sets.n_measured,
        n_inference=screen.sets.n_inference,
        n_batch=len(selection.roles),
        n_top=int(top.sum()),
        n_top_correct=float(correct[top].sum()),
        n_finish=int((selection.roles == _FINISH).sum()),
        n_finish_lost=int(((selection.roles == _FINISH) & ~readouts.present).sum()),
        rule_counts=screen.budget.rule_counts(number + 1),
        stopped=None if screen.stopped is None else screen.stopped.reason,
        spent_on=() if len(selection.roles) else screen.budget.spent_on(number),
    )


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
