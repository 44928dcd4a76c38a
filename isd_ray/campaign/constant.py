"""What one answer for every compound would reach, in words: every place that shows a claim says it by these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isd_ray.campaign.round_files import RoundRecord
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.goals import Goal

N_NAMED = 3
"""Outputs of a panel that a warning names."""
COMPARED = "For comparison"
"""What stands before the words, as a heading or at the beginning of a line."""
COMMONER = "the commonest answer of each output"
"""Of a panel."""
UNKNOWN = "what one answer for every compound would reach is said once the first batch is measured"
"""Before the start, where no label is known."""
UNSAID = "what one answer for every compound would reach of it, this claim does not say"
"""Before the start, of a claim that is held against nothing."""


def range_words(low: float, high: float) -> str:
    """A range, or the number where it is known."""
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def constant_brief(goal: Goal, constant: ConstantAnswer) -> str:
    """In a few words, behind the goal."""
    what = "random picking" if goal.takes_hits else "constant answer"
    return f"{what} {range_words(constant.low, constant.high)}"


def constant_words(goal: Goal, constant: ConstantAnswer, classes: Sequence[str]) -> str:
    """In a sentence.

    Parameters
    ----------
    classes:
        Their names by index.
    """
    reached = range_words(constant.low, constant.high)
    if goal.takes_hits:
        return f"as many compounds picked at random, without any model, hold on average {reached} of all hits"
    if constant.outputs:
        reached += f" by output ({_ends(goal, constant)})" if len(goal.outputs) > 1 else ""
        name = "accuracy"
    else:
        name = goal.name
    sample = "" if constant.n is None else f", by the {constant.n:,} compounds of the first batch"
    answer = _answer(goal, constant, classes)
    return f"{answer} for every compound, without any model, has {name} {reached}{sample}{goal.constant_remark}"


def _answer(goal: Goal, constant: ConstantAnswer, classes: Sequence[str]) -> str:
    if goal.is_panel:
        return COMMONER
    if constant.answer is None:
        return "the same answer"
    return f"the value {constant.answer:.4g}" if goal.is_regression else repr(classes[int(constant.answer)])


def _ends(goal: Goal, constant: ConstantAnswer) -> str:
    """The outputs for which it does worst and best."""
    pairs = list(zip(goal.outputs, constant.outputs, strict=True))
    worst, best = min(pairs, key=lambda pair: pair[1].low), max(pairs, key=lambda pair: pair[1].high)
    return f"{worst[0].name!r} the lowest, {best[0].name!r} the highest"


def constant_warning(goal: Goal, constant: ConstantAnswer | None, classes: Sequence[str]) -> str | None:
    """That the claim may be true of one answer for every compound, and what to ask for; None if it cannot be.

    A recall is warned of from the moment at which as large a share is measured.
    """
    if constant is None or not constant.reaches(goal):
        return None
    reached = range_words(constant.low, constant.high)
    if goal.outputs:
        outputs = constant.reached(goal)
        more = f" and {len(outputs) - N_NAMED} more" if len(outputs) > N_NAMED else ""
        named = ", ".join(map(repr, outputs[:N_NAMED]))
        by = "as many compounds picked at random" if goal.takes_hits else f"{COMMONER} for every compound"
        return (
            f"what is claimed of {named}{more} may be worth nothing: {by}, without any model, may reach as much. Ask "
            "for more (stopping.panel.gamma)"
        )
    by, has = f"{_answer(goal, constant, classes)} for every compound", "has"
    if goal.takes_hits:
        by, has = "as many compounds picked at random", "hold"
    worthless = f"a claim of {goal.level:g} may be worth nothing"
    return f"{worthless}: {by}, without any model, {has} {reached}. {goal.remedy}"


def constant_record(goal: Goal, constant: ConstantAnswer | None, classes: Sequence[str]) -> RoundRecord:
    """For the record of a round, as all that shows the claim reads it; empty where there is no such answer."""
    if constant is None:
        return {}
    return {
        "constant": constant_words(goal, constant, classes),
        "constant_brief": constant_brief(goal, constant),
        "constant_low": constant.low,
        "constant_high": constant.high,
        "output_constants": [(one.low, one.high) for one in constant.outputs],
    }


def constant_summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """For the summary, by the record of the round that stopped; nothing is known in those of earlier versions."""
    found = [record["constant_low"], record["constant_high"]] if "constant_low" in record else None
    return {"constant": record.get("constant"), "constant_range": found}


def beforehand(goal: Goal, constant: ConstantAnswer | None, classes: Sequence[str]) -> str:
    """What is said before the start."""
    if goal.takes_hits:
        return (
            "compounds picked at random, without any model, hold on average as large a share of all hits as is "
            f"measured: {goal.level:g} once {goal.level:.0%} are"
        )
    if constant is None:
        return UNKNOWN if goal.constant_by_loss else UNSAID
    return constant_words(goal, constant, classes)
