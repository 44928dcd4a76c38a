"""Deciding on a measured batch: what it says of the screen, and whether the screen goes on."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts
from isd_ray.campaign.constant import constant_record
from isd_ray.campaign.evidence import audits_of, bound_by_random_rows, output_ranges
from isd_ray.campaign.families import SeenBlocks
from isd_ray.campaign.history import calibration_warning
from isd_ray.campaign.honesty import column_cautions, constant_cautions, leading_cautions, news, race_cautions
from isd_ray.campaign.judged import audits_table, without_amended
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.record import batch_record, decision_record, metrics_after, outputs_after
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.selection import Selection
from isd_ray.core.panels import has_readout
from isd_ray.core.race import race_record
from isd_ray.core.stopping import Audit, settled
from isd_ray.messages import ROLES, RoundEvidence, StopDecision

_FINISH, _TOP, _AUDIT = map(ROLES.index, ("finish", "top", "audit"))


def decide(screen: Screen) -> dict[str, Any]:
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
    audits: tuple[Audit, ...] = ()
    if work.look:
        amended = np.array(sorted(screen.amended), np.int64)
        audits = audits_of(screen.config, screen.goal, work, screen.history, losses, screen.backend, amended)
        work.details["audits_sha256"] = screen.store.keep(audits_table(audits))
    decision = _judge(screen, work.selection, work.readouts, correct, audits)
    if "group_sizes" in work.details:
        after = metrics_after(work.details, work.selection, present, losses, correct, screen.history, screen.goal)
        work.details.update(after)
        work.details.update(outputs_after(work.details, work.selection, work.readouts, screen.history, screen.goal))
    calibration = screen.history.calibration()
    if calibration.raised:
        screen.warnings.append(f"round {work.number}: {calibration_warning(calibration)}")
    last = screen.history.records[-1] if screen.history.records else None
    screen.warnings += [f"round {work.number}: {words}" for words in news(cautions, last)]
    record = {
        "fit_seconds": 0.0,
        "score_seconds": 0.0,
        **work.details,
        **work.reference(screen.store.address),
        **batch_record(work.selection, losses, audits, screen.goal),
        **decision_record(decision, bound),
        **constant_record(screen.goal, constant, screen.classes),
        "round": work.number,
        "n_observed": n_before,
        "n_inference": screen.sets.n_target - n_before,
        "fraction_acquired": n_before / screen.sets.n_target,
        "n_acquired": screen.sets.n_measured,
        "spent": screen.budget.spent,
        "n_amendments": screen.n_amendments,
        "n_lost": int((~present).sum()),
        **({"warnings": cautions} if cautions else {}),
        "calibration_pvalue": calibration.pvalue,
        "calibration_alarm": calibration.raised,
        "round_seconds": time.perf_counter() - work.started,
    }
    screen.store.commit(work.number, record)
    return record


def _judge(
    screen: Screen, selection: Selection, readouts: Readouts, correct: NDArray[np.float64], audits: tuple[Audit, ...]
) -> StopDecision:
    """What the bound actor says of the batch, which the history holds already."""
    n_batch, stopping = len(correct), screen.config.stopping
    if screen.round.look:
        is_audit = selection.roles == _AUDIT
        audited = readouts.labels[is_audit]
        n_hits = screen.history.n_hits - int(screen.goal.hits(audited).sum())
        n_others = screen.sets.n_measured - int(has_readout(audited).sum()) - n_hits
        # A release of an earlier version does not say which corrections it knew: then none is trusted.
        since = amended_readouts(screen.store, screen.round.details.get("n_amendments", 0))
        doubtful = {row: readout for row, readout in since.items() if not screen.sets.is_left(np.array([row]))[0]}
        n_hits, n_others = without_amended(screen.goal, n_hits, n_others, doubtful, selection.scored.rows[is_audit])
        screen.round.details["judged"] = {"n_hits": n_hits, "n_others": n_others}
        screen.round.look = settled(screen.round.look, screen.goal, n_hits, n_others)
        is_last = stopping.reserve_audit and screen.round.look[0].finish == "any"
        # A finish would be the next round.
        wells = screen.budget.look(is_last, screen.round.number + 1)
        return screen.backend.decide_look(screen.round.look, audits, n_hits, wells)
    # Where right and wrong are not defined, or no model had spoken, no row is evidence.
    top = selection.scored.is_predicted & screen.config.counts_errors & (selection.roles == _TOP)
    evidence = RoundEvidence(
        round=screen.round.number,
        n_target=screen.sets.n_target,
        n_observed=screen.sets.n_measured,
        n_inference=screen.sets.n_inference,
        n_batch=n_batch,
        n_top=int(top.sum()),
        n_top_correct=float(correct[top].sum()),
        n_finish=int((selection.roles == _FINISH).sum()),
        n_finish_lost=int(((selection.roles == _FINISH) & ~readouts.present).sum()),
        rule_counts=screen.budget.rule_counts(screen.round.number + 1),
        spent_on=() if n_batch else screen.budget.spent_on(screen.round.number),
    )
    return screen.backend.decide(evidence)
