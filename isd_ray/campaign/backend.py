"""What the loop asks of its workers: each request planned as calls and its answers merged, wherever the workers run.

A library is cut into shards for scorers; the merged answers are equal for every number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.campaign.versions import target_of
from isd_ray.campaign.workers import AnswerT, Kind, Workers
from isd_ray.core.looks import LookPlan
from isd_ray.core.metrics import merge_evaluations
from isd_ray.core.stopping import Audit, Judge, LookEvidence, LookOutlook
from isd_ray.core.topk import RunningTopK, concatenate_rows
from isd_ray.data.library import Library
from isd_ray.messages import (
    Committee,
    Evaluation,
    FinishRequest,
    FitReport,
    FitRequest,
    Frozen,
    HybridRequest,
    LabelArray,
    PredictRequest,
    RankRequest,
    RoundEvidence,
    Rows,
    ScoredRows,
    ScoreReport,
    ScoreRequest,
    Shard,
    ShardScores,
    StopDecision,
    WorkerSpec,
)

Truth = Mapping[str, LabelArray]
"""Labels of every row of the target and test library, for the errors that a simulation reports."""


class Backend:
    """A campaign's workers as the loop sees them. Every call is idempotent: the same request gives the same answer.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    truth:
        Known labels in a simulation; empty otherwise.
    workers:
        Who does the work; ended by `close`, and at once if this cannot be made.
    """

    def __init__(self, spec: WorkerSpec, truth: Truth, workers: Workers) -> None:
        self._spec, self._workers = spec, workers
        self._committee: tuple[str, Any] = ("", None)
        try:
            self._target = target_of(spec)
            self._truth = {name: workers.put(labels) for name, labels in truth.items()}
        except BaseException:
            self.close()
            raise
        self._parts = range(self._target.n_parts)

    def fit(self, requests: Sequence[FitRequest]) -> list[FitReport]:
        """Fit the members; reports in the order of the requests."""
        return self._all("trainer", MemberTrainer.fit, [(request,) for request in requests])

    def score(self, request: ScoreRequest, committee: Committee | None) -> ScoreReport:
        """Score the inference set; in a simulation also count errors on it and on the test library."""
        workers, committee_ref = self._workers, self._put_committee(committee)
        truth = self._truth if committee else {}
        request_ref = workers.put(request)
        calls: list[tuple[Any, ...]] = [
            (request_ref, shard, committee_ref, truth.get("target"))
            for blocks in blocks_of_scorers(self._target, workers.n_scorers)
            for shard in plan_shards("target", blocks, workers.shards_per_scorer)
        ]
        if "test" in truth:
            library = Library.open(self._spec.libraries["test"])
            whole_ref = workers.put(whole_library_request(request.round, library.n_rows))
            n_shards = workers.n_scorers * workers.shards_per_scorer
            held_out = plan_shards("test", range(library.n_blocks), n_shards)
            calls += [(whole_ref, shard, committee_ref, truth["test"]) for shard in held_out]
        answers = workers.each("scorer", ShardScorer.score, calls)
        return merge_scores((answer for _, answer in answers), request.k, request.tie_seed)

    def write_features(self, rows: Rows, file: str) -> None:
        """Write the features of a batch for the trainers."""
        self._one("scorer", ShardScorer.write_features, rows, file)

    def write_forecasts(self, rows: Rows, committee: Committee, file: str) -> str:
        """Write what each family forecasts of a batch; returns the file's SHA-256."""
        return self._one("scorer", ShardScorer.write_forecasts, rows, self._put_committee(committee), file)

    def freeze(self, request: PredictRequest, committee: Committee | None) -> Frozen:
        """Write the predictions of the whole inference set, part by part, and return those that are asked for."""
        request_ref, committee_ref = self._workers.put(request), self._put_committee(committee)
        calls = [(request_ref, part, committee_ref) for part in self._parts]
        return merge_frozen(self._all("scorer", ShardScorer.freeze, calls, stay=True))

    def look_up(self, directory: str, rows: Rows) -> ScoredRows:
        """The frozen predictions of `rows`, which ascend."""
        firsts = [self._target.part_rows_range(part)[0] for part in self._parts]
        in_parts = np.split(rows, np.searchsorted(rows, firsts[1:]))
        calls = [(directory, there, part) for part, there in enumerate(in_parts) if len(there)]
        calls = calls or [(directory, rows, self._parts[0])]
        return concatenate_rows(self._all("scorer", ShardScorer.look_up, calls))

    def count_ranks(self, request: RankRequest) -> NDArray[np.int64]:
        """Exact position of each audited row in its group by decreasing uncertainty, int64 (m,)."""
        request_ref = self._workers.put(request)
        calls = [(request_ref, part) for part in self._parts]
        ranks = np.zeros(len(request.rows), np.int64)
        for _, counts in self._workers.each("scorer", ShardScorer.count_ranks, calls):
            ranks += counts
        return ranks

    def most_uncertain(self, request: FinishRequest) -> ScoredRows:
        """The most uncertain rows of a group of frozen predictions, most uncertain first."""
        best = RunningTopK(request.size, request.tie_seed)
        calls = [(request, part) for part in self._parts]
        for _, uncertain in self._workers.each("scorer", ShardScorer.most_uncertain, calls):
            best.add(uncertain)
        return best.rows()

    def write_hybrid(self, request: HybridRequest) -> None:
        """Write the hybrid screen, part by part."""
        request_ref = self._workers.put(request)
        self._all("scorer", ShardScorer.write_hybrid, [(request_ref, part) for part in self._parts])

    def forecast_look(self, evidence: LookEvidence) -> LookOutlook:
        """Let the stopping rule say whether this is the round to look."""
        return self._one("bound", Judge.forecast_look, evidence)

    def decide_look(
        self, plans: Sequence[LookPlan], audits: Sequence[Audit], hits: Sequence[int], n_affordable: int
    ) -> StopDecision:
        """Let the stopping rule judge an audit."""
        return self._one("bound", Judge.decide_look, plans, audits, hits, n_affordable)

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """Let the stopping rule judge a round."""
        return self._one("bound", Judge.decide, evidence)

    def work_on(self, library: Library) -> None:
        """From now on plan requests for another version of the target library; that of the workers begins with it."""
        self._target, self._parts = library, range(library.n_parts)

    def close(self) -> None:
        """End the workers, and give their room back."""
        self._workers.close()

    def _all(
        self, kind: Kind, method: Callable[..., AnswerT], calls: Sequence[tuple[Any, ...]], *, stay: bool = False
    ) -> list[AnswerT]:
        """Answers in the order of `calls`."""
        answers = self._workers.each(kind, method, calls, stay=stay)
        return [answer for _, answer in sorted(answers, key=itemgetter(0))]

    def _one(self, kind: Kind, method: Callable[..., AnswerT], *arguments: Any) -> AnswerT:
        [answer] = self._all(kind, method, [arguments])
        return answer

    def _put_committee(self, committee: Committee | None) -> Any:
        """Put a committee where many calls read it, once for all requests of a round."""
        if committee is None:
            return None
        if self._committee[0] != committee.hash:
            self._committee = (committee.hash, self._workers.put(committee))
        return self._committee[1]


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
