"""Scoring a shard of the library: what a scorer does, with or without Ray."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.families import SeenBlocks, models_of
from isd_ray.campaign.versions import target_of
from isd_ray.core.acquisition import Candidates, acquisition_for, scored_by
from isd_ray.core.audit_ranks import count_preceding
from isd_ray.core.features import FeatureBlocks
from isd_ray.core.goals import goal_for
from isd_ray.core.metrics import evaluate, merge_evaluations
from isd_ray.core.predictions import predict
from isd_ray.core.scored import N_BINS, uncertainty_bins
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.core.topk import RunningTopK, concatenate_rows, top_k
from isd_ray.data.features_file import write_features
from isd_ray.data.forecasts import write_forecasts
from isd_ray.data.hybrid import write_hybrid_part
from isd_ray.data.library import Library
from isd_ray.data.packed import bits_of
from isd_ray.data.predictions import part_name, read_predictions, write_predictions
from isd_ray.messages import (
    Committee,
    Evaluation,
    FinishRequest,
    Frozen,
    HybridRequest,
    LabelArray,
    PredictRequest,
    RankRequest,
    Rows,
    ScoredRows,
    ScoreRequest,
    Shard,
    ShardScores,
    WorkerSpec,
)
from isd_ray.models.device import Placement, release_memory
from isd_ray.models.mixture import Mixture
from isd_ray.storage.addresses import within
from isd_ray.storage.copies import fetched, sent


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last predictions of a block, for the freeze: good for the same model and the same rows.

    16 bytes a row, or of a panel 8 and for each output a bit, with numbers among them 8 bytes.
    """

    committee_hash: str
    within: NDArray[np.uint32]
    prediction: LabelArray
    uncertainty: NDArray[np.float32]


