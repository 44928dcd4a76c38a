"""Predictions for compounds outside a campaign's library, and what is known of how far to trust them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.claimed import stored_goal
from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.known import Known
from isd_ray.campaign.neighbours import measured_neighbours, unbatched
from isd_ray.core.features import OnBits
from isd_ray.core.predictions import mean_over_members, predict
from isd_ray.data.ingest.contexts import ContextEncoder
from isd_ray.data.ingest.records import Source
from isd_ray.data.outside import OutsideRows, Preparation
from isd_ray.data.similar import Similar
from isd_ray.models.device import Placement
from isd_ray.storage.files import read_derived

NEAR = 0.35
"""Tanimoto similarity to the nearest measured compound below which a prediction is flagged: two random drug-like
molecules share about 0.1 to 0.2 of their ECFP4 bits, analogues of one series 0.4 and more."""
MIN_RANDOM = 20
"""Random compounds in a group of like uncertainty from which on its share of errors is told."""
REJECTED, OUTSIDE, UNKNOWN = "rejected", "outside", "unknown"
NO_CLAIM = (
    "Nothing is certified of these compounds: the certificate of a campaign speaks of the compounds of its library "
    "only, measured and predicted together. Confidence and share_wrong come from the library; the farther a compound "
    "is from what was measured (similarity), the less they mean."
)


@dataclass(frozen=True, slots=True)
class _Bin:
    """Library compounds of like uncertainty."""

    high: float
    share_wrong: float | None


class OutsidePredictor:
    """Predicts compounds by the model of a campaign.

    Parameters
    ----------
    model:
        The model.
    placement:
        Device, precision and threads.
    near:
        Similarity from which on a compound is near what was measured.
    """

    def __init__(self, model: DeliveredModel, placement: Placement, near: float = NEAR) -> None:
        self._model = model
        self._mixture = model.mixture(placement)
        self._near = near
        self._task = model.config.task
        self._numbers = model.config.labels.numbers_among(model.outputs)
        self._tolerances = model.config.tolerances(model.outputs)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Blocks of features that are read of each compound."""
        return self._model.blocks

    @property
    def schema(self) -> pa.Schema:
        """Columns of the predictions.

        `line` and `id` are of the input. `source`: ``outside`` the library; of a compound of the library ``measured``,
        ``predicted``, or what the hybrid screen says of it; ``unknown`` where this cannot be told; or ``rejected``,
        with the `reason`. `library_id` and `readout` are of the compound of the library.
        """
        model = self._model
        if self._task == "classification":
            told = [("label", pa.string()), ("confidence", pa.float32())]
            told += [(f"p_{name}", pa.float32()) for name in model.classes]
        elif self._task == "panel":
            told = [("confidence", pa.float32()), *map(self._column, model.outputs)]
        else:
            told = [("value", pa.float64())]
        readout = pa.float64() if self._task == "regression" else pa.string()
        about = {
            "campaign_id": model.manifest["campaign_id"],
            "committee_hash": model.committee.hash,
            "round": str(model.files.round),
            "classes": json.dumps(model.classes),
            "near": str(self._near),
            "claim": NO_CLAIM,
        }
        return pa.schema(
            [
                ("line", pa.int64()),
                ("id", pa.string()),
                ("smiles", pa.string()),
                ("source", pa.string()),
                ("reason", pa.string()),
                *told,
                ("uncertainty", pa.float32()),
                ("share_wrong", pa.float32()),
                ("nearest_measured", pa.string()),
                ("similarity", pa.float32()),
                ("is_near", pa.bool_()),
                ("library_id", pa.string()),
                ("readout", readout),
            ],
            about,
        )

    def _column(self, name: str) -> tuple[str, pa.DataType]:
        """The column of a class, or of an output of a panel: its probability, or its value."""
        return (f"value_{name}", pa.float64()) if name in self._numbers else (f"p_{name}", pa.float32())

    def preparation(
        self, source: Source, smiles_column: str | None, id_column: str | None, history: Source | None = None
    ) -> Preparation:
        """How the compounds of a source are prepared (raises as `Preparation`)."""
        library, seen = self._model.library, self._model.seen
        columns = {block.name: seen.columns(block.name) for block in library.added_blocks if block.name in self.blocks}
        return Preparation(library, self.blocks, source, smiles_column, id_column, history, columns)

    def tables(self, preparation: Preparation, n_processes: int = 1) -> Iterator[pa.Table]:
        """A line for each record of the source, in order, some thousand at a time (raises as `Preparation.rows`)."""
        for rows in preparation.rows(n_processes):
            yield self._table(rows)

    def _table(self, rows: OutsideRows) -> pa.Table:
        n, kept = len(rows.lines), rows.kept
        columns: dict[str, list[Any]] = {name: [None] * n for name in self.schema.names}
        columns["line"], columns["id"] = rows.lines.tolist(), list(rows.ids)
        columns["source"] = [REJECTED if index in rows.reasons else OUTSIDE for index in range(n)]
        columns["reason"] = [rows.reasons.get(index) for index in range(n)]
        made = self._predicted(rows) if len(kept) else {}
        for name, values in made.items():
            column = columns[name]
            for index, value in zip(kept.tolist(), values, strict=True):
                column[index] = value
        return pa.table([pa.array(columns[field.name], field.type) for field in self.schema], schema=self.schema)

    def _predicted(self, rows: OutsideRows) -> dict[str, list[Any]]:
        outputs = self._mixture.outputs(self._model.seen.without_excluded(rows.features.only(self.blocks)))
        weights = self._mixture.weights
        prediction, uncertainty = predict(outputs, self._task, weights, self._tolerances)
        made: dict[str, list[Any]] = {"smiles": rows.smiles, "uncertainty": uncertainty.tolist()}
        if self._task == "regression":
            made["value"] = prediction.tolist()
        else:
            made["confidence"] = (1.0 - uncertainty).tolist()
            names = self._model.outputs or self._model.classes
            means = mean_over_members(outputs, weights)
            made |= {self._column(name)[0]: column.tolist() for name, column in zip(names, means.T, strict=True)}
        if self._task == "classification":
            made["label"] = [self._model.classes[int(label)] for label in prediction]
        made["share_wrong"] = self._shares_wrong(uncertainty)
        return made | self._near_measured(rows) | self._in_library(rows)

    def _near_measured(self, rows: OutsideRows) -> dict[str, list[Any]]:
        bits = rows.features[self._model.library.block_names[0]]
        if self._similar is None or not isinstance(bits, OnBits):
            return {}
        places, similarity = self._similar.nearest(bits)
        names = [None if place < 0 else str(self._similar.names[place]) for place in places.tolist()]
        is_near = (similarity >= self._near).tolist()
        return {"nearest_measured": names, "similarity": similarity.tolist(), "is_near": is_near}

    def _in_library(self, rows: OutsideRows) -> dict[str, list[Any]]:
        library = self._model.library
        # Rows of pairs are told apart by their context as well, which hybrid screens do not hold.
        if library.metadata["options"].get("smiles_column") is None or len(ContextEncoder(library.spec)):
            return {"source": [UNKNOWN] * len(rows.kept)}
        found = self._known.find(rows.smiles)
        elsewhere = OUTSIDE if self._known.is_whole else UNKNOWN
        return {
            "library_id": [None if line is None else line[0] for line in found],
            "source": [elsewhere if line is None else line[1] for line in found],
            "readout": [None if line is None else line[2] for line in found],
        }

    def _shares_wrong(self, uncertainty: NDArray[np.float32]) -> list[float | None]:
        if not self._bins:
            return [None] * len(uncertainty)
        edges = [part.high for part in self._bins[:-1]]
        places = np.searchsorted(edges, uncertainty, side="right")
        return [self._bins[place].share_wrong for place in places.tolist()]

    @cached_property
    def _known(self) -> Known:
        return Known.read(self._model.store, self._model.library, unbatched(self._model))

    @cached_property
    def _similar(self) -> Similar | None:
        return measured_neighbours(self._model, self._known.lines)

    @cached_property
    def _bins(self) -> list[_Bin]:
        """What the campaign knows of how often its last models were wrong; nothing of an earlier round's model."""
        model = self._model
        goal = stored_goal(model.store)
        file = model.store.latest("calibration.parquet")
        if not model.is_last or goal.is_error or not goal.has_losses or not file.is_file():
            return []
        lines = sorted((line for line in read_derived(file).to_pylist() if line["n"]), key=lambda line: line["low"])
        return [
            _Bin(line["high"], line["random_errors"] / n if (n := line["n_random"]) >= MIN_RANDOM else None)
            for line in lines
        ]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was written.

    Attributes
    ----------
    n_lines:
        Records of the input.
    sources:
        How many of them are outside the library, in it (measured, predicted), or rejected.
    reasons:
        Why records were rejected.
    n_far:
        Predicted ones whose nearest measured compound is less similar than asked for.
    missing:
        Columns of the model's blocks that the file does not bring, by block.
    n_with_history:
        Compounds of which the file of earlier readouts has some; None without such a file.
    """

    n_lines: int
    sources: dict[str, int]
    reasons: dict[str, int]
    n_far: int
    missing: dict[str, tuple[str, ...]]
    n_with_history: int | None = None


@dataclass(slots=True)
class LineTally:
    """Counts the lines of tables as they pass."""

    n_lines: int = 0
    n_far: int = 0
    _sources: Counter[str] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)

    def passing(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The same tables."""
        for table in tables:
            self.n_lines += table.num_rows
            self._sources.update(table["source"].to_pylist())
            self._reasons.update(why for why in table["reason"].to_pylist() if why is not None)
            self.n_far += sum(near is False for near in table["is_near"].to_pylist())
            yield table

    def result(self, preparation: Preparation) -> Predicted:
        """What was counted, of all rows of a preparation."""
        counts = self.n_lines, dict(self._sources), dict(self._reasons), self.n_far
        return Predicted(*counts, preparation.missing, preparation.n_with_history)
