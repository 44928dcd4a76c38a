"""What travels between the coordinator, the trainers, the scorers and the bound actor. Frozen, slotted, picklable."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import CampaignConfig

Rows: TypeAlias = NDArray[np.int64]
LabelArray: TypeAlias = NDArray[Any]
"""Labels or predictions of n rows: class indices or values, float64 (n,); of a panel packed bits, uint8 of n rows
(`isd_ray.core.panels`)."""
Weights: TypeAlias = Mapping[str, NDArray[Any]]
"""A fitted member of any family: arrays by name."""
Role = Literal["initial", "top", "random", "audit", "finish", "hit", "reserve", "wanted", "external", "filling"]
Action = Literal["continue", "finish", "portion", "repeat", "stop"]
UNJUDGED = ("portion", "repeat")
"""Actions after which a look, or its finish, goes on in another round and is not judged yet."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """Fit one committee member on the observation set.

    Attributes
    ----------
    family, member:
        Family of models, and the number of the member in it.
    feature_files:
        One Arrow file for each released batch, oldest first.
    labels:
        Of the observed rows in the order of the files: int64 class indices, float64 values, or packed bits.
    places:
        int64 (n_observed,): where the labelled rows stand among those of the files; other wells gave no readout.
    seed, split_seed:
        Seed of this member, and the seed that the members of a committee share.
    """

    round: int
    family: str
    member: int
    seed: int
    split_seed: int
    feature_files: tuple[str, ...]
    labels: NDArray[np.generic]
    places: Rows


@dataclass(frozen=True, slots=True)
class FitReport:
    """A fitted member: its weights as numpy arrays, and how the fit went.

    `validation_loss` is NaN and `epochs` 0 where a family has none. `leading` is the column that the fit leans on
    most: its block, its place there, and its share of all that columns contribute; None where a family cannot tell.
    """

    round: int
    family: str
    member: int
    weights: Weights
    validation_loss: float
    epochs: int
    n_train: int
    n_validation: int
    seconds: float
    leading: tuple[str, int, float] | None = None


@dataclass(frozen=True, slots=True)
class Committee:
    """The members of one round.

    Attributes
    ----------
    hash:
        Names their exact weights, their families and shares.
    members, families:
        Weights of each, and the family that can read them.
    shares:
        How much each family counts in the committee's answer, by name; they sum to 1.
    """

    hash: str
    members: tuple[Weights, ...]
    families: tuple[str, ...]
    shares: Mapping[str, float]


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
class ScoredRows:
    """Rows with their scores and predictions; all arrays have shape (n,), those of packed predictions more axes.

    `primary` and `secondary` order acquisition (larger first). `prediction` is a class index or a value, or the packed
    bits of a panel; `uncertainty` is one minus the probability of the predicted class, its mean over a panel's outputs,
    or the committee's standard deviation. Before there is a model both are NaN, of shape (n,).
    """

    rows: Rows
    primary: NDArray[np.float32]
    secondary: NDArray[np.float32]
    prediction: LabelArray
    uncertainty: NDArray[np.float32]

    @property
    def is_predicted(self) -> NDArray[np.bool_]:
        """Which rows a model has spoken of, bool (n,)."""
        return np.isfinite(self.uncertainty)

    def take(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> ScoredRows:
        """The given entries, in the given order."""
        return ScoredRows(
            self.rows[indices],
            self.primary[indices],
            self.secondary[indices],
            self.prediction[indices],
            self.uncertainty[indices],
        )


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
        Of a panel with a claim about each output: for each block the wrong predictions of each, and its readouts.
    """

    n: int = 0
    correct: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    squared: tuple[float, ...] = ()
    absolute: tuple[float, ...] = ()
    wrong: tuple[tuple[int, ...], ...] = ()
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
    `isd_ray.core.trigger`, by what is predicted of them (`isd_ray.core.goals`).
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
        Plate, well, n_replicates and qc of each readout, by name.
    absent, abandoned:
        Rows that cannot be had, ascending, int64 (m,); and bool (m,): those of them that were tried and failed.
    classes:
        Names of the classes; empty for a regression.
    outputs:
        Names of a panel's outputs.
    certificate_id:
        Empty without a certificate.
    """

    inference: NDArray[np.uint8]
    rows: Rows
    labels: LabelArray
    values: NDArray[np.float64]
    rounds: NDArray[np.int32]
    roles: NDArray[np.int8]
    wells: Mapping[str, Sequence[Any]]
    absent: Rows
    abandoned: NDArray[np.bool_]
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    committee_hash: str
    campaign_id: str
    certificate_id: str
    predictions_dir: str
    hybrid_dir: str


ROLES: tuple[Role, ...] = (
    "initial",
    "top",
    "random",
    "audit",
    "finish",
    "hit",
    "reserve",
    "wanted",
    "external",
    "filling",
)
"""Why a row was measured: the first random batch; best by the acquisition function; drawn uniformly in a batch; drawn
for a look; most uncertain, after a passed look; predicted hit, with a look at the recall; audit drawn beforehand;
asked for by people; measured outside the plan, or too late for its round."""


@dataclass(frozen=True, slots=True)
class RoundEvidence:
    """What a stopping rule may look at after the readouts of a round.

    Attributes
    ----------
    n_observed, n_inference:
        Sizes of the two sets, the new batch included in the first.
    n_batch:
        Size of the new batch; 0 when nothing more may be acquired.
    n_top, n_top_correct:
        Rows of the batch that the acquisition function chose, and how many of them the model had predicted right before
        their labels were used; of a panel the sum of their shares of right outputs. Rows of other roles are not
        evidence for the paper's bound.
    n_finish, n_finish_lost:
        Rows that complete the finish of a passed look, and those of them whose wells gave no readout.
    rule_counts:
        Whether a yes of the rule ends the screen (`isd_ray.core.conditions`).
    spent_on:
        In words, the limits by which nothing more may be acquired.
    stopped:
        Why a person has stopped the screen; None where nobody has.
    """

    round: int
    n_target: int
    n_observed: int
    n_inference: int
    n_batch: int
    n_top: int
    n_top_correct: float
    n_finish: int = 0
    n_finish_lost: int = 0
    rule_counts: bool = True
    spent_on: tuple[str, ...] = ()
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class StopDecision:
    """What the bound actor decided; ``repeat``, that lost wells are measured once more before, the loop does.

    Attributes
    ----------
    alpha, system_bound:
        The paper's bounds on the accuracy of the inference set and of the screen; None without evidence.
    n_finish:
        With the action ``finish``: measure so many of the most uncertain rows, then stop.
    bounds:
        Of a panel with a claim about each output: what a passed look shows of each, together.
    """

    action: Action
    reason: str
    alpha: float | None = None
    system_bound: float | None = None
    n_finish: int = 0
    bounds: tuple[float, ...] = ()


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
class StepTaken:
    """A step of the loop: which, in which round, how long it took, and how many inference rows were scored in it."""

    name: str
    round: int
    seconds: float
    n_scored: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign stands after one step of the loop: what live displays, logs and metrics show.

    `state` and `round` are those of the step that comes next. `n_affordable` is how many compounds may still be
    acquired before the budget ends the screen. `waiting` is whether readouts are missing, so that nothing can go on.
    `system_bound`, `calibration_alarm` and `system_value` (the claimed quantity, known in a simulation only) speak of
    the last finished round: its model, and the observation set with its batch. `constant` is what the goal is held
    against, in a few words.
    """

    state: str
    round: int
    n_target: int
    n_observed: int
    n_inference: int
    n_affordable: int
    done: bool
    taken: StepTaken
    system_bound: float | None = None
    system_value: float | None = None
    constant: str | None = None
    decision: str = ""
    calibration_alarm: bool = False
    waiting: bool = False
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a trainer or scorer needs to rebuild itself anywhere: everything else it holds comes from files.

    Attributes
    ----------
    libraries:
        Directory of the library of each part: target, and validation and test where there are such.
    classes:
        Names of the classes; empty for a regression.
    outputs:
        Names of a panel's outputs; empty for other tasks.
    validation_labels:
        Labels of the external validation library, in its row order; None when validation rows are observed rows.
    output_embeddings:
        float32 (K, d): of the outputs of a panel with a two-tower head; else None.
    blocks:
        Hashes of the feature blocks that the campaign uses, by name and in order; empty for the library's main one.
    """

    config: CampaignConfig
    libraries: Mapping[str, str]
    classes: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    validation_labels: LabelArray | None = None
    output_embeddings: NDArray[np.float32] | None = None
    blocks: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_outputs(self) -> int:
        """Outputs of the network: those of the panel, the classes, or one value."""
        return len(self.outputs) or len(self.classes) or 1
