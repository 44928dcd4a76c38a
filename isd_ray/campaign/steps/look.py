"""Looks: whether to look now, the predictions frozen before an audit is drawn from them, and the finish."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import numpy as np

from isd_ray.campaign.batch import batch_table
from isd_ray.campaign.round_files import look_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.selection import Ranks, Selection, join
from isd_ray.config import AUDITED_RULES
from isd_ray.core.certify import LONGEST_SKIP
from isd_ray.core.goals import HITS
from isd_ray.core.growth import batches_worth
from isd_ray.core.looks import LookPlan, is_all_spent, look_risk
from isd_ray.core.portions import in_portions, sizes
from isd_ray.core.seeding import derive_seed
from isd_ray.core.stopping import LookEvidence
from isd_ray.core.topk import empty_rows, sample_of_group
from isd_ray.errors import LabelError
from isd_ray.messages import ROLES, FinishRequest, Frozen, PredictRequest, Rows, ScoredRows, ScoreReport
from isd_ray.plates.layout import free_places

_AUDIT = ROLES.index("audit")


def plan_looks(screen: Screen, report: ScoreReport, n_batch: int, n_random: int) -> tuple[LookPlan, ...]:
    """The look of this round, with the audit of each group; empty if this is not the round for one."""
    stopping = screen.config.stopping
    looks = stopping.rule in AUDITED_RULES or screen.ends_by_look
    if not looks or screen.history.stop_round is not None or not screen.sets.n_inference:
        return ()
    left, growth = tuple(screen.round.details["group_sizes"]), screen.config.acquisition.growth
    evidence = LookEvidence(
        counts=screen.history.counts(left),
        n_observed=screen.sets.n_observed,
        batch_size=screen.budget.usual(screen.round.number),
        first_batch=None if growth == 1.0 else screen.budget.usual(0),
        n_batch=n_batch,
        n_random=n_random,
        n_affordable=screen.budget.look(screen.ends_by_look and n_batch == 0, screen.round.number),
        rule_counts=screen.budget.rule_counts(screen.round.number),
        histogram=report.histogram,
        scored=tuple(tuple(batches) for batches in screen.history.scored),
        failed_looks=screen.history.failed_looks,
        risk_spent=screen.history.risk_spent,
        batches_since_look=batches_worth(screen.history.batches_since_look, growth, LONGEST_SKIP),
        n_reserved=len(screen.sets.reserve) if stopping.rule == "reserved" else None,
        n_unproved=screen.history.n_unproved if stopping.rule == "reserved" else 0,
        last_look=screen.stopped is not None and screen.stopped.last_look,
    )
    outlook = screen.backend.forecast_look(evidence)
    look = outlook.plans
    if look and look[0].portions > 1:
        look = in_portions(look, _rounds_for(screen, look[0].portions))
    screen.round.details["forecast_errors"] = outlook.errors
    screen.round.details["outlook"] = outlook.reason
    screen.round.details["needed"] = asdict(outlook.needed) if outlook.needed and not n_batch else None
    return look


def _rounds_for(screen: Screen, portions: int) -> int:
    """How many rounds, this one included and so many at most, the limit on rounds leaves for the portions of a look."""
    number = screen.round.number
    return next((n for n in range(portions, 1, -1) if screen.budget.look(is_last=False, rounds=number + n - 1)), 1)


def freeze_for_look(screen: Screen, look: tuple[LookPlan, ...], ranks: Ranks) -> Selection:
    """Write the predictions down, then draw the audit from them; a reserve is the audit as it is."""
    frozen = freeze(screen, HITS if screen.goal.takes_hits else None)
    seed = screen.draw_seed("audit", frozen.sha256)
    screen.round.details["audit_seed"] = seed
    is_reserved = screen.config.stopping.rule == "reserved"
    # Outputs of a panel share one audit.
    draws = () if is_reserved else tuple(dict.fromkeys((plan.group, plan.size) for plan in look))
    hits = Selection.of(frozen.group, "hit", ranks)
    audits = [Selection.of(_draw(screen, group, size, seed), "audit", ranks) for group, size in draws]
    now = join([hits, *(_portions(audit, look)[0] for audit in audits)])
    if look[0].portions > 1:
        _keep_rest(screen, [_portions(audit, look)[1:] for audit in audits])
    return join([now, Selection.of(filling(screen, look, now, join([hits, *audits]).scored.rows), "filling", ranks)])


def _portions(audit: Selection, look: tuple[LookPlan, ...]) -> list[Selection]:
    """An audit in portions, in the order of drawing."""
    ends = (0, *sizes(len(audit.roles), look[0].portions))
    return [audit.take(np.arange(start, stop)) for start, stop in pairwise(ends)]


def _keep_rest(screen: Screen, rest: list[list[Selection]]) -> None:
    """Put the later portions of all audits on record, before the first is released."""
    later = [join(list(of_portion)) for of_portion in zip(*rest, strict=True)]
    table = batch_table(join(later), screen.library, None)
    screen.round.details["audit_rest_sha256"] = screen.store.keep(table)
    screen.round.details["rest_sizes"] = [len(portion.roles) for portion in later]


def filling(screen: Screen, look: tuple[LookPlan, ...], batch: Selection, released: Rows) -> ScoredRows:
    """Rows that a finish would take next, for wells of the audit's plates that would stay empty.

    Nobody sees from a plate, or from being in the batch, which of its compounds are audited, and a finish may need no
    second trip. At most as many as are audited, and only where the look may finish: elsewhere nothing would need them.
    They prove nothing: the test goes by the audit and the population that the look declared, in which they stay. Their
    number follows from the size of the audit, their order from the frozen predictions.

    Parameters
    ----------
    batch:
        What is released in this round.
    released:
        All that was, is, or may be released of the look: a later portion of its audit is none.
    """
    plates, n_audited = screen.config.plates, int((batch.roles == _AUDIT).sum())
    can_finish = len(look) == 1 and look[0].finish != "none" and n_audited > 0
    if plates is None or not can_finish or not screen.store.manifest.get("fills_plates", False):
        return empty_rows()
    left = screen.budget.look(is_last_look(screen, look), screen.round.number) - len(batch.roles)
    n = max(0, min(free_places(plates, len(batch.roles)), n_audited, left))
    best = _most_uncertain(screen, look[0].group, n + len(released), screen.round.look_round)
    found = best.take(np.flatnonzero(~np.isin(best.rows, released))[:n])
    screen.round.details["n_filling"] = len(found.rows)
    return found


def is_last_look(screen: Screen, look: tuple[LookPlan, ...]) -> bool:
    """Whether a look is the one at the end of the budget: it alone spends all the risk that is left."""
    stopping = screen.config.stopping
    risk = look_risk([asdict(plan) for plan in look])
    return screen.ends_by_look and is_all_spent(screen.history.risk_spent + risk, stopping.delta)


def _draw(screen: Screen, group: int, size: int, seed: int) -> ScoredRows:
    """A uniform sample of a group of the frozen predictions."""
    assert screen.round.frozen is not None, "an audit is drawn after the predictions are frozen"
    directory, goal = screen.round.frozen, screen.goal
    return sample_of_group(
        screen.sets.scored,
        size,
        seed,
        lambda rows: screen.backend.look_up(directory, rows),
        lambda found: goal.groups(found.prediction) == group,
    )


def freeze(screen: Screen, whole_group: int | None = None) -> Frozen:
    """Write the predictions of the whole inference set, before a row of it is released."""
    if not screen.sets.n_observed:
        raise LabelError(
            "no compound has a readout, so nothing can be predicted", screen.store.address, "tell some readouts"
        )
    attempt = screen.planned_attempt()
    request = PredictRequest(
        round=screen.round.number,
        inference=screen.sets.packed_scored(),
        directory=screen.store.address_of(attempt.predictions_dir),
        only_label=screen.goal.as_prediction(screen.sets.labels[:1]),
        whole_group=whole_group,
    )
    frozen = screen.backend.freeze(request, screen.round.committee)
    screen.round.frozen = request.directory
    screen.round.details["predictions"] = dict(frozen.files)
    screen.store.note_frozen(screen.round.number, frozen.files)
    return frozen


def finish(screen: Screen) -> None:
    """Take the most uncertain rows up to the cut that the look proved, without those audited already."""
    last = screen.history.records[-1]
    best = _most_uncertain(screen, look_of(last)[0]["group"], last["n_finish"], screen.round.look_round)
    rows = best.take(~np.isin(best.rows, screen.history.measured()["rows"]))
    screen.round.selection = Selection.of(rows, "finish")


def _most_uncertain(screen: Screen, group: int, size: int, look_round: int) -> ScoredRows:
    """So many of the most uncertain frozen predictions of a group, in the order of the look of a round."""
    assert screen.round.frozen is not None, "a look freezes its predictions"
    tie_seed = derive_seed(screen.config.seed, "tie", look_round)
    return screen.backend.most_uncertain(FinishRequest(screen.round.frozen, group, size, tie_seed))
