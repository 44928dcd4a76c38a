"""Gradient-boosted trees (XGBoost) on all blocks: sparse bits and dense values as they are, missing ones too."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isd_ray.config import FamilyConfig, Fraction, Task
from isd_ray.core.features import FeatureBlocks
from isd_ray.core.panels import unpack
from isd_ray.models.base import Fitted, Observed, Problem
from isd_ray.models.interrupts import interrupts_held
from isd_ray.models.sparse import Columns, Pieces

if TYPE_CHECKING:
    from isd_ray.models.device import Placement

TREES = "trees"
"""Of a member: each model in XGBoost's binary JSON, as bytes; one, or of a panel one for each output."""
CONSTANT = "constant"
"""float32, one for each model: its answer where there was nothing to learn; NaN where there are trees."""
SCALING = "scaling"
"""float64 (2,), or of a panel with numbers (2, K), of values: mean and standard deviation, in which trees are fitted:
XGBoost makes no split whose gain is below 1e-6, in whatever unit the label is."""


class BoostedConfig(FamilyConfig):
    """Gradient-boosted trees."""

    trees: int = Field(default=300, ge=1)
    """Rounds of boosting; nothing is held out, so none is wasted."""
    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    """Shrinkage of each tree."""
    max_leaves: int = Field(default=31, ge=2)
    """Leaves of a tree, grown best first."""
    min_leaf_weight: float = Field(default=0.1, ge=0.0)
    """Least sum of second derivatives in a leaf: of a rare class a row counts little."""
    penalty: float = Field(default=5.0, ge=0.0)
    """L2 penalty of the leaves: without it probabilities of rare hits are worse than their mean share."""
    column_share: Fraction = 0.2
    """Share of the columns that each tree may look at."""
    row_share: Fraction = 0.8
    """Share of the rows that each tree is fitted on."""
    bins: int = Field(default=64, ge=2, le=256)
    """Bins of a dense value."""
    min_rows: int = Field(default=3, ge=1)
    """A bit that fewer observed rows have is left out."""


