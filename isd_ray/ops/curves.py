"""How fast models learn: learning curves of screens that are over or under way, and a guess where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.standing import paid_evenly
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import to_come
from isd_ray.config import CampaignConfig
from isd_ray.core.conditions import affordable, rule_counts
from isd_ray.core.goals import HITS, OTHERS, ScreenCounts, goal_for
from isd_ray.core.replay import LearningCurve, Replayed, Terms, replay
from isd_ray.core.stopping import rule_of
from isd_ray.errors import ConfigError
from isd_ray.ops.results import rounds_of
from isd_ray.plates.layout import batch_size, initial_size

GUESS = LearningCurve(
    "B3DB",
    (0.051, 0.103, 0.154, 0.205, 0.256, 0.308, 0.359),
    (0.164, 0.137, 0.117, 0.091, 0.071, 0.057, 0.043),
)
"""Share of wrong predictions in a real screen of 7,802 compounds in two classes, by the share measured: growth 1, seed
0 of `tests/benchmarks/growth.py`."""
GUESSED = (0.5, 0.7, 1.0, 1.4, 2.0)
AROUND = (0.7, 0.85, 1.0, 1.1, 1.25)
"""How many times as many errors are thought of: as in `GUESS`, and as in a screen whose rounds are known."""
FEWEST_POINTS = 2
UNLIKE = 2.0
"""A past screen of a library so many times larger or smaller is pointed at."""
_SHARES = np.linspace(0.02, 1.0, 50)
"""Where a learning curve is carried on; below the first of them in equal ratios."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the rounds of a screen say of its claim.

    Attributes
    ----------
    curve:
        Of the errors that the claim counts: of a recall the missed hits.
    n_target:
        Rows of its target set.
    hit_cases:
        Of a recall, what may be true of it: how many hits there are, and how many compounds are measured as hits and
        are none. Of other claims one without hits.
    """

    curve: LearningCurve
    n_target: int
    hit_cases: tuple[tuple[float | None, int], ...] = ((None, 0),)

    @property
    def carried_on(self) -> Learnt:
        """The same of models that go on learning behind the last point."""
        return replace(self, curve=carried_on(self.curve))

    def scaled(self, n_target: int, exponent: float) -> Learnt | None:
        """What a library of another size would learn; None if the curve says nothing of it.

        Parameters
        ----------
        exponent:
            The labels that a model needs for an error grow as the size of the library to this power: 1 where their
            share counts, 0 where their number does.
        """
        times = (self.n_target / n_target) ** (1.0 - exponent)
        known = [(times * x, y) for x, y in zip(self.curve.shares, self.curve.rates, strict=True) if times * x <= 1.0]
        if len(known) < FEWEST_POINTS:
            return None
        shares, rates = zip(*known, strict=True)
        return replace(self, curve=carried_on(replace(self.curve, shares=shares, rates=rates)))

    def exponent(self, smaller: Learnt) -> float | None:
        """The power of `scaled` by a smaller part of the same library; None if their errors never were the same."""
        (errors, labels), (errors_there, labels_there) = map(_labels_needed, (self, smaller))
        low, high = max(errors[0], errors_there[0]), min(errors[-1], errors_there[-1])
        if low >= high:
            return None
        common = np.linspace(low, high, len(_SHARES))
        times = np.interp(common, errors, np.log(labels)) - np.interp(common, errors_there, np.log(labels_there))
        return float(np.clip(times.mean() / np.log(self.n_target / smaller.n_target), 0.0, 1.0))

    def ends(
        self,
        config: CampaignConfig,
        n_target: int,
        batch: Callable[[int, int], int] | None = None,
        factors: Sequence[float] = AROUND,
        n_failing: int = 0,
    ) -> list[Replayed | None]:
        """Replays of a configuration, without its limit on rounds, on a target set of a size, in each of the cases.

        Parameters
        ----------
        batch, n_failing:
            As of `isd_ray.core.replay.replay`; default: batches as configured.
        factors:
            How many times as many errors are thought of.
        """
        batch = batch or partial(batch_size, config.acquisition, config.plates)
        first = initial_size(config.acquisition, config.plates)
        size, found = n_target / self.n_target, []
        for n_hits, n_in_vain in self.hit_cases:
            allowed = None if n_hits is None else (1.0 - config.stopping.gamma) * n_hits * size
            terms = terms_of(config, n_target, allowed)
            curves = [self.curve.times(factor) for factor in factors]
            ends = [replay(curve, terms, first, batch, n_failing=n_failing) for curve in curves]
            in_vain = round(n_in_vain * size)
            found += [end and replace(end, n_wells=min(n_target, end.n_wells + in_vain)) for end in ends]
        return found


def _labels_needed(learnt: Learnt) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors of a curve, ascending, and the labels that models needed for them."""
    rates = np.minimum.accumulate(learnt.curve.rates)
    return rates[::-1], learnt.n_target * np.array(learnt.curve.shares)[::-1]


