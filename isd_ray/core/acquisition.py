"""Acquisition functions: which inference rows are hardest to predict.

Each is a pure function of one block's `Candidates`; larger scores are acquired first. A package adds its own by the
entry point group ``isd_ray.acquisition``: the entry's name is the function's name, its value an `AcquisitionFunction`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from isd_ray import plugins
from isd_ray.config import ModelConfig, Task
from isd_ray.core.panels import Tolerances, are_classes
from isd_ray.core.predictions import doubt, doubt_of_outputs, mean_over_members, row_pieces, spreads, variances
from isd_ray.errors import ConfigError

ENTRY_POINTS = "isd_ray.acquisition"
WITHOUT_SAMPLES = frozenset({"boosted", "linear"})
"""Families whose members always give the same answer."""
IN_ORDER = "in_order"
Scores: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What an acquisition function sees of one block of inference rows.

    Attributes
    ----------
    rows:
        int64 (n,), rows of the target set.
    outputs:
        float32: class probabilities (M, n, K), values (M, n), or of a panel probabilities that an output is 1
        (M, n, K), beside numbers in their units, of the M members, or of M stochastic passes; empty for functions that
        need no model.
    column:
        float64 (n,): the library column that `acquisition.column` names, or the row number; negated for a descending
        order.
    weights:
        float64 (M,), summing to 1: how much each member counts; None where all count the same.
    hit:
        Class index of a hit; None where labels are not classes.
    tolerances:
        Of a panel with numbers: by output the error that counts as none, None of a class; empty of all others.
    seeks_hits:
        Of a panel with the recall of hits claimed of some outputs, and something else of others: of which; else empty.
    """

    rows: NDArray[np.int64]
    outputs: NDArray[np.float32]
    column: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    hit: int | None = None
    tolerances: Tolerances = ()
    seeks_hits: tuple[bool, ...] = ()

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The committee's class probabilities, float64 (n, K): the weighted mean over the members."""
        return mean_over_members(self.outputs, self.weights)


@dataclass(frozen=True, slots=True)
class AcquisitionFunction:
    """A named acquisition function and what it needs.

    Attributes
    ----------
    score:
        From `Candidates` to two float32 arrays (n,): the score, and a second score that orders rows of equal score.
    tasks:
        A function of classes that does not name panels scores a panel by its mean over the outputs, each taken for a
        classification of two classes.
    needs:
        `members`: the outputs of the committee; `dropout`: stochastic passes with dropout; `nothing`: no model.
    min_members:
        Smallest committee for which the scores differ at all.
    needs_hit:
        It asks which class is a hit (`Candidates.hit`), which the campaign then has to name.
    """

    name: str
    score: Callable[[Candidates], Scores]
    tasks: tuple[Task, ...]
    needs: Literal["members", "dropout", "nothing"] = "members"
    min_members: int = 1
    needs_hit: bool = False


def _with_zeros(scores: NDArray[np.floating]) -> Scores:
    return scores.astype(np.float32), np.zeros(len(scores), np.float32)


def _entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = np.asarray(probabilities, np.float64)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)


def least_confidence(candidates: Candidates) -> Scores:
    """One minus the probability of the predicted class (paper, Eq. 3), of the committee's mean probabilities."""
    return _with_zeros(doubt(candidates.probabilities))


def margin(candidates: Candidates) -> Scores:
    """Minus the gap between the two most probable classes."""
    ordered = np.sort(candidates.probabilities, axis=-1)
    return _with_zeros(ordered[:, -2] - ordered[:, -1])


def entropy(candidates: Candidates) -> Scores:
    """Entropy of the committee's mean probabilities, in nats."""
    return _with_zeros(_entropy(candidates.probabilities))


def hit_probability(candidates: Candidates) -> Scores:
    """Probability of a hit: what a claim about hits has to find; equals by how unsure the prediction is."""
    assert candidates.hit is not None, "a function of classes"
    probabilities = candidates.probabilities
    return probabilities[:, candidates.hit].astype(np.float32), doubt(probabilities).astype(np.float32)


def vote_entropy(candidates: Candidates) -> Scores:
    """Entropy of the members' votes (paper, Eq. 4), in nats; few values occur, so mean uncertainty orders equals."""
    n_classes = candidates.outputs.shape[-1]
    votes = candidates.outputs.argmax(axis=-1)
    shares = np.average(votes[..., None] == np.arange(n_classes), axis=0, weights=candidates.weights)
    # Rounded so that permutations of one vote count are the same score whatever the order of summation.
    scores = np.round(_entropy(np.sort(shares, axis=-1)), 6)
    return scores.astype(np.float32), doubt(candidates.outputs).mean(axis=0).astype(np.float32)


def bald(candidates: Candidates) -> Scores:
    """Mutual information of label and weights (Houlsby et al. 2011; MC dropout after Gal et al. 2017), in nats."""
    mean_entropy = _entropy(candidates.outputs).mean(axis=0)
    return _with_zeros(_entropy(mean_over_members(candidates.outputs)) - mean_entropy)


