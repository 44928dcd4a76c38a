"""What the coordinator asks of scorers, and what they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from isd_ray.messages.rows import LabelArray, Rows, ScoredRows

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Shard:
    """A union of whole consecutive blocks of one library: ``first_block <= block < stop_block``."""

    library: Literal["target", "test"]
    first_block: int
    stop_block: int


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Score the inference rows of a shard.

    Attributes
    ----------
    inference:
        Packed bits (numpy.packbits, big-endian) over all rows of the library, 1 where the row is in the inference set.
        At 1/8 byte a row every request carries the whole truth, and a scorer needs no memory of earlier rounds.
    k:
        How many of the best rows to return; 0 for an evaluation only.
    watch:
        Rows whose prediction is wanted whatever their score (the random share), ascending.
    tie_seed:
        Seed of the hash that orders rows of equal score.
    """

    round: int
    k: int
    tie_seed: int
    inference: NDArray[np.uint8]
    watch: Rows


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Errors against known labels, kept block by block so that sums do not depend on how blocks were shared out.

    Attributes
    ----------
    n:
        Rows evaluated.
    correct:
        For each block how many rows are predicted right (class equal, or within the tolerance; 0 when a regression has
        no tolerance), or of a panel the sum of their shares of right outputs.
    squared, absolute:
        For each block its sum of squared and of absolute errors (regression only).
    losses:
        For each block its sums of losses by group (`isd_ray.core.goals`).
    wrong, entries:
        Of a panel with a claim about each output: for each block the wrong predictions of each, or where a mean error
        is claimed of some the losses, and its readouts.
    """

    n: int = 0
    correct: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    squared: tuple[float, ...] = ()
    absolute: tuple[float, ...] = ()
    wrong: tuple[tuple[float, ...], ...] = ()
    entries: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ShardScores:
    """The answer to a `ScoreRequest` for one shard."""

    shard: Shard
    n_scored: int
    top: ScoredRows
    watched: ScoredRows
    histogram: NDArray[np.int64]
    evaluation: Evaluation | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """The shards' answers merged: independent of the number of shards and of the order in which they arrived.

    `histogram`, int64 (groups, bins), counts the uncertainties of the scored rows in the bins of
    `isd_ray.core.scored`, by what is predicted of them (`isd_ray.core.goals`).
    """

    n_scored: int
    top: ScoredRows
    watched: ScoredRows
    histogram: NDArray[np.int64]
    evaluation: Evaluation | None
    test: Evaluation | None


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """Write the prediction and uncertainty of every inference row of a library part, and return some of them.

    Attributes
    ----------
    inference:
        Packed bits as in `ScoreRequest`.
    directory:
        Where ``part-*.parquet`` go.
    only_label:
        The one label seen so far, of shape (1, …), predicted for all when there is no committee.
    whole_group:
        A group of which every row is wanted.
    """

    round: int
    inference: NDArray[np.uint8]
    directory: str
    only_label: LabelArray
    whole_group: int | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """Predictions of the whole inference set, written before a batch is released.

    Attributes
    ----------
    files:
        SHA-256 of each file by its name.
    group:
        The predictions of the whole group that was asked for (`PredictRequest`).
    """

    files: Mapping[str, str]
    group: ScoredRows

    @property
    def sha256(self) -> str:
        """Of the names and hashes of all files."""
        lines = (f"{name} {sha256}" for name, sha256 in sorted(self.files.items()))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RankRequest:
    """Count the rows of its group that come before each audited row in the order of frozen predictions.

    Attributes
    ----------
    directory:
        The frozen predictions.
    group:
        The group that was audited.
    rows, uncertainty:
        The audited rows and their uncertainties, shape (m,).
    tie_seed:
        Seed of the hash that orders rows of equal uncertainty.
    """

    directory: str
    group: int
    rows: Rows
    uncertainty: NDArray[np.float32]
    tie_seed: int


@dataclass(frozen=True, slots=True)
class FinishRequest:
    """The `size` most uncertain rows of a group of frozen predictions; fields as in `RankRequest`."""

    directory: str
    group: int
    size: int
    tie_seed: int


@dataclass(frozen=True, slots=True)
class HybridRequest:
    """Write the hybrid screen: frozen predictions for the inference set, readouts for the observation set.

    Attributes
    ----------
    inference:
        Packed bits as in `ScoreRequest`, at the stop.
    rows, labels, values, rounds, roles:
        The observation set, sorted by row, n_observed rows each. `labels` are class indices, values or packed bits,
        `roles` index `ROLES`.
    wells:
        Plate, well, n_replicates and qc of each readout; as Arrow, so that no call for a part reads all of it.
    absent, abandoned:
        Rows that cannot be had, ascending, int64 (m,); and bool (m,): those of them that were tried and failed.
    classes:
        Names of the classes; empty for a regression.
    outputs, numbers:
        Names of a panel's outputs, and of those that are numbers.
    certificate_id:
        Empty without a certificate.
    library_hash:
        Of the version of the library that this is the screen of; empty where the library has not grown meanwhile.
    """

    inference: NDArray[np.uint8]
    rows: Rows
    labels: LabelArray
    values: NDArray[np.float64]
    rounds: NDArray[np.int32]
    roles: NDArray[np.int8]
    wells: pa.Table
    absent: Rows
    abandoned: NDArray[np.bool_]
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    committee_hash: str
    campaign_id: str
    certificate_id: str
    predictions_dir: str
    hybrid_dir: str
    numbers: tuple[str, ...] = ()
    library_hash: str = ""
