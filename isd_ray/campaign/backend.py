"""What the loop asks of its workers: each request planned as calls and its answers merged, wherever the workers run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.campaign.shards import blocks_of_scorers, merge_frozen, merge_scores, plan_shards, whole_library_request
from isd_ray.campaign.versions import target_of
from isd_ray.campaign.workers import AnswerT, Kind, Workers
from isd_ray.core.looks import LookPlan
from isd_ray.core.stopping import Audit, Judge, LookEvidence, LookOutlook
from isd_ray.core.topk import concatenate_rows, top_k
from isd_ray.data.library import Library
from isd_ray.messages import (
    Committee,
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
        """The frozen predictions of `rows`, ascending."""
        calls = [(directory, rows, part) for part in self._parts]
        return concatenate_rows(self._all("scorer", ShardScorer.look_up, calls))

    def count_ranks(self, request: RankRequest) -> NDArray[np.int64]:
        """Exact position of each audited row in its group by decreasing uncertainty, int64 (m,)."""
        request_ref = self._workers.put(request)
        counts = self._all("scorer", ShardScorer.count_ranks, [(request_ref, part) for part in self._parts])
        return np.sum(counts, axis=0)

    def most_uncertain(self, request: FinishRequest) -> ScoredRows:
        """The most uncertain rows of a group of frozen predictions, most uncertain first."""
        best = self._all("scorer", ShardScorer.most_uncertain, [(request, part) for part in self._parts])
        return top_k(concatenate_rows(best), request.size, request.tie_seed)

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
