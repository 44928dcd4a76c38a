"""Deciding on a measured batch: what it says of the screen, and whether the screen goes on."""

from __future__ import annotations

import time
from dataclasses import replace

from isd_ray.campaign.constant import constant_record
from isd_ray.campaign.evidence import audits_of, bound_by_random_rows, measured_elsewhere, output_ranges
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
from isd_ray.campaign.judged import audits_table
from isd_ray.campaign.look_rounds import plan_of, stored_look
from isd_ray.campaign.record import batch_record, decision_record, metrics_after, outputs_after
from isd_ray.campaign.round_files import RoundRecord, some_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Decided, Measured
from isd_ray.campaign.steps.further import before_judging
from isd_ray.campaign.steps.look import is_last_look
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.looks import LookPlan
from isd_ray.core.portions import judged_plans
from isd_ray.core.race import race_record
from isd_ray.core.stopping import Audit
from isd_ray.messages import ROLES, UNJUDGED, RoundEvidence, StopDecision

_FINISH, _TOP = map(ROLES.index, ("finish", "top"))
_OF_LOOK = ("audit_seed", "n_events")
"""What the record of a look says of its release, also where it is judged rounds later."""


def decide(screen: Screen, measured: Measured) -> Decided:
    """Take the batch into the observation set and commit the round."""
    batch, readouts = measured.released, measured.readouts
    number, selection, earlier = batch.number, batch.selection, batch.earlier
    details: RoundRecord = {**measured.details}
    n_before = screen.sets.n_measured
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
        "n_inference": screen.sets.n_target - n_before,
        "fraction_acquired": n_before / screen.sets.n_target,
        "n_acquired": screen.sets.n_measured,
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
        plans = screen.goal.settle(judged_plans(look.plans), hits, n_others)
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
