"""What a screen claims of itself: which predictions are audited, what counts as an error, how many may be left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import HIT_QUANTITIES, LOSS_QUANTITIES, CampaignConfig, Quantity, StoppingConfig
from isd_ray.core import panels
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.targets import (
    balanced_accuracy_allowances,
    balanced_accuracy_floor,
    mean_loss_allowance,
    precision_allowance,
    precision_floor,
    recall_allowance,
    recall_floor,
)
from isd_ray.messages import LabelArray

QUANTITY_NAMES: dict[Quantity, str] = {
    "accuracy": "accuracy",
    "recall": "recall of hits",
    "precision": "precision of hits",
    "balanced_accuracy": "balanced accuracy",
    "mae": "mean absolute error",
    "mse": "mean squared error",
}
"""What may be claimed, in words."""
PANEL_ACCURACY = "share of right outputs by compound"
"""What the accuracy of a panel is, in words."""
OTHERS, HITS = 0, 1
"""Groups of rows by what is predicted of them. Goals that know no hits have one group, 0."""


@dataclass(frozen=True, slots=True)
class ScreenCounts:
    """Sizes that a claim depends on.

    Attributes
    ----------
    n_target:
        Rows of the target set.
    n_hits, n_others:
        Measured rows that are hits, and the others; all are others where the goal knows no hits.
    left:
        Rows that are not measured, by group.
    """

    n_target: int
    n_hits: int
    n_others: int
    left: tuple[int, ...]
    measured: tuple[int, ...] = ()
    """Of a panel with a claim about each output: measured readouts of each."""


@dataclass(frozen=True, slots=True)
class OutputGoal:
    """The claim about one output of a panel: the accuracy of its whole column is above `gamma`.

    Attributes
    ----------
    share:
        Of the risk that is spent on it.
    """

    name: str
    gamma: float
    share: float


@dataclass(frozen=True, slots=True)
class Goal:
    """The claim of a campaign.

    Attributes
    ----------
    quantity:
        accuracy, recall, precision, balanced_accuracy, mae or mse; "accuracy" of a regression is the share within the
        tolerance, of a panel the mean over the compounds of the share of their measured outputs that are right.
    level:
        What the quantity must exceed (accuracy), reach (recall, precision, balanced accuracy, accuracy of a panel), or
        not exceed (mae in the unit of the label, mse in its square).
    is_regression:
        Predictions are values, not class indices.
    tolerance:
        Regression: a prediction within it is right; None where right and wrong are not defined.
    clip:
        mae and mse: the error at which the loss is 1.
    positive:
        Class index of a hit.
    is_panel:
        Predictions and labels are packed bits of many outputs (`isd_ray.core.panels`), not numbers of shape (n,).
    n_expected:
        Outputs that every compound of a panel should have a readout of, so that one without counts as wrong: all of
        them in a laboratory, where it is a lost well. None where compounds that were not tested have none.
    outputs:
        Claims about each output of a panel (`isd_ray.core.outputs`); empty if the claim is about their mean.
    hit:
        Name of the class of hits, for words; empty where the goal knows no hits, or nobody has named it.
    """

    quantity: Quantity
    level: float
    is_regression: bool = False
    tolerance: float | None = None
    clip: float | None = None
    positive: int = 1
    is_panel: bool = False
    n_expected: int | None = None
    outputs: tuple[OutputGoal, ...] = ()
    hit: str = ""

    @classmethod
    def of(
        cls,
        config: CampaignConfig,
        classes: tuple[str, ...],
        outputs: tuple[str, ...] = (),
        *,
        in_laboratory: bool = False,
    ) -> Goal:
        """The goal of a campaign whose classes, and outputs of a panel, have these names."""
        stopping = config.stopping
        claims = _output_goals(stopping, outputs)
        return cls(
            quantity=stopping.quantity,
            level=min((claim.gamma for claim in claims), default=stopping.level),
            is_regression=config.task == "regression",
            tolerance=stopping.tolerance,
            clip=stopping.loss_clip,
            positive=len(classes) - 1 if stopping.positive is None else classes.index(stopping.positive),
            is_panel=config.task == "panel",
            n_expected=len(outputs) if in_laboratory and outputs else None,
            outputs=claims,
            hit=(stopping.positive or "") if stopping.quantity in HIT_QUANTITIES else "",
        )

    @property
    def knows_hits(self) -> bool:
        """Whether rows are told apart by a predicted hit."""
        return self.quantity in HIT_QUANTITIES

    @property
    def n_groups(self) -> int:
        """Groups of rows by prediction."""
        return 2 if self.knows_hits else 1

    @property
    def audited(self) -> tuple[int, ...]:
        """Groups that an audit is drawn from."""
        return {"precision": (HITS,), "balanced_accuracy": (OTHERS, HITS)}.get(self.quantity, (OTHERS,))

    @property
    def takes_hits(self) -> bool:
        """Whether a look measures every predicted hit that is left."""
        return self.quantity == "recall"

    @property
    def is_exact(self) -> bool:
        """Whether a loss is 0 or 1."""
        return not (self.is_error or self.is_panel)

    @property
    def is_error(self) -> bool:
        """Whether the quantity is an error, which is good when small, and not a share."""
        return self.quantity in LOSS_QUANTITIES

    @property
    def has_losses(self) -> bool:
        """Whether there is a loss at all: a regression without tolerance or bound on its error has none."""
        return not (self.is_regression and self.is_exact and self.tolerance is None)

    def as_prediction(self, labels: LabelArray) -> LabelArray:
        """Labels as a model would have predicted them."""
        return labels[:, 0] if self.is_panel else labels

    def groups(self, prediction: LabelArray) -> NDArray[np.int64]:
        """Group of each row by its prediction, int64 (n,)."""
        if not self.knows_hits:
            return np.zeros(len(prediction), np.int64)
        return (prediction == self.positive).astype(np.int64)

    def hits(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Which measured rows are hits, bool (n,); none where the goal knows no hits."""
        return labels == self.positive if self.knows_hits else np.zeros(len(labels), np.bool_)

    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """How far each prediction is right, float64 (n,) in [0, 1].

        0 or 1: class equal, or within the tolerance; 0 without a tolerance, or where nothing was predicted. Of a panel
        the share of the row's measured outputs.
        """
        if self.is_panel:
            return 1.0 - self.losses(prediction, labels)
        if not self.is_regression:
            return (prediction == labels).astype(np.float64)
        if self.tolerance is None:
            return np.zeros(len(labels))
        return (np.abs(prediction - labels) <= self.tolerance).astype(np.float64)

    def outcomes(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.int8]:
        """What became of each predicted entry of a panel, int8 (n, K) of `isd_ray.core.panels.outcomes`.

        An entry that should have had a readout is lost; so is every one of a row that no model has predicted.
        """
        if prediction.ndim == 1:
            return np.full((len(labels), len(self.outputs)), panels.LOST, np.int8)
        found = panels.outcomes(prediction, labels, len(self.outputs))
        if self.n_expected is not None:
            found[found == panels.MISSING] = panels.LOST
        return found

    def is_whole(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Which labels speak of all that is claimed of their rows, bool (n,): of each output that has a claim."""
        if not self.outputs:
            return np.ones(len(labels), np.bool_)
        whole: NDArray[np.bool_] = np.logical_and.reduce(panels.unpack(labels[:, 1], len(self.outputs)), axis=1)
        return whole

    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """Loss of each prediction against its readout, float64 (n,) in [0, 1]; 1 where either is missing."""
        if not self.has_losses:
            return np.zeros(len(labels))
        if self.is_panel:
            return panels.losses(prediction, labels, self.n_expected) if prediction.ndim > 1 else np.ones(len(labels))
        if self.knows_hits:
            wrong = self.hits(prediction) != self.hits(labels)
            return (wrong | np.isnan(prediction) | np.isnan(labels)).astype(np.float64)
        if self.is_exact:
            return 1.0 - self.correct(prediction, labels)
        error = np.abs(prediction - labels)
        loss = np.square(error) / self._unit if self.quantity == "mse" else error / self._unit
        return np.where(np.isnan(loss), 1.0, np.minimum(loss, 1.0))

    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Largest loss left in each audited group that keeps the claim; None if none would.

        Parameters
        ----------
        counts:
            Without the audit.
        expected:
            Forecast losses by group: they share out a balanced accuracy between its groups. A recall counts on the
            predicted hits, less those expected to be wrong; where they are measured already, `left` holds none.
        """
        if self.quantity == "recall":
            predicted = max(0, math.floor(counts.left[HITS] - expected[HITS]))
            return (recall_allowance(counts.n_hits + predicted, self.level),)
        if self.quantity == "precision":
            return (precision_allowance(counts.n_hits, counts.left[HITS], self.level),)
        if self.quantity == "balanced_accuracy":
            pair = balanced_accuracy_allowances(
                counts.n_hits,
                counts.n_others,
                (counts.left[HITS], counts.left[OTHERS]),
                (expected[HITS], expected[OTHERS]),
                self.level,
            )
            return None if pair is None else (pair[1], pair[0])
        if self.is_error:
            return (mean_loss_allowance(counts.n_target, self.level, self._unit),)
        if self.is_panel:
            return (mean_loss_allowance(counts.n_target, float(1 - Fraction(str(self.level))), 1.0),)
        return (allowed_errors(counts.n_target, self.level),)

    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The claimed quantity of a screen whose predictions left have these losses, by group.

        It gets worse, or stays, as any of the losses grows: at upper bounds of the losses it is a bound itself.
        """
        if self.quantity == "recall":
            found = counts.n_hits + counts.left[HITS] - losses[HITS]
            return recall_floor(found, losses[OTHERS])
        if self.quantity == "precision":
            return precision_floor(counts.n_hits, counts.left[HITS], losses[HITS])
        if self.quantity == "balanced_accuracy":
            left, wrong = (counts.left[HITS], counts.left[OTHERS]), (int(losses[HITS]), int(losses[OTHERS]))
            return float(balanced_accuracy_floor(counts.n_hits, counts.n_others, left, wrong))
        share = sum(losses) / counts.n_target
        return share * self._unit if self.is_error else 1.0 - share

    def is_met(self, counts: ScreenCounts, losses: tuple[float, ...]) -> bool:
        """Whether the claim is true of a screen whose predictions left have these losses."""
        if self.quantity == "accuracy":
            allowed = self.allowances(counts, losses)
            return allowed is not None and losses[OTHERS] <= allowed[OTHERS]
        value = self.value(counts, losses)
        return value <= self.level if self.is_error else value >= self.level

    @property
    def _unit(self) -> float:
        """Error that a loss of 1 stands for."""
        clip = 1.0 if self.clip is None else self.clip
        return clip**2 if self.quantity == "mse" else clip

    @property
    def name(self) -> str:
        """The claimed quantity in words."""
        if self.is_panel:
            return PANEL_ACCURACY
        within = self.is_regression and self.quantity == "accuracy"
        name = "share within the tolerance" if within else QUANTITY_NAMES[self.quantity]
        return f"{name} ({_of_class(self.quantity, self.hit)})" if self.hit else name

    @property
    def words(self) -> str:
        """The claim in words."""
        if self.outputs:
            return f"accuracy of each of {len(self.outputs)} outputs is above {_range(self.outputs)}"
        if self.is_error:
            return f"{self.name} is at most {self.level:g} (errors above {self.clip:g} counted as {self.clip:g})"
        is_above = self.quantity == "accuracy" and self.is_exact
        return f"{self.name} is {'above' if is_above else 'at least'} {self.level:g}"


def _of_class(quantity: Quantity, hit: str) -> str:
    return f"hits: class {hit!r}" if quantity == "balanced_accuracy" else f"class {hit!r}"


def _output_goals(stopping: StoppingConfig, outputs: tuple[str, ...]) -> tuple[OutputGoal, ...]:
    if stopping.panel is None:
        return ()
    levels, shares = stopping.panel.levels(outputs, stopping.gamma), stopping.panel.shares(outputs)
    return tuple(OutputGoal(*claim) for claim in zip(outputs, levels, shares, strict=True))


def _range(outputs: tuple[OutputGoal, ...]) -> str:
    """The levels in words."""
    levels = sorted({output.gamma for output in outputs})
    return f"{levels[0]:g}" if len(levels) == 1 else f"its own level, {levels[0]:g} to {levels[-1]:g}"
