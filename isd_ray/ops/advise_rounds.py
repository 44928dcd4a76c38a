"""What goals would cost by a screen's first rounds: the rule replayed on their learning curve, carried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import in_force
from isd_ray.config import CampaignConfig
from isd_ray.core.goals import HITS
from isd_ray.core.replay import LearningCurve, Replayed, replay
from isd_ray.core.trips import n_trips
from isd_ray.errors import ConfigError
from isd_ray.ops.goal_costs import LEVELS, Advice, GoalCost, range_of
from isd_ray.ops.plan_trips import AROUND, FEWEST_POINTS, curve_of, terms_of
from isd_ray.ops.results import rounds_of
from isd_ray.plates.layout import batch_size, initial_size

_SHARES = np.linspace(0.02, 1.0, 50)
"""Where a learning curve is carried on."""


def advise_by_rounds(store: CampaignStore) -> Advice:
    """The claim of a campaign at several levels, by replays of its rule on the learning curve of its rounds so far.

    Raises
    ------
    ConfigError
        If rounds say nothing of the claim, or there are too few.
    """
    config = CampaignConfig.from_stored(store.config)
    stopping = config.stopping
    if not stopping.in_force.draws_audits or stopping.quantity not in ("accuracy", "recall"):
        raise ConfigError(
            f"rounds say what accuracy and recall cost, under certify and pac, not {stopping.quantity!r} under "
            f"{stopping.rule!r}",
            store.address,
            "give the campaign file of a past screen, which is simulated",
        )
    if stopping.panel is not None or (config.task == "panel" and config.goal_class.takes_hits):
        raise ConfigError(
            "rounds do not say what claims about outputs or hits of a panel cost",
            store.address,
            "give the campaign file of a past screen, which is simulated",
        )
    n_target = in_force(store).n_rows
    n_measured, n_made = len(measured_readouts(store)[0]), n_trips(files.released for files in store.rounds())
    is_recall = config.goal_class.takes_hits
    curve = _missed_curve(store) if is_recall else curve_of(config, store.address)
    curves = [known.times(factor) for known in (curve, carried_on(curve)) for factor in AROUND]
    cases = _hit_cases(store, config) if is_recall else ((None, 0),)
    levels = sorted({*LEVELS[stopping.quantity], 0.98 if not is_recall else 0.95, stopping.gamma})
    costs = []
    for level in levels:
        asked = config.model_copy(update={"stopping": stopping.model_copy(update={"gamma": level, "max_rounds": None})})
        ends = []
        for n_hits, n_in_vain in cases:
            terms = terms_of(asked, n_target, None if n_hits is None else (1.0 - level) * n_hits)
            found = [replay(one, terms, initial_size(config), partial(batch_size, config)) for one in curves]
            ends += [end and replace(end, n_wells=min(n_target, end.n_wells + n_in_vain)) for end in found]
        costs.append(_cost(stopping.quantity, level, ends, n_target, n_measured, n_made))
    interval = (
        f"over {len(curves) * len(cases)} replays of the rule on the rounds so far: models that learn no more, and "
        f"models that go on as until now, with {AROUND[0]:g} to {AROUND[-1]:g} times as many errors"
        f"{' and none or all of the predicted hits that are left being hits' if is_recall else ''}; a range of what "
        "was thought of, with no probability"
    )
    notes = [f"{n_measured:,} of {n_target:,} are measured; the claim of this campaign stays {stopping.gamma:g}"]
    if any(event.get("known") for event in store.events()):
        notes.append("compounds that were known before count as wells here, and a random first batch is replayed: less")
    if stopping.portions > 1:
        notes.append("audits are reckoned whole; measured in portions they may cost less, in more trips")
    return Advice(tuple(costs), interval, tuple(notes))


def _cost(
    quantity: str, level: float, ends: Sequence[Replayed | None], n_target: int, n_measured: int, n_made: int
) -> GoalCost:
    ended = [end for end in ends if end is not None and end.n_audit]
    return GoalCost(
        quantity,
        level,
        # What is measured already, in trips that were made, cannot be taken back.
        wells=range_of([max(end.n_wells, n_measured) for end in ended]),
        trips=range_of([max(end.n_trips, n_made) for end in ended]),
        n_target=n_target,
        n_tried=len(ends),
        n_ended=len(ended),
    )


def carried_on(curve: LearningCurve) -> LearningCurve:
    """A learning curve that goes on behind its last point as a power of the share measured, fitted to its points.

    Errors of models fall about so with the number of labels; where they rose so far, it stays as it is, flat.
    """
    shares, rates = np.array(curve.shares), np.maximum(curve.rates, 1e-6)
    slope = min(0.0, float(np.polyfit(np.log(shares), np.log(rates), 1)[0]))
    later = np.array([share for share in _SHARES if share > shares[-1]])
    more = rates[-1] * (later / shares[-1]) ** slope
    return replace(curve, shares=(*curve.shares, *later.tolist()), rates=(*curve.rates, *more.tolist()))


def _missed_curve(store: CampaignStore) -> LearningCurve:
    """Share of missed hits among the compounds that are left, as the rounds forecast it."""
    rows = [row for row in rounds_of(store).to_pylist() if row["n_inference"]]
    known = [
        (before["fraction_acquired"], row["forecast_errors"] / row["n_inference"])
        for before, row in pairwise(rows)
        if row["forecast_errors"] is not None and before["fraction_acquired"] > 0
    ]
    if len(known) < FEWEST_POINTS:
        raise ConfigError(
            f"too few of its rounds ({len(known)}) forecast what is missed: {FEWEST_POINTS} are needed",
            store.address,
            "ask again after the next batch, or give the campaign file of a past screen, which is simulated",
        )
    shares, rates = zip(*known, strict=True)
    return LearningCurve(store.address, shares, rates)


def _hit_cases(store: CampaignStore, config: CampaignConfig) -> tuple[tuple[float, int], tuple[float, int]]:
    """How many hits there may be, and how many compounds are measured as hits and are none: the ends of both.

    Measured hits, those forecast to be missed, and of the predicted hits that are left none or all.
    """
    classes = tuple(store.manifest["classes"])
    positive = classes.index(str(config.stopping.positive))
    found = int((measured_readouts(store)[1].labels == positive).sum())
    records = [files.committed for files in store.rounds() if files.committed is not None]
    last = next(record for record in reversed(records) if record.get("left_sizes"))
    missed, n_predicted = float(last.get("forecast_errors") or 0.0), int(last["left_sizes"][HITS])
    return (found + missed, n_predicted), (found + missed + n_predicted, 0)
