"""How a library is cut into shards for scorers, and their answers merged: equal for every number of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from isd_ray.core.metrics import merge_evaluations
from isd_ray.core.topk import RunningTopK, concatenate_rows
from isd_ray.data.library import Library
from isd_ray.messages import Evaluation, Frozen, ScoredRows, ScoreReport, ScoreRequest, Shard, ShardScores


def plan_shards(name: Literal["target", "test"], blocks: range, n_shards: int) -> list[Shard]:
    """Cut a run of a library's blocks into at most `n_shards` shards of nearly equal length."""
    edges = np.linspace(blocks.start, blocks.stop, min(n_shards, len(blocks)) + 1).round().astype(int).tolist()
    return [Shard(name, first, stop) for first, stop in pairwise(edges)]


def blocks_of_scorers(library: Library, n_scorers: int) -> list[range]:
    """Runs of blocks, one for each scorer: whole parts of the library where there are enough of them.

    Parts are frozen where they were scored, and are dealt out as here: part p to scorer p * n_scorers // n_parts.
    """
    n_parts = library.n_parts
    if n_parts < n_scorers:
        return [
            range(shard.first_block, shard.stop_block)
            for shard in plan_shards("target", range(library.n_blocks), n_scorers)
        ]
    firsts = [-(-scorer * n_parts // n_scorers) for scorer in range(n_scorers + 1)]
    return [
        range(library.part_blocks(first).start, library.part_blocks(stop - 1).stop) for first, stop in pairwise(firsts)
    ]


def whole_library_request(round_number: int, n_rows: int) -> ScoreRequest:
    """A request that evaluates every row of a held-out library and acquires none."""
    everything = np.packbits(np.ones(n_rows, dtype=np.bool_))
    return ScoreRequest(round=round_number, k=0, tie_seed=0, inference=everything, watch=np.empty(0, np.int64))


def merge_scores(parts: Iterable[ShardScores], k: int, tie_seed: int) -> ScoreReport:
    """The answers of shards as one, taken in as they come; equal for every number and order of `parts`.

    Holds a few times k rows, however many parts there are. Shards of the test library count for its errors alone.
    """
    best = RunningTopK(k, tie_seed)
    by_place: dict[int, tuple[ScoredRows, Evaluation | None]] = {}
    tests: dict[int, Evaluation] = {}
    histogram, n_scored = np.zeros((), np.int64), 0
    for part in parts:
        if part.shard.library == "test":
            if part.evaluation is not None:
                tests[part.shard.first_block] = part.evaluation
            continue
        n_scored += part.n_scored
        histogram = histogram + part.histogram
        # A copy: a view would keep the whole answer in the object store.
        by_place[part.shard.first_block] = concatenate_rows([part.watched]), part.evaluation
        best.add(part.top)
    ordered = [by_place[place] for place in sorted(by_place)]
    return ScoreReport(
        n_scored=n_scored,
        top=best.rows(),
        watched=concatenate_rows([watched for watched, _ in ordered]),
        histogram=histogram,
        evaluation=_together([evaluation for _, evaluation in ordered if evaluation is not None]),
        test=_together([tests[place] for place in sorted(tests)]),
    )


def merge_frozen(parts: Sequence[Frozen]) -> Frozen:
    """The answers of `ShardScorer.freeze` for all parts, in their order."""
    return Frozen(
        files={name: sha256 for part in parts for name, sha256 in part.files.items()},
        group=concatenate_rows([part.group for part in parts]),
    )


def _together(evaluations: list[Evaluation]) -> Evaluation | None:
    return merge_evaluations(evaluations) if evaluations else None
