"""The scorer: scores, predicts and writes shards of the library."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.scoring import ShardScorer
from isd_ray.messages import (
    Committee,
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
from isd_ray.models.device import configure_threads, resolve_placement


class Scorer:
    """A `ShardScorer` in a process of its own. Without a GPU of its own it is pinned to the CPU.

    The work of starting is in `ready`, not in the constructor: Ray drops the type of what a constructor raises.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec

    def ready(self) -> None:
        """Take the device."""
        compute = self._spec.config.compute
        configure_threads(compute.threads)
        placement = resolve_placement("cuda" if compute.scorer_gpus else "cpu", compute.precision, compute.threads)
        self._scorer = ShardScorer(self._spec, placement)

    def score(
        self, request: ScoreRequest, shard: Shard, committee: Committee | None, truth: LabelArray | None
    ) -> ShardScores:
        """Score the inference rows of a shard."""
        return self._scorer.score(request, shard, committee, truth)

    def write_features(self, rows: Rows, file: str) -> None:
        """Write the features of a batch."""
        self._scorer.write_features(rows, file)

    def write_forecasts(self, rows: Rows, committee: Committee, file: str) -> str:
        """Write what each family forecasts of a batch."""
        return self._scorer.write_forecasts(rows, committee, file)

    def freeze(self, request: PredictRequest, part: int, committee: Committee | None) -> Frozen:
        """Write the predictions of one part."""
        return self._scorer.freeze(request, part, committee)

    def look_up(self, directory: str, rows: Rows, part: int) -> ScoredRows:
        """Read frozen predictions of one part."""
        return self._scorer.look_up(directory, rows, part)

    def count_ranks(self, request: RankRequest, part: int) -> NDArray[np.int64]:
        """Count the rows of one part that come before each audited row."""
        return self._scorer.count_ranks(request, part)

    def most_uncertain(self, request: FinishRequest, part: int) -> ScoredRows:
        """Find the most uncertain rows of one part."""
        return self._scorer.most_uncertain(request, part)

    def write_hybrid(self, request: HybridRequest, part: int) -> None:
        """Write one part of the hybrid screen."""
        self._scorer.write_hybrid(request, part)
