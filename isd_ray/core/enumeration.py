"""Whether a claim keeps its promise: false stops counted over everything that may happen in small screens.

For each state of a screen (`isd_ray.core.small_screens`), each audit that may be drawn from it has a known chance.
So the chance that a look stops although the claim, by its definition alone (`Goal.true_value`), is then false can be
summed exactly, through the very functions that decide a look of a campaign. It has to be at most the risk of the look
in every state, whatever was forecast, and also where the wells of wrong predictions are the ones that are lost.

Passing is evidence and no proof: screens are small, and a claim may be wrong only in large ones. That is why a claim
says its proof in its docstring as well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.claims import Claim
from isd_ray.core.goals import HITS, UNVERIFIED, Goal
from isd_ray.core.look_evidence import Audit
from isd_ray.core.looks import Finish, LookPlan
from isd_ray.core.panels import has_readout
from isd_ray.core.small_screens import (
    SmallScreen,
    State,
    compositions,
    counts_of,
    goals_of,
    kind_of_screens,
    screens_of,
)
from isd_ray.core.stopping import decide_look

SUITE = 3
"""Raised where the suite comes to ask for more."""
DELTA = 0.25
"""Risk of the looks."""
_ROUNDING = 1e-9
_LARGEST_AUDIT, _LARGEST_ORDERED_AUDIT = 6, 5
_FINISH_ROWS, _FINISH_AUDIT = 7, 3
_EXPECTED = (0.1, 0.05)
"""Mean and variance of a loss as forecast, which set the first bets only."""
_PLENTY = 10**6


@dataclass(frozen=True)
class _Look:
    """A look at a screen that is declared and settled.

    Attributes
    ----------
    background:
        Rows of the groups that are not audited.
    taken:
        Those of them that the look has measured.
    known:
        What `is_false` has found already.
    """

    goal: Goal
    screen: SmallScreen
    plans: tuple[LookPlan, ...]
    hits: tuple[int, ...]
    background: State
    taken: State
    known: dict[tuple[State, State], bool] = field(default_factory=dict)

    def audit(self, kinds: NDArray[np.int64], ranks: NDArray[np.int64] | None = None) -> Audit:
        """The audit of rows of these kinds, in the order of drawing."""
        told, said = self.screen.told()[kinds], self.goal.as_prediction(self.screen.said)[kinds]
        places = np.arange(len(kinds)) if ranks is None else ranks
        losses = self.goal.losses(said, told)
        return Audit(places, losses, has_readout(told), lost=self.goal.kept(told))

    def is_false(self, state: State, measured: State) -> bool:
        """Whether the claim is false of the screen once so many rows of each kind are measured."""
        if (state, measured) not in self.known:
            value = self.goal.true_value(*self.screen.delivered(state, measured))
            self.known[state, measured] = is_false(self.goal, value)
        return self.known[state, measured]


def is_false(goal: Goal, value: float) -> bool:
    """Whether a quantity misses the level, beyond rounding."""
    if goal.is_error:
        return value > goal.level + _ROUNDING
    return value < goal.level + (_ROUNDING if goal.sign == ">" else -_ROUNDING)


def false_stops(claim: Claim) -> Iterator[str]:
    """Looks that stop falsely more often than they may."""
    for task, goal in _goals(claim):
        for screen in screens_of(task):
            for look in _looks(goal, screen, "none"):
                shares = list(_stop_shares(look))
                worst = max(_false_share(look, state, shares) for state in _states(look))
                if worst > DELTA + _ROUNDING:
                    yield _words(look, worst)
        if goal.may_finish and goal.is_exact and len(goal.audited) == 1:
            yield from _false_finishes(task, goal)


def _false_finishes(task: str, goal: Goal) -> Iterator[str]:
    """As `false_stops`, of looks that may finish: there it counts where in the order of uncertainty errors are."""
    for screen in screens_of(task, lost=False):
        if len(screen.strata) > 1:
            continue
        # Right and wrong are enough, and as many rows as can be listed in every order.
        [(kinds, _)] = screen.strata
        small = replace(screen, strata=((kinds[:2], _FINISH_ROWS),))
        for look in _looks(goal, small, "any", _FINISH_AUDIT):
            [plan] = look.plans
            worst = _worst_finish(look, plan, kinds[:2])
            if worst > DELTA + _ROUNDING:
                yield _words(look, worst)


def _worst_finish(look: _Look, plan: LookPlan, kinds: tuple[int, ...]) -> float:
    n, m, n_kinds = plan.n_inference, plan.size, look.screen.n_kinds
    draws = list(itertools.combinations(range(n), m))
    decisions = {}
    for ranks in draws:
        for shown in itertools.product(kinds, repeat=m):
            audit = look.audit(np.array(shown), np.array(ranks))
            found = decide_look(look.plans, (audit,), look.goal, look.hits, _PLENTY)
            decisions[ranks, shown] = None if found.action == "continue" else found.n_finish
    worst = 0.0
    for pattern in itertools.product(kinds, repeat=n):
        n_false = 0
        state = tuple(np.add(np.bincount(pattern, minlength=n_kinds), look.background).tolist())
        for ranks in draws:
            cut = decisions[ranks, tuple(pattern[rank] for rank in ranks)]
            if cut is not None:
                inside = [kind for rank, kind in enumerate(pattern) if rank < cut or rank in ranks]
                measured = np.add(np.bincount(inside, minlength=n_kinds), look.taken)
                n_false += look.is_false(state, tuple(measured.tolist()))
        worst = max(worst, n_false / len(draws))
    return worst


def wrong_values(claim: Claim) -> Iterator[str]:
    """Values, by counts and losses, that are not what the definition says, or get better as losses grow."""
    for task, goal in _goals(claim):
        for screen in screens_of(task, lost=False):
            groups, losses = screen.groups(goal), screen.losses(goal)
            for state in screen.states(np.ones(screen.n_kinds, np.bool_)):
                nothing = (0,) * screen.n_kinds
                truth = goal.true_value(*screen.delivered(state, nothing))
                counts = counts_of(goal, screen.known, screen.left(goal, state))
                by_group = tuple(np.bincount(groups, losses * state, goal.n_groups).tolist())
                value = goal.value(counts, by_group)
                if abs(value - truth) > _ROUNDING:
                    yield f"{goal.words}: `value` is {value:.6g} where the definition says {truth:.6g}"
                if goal.is_met(counts, by_group) == is_false(goal, truth):
                    yield f"{goal.words}: `is_met` says {is_false(goal, truth)} where the quantity is {truth:.6g}"
                for group in np.flatnonzero(np.array(counts.left) >= np.array(by_group) + 1.0):
                    more = tuple(loss + (place == group) for place, loss in enumerate(by_group))
                    change = goal.value(counts, more) - value
                    if (change if not goal.is_error else -change) > _ROUNDING:
                        yield f"{goal.words}: `value` gets better as the losses of group {group} grow"


def odd_audits(claim: Claim) -> Iterator[str]:
    """Audits that pass because a well of them is lost, or, where a row is right or wrong, by the order of drawing.

    Who loses wells would win by it; and of the orders of errors that count as a whole only two are tried.
    """
    for task, goal in _goals(claim):
        for screen in screens_of(task):
            for look in _looks(goal, screen, "none"):
                shares = dict(_stop_shares(look))
                if goal.is_exact and any(0.0 < share < 1.0 for share in shares.values()):
                    yield f"{goal.words}: the order in which an audit was drawn decides"
                for (drawn, share), (worse, of_worse) in itertools.permutations(shares.items(), 2):
                    change = np.subtract(worse, drawn)
                    [better], [bad] = np.flatnonzero(change < 0)[:1], np.flatnonzero(change > 0)[:1]
                    is_one = np.abs(change).sum() == 2 and screen.lost[bad] and not screen.lost[better]
                    if is_one and of_worse > share + _ROUNDING:
                        yield f"{goal.words}: a well of the audit that is lost makes a look pass"


def helping_amendments(claim: Claim) -> Iterator[str]:
    """Looks that pass because rows measured before are amended: these count neither as hits nor as others any more."""
    for task, goal in _goals(claim):
        for screen in screens_of(task) if goal.knows_hits else ():
            for look in _looks(goal, screen, "none"):
                before = dict(_stop_shares(look))
                n_others = len(screen.measuring(look.taken).known) - sum(look.hits)
                for what, fewer_hits, fewer_others in (("hit", 1, 0), ("other", 0, 1)):
                    hits, others = tuple(n - fewer_hits for n in look.hits), n_others - fewer_others
                    if min(*hits, others) < 0:
                        continue
                    without = replace(look, plans=goal.settle(look.plans, hits, others), hits=hits)
                    if any(share > before[drawn] + _ROUNDING for drawn, share in _stop_shares(without)):
                        yield f"{goal.words}: an amendment of a measured {what} makes a look pass"


def never_certified(claim: Claim) -> Iterator[str]:
    """Goals that no look shows, although every prediction is right and every one was audited."""
    for task, goal in _goals(claim):
        found = [
            decide_look(look.plans, _audits_of(look), goal, look.hits, _PLENTY).action
            for screen in screens_of(task, lost=False)
            for look in _looks(goal, screen, "none", _PLENTY)
            if not look.is_false(*_measured_whole(look))
        ]
        if "continue" in found or not found:
            yield f"{goal.words}: a look fails although everything is audited and right"


def hidden_words(claim: Claim) -> Iterator[str]:
    """Names and words that do not say what is claimed."""
    for _, goal in _goals(claim):
        if not goal.noun or f"{goal.level:g}" not in goal.words:
            yield f"the words {goal.words!r} do not hold the level {goal.level:g}"
    for task, kind in claim.goals.items():
        goal = replace(next(goals_of(kind, task)), unverified=True)
        if UNVERIFIED not in goal.words or UNVERIFIED not in goal.name:
            yield f"{goal.words!r} or {goal.name!r} does not say when the claim is unverified (`Goal.named`)"


def untried(claim: Claim) -> Iterator[str]:
    """What only our own claims may have, as this suite does not try it."""
    if any(kind.is_share_right for kind in claim.goals.values()):
        yield "`is_share_right` lets a claim have reserves and bounds of the paper, which this suite does not try"
    if claim.by_output is not None:
        yield "`by_output` is for claims about each output of a panel, which this suite does not try"


CHECKS: tuple[Callable[[Claim], Iterator[str]], ...] = (
    untried,
    hidden_words,
    wrong_values,
    never_certified,
    odd_audits,
    helping_amendments,
    false_stops,
)


def problems_of(claim: Claim) -> list[str]:
    """What the suite finds wrong with a claim: the first of each check; none if it passes.

    What the claim's own code raises is a problem as well.
    """
    return [problem for check in CHECKS for problem in _first(check, claim)]


def _first(check: Callable[[Claim], Iterator[str]], claim: Claim) -> list[str]:
    try:
        return list(itertools.islice(check(claim), 1))
    except Exception as error:  # whatever the claim's code does
        return [f"{check.__name__}: {type(error).__name__}: {error}"]


def _goals(claim: Claim) -> Iterator[tuple[str, Goal]]:
    """Goals at several levels, each with whose screens it is tried on."""
    for task, kind in claim.goals.items():
        for goal in goals_of(kind, task):
            yield kind_of_screens(task, goal), goal


def _looks(goal: Goal, screen: SmallScreen, finish: Finish, most: int | None = None) -> Iterator[_Look]:
    """Looks at a screen, for every state of the groups that are not audited, and for forecasts far off."""
    groups = screen.groups(goal)
    audited = np.isin(groups, goal.audited)
    for background in screen.states(~audited, pure=True):
        # A look that measures its predicted hits leaves those whose wells are lost: they are delivered as predicted.
        takes = (groups == HITS) & goal.takes_hits & ~screen.lost
        taken = tuple(np.where(takes, background, 0).tolist())
        unread = np.where((groups == HITS) & goal.takes_hits & screen.lost, background, 0)
        not_read = goal.as_prediction(screen.said)[np.repeat(np.arange(screen.n_kinds), unread)]
        measured = screen.measuring(taken)
        hits = goal.count_hits(measured.known)
        left = screen.left(goal, next(screen.states(np.ones(screen.n_kinds, np.bool_))))
        counts = counts_of(goal, screen.known, left)
        seen: list[tuple[LookPlan, ...]] = []
        for expected in (tuple(0.0 for _ in left), tuple(map(float, left))):
            allowances = goal.allowances(counts, expected)
            if allowances is None or min(allowances) < 0:
                continue
            plans = tuple(
                LookPlan(
                    number=1,
                    delta=DELTA,
                    size=_size(goal, left[group]) if most is None else min(most, left[group]),
                    n_inference=left[group],
                    allowed=allowed,
                    finish=finish,
                    reach=left[group],
                    expected_loss=None if goal.is_exact else _EXPECTED,
                    group=group,
                    credit=not goal.is_exact,
                )
                for group, allowed in zip(goal.audited, allowances, strict=True)
                if left[group]
            )
            settled = goal.settle(goal.with_unread(plans, not_read), hits, len(measured.known) - sum(hits))
            if settled and settled not in seen:
                seen.append(settled)
                yield _Look(goal, screen, settled, hits, background, taken)


def _size(goal: Goal, n: int) -> int:
    """Rows of an audit of n: half of them; of losses that are no errors or none nearly all, as few show nothing."""
    if goal.is_exact:
        return min(_LARGEST_AUDIT // len(goal.audited), (n + 1) // 2)
    return min(_LARGEST_ORDERED_AUDIT, n)


def _states(look: _Look) -> Iterator[State]:
    audited = np.isin(look.screen.groups(look.goal), look.goal.audited)
    for state in look.screen.states(audited):
        yield tuple(np.add(state, look.background).tolist())


def _draws(look: _Look) -> list[list[State]]:
    """For each plan what may be drawn: rows of each kind."""
    groups = look.screen.groups(look.goal)
    there = np.zeros(look.screen.n_kinds, np.bool_)
    there[[kind for which, _ in look.screen.strata for kind in which]] = True
    found = []
    for plan in look.plans:
        kinds = np.flatnonzero((groups == plan.group) & there)
        drawn = np.zeros((math.comb(plan.size + len(kinds) - 1, plan.size), look.screen.n_kinds), np.int64)
        drawn[:, kinds] = list(compositions(plan.size, len(kinds)))
        found.append([tuple(row) for row in drawn.tolist()])
    return found


def _stop_shares(look: _Look) -> Iterator[tuple[State, float]]:
    """For what may be drawn in all audits together the share of its orders in which the look stops."""
    for parts in itertools.product(*_draws(look)):
        kinds = [np.repeat(np.arange(look.screen.n_kinds), part) for part in parts]
        orders = itertools.product(*(_orders(look.goal, of_one) for of_one in kinds))
        stops = [
            decide_look(look.plans, tuple(map(look.audit, order)), look.goal, look.hits, _PLENTY).action != "continue"
            for order in orders
        ]
        yield tuple(np.sum(parts, axis=0).tolist()), sum(stops) / len(stops)


def _orders(goal: Goal, kinds: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The orders in which rows of these kinds may be drawn; for losses of 0 and 1 two, which have to decide alike."""
    if goal.is_exact:
        return [kinds, kinds[::-1]]
    return [np.array(order) for order in sorted(set(itertools.permutations(kinds.tolist())))]


