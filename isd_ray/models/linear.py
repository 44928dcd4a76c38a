"""Logistic and ridge regression on all blocks: what every other family has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isd_ray.config import FamilyConfig, Task
from isd_ray.core.features import FeatureBlocks
from isd_ray.core.panels import unpack
from isd_ray.models.base import Fitted, Observed, Problem
from isd_ray.models.sparse import Columns, Pieces

if TYPE_CHECKING:
    from isd_ray.models.device import Placement

WEIGHT, BIAS, SCALE = "weight", "bias", "scale"
_LEAST_PENALTY = 1e-6
"""Where no compound has a feature at all."""
_SMALLEST_SD = 1e-6
"""A dense column with a smaller standard deviation says nothing."""


class LinearConfig(FamilyConfig):
    """Linear models with an L2 penalty, fitted to the end by L-BFGS."""

    members: int | None = Field(default=1, ge=1, le=1000)
    """Members; more than one are fitted on bootstrap samples."""
    penalty: float = Field(default=0.0625, gt=0.0)
    """L2 penalty in units of the mean squared norm of a compound's features: half of their product times the squared
    weights is added to the summed loss of the observed compounds. So one value does for short and long fingerprints."""
    dense_scale: float = Field(default=0.3, gt=0.0)
    """Standard deviation that dense values are given, beside bits of 0 and 1: the smaller, the less they count."""
    max_steps: int = Field(default=200, ge=1)
    """Most steps of L-BFGS."""
    min_rows: int = Field(default=3, ge=1)
    """A bit that fewer observed rows have is left out."""


class Linear:
    """One weight for each bit and each dense value, and one for its being missing."""

    Config: ClassVar[type[FamilyConfig]] = LinearConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "panel"})
    learns_numbers: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: LinearConfig, problem: Problem) -> None:
        self._config = config
        self._problem = problem

    def fit(self, data: Observed, *, seed: int, split_seed: int, placement: Placement) -> Fitted:
        """See `isd_ray.models.base.Model.fit`."""
        from scipy.sparse import vstack

        del split_seed, placement  # nothing is held out, and one thread does it
        rows, labels = data.rows, data.labels
        if self._config.members != 1:
            drawn = np.random.default_rng(seed).integers(0, len(rows), len(rows))
            rows, labels = rows[np.sort(drawn)], labels[np.sort(drawn)]
        columns = Columns.seen(self._problem, data.features, rows, self._config.min_rows)
        scale = _Scale.of(columns, Pieces(data.features, rows), self._config.dense_scale)
        pieces = [scale.design(columns, piece) for piece in Pieces(data.features, rows)]
        # In float64, as the weights are: of float32 SciPy makes such a copy for every product.
        design = vstack(pieces, format="csr", dtype=np.float64)
        del pieces
        if self._problem.numbers:
            weights, n_steps = self._with_numbers(design, labels)
        elif self._problem.task == "regression":
            weights, n_steps = self._ridge(design, labels)
        else:
            is_panel = self._problem.task == "panel"
            loss = _panel_loss(labels, self._problem.n_outputs) if is_panel else _class_loss(labels)
            weights, n_steps = self._logistic(design, loss, 1 if self._is_binary else self._problem.n_outputs)
        return self._fitted(columns, scale, weights, n_steps, len(rows))

    def _with_numbers(self, design: Any, labels: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        """Classes of a panel together, numbers one by one, each by the rows that it was measured of."""
        weights, known, n_steps = np.zeros((design.shape[1] + 1, labels.shape[1])), ~np.isnan(labels), 0
        is_class = ~np.array(self._problem.numbers)
        if is_class.any():
            loss = _entries_loss(np.nan_to_num(labels[:, is_class]), known[:, is_class].astype(np.float64))
            weights[:, is_class], n_steps = self._logistic(design, loss, int(is_class.sum()))
        for place in np.flatnonzero(~is_class & known.any(axis=0)).tolist():
            rows = np.flatnonzero(known[:, place])
            found, steps = self._ridge(design[rows], labels[rows, place])
            weights[:, place] = found[:, 0]
            n_steps += steps
        return weights, n_steps

    def _logistic(self, design: Any, loss: Loss, n_columns: int) -> tuple[NDArray[np.float64], int]:
        """Intercepts and weights, (1 + features, columns), and steps."""
        from scipy.optimize import minimize

        shape = (design.shape[1] + 1, n_columns)
        penalty, turned = self._penalty(design), design.T

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights = flat.reshape(shape)
            value, slope = loss(design @ weights[1:] + weights[0])
            gradient = np.concatenate([slope.sum(axis=0, keepdims=True), turned @ slope + penalty * weights[1:]])
            return value + 0.5 * penalty * float((weights[1:] ** 2).sum()), gradient.reshape(-1)

        start = np.zeros(shape)
        found = minimize(
            objective, start.reshape(-1), jac=True, method="L-BFGS-B", options={"maxiter": self._config.max_steps}
        )
        return found.x.reshape(shape), int(found.nit)

    def _ridge(self, design: Any, labels: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        """As `_logistic`, of one column of values."""
        from scipy.sparse.linalg import lsqr

        # Centred by hand, so that the intercept is not penalised.
        mean = float(labels.mean())
        # In float32, as they always were: the last digits of a screen's course hang on it.
        means = np.asarray(design.astype(np.float32).mean(axis=0)).reshape(-1)
        centred, damp = _Centred(design, means).operator(), float(np.sqrt(self._penalty(design)))
        found = lsqr(centred, labels - mean, damp=damp, iter_lim=self._config.max_steps)
        weights = np.concatenate([[mean - float(means @ found[0])], found[0]])[:, None]
        return weights, int(found[2])

    def _penalty(self, design: Any) -> float:
        return self._config.penalty * float((design.data**2).sum() / design.shape[0]) + _LEAST_PENALTY

    def _fitted(
        self, columns: Columns, scale: _Scale, weights: NDArray[np.float64], n_steps: int, n_rows: int
    ) -> Fitted:
        arrays = {
            **columns.weights(),
            SCALE: scale.values,
            BIAS: weights[0].astype(np.float64),
            WEIGHT: np.ascontiguousarray(weights[1:], np.float32),
        }
        return Fitted(arrays, n_rows, epochs=n_steps)

    @property
    def _is_binary(self) -> bool:
        return self._problem.task == "classification" and self._problem.n_outputs == 2

    def open(self, members: Sequence[Mapping[str, NDArray[Any]]], placement: Placement) -> _Predictor:
        """See `isd_ray.models.base.Model.open`."""
        del placement
        return _Predictor(self._problem, members)


class _Scale:
    """Mean of the dense columns over the observed rows, and what they are divided by; float64 (2, n_dense).

    Standardised blocks have them over the library already, but what is observed is no sample of it.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    @classmethod
    def of(cls, columns: Columns, observed: Pieces, dense_scale: float) -> _Scale:
        sums = np.zeros((3, columns.n_dense))
        for piece in observed if columns.n_dense else ():
            values = columns.dense_values(piece).astype(np.float64)
            known = np.isfinite(values)
            values[~known] = 0.0
            sums += [known.sum(axis=0), values.sum(axis=0), (values**2).sum(axis=0)]
        n = np.maximum(sums[0], 1.0)
        mean = sums[1] / n
        sd = np.sqrt(np.maximum(sums[2] / n - mean**2, 0.0))
        return cls(np.stack([mean, np.where(sd > _SMALLEST_SD, sd / dense_scale, np.inf)]))

    def design(self, columns: Columns, features: FeatureBlocks) -> Any:
        """float32 CSR (n, n_dense + bits + n_dense): values, bits, flags of missing values."""
        from scipy.sparse import csr_matrix, hstack

        dense = columns.dense_values(features)
        missing = np.isnan(dense)
        values = ((dense - self.values[0]) / self.values[1]).astype(np.float32)
        values[missing] = 0.0
        flags = csr_matrix(missing, dtype=np.float32)
        return hstack([columns.matrix(features, values), flags], format="csr")


