"""An audit that is measured in portions and judged after each: where few errors are left, the first ones suffice.

The audit of a look is drawn and on record as a whole, and its first rows, in the order of drawing, are a uniform sample
of the population as well. An exact look j judges each of P portions, with those before it, at delta_j / P: some of them
passes a bad screen with probability at most delta_j (union bound; with a finish each is the event of
`isd_ray.core.certify.judge_look`). A look by betting needs no split: its wealth after some rows follows from these
rows alone, so the portions look at one and the same supermartingale, which exceeds 1 / delta_j with probability at most
delta_j, ever (Ville; `isd_ray.core.betting`). How many portions were needed may depend on anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from isd_ray.core.looks import LookPlan

_FIRST, _WHOLE = 2, 5
"""Two fifths of an audit are its first portion; the others share the rest equally. By trial: less seldom passes."""


def most_portions(size: int, wanted: int) -> int:
    """Portions of an audit of so many rows: as many as wanted, if each is to have a row of its own."""
    return min(wanted, 1 + size * (_WHOLE - _FIRST) // _WHOLE)


def sizes(size: int, portions: int) -> tuple[int, ...]:
    """Audited rows up to each portion, ascending."""
    if portions == 1:
        return (size,)
    steps = portions - 1
    parts = (_FIRST * steps + (_WHOLE - _FIRST) * place for place in range(portions))
    return tuple(-(-size * part // (_WHOLE * steps)) for part in parts)


def level(delta: float, portions: int, *, is_exact: bool) -> float:
    """Risk at which each portion of a look is judged that spends `delta`."""
    return delta / portions if is_exact else delta


def planned_level(delta: float, portions: int, *, is_exact: bool) -> float:
    """Risk that the size of an audit goes by: between that of the look and that of a portion.

    An audit that gives the last portion its power is dear where the first ones suffice. By trial; no proof rests on it.
    """
    return math.sqrt(delta * level(delta, portions, is_exact=is_exact))


def judged_plans(plans: Sequence[LookPlan]) -> tuple[LookPlan, ...]:
    """What the rows up to the present portion are judged by, of the declared plans of a look.

    A finish that measures whatever it takes is left to the last portion, as the next one may show more.
    """
    return tuple(plan if plan.portions == 1 else _judged(plan) for plan in plans)


def _judged(plan: LookPlan) -> LookPlan:
    size, is_last = sizes(plan.size, plan.portions)[plan.portion - 1], plan.portion == plan.portions
    return replace(
        plan,
        size=size,
        delta=level(plan.delta, plan.portions, is_exact=plan.expected_loss is None),
        risk=plan.delta,
        finish="cheap" if plan.finish == "any" and not is_last else plan.finish,
        reach=plan.reach - plan.size + size,
    )


def in_portions(plans: Sequence[LookPlan], most: int) -> tuple[LookPlan, ...]:
    """The plans of one look, whose audits have the same number of portions: what each of them, and `most`, allows."""
    portions = min([most, *(plan.portions for plan in plans)])
    return tuple(replace(plan, portions=portions) for plan in plans)


def next_portion(plans: Sequence[LookPlan]) -> tuple[LookPlan, ...]:
    """The declared plans of a look, one portion further."""
    return tuple(replace(plan, portion=plan.portion + 1) for plan in plans)