class Boosted:
    """Trees for classes, values, and each output of a panel."""

    Config: ClassVar[type[FamilyConfig]] = BoostedConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "panel"})
    learns_numbers: ClassVar[bool] = True
    fits_each_output: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: BoostedConfig, problem: Problem) -> None:
        self._config = config
        self._problem = problem

    def fit(self, data: Observed, *, seed: int, split_seed: int, placement: Placement) -> Fitted:
        """See `isd_ray.models.base.Model.fit`."""
        del split_seed  # nothing is held out
        columns = Columns.seen(self._problem, data.features, data.rows, self._config.min_rows)
        settings = self._settings(seed, placement)
        constants, scalings, boosters = [], [], []
        for place, (rows, targets) in enumerate(self._questions(data.rows, data.labels)):
            is_number = self._is_number(place)
            constant = self._constant(targets, is_number=is_number)
            constants.append(constant)
            mean, sd = (targets.mean(), targets.std() or 1.0) if is_number and len(targets) else (0.0, 1.0)
            scalings.append((mean, sd))
            targets, asked = (targets - mean) / sd, {**self._objective(is_number=is_number), **settings}
            boosters.append(None if np.isfinite(constant) else self._boost(columns, data, rows, targets, asked))
        leading = _leading(columns, boosters)
        columns, models = _only_used(columns, boosters)
        scaling = np.array(scalings, np.float64).T if self._problem.numbers else np.array(scalings[0], np.float64)
        arrays = {f"{TREES}.{place:05d}": np.frombuffer(model, np.uint8) for place, model in enumerate(models)}
        weights = {**columns.weights(), **arrays, CONSTANT: np.array(constants, np.float32), SCALING: scaling}
        return Fitted(weights, len(data.rows), leading=leading)

    def _questions(
        self, rows: NDArray[np.int64], labels: NDArray[Any]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Rows and targets of each model: all of them, or of a panel's output those measured."""
        if self._problem.task != "panel":
            return [(rows, labels.astype(np.float64))]
        if self._problem.numbers:
            known = ~np.isnan(labels)
            return [(rows[there], column[there]) for column, there in zip(labels.T, known.T, strict=True)]
        ones, measured = (unpack(labels[:, part], self._problem.n_outputs).astype(bool) for part in (0, 1))
        return [(rows[known], one[known].astype(np.float64)) for one, known in zip(ones.T, measured.T, strict=True)]

    def _is_number(self, place: int) -> bool:
        """Whether a model is of values."""
        return self._problem.numbers[place] if self._problem.numbers else self._problem.task == "regression"

    def _constant(self, targets: NDArray[np.float64], *, is_number: bool) -> float:
        """The answer where the targets are all the same, or there are none; else NaN."""
        if len(targets) and targets.min() < targets.max():
            return float("nan")
        if is_number:
            return float(targets[0]) if len(targets) else 0.0
        if self._problem.task == "panel":
            return float((targets.sum() + 1.0) / (len(targets) + 2.0))
        return float(targets[0])

    def _objective(self, *, is_number: bool) -> dict[str, Any]:
        problem = self._problem
        if is_number:
            return {"objective": "reg:squarederror"}
        if problem.task == "panel" or problem.n_outputs == 2:
            return {"objective": "binary:logistic"}
        return {"objective": "multi:softprob", "num_class": problem.n_outputs}

    def _settings(self, seed: int, placement: Placement) -> dict[str, Any]:
        config = self._config
        return {
            "tree_method": "hist",
            "grow_policy": "lossguide",
            "max_depth": 0,
            "max_leaves": config.max_leaves,
            "learning_rate": config.learning_rate,
            "min_child_weight": config.min_leaf_weight,
            "reg_lambda": config.penalty,
            "colsample_bytree": config.column_share,
            "subsample": config.row_share,
            "max_bin": config.bins,
            "seed": seed % (1 << 31),
            "nthread": placement.threads,
            "device": "cpu" if placement.on_cpu else "cuda",
            "verbosity": 0,
        }

    def _boost(
        self,
        columns: Columns,
        data: Observed,
        rows: NDArray[np.int64],
        targets: NDArray[np.float64],
        settings: Mapping[str, Any],
    ) -> Any:
        import xgboost

        with interrupts_held():  # it calls `_batches` back
            matrix = xgboost.QuantileDMatrix(
                _batches(columns, Pieces(data.features, rows), targets),
                max_bin=self._config.bins,
                nthread=settings["nthread"],
            )
        return xgboost.train(dict(settings), matrix, num_boost_round=self._config.trees)

    def open(self, members: Sequence[Mapping[str, NDArray[Any]]], placement: Placement) -> _Predictor:
        """See `isd_ray.models.base.Model.open`."""
        return _Predictor(self._problem, members, placement)


def _leading(columns: Columns, boosters: Sequence[Any]) -> tuple[str, int, float] | None:
    """The column of largest total gain over all trees, and its share; None where nothing was learnt."""
    gains = np.zeros(columns.width)
    for booster in (booster for booster in boosters if booster is not None):
        gains += _scores(booster, "total_gain", columns.width)
    if not gains.sum() > 0.0:
        return None
    top = int(gains.argmax())
    return (*columns.origin(top), float(gains[top] / gains.sum()))


def _scores(booster: Any, kind: str, width: int) -> NDArray[np.float64]:
    """XGBoost's importance of each column, float64 (width,); zero where no tree asks for it."""
    scores = np.zeros(width)
    for name, score in booster.get_score(importance_type=kind).items():
        scores[int(name.removeprefix("f"))] = score
    return scores


def _only_used(columns: Columns, boosters: Sequence[Any]) -> tuple[Columns, list[bytes]]:
    """The columns without bits that no tree asks for, and the trees that count them so, in XGBoost's binary JSON.

    Answers are the same, and come a tenth sooner: XGBoost lays out every column of a row before it walks the trees.
    """
    used = np.arange(columns.width) < max(columns.n_dense, 1)  # trees need a column
    for booster in (booster for booster in boosters if booster is not None):
        used |= _scores(booster, "weight", columns.width) > 0.0
    places = np.cumsum(used) - 1
    return columns.only(used), [b"" if booster is None else _renumbered(booster, places) for booster in boosters]


def _renumbered(booster: Any, places: NDArray[np.int64]) -> bytes:
    """Trees that ask for column `places[i]` in the place of i, int64 (width,), by XGBoost's documented JSON."""
    import xgboost

    width = int(places[-1]) + 1
    model = json.loads(bytes(booster.save_raw("json")))
    learner = model["learner"]
    learner["learner_model_param"]["num_feature"] = str(width)
    for tree in learner["gradient_booster"]["model"]["trees"]:
        tree["tree_param"]["num_feature"] = str(width)
        tree["split_indices"] = places[tree["split_indices"]].tolist()  # 0 of a leaf, which stays 0
    renumbered = xgboost.Booster({"nthread": 1})
    renumbered.load_model(bytearray(json.dumps(model), "ascii"))
    return bytes(renumbered.save_raw("ubj"))


def _batches(columns: Columns, pieces: Pieces, targets: NDArray[np.float64]) -> Any:
    """The rows for XGBoost, some thousand at a time: it bins them as they come, and never has them all."""
    import xgboost

    class Batches(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self.reset()

        def reset(self) -> None:
            self._left, self._done = iter(pieces), 0

        def next(self, input_data: Callable[..., Any]) -> bool:
            piece = next(self._left, None)
            if piece is None:
                return False
            stop = self._done + len(piece)
            input_data(data=columns.matrix(piece), label=targets[self._done : stop])
            self._done = stop
            return True

    return Batches()


class _Predictor:
    def __init__(self, problem: Problem, members: Sequence[Mapping[str, NDArray[Any]]], placement: Placement) -> None:
        import xgboost

        self._problem = problem
        self._members: list[tuple[Columns, list[float | Any]]] = []
        self._scalings = [np.asarray(member[SCALING], np.float64) for member in members]
        for member in members:
            models: list[float | Any] = []
            for place, constant in enumerate(np.asarray(member[CONSTANT]).tolist()):
                if np.isfinite(constant):
                    models.append(constant)
                    continue
                booster = xgboost.Booster(
                    {"nthread": placement.threads, "device": "cpu" if placement.on_cpu else "cuda"}
                )
                booster.load_model(bytearray(np.asarray(member[f"{TREES}.{place:05d}"]).tobytes()))
                models.append(booster)
            self._members.append((Columns.of(problem, member), models))

    def outputs(self, block: FeatureBlocks) -> NDArray[np.float32]:
        found = []
        for (columns, models), scaling in zip(self._members, self._scalings, strict=True):
            matrix = columns.matrix(block)
            answers = [
                np.full(len(block), model, np.float32) if isinstance(model, float) else model.inplace_predict(matrix)
                for model in models
            ]
            if self._problem.numbers:
                kinds = zip(self._problem.numbers, models, answers, scaling.T, strict=True)
                answers = [
                    (answer * sd + mean).astype(np.float32) if is_number and not isinstance(model, float) else answer
                    for is_number, model, answer, (mean, sd) in kinds
                ]
            is_constant = isinstance(models[0], float)
            shaped = self._shaped(answers, is_constant)
            if self._problem.task == "regression" and not is_constant:
                mean, sd = scaling
                shaped = (shaped * sd + mean).astype(np.float32)
            found.append(shaped)
        return np.stack(found)

    def _shaped(self, answers: list[NDArray[np.float32]], is_constant: bool) -> NDArray[np.float32]:
        if self._problem.task == "regression":
            return answers[0]
        if self._problem.task == "panel":
            return np.stack(answers, axis=1)
        if is_constant:
            classes = np.zeros((len(answers[0]), self._problem.n_outputs), np.float32)
            classes[:, int(answers[0][0]) if len(answers[0]) else 0] = 1.0
            return classes
        if answers[0].ndim == 1:
            return np.stack([1.0 - answers[0], answers[0]], axis=1)
        return answers[0]

    def samples(self, block: FeatureBlocks, n: int, seed: int) -> None:
        del block, n, seed
