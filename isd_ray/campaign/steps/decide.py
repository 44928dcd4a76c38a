"""Deciding on a measured batch: what it says of the screen, and whether the screen goes on."""

from __future__ import annotations

import time

import numpy as np

from isd_ray.campaign.amend import amended_readouts
from isd_ray.campaign.constant import constant_record
from isd_ray.campaign.evidence import audits_of, bound_by_random_rows, output_ranges
from isd_ray.campaign.families import SeenBlocks
from isd_ray.campaign.history import calibration_warning
from isd_ray.campaign.honesty import (
    age_cautions,
    column_cautions,
    constant_cautions,
    leading_cautions,
    news,
    race_cautions,
)
from isd_ray.campaign.judged import audits_table, without_amended
from isd_ray.campaign.record import batch_record, decision_record, metrics_after, outputs_after
from isd_ray.campaign.round_files import RoundRecord, some_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.steps.further import before_judging, whole_batch
from isd_ray.campaign.steps.look import is_last_look
from isd_ray.campaign.work import plan_of
from isd_ray.core.panels import has_readout
from isd_ray.core.portions import judged_plans
from isd_ray.core.race import race_record
from isd_ray.core.stopping import Audit
from isd_ray.messages import ROLES, UNJUDGED, RoundEvidence, StopDecision

_FINISH, _TOP, _AUDIT, _FILLING = map(ROLES.index, ("finish", "top", "audit", "filling"))
_OF_LOOK = ("audit_seed", "n_events")
"""What the record of a look says of its release, also where it is judged rounds later."""


def decide(screen: Screen) -> RoundRecord:
    """Take the batch into the observation set and commit the round; returns its record."""
    work = screen.round
    assert work.selection is not None, "DECIDE follows MEASURE"
    assert work.readouts is not None, "DECIDE follows MEASURE"
    assert work.attempt is not None, "DECIDE follows MEASURE"
    n_before = screen.sets.n_measured
    correct = screen.history.correct(work.selection, work.readouts)
    losses, present = screen.history.losses(work.selection, work.readouts), work.readouts.present
    bound = bound_by_random_rows(screen.config, screen.goal, work, screen.history, losses)
    race = screen.judge_race(work.selection, work.readouts)
    if race is not None:
        screen.history.race.append(race)
        work.details["race"] = race_record(work.details["race"], race)
    families = screen.config.model.families
    cautions = race_cautions(screen.history.race, families) if screen.goal.knows_hits else []
    work.details["output_ranges"] = output_ranges(screen.config, screen.goal, work, screen.history)
    screen.history.observe(work.attempt, work.selection, work.readouts, work.details, work.number)
    names = screen.outputs or screen.classes
    seen = SeenBlocks(screen.config, screen.store.manifest.get("blocks") or {}, screen.library)
    constant = screen.constant_answer()
    if screen.sets.n_inference:  # where everything is measured no claim rests on predictions
        cautions += constant_cautions(screen.goal, constant, screen.classes)
    cautions += leading_cautions(work.details, seen)
    cautions += column_cautions(screen.store, screen.library, seen, screen.history, screen.config.task, names)
    cautions += age_cautions(screen.config.library.history, seen, screen.began)
    declared, audits = work.look, _audits(screen)
    decision = before_judging(screen, _judge(screen, audits), is_at_end=_is_last(screen))
    if is_open := decision.action in UNJUDGED:
        # The look is judged, and on record, in a later round.
        work.look, audits = declared, ()
        work.details.pop("judged", None)
    elif audits:
        work.details["audits_sha256"] = screen.store.keep(audits_table(audits))
    if work.earlier is not None:
        before = work.earlier.record
        work.details.update(some_of(before, _OF_LOOK))
        if n_filling := before.get("n_filling", 0) + work.details.get("n_filling", 0):
            work.details["n_filling"] = n_filling
    if "group_sizes" in work.details:
        after = metrics_after(work.details, work.selection, present, losses, correct, screen.history, screen.goal)
        work.details.update(after)
        work.details.update(outputs_after(work.details, work.selection, work.readouts, screen.history, screen.goal))
    calibration = screen.history.calibration()
    if calibration.raised:
        screen.warnings.append(f"round {work.number}: {calibration_warning(calibration)}")
    last = screen.history.records[-1] if screen.history.records else None
    screen.warnings += [f"round {work.number}: {words}" for words in news(cautions, last)]
    record: RoundRecord = {
        "fit_seconds": 0.0,
        "score_seconds": 0.0,
        **work.details,
        **work.reference(screen.store.address),
        **({"look": None} if is_open else {}),
        **batch_record(work.selection, losses, correct, audits, screen.goal),
        **decision_record(decision, bound),
        **constant_record(screen.goal, constant, screen.classes),
        "round": work.number,
        "n_observed": n_before,
        "n_inference": screen.sets.n_target - n_before,
        "fraction_acquired": n_before / screen.sets.n_target,
        "n_acquired": screen.sets.n_measured,
        **({"n_known": screen.history.n_known} if screen.history.n_known else {}),
        "spent": screen.budget.spent,
        "n_amendments": screen.n_amendments,
        "n_lost": int((~present).sum()),
        "n_repeated": 0 if work.earlier is None else work.earlier.n_known(work.selection.scored.rows),
        **({"warnings": cautions} if cautions else {}),
        "calibration_pvalue": calibration.pvalue,
        "calibration_alarm": calibration.raised,
        "round_seconds": time.perf_counter() - work.started,
    }
    screen.store.commit(work.number, record)
    return record


