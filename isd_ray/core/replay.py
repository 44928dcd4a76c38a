"""A screen replayed on a learning curve: how many wells and trips the rule in force would take with batches of a size.

Nothing is measured or predicted here. The curve says how many predictions are wrong after so many measurements; when to
look, and how large an audit is, is decided by `isd_ray.core.certify.plan_look` as in a screen.

A screen forecasts its errors from batches that earlier models had predicted, so it believes in the rate of a batch ago;
the larger its batches, the later it sees what its model has learnt. (On B3DB with growth 1 to 2 its forecasts from the
third batch on were 0.83 to 1.04 times that rate, and up to 2.1 times the true one.) What a replay cannot know: that
models which are refitted less often choose somewhat worse, and that a look may fail (an audit is sized to pass in seven
of ten).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from isd_ray.core.certify import LookState, plan_look
from isd_ray.core.looks import LookRule
from isd_ray.core.trigger import Forecast

MOST_TRIPS = 10_000
"""A replay of more trips is given up."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Loss of the predictions of what is left, by what is measured.

    Attributes
    ----------
    name:
        Where it comes from.
    shares:
        Shares of the target set that were measured, ascending.
    rates:
        Mean loss in [0, 1] of a row that was left then: of right and wrong, the share that is wrong.
    """

    name: str
    shares: tuple[float, ...]
    rates: tuple[float, ...]

    def rate(self, share: float) -> float:
        """The rate at a share measured: linear between points, and beyond the ends as it is there."""
        return float(np.interp(share, self.shares, self.rates))

    def times(self, factor: float) -> LearningCurve:
        """The curve with all rates so many times as high."""
        return LearningCurve(
            f"{self.name} × {factor:g}", self.shares, tuple(min(1.0, factor * rate) for rate in self.rates)
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay took: trips to the laboratory and wells, the audit included; of a complete screen it is 0."""

    n_trips: int
    n_wells: int
    n_audit: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What a replay goes by.

    Attributes
    ----------
    n_target:
        Rows of the target set.
    allowed:
        Largest loss that may be left.
    is_exact:
        A loss is 0 or 1; of others the variance is taken as large as their mean allows.
    rule:
        The rule in force with batches of a size.
    n_affordable:
        Rows that may still be acquired after so many, in so many rounds.
    rule_counts:
        Whether a yes of the rule would end the screen then.
    """

    n_target: int
    allowed: float
    is_exact: bool
    rule: Callable[[int], LookRule]
    n_affordable: Callable[[int, int], int]
    rule_counts: Callable[[int, int], bool]


def replay(
    curve: LearningCurve,
    terms: Terms,
    n_initial: int,
    batch: Callable[[int, int], int],
    most_trips: int = MOST_TRIPS,
    n_failing: int = 0,
) -> Replayed | None:
    """Trips and wells until a look, which passes; None if the budget or `most_trips` end before.

    Parameters
    ----------
    batch:
        Rows of a batch by the number of its round and by how many are left.
    n_failing:
        Looks that fail before: each is a trip, and its audit is learnt from.
    """
    n, before, failed, since = n_initial, 0, 0, 0
    for number in range(1, most_trips):
        left = terms.n_target - n
        usual, n_affordable = batch(number, left), terms.n_affordable(n, number)
        n_batch = min(usual, left, n_affordable)
        # As in a screen: before a batch that a model has chosen is measured, there is nothing to learn from.
        may_look = number > 1 and terms.rule_counts(n, number)
        size = _audit(curve, terms, (before, n), usual, n_batch, (failed, since)) if may_look else None
        if size is not None and size <= n_affordable:
            if failed == n_failing:
                return Replayed(number + 1, n + size, size)
            n, before, failed, since = n + size, n, failed + 1, 0
            continue
        if n_batch <= 0:
            return Replayed(number, n, 0) if left == 0 else None
        n, before, since = n + n_batch, n, since + 1
    return None


def _audit(
    curve: LearningCurve, terms: Terms, measured: tuple[int, int], usual: int, n_batch: int, looks: tuple[int, int]
) -> int | None:
    """Size of the audit if this is the round to look.

    Rows measured are those of a round ago and now; looks those that failed, and the batches since.
    """
    shares, left = [n / terms.n_target for n in measured], terms.n_target - measured[1]
    errors, later = curve.rate(shares[0]) * left, curve.rate(shares[1]) * (left - n_batch)
    saved = max(0.0, errors - later)
    state = LookState(
        n_inference=left,
        allowed=terms.allowed,
        forecast=Forecast(errors, saved),
        failed_looks=looks[0],
        batches_since_look=looks[1],
        loss_variance=None if terms.is_exact or not left else errors / left * (1.0 - errors / left),
    )
    plan = plan_look(terms.rule(usual), state).plan
    return None if plan is None else plan.size


@dataclass(frozen=True, slots=True)
class TripsOption:
    """Batches of a size and growth, replayed on every curve.

    Attributes
    ----------
    key, size, growth:
        `acquisition.batch_size` or `n_plates`, whichever is configured, with its value; and `acquisition.growth`.
    n_wells, n_trips:
        Mean over the curves on which it ends, so that no option wins by the luck of one; and the median, the larger of
        two. None where it ends on half of the curves or fewer.
    wells, trips:
        Least and most over the curves; None if it does not end on one of them.
    n_within:
        Curves on which it ends within the limit on trips.
    """

    key: str
    size: int
    growth: float
    n_wells: int | None
    n_trips: int | None
    wells: tuple[int, int] | None
    trips: tuple[int, int] | None
    n_within: int

    @classmethod
    def of(cls, batch: tuple[str, int, float], replays: Sequence[Replayed | None], most_trips: int) -> TripsOption:
        """What some replays, one at least, say together; `batch` is key, size and growth."""
        ends = [end for end in replays if end is not None]
        wells, trips = sorted(end.n_wells for end in ends), sorted(end.n_trips for end in ends)
        middle, all_end = len(replays) // 2, len(ends) == len(replays)
        is_likely = middle < len(ends)
        return cls(
            *batch,
            n_wells=round(sum(wells) / len(wells)) if is_likely else None,
            n_trips=trips[middle] if is_likely else None,
            wells=(wells[0], wells[-1]) if all_end else None,
            trips=(trips[0], trips[-1]) if all_end else None,
            n_within=sum(number <= most_trips for number in trips),
        )


@dataclass(frozen=True, slots=True)
class TripsPlan:
    """What a screen costs in wells if it may take a number of trips to the laboratory.

    Attributes
    ----------
    most_trips:
        How many.
    unlimited:
        The configuration as it is, without a limit on trips.
    best:
        The fewest wells within the limit; None if no option is likely to end within it.
    fewest:
        The fewest trips of all options; None if none ends.
    curves:
        Names of the curves.
    assumptions:
        In words.
    """

    most_trips: int
    unlimited: TripsOption
    best: TripsOption | None
    fewest: TripsOption | None
    curves: tuple[str, ...]
    assumptions: tuple[str, ...]