def _false_share(look: _Look, state: State, shares: Sequence[tuple[State, float]]) -> float:
    """Probability of a false stop in a state."""
    all_draws = math.prod(math.comb(plan.n_inference, plan.size) for plan in look.plans)
    total = 0.0
    for drawn, share in shares:
        # Rows that are drawn are of audited groups, and of each of these as many as are audited.
        ways = math.prod(map(math.comb, state, drawn)) if share else 0
        measured = tuple(np.add(drawn * ~look.screen.lost, look.taken).tolist())
        if ways and look.is_false(state, measured):
            total += share * ways / all_draws
    return total


def _right(look: _Look) -> list[int]:
    """For each plan the kind of a right prediction."""
    groups, losses = look.screen.groups(look.goal), look.screen.losses(look.goal)
    there = {kind for which, _ in look.screen.strata for kind in which}
    return [min(there.intersection(np.flatnonzero((groups == p.group) & (losses == 0)).tolist())) for p in look.plans]


def _measured_whole(look: _Look) -> tuple[State, State]:
    """The state in which every prediction of the audits is right, and what is measured if all of them are audited."""
    right = np.zeros(look.screen.n_kinds, np.int64)
    right[_right(look)] = [plan.n_inference for plan in look.plans]
    return tuple((right + look.background).tolist()), tuple((right + look.taken).tolist())


def _audits_of(look: _Look) -> tuple[Audit, ...]:
    """Audits of all rows, in which every prediction is right."""
    return tuple(look.audit(np.repeat(k, plan.size)) for k, plan in zip(_right(look), look.plans, strict=True))


def _words(look: _Look, worst: float) -> str:
    sizes: Sequence[str] = [f"{plan.size} of {plan.n_inference}" for plan in look.plans]
    return (
        f"{look.goal.words}: an audit of {' and '.join(sizes)} predictions, with {len(look.screen.known)} compounds "
        f"measured before, stops falsely with probability {worst:.4f}, and may with {DELTA:g}"
    )