def is_like(n_there: int, n_target: int) -> bool:
    """Whether a library is about as large as another."""
    return 1 / UNLIKE <= n_there / n_target <= UNLIKE


def unsaid(config: CampaignConfig) -> str | None:
    """Why rounds say nothing of what a configuration claims, in words; None if they do."""
    stopping, goal = config.stopping, config.goal_class
    if stopping.panel is not None or (config.task == "panel" and goal.takes_hits):
        return "rounds do not say what claims about outputs or hits of a panel cost"
    if not stopping.in_force.draws_audits or (goal.knows_hits and not goal.takes_hits):
        return (
            f"rounds say what accuracy and recall cost, under certify and pac, not {stopping.quantity!r} under "
            f"{stopping.rule!r}"
        )
    return None


def learnt_of(config: CampaignConfig, run: str | Path) -> Learnt:
    """What the rounds of a screen say of a claim that is not `unsaid`.

    Raises
    ------
    ConfigError
        If they are too few, or the screen counts other errors.
    """
    store = CampaignStore.open(run)
    curve = curve_of(config, run)
    return Learnt(curve, to_come(store).n_rows, _hit_cases(store) if config.goal_class.takes_hits else ((None, 0),))


def curve_of(config: CampaignConfig, run: str | Path) -> LearningCurve:
    """The errors of a screen, round by round: true ones where its labels are known, else as it forecast them.

    A forecast rests on batches that the models of the round before had predicted, so it speaks of these (`replay`).
    """
    store = CampaignStore.open(run)
    past = CampaignConfig.from_stored(store.config)
    there, here = _losses_of(past), _losses_of(config)
    if other := [f"{key} is {there[key]!r} there and {here[key]!r} here" for key in here if there[key] != here[key]]:
        raise ConfigError(
            f"the past screen counts other errors: {', '.join(other)}",
            f"--like {store.address}",
            "name a screen with the same task, quantity and tolerance, or the campaign file of one, which is simulated",
        )
    rounds = [row for row in rounds_of(store).to_pylist() if row["n_inference"]]
    known = _true_errors(config, store, rounds) or [
        (before["n_observed"], row["forecast_errors"] / row["n_inference"])
        for before, row in pairwise(rounds)
        if row["forecast_errors"] is not None and before["n_observed"] > 0
    ]
    if len(known) < FEWEST_POINTS:
        raise ConfigError(
            f"too few of its rounds ({len(known)}) say how many predictions were wrong: a curve has {FEWEST_POINTS}",
            f"--like {store.address}",
            "name a screen of more rounds that ended by an audit",
        )
    n_observed, rates = zip(*known, strict=True)
    # Of a library that grew: the share that it would have been of all that are screened now.
    n_target = to_come(store).n_rows
    return LearningCurve(str(run), tuple(n / n_target for n in n_observed), rates)