def variance(candidates: Candidates) -> Scores:
    """Variance of the members' values, in the squared unit of the label."""
    return _with_zeros(variances(candidates.outputs, candidates.weights))


def standard_deviation(candidates: Candidates) -> Scores:
    """Standard deviation of the members' values, in the unit of the label."""
    return _with_zeros(np.sqrt(variances(candidates.outputs, candidates.weights)))


def doubtful_outputs(candidates: Candidates) -> Scores:
    """Of a panel with numbers: about the share of outputs that are wrong (`doubt_of_outputs`)."""
    doubts = doubt_of_outputs(candidates.outputs, candidates.tolerances, candidates.weights)
    return _with_zeros(doubts.mean(axis=1))


def variance_of_outputs(candidates: Candidates) -> Scores:
    """Of a panel with numbers: the mean variance of its outputs, each in squared tolerances."""
    return _with_zeros(spreads(candidates.outputs, candidates.tolerances, candidates.weights).mean(axis=1))


def standard_deviation_of_outputs(candidates: Candidates) -> Scores:
    """Of a panel with numbers: the mean standard deviation of its outputs, each in tolerances."""
    return _with_zeros(np.sqrt(spreads(candidates.outputs, candidates.tolerances, candidates.weights)).mean(axis=1))


def hits_or_doubts(candidates: Candidates) -> Scores:
    """Of a panel: the mean over its outputs of how likely a hit is where hits are looked for, else of an error.

    Both are what a measurement would change for the claims, in one unit: entries. Where no output is named in
    `Candidates.seeks_hits` hits are looked for in all outputs of classes. Equals go by the mean of errors alone.
    """
    n_rows, n_outputs = candidates.outputs.shape[1:]
    tolerances = candidates.tolerances or (None,) * n_outputs
    seeks = np.array(candidates.seeks_hits, np.bool_) if candidates.seeks_hits else are_classes(tolerances)
    scores = np.empty((2, n_rows), np.float32)
    for piece in row_pieces(candidates.outputs):
        outputs = candidates.outputs[:, piece]
        doubts = doubt_of_outputs(outputs, tolerances, candidates.weights)
        ones = np.clip(mean_over_members(outputs, candidates.weights), 0.0, 1.0)
        scores[0, piece] = np.where(seeks, ones, doubts).mean(axis=1)
        scores[1, piece] = doubts.mean(axis=1)
    return scores[0], scores[1]


def random(candidates: Candidates) -> Scores:
    """Equal scores: the seeded hash of the rows decides."""
    return _with_zeros(np.zeros(len(candidates.rows)))


def in_order(candidates: Candidates) -> Scores:
    """By a column of the library, smallest first.

    The two scores hold the value's leading and trailing part, so that more rows than float32 can count stay in order.
    """
    leading = (-candidates.column).astype(np.float32)
    return leading, (-candidates.column - leading).astype(np.float32)


def mean_over_outputs(score: Callable[[Candidates], Scores]) -> Callable[[Candidates], Scores]:
    """A function of classes made one of panels: the mean of its scores over the outputs."""

    def of_panel(candidates: Candidates) -> Scores:
        n_rows, n_outputs = candidates.outputs.shape[1:]
        scores = np.empty((2, n_rows), np.float32)
        for piece in row_pieces(candidates.outputs):
            ones = candidates.outputs[:, piece].reshape(len(candidates.outputs), -1)
            cells = Candidates(
                np.repeat(candidates.rows[piece], n_outputs),
                np.stack([1.0 - ones, ones], axis=-1),
                np.repeat(candidates.column[piece], n_outputs),
                candidates.weights,
                1,
            )
            for place, values in enumerate(score(cells)):
                scores[place, piece] = values.reshape(-1, n_outputs).mean(axis=1, dtype=np.float64)
        return scores[0], scores[1]

    return of_panel


_EVERY: tuple[Task, ...] = get_args(Task)
_CLASSES: tuple[Task, ...] = ("classification",)
_VALUES: tuple[Task, ...] = ("regression",)
BUILT_IN = {
    function.name: function
    for function in (
        AcquisitionFunction("least_confidence", least_confidence, _CLASSES),
        AcquisitionFunction("hit_probability", hit_probability, _CLASSES, needs_hit=True),
        AcquisitionFunction("margin", margin, _CLASSES),
        AcquisitionFunction("entropy", entropy, _CLASSES),
        AcquisitionFunction("vote_entropy", vote_entropy, _CLASSES, min_members=2),
        AcquisitionFunction("bald", bald, _CLASSES, needs="dropout"),
        AcquisitionFunction("variance", variance, _VALUES, min_members=2),
        AcquisitionFunction("standard_deviation", standard_deviation, _VALUES, min_members=2),
        AcquisitionFunction("random", random, _EVERY, needs="nothing"),
        AcquisitionFunction(IN_ORDER, in_order, _EVERY, needs="nothing"),
    )
}


