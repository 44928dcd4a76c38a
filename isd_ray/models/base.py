"""What a family of models is: the protocol that the shipped ones and those of other packages follow.

A package adds a family by an entry point of the group ``isd_ray.models``: the entry's name is what `model.families`
calls it, its value a class that follows `Model`. `isd_ray.testing.models` holds the tests that a family must pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import FamilyConfig, Task, ValidationConfig
from isd_ray.config.model import family_class
from isd_ray.core.features import FeatureBlocks, Stack
from isd_ray.messages import Weights

if TYPE_CHECKING:
    from isd_ray.models.device import Placement


@dataclass(frozen=True, slots=True)
class BlockShape:
    """One feature block as models see it.

    Attributes
    ----------
    name:
        As the library calls it.
    kind:
        ``on_bits``, ``dense``, or ``texts`` (SMILES).
    width:
        Columns.
    scale:
        A network multiplies the values by this; 1 unless the configuration of the library says otherwise.
    standardised:
        Whether the values have mean 0 and standard deviation 1 over the library, and NaN where they are missing: so
        are all blocks beside a library's main one.
    """

    name: str
    kind: Literal["on_bits", "dense", "texts"]
    width: int
    scale: float = 1.0
    standardised: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learnt, from what.

    Attributes
    ----------
    task:
        Classification, regression or panel.
    n_outputs:
        Classes, outputs of the panel, or 1.
    blocks:
        The feature blocks that the family sees, in order.
    numbers:
        Of a panel: which outputs are numbers; empty where all are of two classes.
    """

    task: Task
    n_outputs: int
    blocks: tuple[BlockShape, ...]
    numbers: tuple[bool, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the blocks."""
        return tuple(block.name for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Observed:
    """The observation set, for a fit.

    Attributes
    ----------
    features:
        Rows of all released batches: memory-mapped parts of `FeatureBlocks`, so read them piece by piece with
        ``features.take(rows)``.
    rows:
        int64 (n,): where the measured rows stand among those of `features`.
    labels:
        Of the measured rows: class indices, int64 (n,); values, float64 (n,); or of a panel packed bits, uint8
        (n, 2, ceil(K / 8)), as `isd_ray.core.panels` unpacks them, with numbers among its outputs float64 (n, K):
        values, 0 and 1 for classes, NaN for what was not measured.
    validation:
        Which of them only decide when a fit ends, for families that stop early.
    external:
        Features and labels of a validation set of its own, where the configuration has one.
    output_embeddings:
        float32 (K, d): of the outputs of a panel, where the configuration gives them.
    """

    features: Stack[FeatureBlocks]
    rows: NDArray[np.int64]
    labels: NDArray[Any]
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    external: tuple[Stack[FeatureBlocks], NDArray[Any]] | None = None
    output_embeddings: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted member.

    Attributes
    ----------
    weights:
        All that `Model.open` needs, as arrays.
    validation_loss, epochs:
        How the fit went, for the record; NaN and 0 where a family has none.
    n_train, n_validation:
        Rows used.
    leading:
        The column that the fit leans on most, where a family can tell: its block, its place there, and its share of all
        that columns contribute, 0 to 1.
    """

    weights: Weights
    n_train: int
    validation_loss: float = math.nan
    epochs: int = 0
    n_validation: int = 0
    leading: tuple[str, int, float] | None = None


class Predictor(Protocol):
    """Members of one family, ready to predict."""

    def outputs(self, block: FeatureBlocks) -> NDArray[np.float32]:
        """Predict n rows; a row's answer depends on that row alone.

        Returns
        -------
        numpy.ndarray
            float32. Class probabilities (M, n, K); of a panel probabilities that an output is 1 (M, n, K), of numbers
            among its outputs values in their units; or values in the unit of the label (M, n).
        """
        ...

    def samples(self, block: FeatureBlocks, n: int, seed: int) -> NDArray[np.float32] | None:
        """As `outputs`, n stochastic answers of each member (M · n first); None where the family has none."""
        ...


@dataclass(frozen=True, slots=True)
class MemberByMember:
    """A predictor of one function for each member, for families that have no more in common.

    Attributes
    ----------
    answers:
        From n rows to their probabilities (n, K), or values (n,).
    """

    answers: Sequence[Callable[[FeatureBlocks], NDArray[np.floating]]]

    def outputs(self, block: FeatureBlocks) -> NDArray[np.float32]:
        """See `Predictor.outputs`."""
        return np.stack([answer(block) for answer in self.answers]).astype(np.float32)

    def samples(self, block: FeatureBlocks, n: int, seed: int) -> None:
        """There are none."""
        del block, n, seed


class Model(Protocol):
    """One family of models, configured for one problem.

    Attributes
    ----------
    Config:
        Its table of the TOML file, [model.NAME], with every default.
    tasks:
        Those it can learn.
    needs:
        Blocks it cannot do without, beside those it is given: ``("smiles",)`` for a model that reads structures.

    One that learns panels may have a class attribute ``learns_numbers = True``: outputs may be numbers, too
    (`Problem.numbers`). Without it such a panel is refused. One that fits a model for each output may say so by
    ``fits_each_output = True``: people who ask for hundreds of outputs are warned.
    """

    Config: ClassVar[type[FamilyConfig]]
    tasks: ClassVar[frozenset[Task]]
    needs: ClassVar[tuple[str, ...]]

    def __init__(self, config: Any, problem: Problem) -> None: ...

    def fit(self, data: Observed, *, seed: int, split_seed: int, placement: Placement) -> Fitted:
        """Fit one member: the same data, seeds and threads give the same arrays.

        Parameters
        ----------
        seed:
            Of this member, 0 to 2⁶³ − 1. NumPy and torch take it as it is; scikit-learn, whose ``random_state`` has
            32 bits, takes ``seed % 2**32``.
        split_seed:
            That the members of a committee share; as large.
        placement:
            ``device`` and ``bf16`` for families on torch, ``threads`` for others (`isd_ray.models.device.Placement`).
        """
        ...

    def open(self, members: Sequence[Mapping[str, NDArray[Any]]], placement: Placement) -> Predictor:
        """Make members ready to predict; their arrays may be read-only."""
        ...


def family(name: str, config: Any, problem: Problem) -> Model:
    """A family by name, with its table of the configuration.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    model: Model = family_class(name)(config, problem)
    return model