def _true_errors(
    config: CampaignConfig, store: CampaignStore, rounds: Sequence[Mapping[str, Any]]
) -> list[tuple[int, float]]:
    """Compounds measured and the share of true errors among those left, where labels are known."""
    if config.goal_class.is_error:
        return []
    if not config.goal_class.takes_hits:
        return [
            (row["n_observed"], row["inference_errors"] / row["n_inference"])
            for row in rounds
            if row["inference_errors"] is not None
        ]
    losses = {
        files.round: files.committed["group_losses"][OTHERS]
        for files in store.rounds()
        if files.committed is not None and files.committed.get("group_losses")
    }
    return [(row["n_observed"], losses[row["round"]] / row["n_inference"]) for row in rounds if row["round"] in losses]


def _losses_of(config: CampaignConfig) -> dict[str, Any]:
    """What decides what an error is."""
    stopping = config.stopping
    keys = {name: getattr(stopping, name) for name in ("quantity", "tolerance", "tolerances", "loss_clip")}
    return {"task": config.task, **{f"stopping.{key}": value for key, value in keys.items()}}


def _hit_cases(store: CampaignStore) -> tuple[tuple[float, int], ...]:
    """How many hits there are, and how many compounds are measured as hits and are none, exactly or by both ends.

    Measured hits, those forecast to be missed, and of the predicted hits that are left none or all.
    """
    config = CampaignConfig.from_stored(store.config)
    positive = tuple(store.manifest["classes"]).index(str(config.stopping.positive))
    found = int((measured_readouts(store)[1].labels == positive).sum())
    records = [files.committed for files in store.rounds() if files.committed is not None]
    last = next(record for record in reversed(records) if record.get("left_sizes"))
    n_predicted = int(last["left_sizes"][HITS])
    if losses := last.get("left_losses"):
        in_vain = int(losses[HITS])
        return ((found + losses[OTHERS] + n_predicted - in_vain, in_vain),)
    missed = float(last.get("forecast_errors") or 0.0)
    return (found + missed, n_predicted), (found + missed + n_predicted, 0)


def carried_on(curve: LearningCurve) -> LearningCurve:
    """A learning curve that goes on behind its last point as a power of the share measured, fitted to its points.

    Errors of models fall about so with the number of labels; where they rose so far, it stays as it is, flat.
    """
    shares, rates = np.array(curve.shares), np.maximum(curve.rates, 1e-6)
    slope = min(0.0, float(np.polyfit(np.log(shares), np.log(rates), 1)[0]))
    small = np.geomspace(shares[-1], _SHARES[0], len(_SHARES))[1:-1] if shares[-1] < _SHARES[0] else _SHARES[:0]
    later = np.array([*small, *_SHARES[shares[-1] < _SHARES]])
    more = rates[-1] * (later / shares[-1]) ** slope
    return replace(curve, shares=(*curve.shares, *later.tolist()), rates=(*curve.rates, *more.tolist()))


def terms_of(config: CampaignConfig, n_target: int, allowed: float | None = None) -> Terms:
    """What a replay of a configuration goes by, without its limit on rounds: how many there are is the question.

    Parameters
    ----------
    allowed:
        Largest loss that may be left; default: by the claim, which must be about no hits.
    """
    stopping, paid = config.stopping.model_copy(update={"max_rounds": None}), paid_evenly(config, n_target)
    goal = goal_for(stopping, config.task, (stopping.positive or "0", "1"))
    if allowed is None:
        allowances = goal.allowances(ScreenCounts(n_target, 0, 0, (n_target,)), (0.0,))
        assert allowances is not None, "of the claims that are let through, each allows for some loss"
        [allowed] = allowances
    return Terms(
        n_target=n_target,
        allowed=allowed,
        is_exact=goal.is_exact,
        rule=lambda size: rule_of(stopping).looks(stopping, size),
        n_affordable=lambda n, rounds: affordable(stopping, n, rounds, n_target, paid),
        rule_counts=lambda n, rounds: rule_counts(stopping, n, rounds, n_target, paid),
    )