def _audits(screen: Screen) -> tuple[Audit, ...]:
    """The audits of the round's look; empty without one."""
    if not screen.round.look:
        return ()
    amended = np.array(sorted(screen.amended), np.int64)
    batch = whole_batch(screen)
    return audits_of(screen.config, screen.goal, screen.round, *batch, screen.history, screen.backend, amended)


def _is_last(screen: Screen) -> bool:
    """Whether the look of the round, or of its finish, is the one at the end of the budget."""
    looks = [tuple(map(plan_of, record["look"])) for record in screen.history.records if record["look"]]
    look = screen.round.look or (looks[-1] if looks else ())
    return bool(look) and is_last_look(screen, look)


def _judge(screen: Screen, audits: tuple[Audit, ...]) -> StopDecision:
    """What the bound actor says of the batch, which the history holds already."""
    selection, readouts = whole_batch(screen)
    if screen.round.look:
        # The population of a look holds its filling, which is measured beside the audit and credits nothing.
        is_inside = np.isin(selection.roles, (_AUDIT, _FILLING))
        inside = readouts.labels[is_inside]
        found = zip(screen.history.hits, screen.goal.count_hits(inside), strict=True)
        hits = [n_all - n_inside for n_all, n_inside in found]
        n_others = screen.sets.n_measured - int(has_readout(inside).sum()) - sum(hits)
        # A release of an earlier version does not say which corrections it knew: then none is trusted.
        earlier = screen.round.earlier
        known = screen.round.details.get("n_amendments", 0) if earlier is None else earlier.n_amendments
        since = amended_readouts(screen.store, known)
        doubtful = {row: readout for row, readout in since.items() if not screen.sets.is_left(np.array([row]))[0]}
        hits, n_others = without_amended(screen.goal, hits, n_others, doubtful, selection.scored.rows[is_inside])
        screen.round.details["judged"] = {"hits": hits, "n_others": n_others}
        screen.round.look = screen.goal.settle(judged_plans(screen.round.look), hits, n_others)
        # A finish would be the next round.
        wells = 0 if screen.asks_no_more else screen.budget.look(_is_last(screen), screen.round.number + 1)
        return screen.backend.decide_look(screen.round.look, audits, hits, wells)
    # Where right and wrong are not defined, or no model had spoken, no row is evidence.
    top = selection.scored.is_predicted & screen.config.counts_errors & (selection.roles == _TOP)
    correct = screen.history.correct(selection, readouts)
    evidence = RoundEvidence(
        round=screen.round.number,
        n_target=screen.sets.n_target,
        n_observed=screen.sets.n_measured,
        n_inference=screen.sets.n_inference,
        n_batch=len(selection.roles),
        n_top=int(top.sum()),
        n_top_correct=float(correct[top].sum()),
        n_finish=int((selection.roles == _FINISH).sum()),
        n_finish_lost=int(((selection.roles == _FINISH) & ~readouts.present).sum()),
        rule_counts=screen.budget.rule_counts(screen.round.number + 1),
        stopped=None if screen.stopped is None else screen.stopped.reason,
        spent_on=() if len(selection.roles) else screen.budget.spent_on(screen.round.number),
    )
    return screen.backend.decide(evidence)
