"""What a screen claims of itself: which predictions are audited, what counts as an error, how many may be left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.stopping import MeanErrorClaim
from isd_ray.core.best_constant import Answer
from isd_ray.core.certify import judge_losses
from isd_ray.core.look_evidence import Audit, ScreenCounts
from isd_ray.core.looks import LookPlan, LookVerdict
from isd_ray.core.panels import has_readout
from isd_ray.messages import LabelArray

UNVERIFIED = "unverified claim"
"""What is said of a claim whose class did not pass the suite (`isd_ray.core.enumeration`)."""
SQUARED = 2
"""Power of a squared error."""
OTHERS, HITS = 0, 1
"""Groups of rows by what is predicted of them. Goals that know no hits have one group, 0."""


@dataclass(frozen=True, slots=True)
class OutputGoal:
    """The claim about one output of a panel: its accuracy is above `gamma`, or its recall of hits reaches it.

    Attributes
    ----------
    share:
        Of the risk that is spent on it.
    tolerance:
        Of a number: the error that counts as none; None of a class.
    error:
        Its mean error is bounded in the place of its accuracy. On record, and in `gamma`, is one less the mean loss, in
        parts of the largest that counts, which is good when large as an accuracy is; `shown` is the error.
    is_recall:
        It is about the recall of hits.
    """

    name: str
    gamma: float
    share: float
    tolerance: float | None = None
    error: MeanErrorClaim | None = None
    is_recall: bool = False

    @property
    def level(self) -> float:
        """What is asked for, in the unit of the claim."""
        return self.gamma if self.error is None else self.error.max_loss

    @property
    def unit(self) -> float:
        """Of a mean error: what a loss of 1 stands for."""
        return 1.0 if self.error is None else float(self.error.clip**self.error.power)

    def shown(self, value: float) -> float:
        """A quantity on record in the unit of the claim."""
        return value if self.error is None else (1.0 - value) * self.unit

    def shown_range(self, ends: Sequence[float] | None) -> tuple[float, float] | None:
        """The same of both ends of a range."""
        if ends is None:
            return None
        one, other = map(self.shown, ends)
        return min(one, other), max(one, other)

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        if self.error is not None:
            what, clip = ("squared" if self.error.power == SQUARED else "absolute"), self.error.clip
            return f"mean {what} error at most {self.level:g} (errors above {clip:g} counted as {clip:g})"
        if self.tolerance is not None:
            return f"share within {self.tolerance:g} above {self.level:g}"
        return f"recall of hits at least {self.level:g}" if self.is_recall else f"accuracy above {self.level:g}"

    @property
    def on_record(self) -> dict[str, Any]:
        """What certificate and summary say beside the level."""
        said = {"asked": self.asked, "is_recall": self.is_recall}
        if self.tolerance is None:
            return said
        return {**said, "tolerance": self.tolerance, "is_error": self.error is not None}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a configuration asks of a screen.

    Attributes
    ----------
    level:
        What the quantity is held against.
    positive, hit:
        Class index of a hit, and its name; empty where nobody has named it.
    tolerance, clip:
        Of values: the error that counts as none, and the one that larger ones count as (unit of the label).
    n_outputs, n_expected:
        Of a panel: its outputs, and how many of them every compound should have a readout of (`PanelAccuracy`).
    claims:
        Of a panel with a claim about each output.
    tolerances:
        Of a panel with numbers: by output (`isd_ray.core.panels`).
    """

    level: float
    positive: int = 1
    hit: str = ""
    tolerance: float | None = None
    clip: float | None = None
    n_outputs: int = 0
    n_expected: int | None = None
    claims: tuple[OutputGoal, ...] = ()
    tolerances: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Goal(ABC):
    """The claim of a campaign; each quantity is a class of its own.

    Attributes
    ----------
    level:
        What the quantity is held against.
    unverified:
        Its class did not pass the suite for claims: `name`, and so all that is said of it, says so.
    quantity, noun:
        As in the configuration, and in words.
    sign:
        How the quantity of a screen that meets the goal relates to the level.
    is_regression, is_panel:
        Predictions and labels are values, or of many outputs (`isd_ray.core.panels`), not class indices.
    is_of_numbers:
        Of a panel: all its outputs are numbers.
    is_exact:
        A loss is 0 or 1.
    is_error:
        The quantity is an error, which is good when small, and not a share.
    is_share_right:
        It is the share of right rows, which the rules `paper` and `reserved` count; of our own claims only.
    knows_hits:
        Rows are told apart by a predicted hit.
    takes_hits:
        A look measures every predicted hit that is left.
    may_finish:
        The proof of a look allows a finish.
    audited:
        Groups that an audit is drawn from.
    power:
        Of an error: that of the unit of the label which the level is in.
    acquisition:
        The acquisition function that finds what the claim is about soonest; None for that of the task.
    constant:
        What any one answer for every compound reaches; None where that depends on the answer.
    constant_by_loss:
        It is one less, or of an error, the mean loss of the answer: the best one, or `fixed_answer`.
    constant_remark, remedy:
        What else is said of such an answer, and what to ask for where the claim may be worth no more.
    positive:
        Class index of a hit.
    outputs:
        Claims about each output of a panel; empty if the claim is about all of them together.
    """

    quantity: ClassVar[str]
    noun: ClassVar[str]
    sign: ClassVar[str] = "≥"
    is_regression: ClassVar[bool] = False
    is_panel: ClassVar[bool] = False
    is_of_numbers: ClassVar[bool] = False
    is_exact: ClassVar[bool] = True
    is_error: ClassVar[bool] = False
    is_share_right: ClassVar[bool] = False
    knows_hits: ClassVar[bool] = False
    takes_hits: ClassVar[bool] = False
    may_finish: ClassVar[bool] = True
    audited: ClassVar[tuple[int, ...]] = (OTHERS,)
    power: ClassVar[int] = 1
    acquisition: ClassVar[str | None] = None
    constant: ClassVar[float | None] = None
    constant_by_loss: ClassVar[bool] = False
    constant_remark: ClassVar[str] = ""
    remedy: ClassVar[str] = "Ask for more (stopping.gamma)"

    level: float
    unverified: bool = field(default=False, kw_only=True, repr=False)

    @classmethod
    def asked(cls, asked: Asked) -> Goal:
        """The goal of a configuration; classes with more fields than the level take what they need."""
        return cls(asked.level)

    @classmethod
    def largest(cls, clip: float) -> float:
        """The largest error that counts, in the unit of the level, where larger ones count as `clip`."""
        return float(clip**cls.power)

    @property
    def unit(self) -> float:
        """Of an error: what a loss of 1 stands for, in the unit of the level."""
        return 1.0

    @property
    def name(self) -> str:
        """The claimed quantity in words."""
        return self.named()

    def named(self, *remarks: str) -> str:
        """The noun with remarks in brackets, that the claim is unverified among them."""
        said = [*filter(None, remarks), *([UNVERIFIED] if self.unverified else ())]
        return f"{self.noun} ({', '.join(said)})" if said else self.noun

    @property
    def words(self) -> str:
        """The claim in words."""
        return f"{self.name} is at least {self.level:g}"

    @property
    def positive(self) -> int:
        """Class index of a hit; -1 where there are no classes."""
        return -1

    @property
    def hit(self) -> str:
        """Name of the class of hits, for words; empty where there is none, or nobody has named it."""
        return ""

    @property
    def outputs(self) -> tuple[OutputGoal, ...]:
        """Claims about each output of a panel; empty if the claim is about all of them together."""
        return ()

    @property
    def has_losses(self) -> bool:
        """Whether there is a loss at all: a regression without tolerance or bound on its error has none."""
        return True

    @property
    def fixed_answer(self) -> int | None:
        """The class index that one answer for every compound has to be; None where the best one is meant."""
        return None

    def best_answer(self, labels: LabelArray, n_classes: int) -> Answer:
        """The one answer of smallest total loss over some labels, exactly but for rounding.

        As it stands of classes: `fixed_answer`, or the commonest one. Claims about values and panels have their own.

        Parameters
        ----------
        labels:
            float64 (n,) without NaN, or packed labels of a panel; at least one row.
        n_classes:
            Of a panel its outputs.
        """
        commonest = int(np.bincount(labels.astype(np.int64), minlength=n_classes).argmax())
        return commonest if self.fixed_answer is None else self.fixed_answer

    @property
    def n_groups(self) -> int:
        """Groups of rows by prediction."""
        return 2 if self.knows_hits else 1

    def as_prediction(self, labels: LabelArray) -> LabelArray:
        """Labels as a model would have predicted them."""
        return labels

    def groups(self, prediction: LabelArray) -> NDArray[np.int64]:
        """Group of each row by its prediction, int64 (n,)."""
        return np.zeros(len(prediction), np.int64)

    def count_hits(self, labels: LabelArray) -> tuple[int, ...]:
        """Hits among measured rows; of a panel with claims about each output, of each. 0 where no hits are known."""
        return (0,)

    @abstractmethod
    def correct(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """How far each prediction is right, float64 (n,) in [0, 1]; 0 where nothing was predicted."""

    @abstractmethod
    def losses(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.float64]:
        """Loss of each prediction against its readout, float64 (n,) in [0, 1]; 1 where either is missing."""

    def kept(self, labels: LabelArray) -> NDArray[np.float64]:
        """The part of each row's loss that its readout does not put right, float64 (n,): all where there is none."""
        return (~has_readout(labels)).astype(np.float64)

    def outcomes(self, prediction: LabelArray, labels: LabelArray) -> NDArray[np.int8] | NDArray[np.float64]:
        """What became of each predicted entry that has a claim, (n, K) as `isd_ray.core.goals.by_output.Column`."""
        return np.empty((len(labels), 0), np.int8)

    def is_whole(self, labels: LabelArray) -> NDArray[np.bool_]:
        """Which labels speak of all that is claimed of their rows, bool (n,)."""
        return np.ones(len(labels), np.bool_)

    @abstractmethod
    def allowances(self, counts: ScreenCounts, expected: tuple[float, ...]) -> tuple[float, ...] | None:
        """Largest loss left in each audited group that keeps the claim; None if none would.

        Parameters
        ----------
        counts:
            Without the audit.
        expected:
            Forecast losses by group, which plan and never prove.
        """

    @abstractmethod
    def value(self, counts: ScreenCounts, losses: tuple[float, ...]) -> float:
        """The claimed quantity of a screen whose predictions left have these losses, by group.

        It gets worse, or stays, as any of the losses grows: at upper bounds of the losses it is a bound itself.
        """

    @abstractmethod
    def true_value(self, delivered: LabelArray, truth: LabelArray) -> float:
        """The claimed quantity of a whole screen, from its definition alone: the suite holds the rest against it.

        Parameters
        ----------
        delivered:
            What the screen says of every compound, measured or predicted.
        truth:
            What measuring every compound would have given; as `delivered`, of a panel with every entry measured.
        """

    def is_met(self, counts: ScreenCounts, losses: tuple[float, ...]) -> bool:
        """Whether the claim is true of a screen whose predictions left have these losses."""
        value = self.value(counts, losses)
        return value <= self.level if self.is_error else value >= self.level

    def with_unread(self, plans: Sequence[LookPlan], prediction: LabelArray) -> tuple[LookPlan, ...]:
        """The plans of a look that has measured its predicted hits, but for some without a readout.

        Those stay delivered as predicted. Of a recall of one label nothing that is missed is among them, as here.

        Parameters
        ----------
        prediction:
            Of those without a readout.
        """
        return tuple(plans)

    def settle(self, plans: Sequence[LookPlan], hits: Sequence[int], n_others: int) -> tuple[LookPlan, ...]:
        """The plans with the allowance that follows from the hits, and other rows, measured outside the audit."""
        return tuple(plans)

    def judge(self, plan: LookPlan, audit: Audit, hits: Sequence[int]) -> LookVerdict:
        """What the audit of one group proves.

        Parameters
        ----------
        plan, audit:
            As declared and settled, and what came back.
        hits:
            Measured hits without those of the audit (`count_hits`).
        """
        return judge_losses(plan, audit.losses, audit.kept)