OF_NUMBERS = {
    function.name: function
    for function in (
        AcquisitionFunction("least_confidence", doubtful_outputs, ("panel",), min_members=2),
        AcquisitionFunction("hit_probability", hits_or_doubts, ("panel",), min_members=2),
        AcquisitionFunction("variance", variance_of_outputs, ("panel",), min_members=2),
        AcquisitionFunction("standard_deviation", standard_deviation_of_outputs, ("panel",), min_members=2),
    )
}
"""What functions are of a panel with numbers: those of packages know nothing of such."""


def scored_by(function: AcquisitionFunction, candidates: Candidates) -> Scores:
    """The two scores of each row.

    Raises
    ------
    ConfigError
        If they are of another shape, or no finite numbers: an order with these would be none.
    """
    scores = function.score(candidates)
    if fault := _fault(scores, len(candidates.rows)):
        raise ConfigError(
            f"the acquisition function {function.name!r} gives {fault}",
            "acquisition.function",
            "take out the compounds that have no number in acquisition.column: isd exclude"
            if function.name == IN_ORDER
            else "choose another, or mend it in its package: the tests of isd_ray.testing.acquisition find this",
        )
    return scores


def _fault(scores: Scores, n: int) -> str | None:
    """What is wrong with the scores of n rows, if anything."""
    if shapes := [np.shape(score) for score in scores if np.shape(score) != (n,)]:
        return f"scores of shape {shapes[0]} in the place of {(n,)}"
    n_wrong = sum(int(np.count_nonzero(~np.isfinite(score))) for score in scores)
    return f"{n_wrong:,} scores of {2 * n:,} that are no finite numbers" if n_wrong else None


def find_acquisition(name: str) -> AcquisitionFunction:
    """The acquisition function of that name: built in, or from an entry point.

    Raises
    ------
    ConfigError
        If there is none, or the entry point does not yield an `AcquisitionFunction`.
    """
    what, where = "acquisition function", "acquisition.function"
    return plugins.load(ENTRY_POINTS, BUILT_IN, name, what, where, AcquisitionFunction)


def acquisition_for(
    name: str,
    task: Task,
    model: ModelConfig,
    column: str | None = None,
    *,
    has_numbers: bool = False,
    mixes_hits: bool = False,
) -> AcquisitionFunction:
    """The acquisition function of that name, made for a task and checked against a committee.

    Parameters
    ----------
    column:
        Of the library, that it is to go by; None if no column is named.
    has_numbers:
        Some outputs of the panel are numbers.
    mixes_hits:
        Hits are looked for in some outputs of the panel, and errors in others.

    Raises
    ------
    ConfigError
        If they do not fit together.
    """
    function = find_acquisition(name)
    if has_numbers:
        function = _of_numbers(function)
    elif mixes_hits and function is BUILT_IN["hit_probability"]:
        function = replace(function, score=hits_or_doubts, tasks=("panel",))
    if task == "panel" and "panel" not in function.tasks and "classification" in function.tasks:
        function = replace(function, score=mean_over_outputs(function.score), tasks=("panel",))
    if task not in function.tasks:
        usual = "classification" if task == "panel" else task
        fitting = [known.name for known in BUILT_IN.values() if usual in known.tasks]
        if has_numbers:
            fitting = [*OF_NUMBERS, "random", "in_order"]
        raise ConfigError(
            f"{function.name!r} is not for task = {task!r}{' with numbers' * has_numbers}",
            "acquisition.function",
            f"choose one of {', '.join(fitting)}",
        )
    if model.n_members < function.min_members:
        raise ConfigError(
            f"{function.name!r} needs a committee; model.members = {model.members} of "
            f"{' and '.join(model.families)} make {model.n_members} that may differ",
            "acquisition.function",
            f"set model.members to {function.min_members} or more (5 is usual), of a family other than 'linear'",
        )
    if function.needs == "dropout" and not set(model.families) - WITHOUT_SAMPLES:
        raise ConfigError(
            f"{function.name!r} needs dropout, which {' and '.join(model.families)} do not have",
            "acquisition.function",
            "add 'resmlp' to model.families, or use another acquisition function",
        )
    if function.needs == "dropout" and model.dropout == 0.0:
        raise ConfigError(f"{function.name!r} needs dropout; model.dropout is 0", "model.dropout", "set it to 0.1")
    if column is not None and function.name in BUILT_IN and function.name != IN_ORDER:
        raise ConfigError(
            f"a column is only for 'in_order', not for {function.name!r}", "acquisition.column", "remove it"
        )
    return function


def _of_numbers(function: AcquisitionFunction) -> AcquisitionFunction:
    """A function as it is of a panel with numbers; of no task where it looks at outputs that it takes for classes."""
    if function.name in OF_NUMBERS and function is BUILT_IN.get(function.name):
        return OF_NUMBERS[function.name]
    return function if function.needs == "nothing" else replace(function, tasks=())