class ShardScorer:
    """Scores, predicts and writes any block of the campaign's libraries.

    Holds memory maps, the last committee's predictor and the last predictions of the blocks it scored, all of them made
    again on demand: it can be replaced at any time.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    placement:
        Device and precision of the network.
    """

    def __init__(self, spec: WorkerSpec, placement: Placement) -> None:
        self._spec = spec
        self._placement = placement
        config = spec.config
        self._acquisition = acquisition_for(
            config.acquisition_name,
            config.task,
            config.model,
            config.acquisition.column,
            has_numbers=bool(config.labels.numbers),
            mixes_hits=config.stopping.mixes_hits,
        )
        self._goal = goal_for(config.stopping, config.task, spec.classes, spec.outputs, config.labels.numbers)
        self._hit = self._goal.positive if config.task == "classification" else None
        self._tolerances = config.tolerances(spec.outputs)
        seeks_hits = tuple(output.is_recall for output in self._goal.outputs)
        self._seeks_hits = seeks_hits if config.stopping.mixes_hits else ()
        self._kept: dict[int, _Kept] = {}
        self._libraries: dict[str, Library] = {}
        self._seen_blocks: dict[str, SeenBlocks] = {}
        self._committee_hash = ""
        self._predictor: Mixture | None = None

    def score(
        self,
        request: ScoreRequest,
        shard: Shard,
        committee: Committee | None,
        truth: LabelArray | None,
    ) -> ShardScores:
        """Score the inference rows of a shard, block by block.

        Parameters
        ----------
        request:
            What to score and return.
        shard:
            Which blocks.
        committee:
            The fitted members; None when the acquisition function needs no model and nothing is fitted yet.
        truth:
            Labels of every row of the shard's library, when errors are to be counted (simulation); else None.
        """
        start = time.perf_counter()
        best = RunningTopK(request.k, request.tie_seed)
        watched: list[ScoredRows] = []
        evaluations: list[Evaluation] = []
        histogram = np.zeros((self._goal.n_groups, N_BINS), np.int64)
        n_scored = 0
        for block in range(shard.first_block, shard.stop_block):
            scored = self._score_block(request, shard.library, block, committee)
            if scored is None:
                continue
            n_scored += len(scored.rows)
            if truth is not None:
                evaluations.append(evaluate(scored.prediction, truth[scored.rows], self._goal))
            if committee is not None:
                bins = uncertainty_bins(scored.uncertainty) + N_BINS * self._goal.groups(scored.prediction)
                histogram += np.bincount(bins, minlength=histogram.size).reshape(histogram.shape)
            watched.append(scored.take(_in_ascending(scored.rows, request.watch)))
            if request.k:
                best.add(top_k(scored, request.k, request.tie_seed))
        release_memory(self._placement)
        return ShardScores(
            shard=shard,
            n_scored=n_scored,
            top=best.rows(),
            watched=concatenate_rows(watched),
            histogram=histogram,
            evaluation=merge_evaluations(evaluations) if truth is not None else None,
            seconds=time.perf_counter() - start,
        )

    def write_features(self, rows: Rows, file: str) -> None:
        """Write the features of `rows` of the target set, in that order, for the trainers."""
        with sent(file) as path:
            write_features(self._seen("target").rows(rows), path)

    def write_forecasts(self, rows: Rows, committee: Committee, file: str) -> str:
        """Write what each family forecasts of `rows`, in that order, for their race; returns the file's SHA-256."""
        forecasts = self._predictor_of(committee).forecasts(self._seen("target").rows(rows))
        with sent(file) as path:
            return write_forecasts(rows, tuple(dict.fromkeys(committee.families)), forecasts, path)

    def freeze(self, request: PredictRequest, part: int, committee: Committee | None) -> Frozen:
        """Write the predictions of a library part's inference rows, and return those asked for.

        Files go by library part, not by shard, so their bytes do not depend on the number of scorers.
        """
        blocks = self._library("target").part_blocks(part)
        predicted = [self._predict_again(request, block, committee) for block in blocks]
        predictions = concatenate_rows([block for block in predicted if block is not None])
        if committee is None or not len(predictions.rows):
            # Also where the part is measured throughout: no rows, of the width that a panel's predictions have.
            predictions = replace(predictions, prediction=np.repeat(request.only_label, len(predictions.rows), axis=0))
        with sent(within(request.directory, part_name(part))) as path:
            sha256 = write_predictions(predictions, path)
        groups = self._goal.groups(predictions.prediction)
        return Frozen(
            files={part_name(part): sha256},
            group=predictions.take(groups == request.whole_group),
        )

    def look_up(self, directory: str, rows: Rows, part: int) -> ScoredRows:
        """The frozen predictions of those of `rows` that lie in a part, ascending."""
        frozen = read_predictions(fetched(within(directory, part_name(part))))
        return frozen.take(_in_ascending(frozen.rows, rows))

    def count_ranks(self, request: RankRequest, part: int) -> NDArray[np.int64]:
        """How many of a part's frozen predictions come before each audited row of their group, int64 (m,)."""
        frozen = self._frozen_group(request.directory, part, request.group)
        return count_preceding(
            request.uncertainty,
            tie_keys(request.tie_seed, request.rows),
            frozen.uncertainty,
            tie_keys(request.tie_seed, frozen.rows),
        )

    def most_uncertain(self, request: FinishRequest, part: int) -> ScoredRows:
        """The most uncertain rows of a group in a part's frozen predictions, in the order of `count_ranks`."""
        return top_k(self._frozen_group(request.directory, part, request.group), request.size, request.tie_seed)

    def _frozen_group(self, directory: str, part: int, group: int) -> ScoredRows:
        frozen = read_predictions(fetched(within(directory, part_name(part))))
        return frozen.take(self._goal.groups(frozen.prediction) == group) if self._goal.n_groups > 1 else frozen

    def _predict_again(self, request: PredictRequest, block: int, committee: Committee | None) -> ScoredRows | None:
        """The predictions of a block's inference rows: those just made for the scores, or new ones."""
        kept, first = self._kept.get(block), self._library("target").block_rows_range(block)[0]
        within = self._inference_rows(request.inference, "target", block)
        if kept and committee and kept.committee_hash == committee.hash and np.array_equal(kept.within, within):
            zeros = np.zeros(len(within), np.float32)
            return ScoredRows(within + first, zeros, zeros, kept.prediction, kept.uncertainty)
        plain = ScoreRequest(request.round, 0, 0, request.inference, np.empty(0, np.int64))
        return self._score_block(plain, "target", block, committee)

    def _inference_rows(self, inference: NDArray[np.uint8], name: str, block: int) -> NDArray[np.int64]:
        """Places of the inference rows within a block."""
        first, stop = self._library(name).block_rows_range(block)
        return np.flatnonzero(bits_of(inference, first, stop))

    def write_hybrid(self, request: HybridRequest, part: int) -> None:
        """Write one part's lines of the hybrid screen from its frozen predictions and the readouts."""
        frozen = fetched(within(request.predictions_dir, part_name(part)))
        with sent(within(request.hybrid_dir, part_name(part))) as path:
            write_hybrid_part(self._library("target"), part, request, frozen, path)

    def _score_block(
        self, request: ScoreRequest, name: str, block: int, committee: Committee | None
    ) -> ScoredRows | None:
        library = self._library(name)
        first, stop = library.block_rows_range(block)
        within = self._inference_rows(request.inference, name, block)
        if not len(within):
            return None
        rows = within + first
        features: FeatureBlocks | None = None
        weights: NDArray[np.float64] | None = None
        outputs = np.empty((0, len(rows)), np.float32)
        prediction: LabelArray = np.full(len(rows), np.nan)
        uncertainty = np.full(len(rows), np.nan, np.float32)
        if committee is not None:
            features = self._seen(name).block(block)
            if len(within) < stop - first:
                features = features.take(within)
            predictor = self._predictor_of(committee)
            outputs, weights = predictor.outputs(features), predictor.weights
            prediction, uncertainty = predict(outputs, self._spec.config.task, weights, self._tolerances)
            if name == "target":
                self._kept[block] = _Kept(committee.hash, within.astype(np.uint32), prediction, uncertainty)
        if not request.k:
            zeros = np.zeros(len(rows), np.float32)
            return ScoredRows(rows, zeros, zeros, prediction, uncertainty)
        if self._acquisition.needs == "dropout" and committee is not None and features is not None:
            config = self._spec.config
            seed = derive_seed(config.seed, "dropout", request.round, block)
            outputs = self._predictor_of(committee).samples(features, config.acquisition.dropout_samples, seed)
            weights = None
        column = self._column(library, rows)
        candidates = Candidates(rows, outputs, column, weights, self._hit, self._tolerances, self._seeks_hits)
        primary, secondary = scored_by(self._acquisition, candidates)
        return ScoredRows(rows, primary, secondary, prediction, uncertainty)

    def _column(self, library: Library, rows: Rows) -> NDArray[np.float64]:
        name = self._spec.config.acquisition.column
        values = rows if name is None else library.column(name, rows)
        column: NDArray[np.float64] = np.asarray(values, np.float64)
        return -column if self._spec.config.acquisition.descending else column

    def _library(self, name: str) -> Library:
        if name not in self._libraries:
            is_target = name == "target"
            library = target_of(self._spec) if is_target else Library.open(self._spec.libraries[name])
            self._libraries[name] = library
            self._libraries[name].keep_resident(int(self._spec.config.compute.resident))
        return self._libraries[name]

    def _seen(self, name: str) -> SeenBlocks:
        if name not in self._seen_blocks:
            self._seen_blocks[name] = SeenBlocks(self._spec.config.model, self._spec.blocks, self._library(name))
        return self._seen_blocks[name]

    def _predictor_of(self, committee: Committee) -> Mixture:
        if self._predictor is None or self._committee_hash != committee.hash:
            models = models_of(self._spec, self._seen("target"))
            task, n_outputs = self._spec.config.task, self._spec.n_outputs
            numbers = self._spec.config.labels.are_numbers(self._spec.outputs)
            self._predictor = Mixture(committee, models, self._placement, task, n_outputs, numbers)
            self._committee_hash = committee.hash
        return self._predictor


def _in_ascending(rows: Rows, asked: Rows) -> NDArray[np.bool_]:
    """Which of some rows are asked for, both ascending: what lies elsewhere costs nothing."""
    low, high = np.searchsorted(asked, (rows[0], rows[-1] + 1)) if len(rows) else (0, 0)
    return np.isin(rows, asked[low:high], assume_unique=True)