class _Centred:
    """A sparse matrix minus the means of its columns, which would fill it."""

    def __init__(self, matrix: Any, means: NDArray[np.float64]) -> None:
        self._matrix, self._means = matrix, means

    def operator(self) -> Any:
        from scipy.sparse.linalg import LinearOperator

        def times(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            product: NDArray[np.float64] = self._matrix @ vector - self._means @ vector
            return product

        def turned(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            product: NDArray[np.float64] = self._matrix.T @ vector - self._means * vector.sum()
            return product

        return LinearOperator(self._matrix.shape, matvec=times, rmatvec=turned, dtype=np.float64)


Loss = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
"""From logits (n, columns) to the summed loss and its gradient."""


def _class_loss(labels: NDArray[np.int64]) -> Loss:
    def loss(logits: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        if logits.shape[1] == 1:
            return _bits(logits, labels[:, None].astype(np.float64), 1.0)
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        totals = exponentials.sum(axis=1, keepdims=True)
        slope = exponentials / totals
        rows = np.arange(len(labels))
        value = float((np.log(totals[:, 0]) - shifted[rows, labels]).sum())
        slope[rows, labels] -= 1.0
        return value, slope

    return loss


def _panel_loss(labels: NDArray[np.uint8], n_outputs: int) -> Loss:
    """Cross-entropy over all measured entries."""
    ones, measured = (unpack(labels[:, part], n_outputs).astype(np.float64) for part in (0, 1))
    return _entries_loss(ones, measured)


def _entries_loss(ones: NDArray[np.float64], measured: NDArray[np.float64]) -> Loss:
    return lambda logits: _bits(logits, ones, measured)


def _bits(
    logits: NDArray[np.float64], ones: NDArray[np.float64], counted: NDArray[np.float64] | float
) -> tuple[float, NDArray[np.float64]]:
    value = (np.logaddexp(0.0, logits) - ones * logits) * counted
    return float(value.sum()), (_logistic(logits) - ones) * counted


def _logistic(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    positive: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.abs(logits)))
    return np.where(logits >= 0, positive, 1.0 - positive)


class _Predictor:
    def __init__(self, problem: Problem, members: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._problem = problem
        self._members = [
            (Columns.of(problem, member), _Scale(np.asarray(member[SCALE], np.float64)), member) for member in members
        ]

    def outputs(self, block: FeatureBlocks) -> NDArray[np.float32]:
        task, found = self._problem.task, []
        for columns, scale, member in self._members:
            logits = scale.design(columns, block) @ np.asarray(member[WEIGHT], np.float64) + member[BIAS]
            if task == "regression":
                found.append(logits[:, 0])
            elif task == "panel":
                probabilities = _logistic(logits)
                is_number = np.array(self._problem.numbers or (False,))
                found.append(np.where(is_number, logits, probabilities))
            elif logits.shape[1] == 1:
                found.append(np.concatenate([_logistic(-logits), _logistic(logits)], axis=1))
            else:
                exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
                found.append(exponentials / exponentials.sum(axis=1, keepdims=True))
        return np.array(found, np.float32)

    def samples(self, block: FeatureBlocks, n: int, seed: int) -> None:
        del block, n, seed
