"""What one answer for every compound would reach, in words: every place that shows a claim says it by these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from isd_ray.campaign.round_files import RoundRecord
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.goals import Goal, OutputGoal

N_NAMED = 3
"""Outputs of a panel that a warning names."""
COMPARED = "For comparison"
"""What stands before the words, as a heading or at the beginning of a line."""
COMMONER = "the commonest answer of each output"
"""Of a panel."""
BEST_VALUE = "the value of each output that errs least"
"""Of a panel of numbers whose mean error is claimed."""
UNKNOWN = "what one answer for every compound would reach is said once the first batch is measured"
"""Before the start, where no label is known."""
UNSAID = "what one answer for every compound would reach of it, this claim does not say"
"""Before the start, of a claim that is held against nothing."""

_Pair: TypeAlias = tuple[OutputGoal, ConstantAnswer]


def range_words(low: float, high: float) -> str:
    """A range, or the number where it is known."""
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def constant_brief(goal: Goal, constant: ConstantAnswer) -> str:
    """In a few words, behind the goal."""
    picked, others = _kinds(goal, constant)
    if picked and others:
        return f"random picking {_reached(picked)}, constant answer {_reached(others)}"
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
    picked, others = _kinds(goal, constant)
    if goal.takes_hits and not others:
        return f"as many compounds picked at random, without any model, hold on average {reached} of all hits"
    sample = "" if constant.n is None else f", by the {constant.n:,} compounds of the first batch"
    if constant.outputs:
        has = f"{_what(others)} {_reached(others)}" + (f" by output ({_ends(others)})" if len(others) > 1 else "")
    else:
        has = f"{goal.name} {reached}"
    answer = f"{_answer(goal, constant, classes)} for every compound, without any model, has {has}{sample}"
    if picked:
        answer += f"; {_picking([output.name for output, _ in picked], picked[0][1].high)}"
    return f"{answer}{goal.constant_remark}"


def _picking(outputs: Sequence[str], share: float = 0.0) -> str:
    """What random picking holds of the hits of outputs beside others; before anything is measured, what it will."""
    hits = f"of the hits of {_named(outputs)}"
    if not share:
        return f"compounds picked at random hold on average as large a share {hits} as is measured"
    return f"as many compounds picked at random hold on average {share:.4g} {hits}"


def _kinds(goal: Goal, constant: ConstantAnswer) -> tuple[list[_Pair], list[_Pair]]:
    """Outputs that are held against random picking, and the others; none without claims about outputs."""
    pairs = list(zip(goal.outputs, constant.outputs, strict=False))
    return [pair for pair in pairs if pair[0].is_recall], [pair for pair in pairs if not pair[0].is_recall]


def _what(pairs: Sequence[_Pair]) -> str:
    """What the numbers of outputs are: of mean errors as on record (`OutputGoal.error`), to stand beside accuracies."""
    are_errors = {output.error is not None for output, _ in pairs}
    loss = "one less the mean loss, in parts of the largest that counts,"
    return "accuracy" if are_errors == {False} else loss if are_errors == {True} else f"accuracy, of mean errors {loss}"


def _reached(pairs: Sequence[_Pair]) -> str:
    return range_words(min(one.low for _, one in pairs), max(one.high for _, one in pairs))


def _named(outputs: Sequence[str]) -> str:
    """A few of some outputs, and how many more there are."""
    more = f" and {len(outputs) - N_NAMED} more" if len(outputs) > N_NAMED else ""
    return f"{', '.join(map(repr, outputs[:N_NAMED]))}{more}"


def _answer(goal: Goal, constant: ConstantAnswer, classes: Sequence[str]) -> str:
    if goal.is_panel:
        return BEST_VALUE if goal.is_error else COMMONER
    if constant.answer is None:
        return "the same answer"
    return f"the value {constant.answer:.4g}" if goal.is_regression else repr(classes[int(constant.answer)])


def _ends(pairs: Sequence[_Pair]) -> str:
    """The outputs for which it does worst and best."""
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
        reached_by = constant.reached(goal)
        picked, others = ([pair for pair in pairs if pair[0].name in reached_by] for pairs in _kinds(goal, constant))
        plain = (("as many compounds picked at random", picked), (f"{COMMONER} for every compound", others))
        by = " or ".join(words for words, pairs in plain if pairs)
        are_errors = [output.error is not None for output, _ in (*picked, *others)]
        more = ["more (stopping.panel.gamma)"] * (not all(are_errors))
        more += ["a smaller error (stopping.panel.max_loss)"] * any(are_errors)
        return (
            f"what is claimed of {_named(reached_by)} may be worth nothing: {by}, without any model, may reach as "
            f"much. Ask for {', or '.join(more)}"
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
    recalls = [output.name for output in goal.outputs if output.is_recall]
    if 0 < len(recalls) < len(goal.outputs):
        return f"{UNKNOWN}; {_picking(recalls)}" if constant is None else constant_words(goal, constant, classes)
    if goal.takes_hits:
        return (
            "compounds picked at random, without any model, hold on average as large a share of all hits as is "
            f"measured: {goal.level:g} once {goal.level:.0%} are"
        )
    if constant is None:
        return UNKNOWN if goal.constant_by_loss else UNSAID
    return constant_words(goal, constant, classes)
