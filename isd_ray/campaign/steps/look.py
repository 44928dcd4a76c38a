"""Looks: whether to look now, the predictions frozen before an audit is drawn from them, and the finish."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import numpy as np

from isd_ray.campaign.batch import Ranks, Selection, batch_table, join
from isd_ray.campaign.look_rounds import FrozenLook
from isd_ray.campaign.round_files import Attempt, RoundRecord, look_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Chosen, Finishing, Trained
from isd_ray.core.certify import LONGEST_SKIP
from isd_ray.core.goals import HITS
from isd_ray.core.growth import batches_worth
from isd_ray.core.looks import LookPlan, is_all_spent, look_risk
from isd_ray.core.portions import in_portions, sizes
from isd_ray.core.stopping import LookEvidence
from isd_ray.core.topk import sample_of_group
from isd_ray.errors import LabelError
from isd_ray.messages import ROLES, Committee, FinishRequest, Frozen, PredictRequest, Rows, ScoredRows, ScoreReport
from isd_ray.plates.layout import free_places

_AUDIT = ROLES.index("audit")


def plan_looks(
    screen: Screen, number: int, report: ScoreReport, n_batch: int, n_random: int
) -> tuple[tuple[LookPlan, ...], RoundRecord]:
    """The look of this round, with the audit of each group, empty if this is not the round for one; and its outlook."""
    stopping = screen.config.stopping
    looks = stopping.in_force.is_audited or screen.ends_by_look
    if not looks or screen.history.stop_round is not None or not screen.sets.n_inference:
        return (), {}
    if stopping.in_force.is_reserved and any(look["decision"] == "finish" for look in screen.history.spent_looks):
        return (), {"outlook": "no look any more: a finish that the reserve had chosen was not completed"}
    left, growth = tuple(report.histogram.sum(axis=1).tolist()), screen.config.acquisition.growth
    evidence = LookEvidence(
        counts=screen.history.counts(left),
        n_observed=screen.sets.n_observed,
        batch_size=screen.budget.usual(number),
        first_draw=screen.history.first_draw,
        first_batch=None if growth == 1.0 else screen.budget.usual(0),
        n_batch=n_batch,
        n_random=n_random,
        n_affordable=screen.budget.look(screen.ends_by_look and n_batch == 0, number),
        rule_counts=screen.budget.rule_counts(number),
        histogram=report.histogram,
        scored=tuple(tuple(batches) for batches in screen.history.scored),
        failed_looks=screen.history.failed_looks,
        risk_spent=screen.history.risk_spent,
        batches_since_look=batches_worth(screen.history.batches_since_look, growth, LONGEST_SKIP),
        n_reserved=len(screen.sets.reserve) if stopping.in_force.is_reserved else None,
        n_unproved=screen.history.n_unproved if stopping.in_force.is_reserved else 0,
        last_look=screen.stopped is not None and screen.stopped.last_look,
    )
    outlook = screen.backend.forecast_look(evidence)
    plans = outlook.plans
    if plans and plans[0].portions > 1:
        plans = in_portions(plans, _rounds_for(screen, number, plans[0].portions))
    return plans, {
        "forecast_errors": outlook.errors,
        "outlook": outlook.reason,
        "needed": asdict(outlook.needed) if outlook.needed and not n_batch else None,
    }


def _rounds_for(screen: Screen, number: int, portions: int) -> int:
    """How many rounds, this one included and so many at most, the limit on rounds leaves for the portions of a look."""
    return next((n for n in range(portions, 1, -1) if screen.budget.look(is_last=False, rounds=number + n - 1)), 1)


def freeze_for_look(
    screen: Screen, fitted: Trained, plans: tuple[LookPlan, ...], ranks: Ranks
) -> tuple[Selection, FrozenLook, RoundRecord]:
    """Write the predictions down, then draw the audit from them; a reserve is the audit as it is."""
    whole_group = HITS if screen.goal.takes_hits else None
    address, frozen = freeze(screen, fitted.attempt, fitted.committee, plans, whole_group)
    look = FrozenLook(address, fitted.number, plans)
    seed = screen.draw_seed("audit", fitted.number, frozen.sha256)
    found: RoundRecord = {"predictions": dict(frozen.files), "audit_seed": seed}
    is_reserved = screen.config.stopping.in_force.is_reserved
    # Outputs of a panel share one audit.
    draws = () if is_reserved else tuple(dict.fromkeys((plan.group, plan.size) for plan in plans))
    hits = Selection.of(frozen.group, "hit", ranks)
    audits = [Selection.of(_draw(screen, address, group, size, seed), "audit", ranks) for group, size in draws]
    now = join([hits, *(_portions(audit, plans)[0] for audit in audits)])
    if plans[0].portions > 1:
        found |= _keep_rest(screen, [_portions(audit, plans)[1:] for audit in audits])
    filled, filling = with_filling(screen, look, fitted.number, now, join([hits, *audits]).scored.rows, ranks)
    return filled, look, {**found, **filling}


def _portions(audit: Selection, plans: tuple[LookPlan, ...]) -> list[Selection]:
    """An audit in portions, in the order of drawing."""
    ends = (0, *sizes(len(audit.roles), plans[0].portions))
    return [audit.take(np.arange(start, stop)) for start, stop in pairwise(ends)]


def _keep_rest(screen: Screen, rest: list[list[Selection]]) -> RoundRecord:
    """Put the later portions of all audits on record, before the first is released."""
    later = [join(list(of_portion)) for of_portion in zip(*rest, strict=True)]
    table = batch_table(join(later), screen.library, None)
    return {"audit_rest_sha256": screen.store.keep(table), "rest_sizes": [len(portion.roles) for portion in later]}


def with_filling(
    screen: Screen, look: FrozenLook, number: int, batch: Selection, released: Rows, ranks: Ranks | None = None
) -> tuple[Selection, RoundRecord]:
    """A batch of a look, and behind it rows that a finish would take next, for wells that would stay empty.

    Nobody sees from a plate, or from being in the batch, which of its compounds are audited, and a finish may need no
    second trip. At most as many as are audited, and only where the look may finish: elsewhere nothing would need them.
    They prove nothing: the test goes by the audit and the population that the look declared, in which they stay. Their
    number follows from the size of the audit, their order from the frozen predictions.

    Parameters
    ----------
    number, batch:
        This round, and what is released in it.
    released:
        All that was, is, or may be released of the look: a later portion of its audit is none.
    ranks:
        About how many rows of its group are more uncertain than each; None where that is not known.
    """
    plans, plates, n_audited = look.plans, screen.config.plates, int((batch.roles == _AUDIT).sum())
    can_finish = len(plans) == 1 and plans[0].finish != "none" and n_audited > 0
    if plates is None or not can_finish or not screen.store.manifest.get("fills_plates", False):
        return batch, {}
    left = screen.budget.look(is_last_look(screen, plans), number) - len(batch.roles)
    n = max(0, min(free_places(plates, len(batch.roles)), n_audited, left))
    best = _most_uncertain(screen, look, plans[0].group, n + len(released))
    found = best.take(np.flatnonzero(~np.isin(best.rows, released))[:n])
    return join([batch, Selection.of(found, "filling", ranks)]), {"n_filling": len(found.rows)}


def is_last_look(screen: Screen, plans: tuple[LookPlan, ...]) -> bool:
    """Whether a look is the one at the end of the budget: it alone spends all the risk that is left."""
    stopping = screen.config.stopping
    risk = look_risk([asdict(plan) for plan in plans])
    return screen.ends_by_look and is_all_spent(screen.history.risk_spent + risk, stopping.delta)


def _draw(screen: Screen, frozen: str, group: int, size: int, seed: int) -> ScoredRows:
    """A uniform sample of a group of the frozen predictions."""
    return sample_of_group(
        screen.sets.scored,
        size,
        seed,
        lambda rows: screen.backend.look_up(frozen, rows),
        lambda found: screen.goal.groups(found.prediction) == group,
    )


def freeze(
    screen: Screen,
    attempt: Attempt,
    committee: Committee | None,
    plans: tuple[LookPlan, ...],
    whole_group: int | None = None,
) -> tuple[str, Frozen]:
    """Write the predictions of the whole inference set, before a row of it is released; returns their address, too."""
    if not screen.sets.n_observed:
        raise LabelError(
            "no compound has a readout, so nothing can be predicted", screen.store.address, "tell some readouts"
        )
    screen.write_plan(attempt, plans)
    request = PredictRequest(
        round=attempt.round,
        inference=screen.sets.packed_scored(),
        directory=screen.store.address_of(attempt.predictions_dir),
        only_label=screen.goal.as_prediction(screen.sets.labels[:1]),
        whole_group=whole_group,
    )
    frozen = screen.backend.freeze(request, committee)
    screen.store.note_frozen(attempt.round, frozen.files)
    return request.directory, frozen


def finish(screen: Screen, finishing: Finishing) -> Chosen:
    """Take the most uncertain rows up to the cut that the look proved, without those audited already."""
    last = screen.history.records[-1]
    best = _most_uncertain(screen, finishing.look, look_of(last)[0]["group"], last["n_finish"])
    rows = best.take(~np.isin(best.rows, screen.history.measured()["rows"]))
    return Chosen(
        number=finishing.number,
        started=finishing.started,
        selection=Selection.of(rows, "finish"),
        committee=finishing.committee,
        look=finishing.look,
        earlier=None,
        details=finishing.details,
    )


def _most_uncertain(screen: Screen, look: FrozenLook, group: int, size: int) -> ScoredRows:
    """So many of the most uncertain frozen predictions of a group, in the order of their look."""
    tie_seed = screen.seed("tie", look.round)
    return screen.backend.most_uncertain(FinishRequest(look.frozen, group, size, tie_seed))
