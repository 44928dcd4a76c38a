"""What the loop asks of its workers, and the backend that does it in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.campaign.scoring import ShardScorer, merge_frozen, merge_scores, plan_shards, whole_library_request
from isd_ray.core.goals import goal_for
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
from isd_ray.models.device import configure_threads, resolve_placement

Truth = Mapping[str, LabelArray]
"""Labels of every row of the target and test library, for the errors that a simulation reports."""


class Backend(Protocol):
    """The workers of a campaign. Every call is idempotent: the same request gives the same answer."""

    def fit(self, requests: Sequence[FitRequest]) -> list[FitReport]:
        """Fit the members; reports in the order of the requests."""
        ...

    def score(self, request: ScoreRequest, committee: Committee | None) -> ScoreReport:
        """Score the inference set; in a simulation also count errors on it and on the test library."""
        ...

    def write_features(self, rows: Rows, file: str) -> None:
        """Write the features of a batch for the trainers."""
        ...

    def write_forecasts(self, rows: Rows, committee: Committee, file: str) -> str:
        """Write what each family forecasts of a batch; returns the file's SHA-256."""
        ...

    def freeze(self, request: PredictRequest, committee: Committee | None) -> Frozen:
        """Write the predictions of the whole inference set, part by part, and return those that are asked for."""
        ...

    def look_up(self, directory: str, rows: Rows) -> ScoredRows:
        """The frozen predictions of `rows`, ascending."""
        ...

    def count_ranks(self, request: RankRequest) -> NDArray[np.int64]:
        """Exact position of each audited row in its group by decreasing uncertainty, int64 (m,)."""
        ...

    def most_uncertain(self, request: FinishRequest) -> ScoredRows:
        """The most uncertain rows of a group of frozen predictions, most uncertain first."""
        ...

    def write_hybrid(self, request: HybridRequest) -> None:
        """Write the hybrid screen, part by part."""
        ...

    def forecast_look(self, evidence: LookEvidence) -> LookOutlook:
        """Let the stopping rule say whether this is the round to look."""
        ...

    def decide_look(
        self, plans: Sequence[LookPlan], audits: Sequence[Audit], hits: Sequence[int], n_affordable: int
    ) -> StopDecision:
        """Let the stopping rule judge an audit."""
        ...

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """Let the stopping rule judge a round."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class LocalBackend:
    """All workers in this process: no Ray, the same answers.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    truth:
        Known labels in a simulation; empty otherwise.
    """

    def __init__(self, spec: WorkerSpec, truth: Truth) -> None:
        compute = spec.config.compute
        configure_threads(compute.threads)
        placement = resolve_placement(compute.device, compute.precision, compute.threads)
        self._spec = spec
        self._truth = truth
        self._trainer = MemberTrainer(spec, placement)
        self._scorer = ShardScorer(spec, placement)
        self._bound = Judge(spec.config.stopping, goal_for(spec.config, spec.classes, spec.outputs))
        self._target = Library.open(spec.libraries["target"])
        self._parts = range(self._target.n_parts)

    def fit(self, requests: Sequence[FitRequest]) -> list[FitReport]:
        """See `Backend.fit`."""
        return [self._trainer.fit(request) for request in requests]

    def score(self, request: ScoreRequest, committee: Committee | None) -> ScoreReport:
        """See `Backend.score`."""
        [shard] = plan_shards("target", range(self._target.n_blocks), 1)
        truth = self._truth.get("target") if committee else None
        scores = self._scorer.score(request, shard, committee, truth)
        test = None
        if committee and "test" in self._truth:
            library = Library.open(self._spec.libraries["test"])
            [shard] = plan_shards("test", range(library.n_blocks), 1)
            whole = whole_library_request(request.round, library.n_rows)
            test = self._scorer.score(whole, shard, committee, self._truth["test"]).evaluation
        return replace(merge_scores([scores], request.k, request.tie_seed), test=test)

    def write_features(self, rows: Rows, file: str) -> None:
        """See `Backend.write_features`."""
        self._scorer.write_features(rows, file)

    def write_forecasts(self, rows: Rows, committee: Committee, file: str) -> str:
        """See `Backend.write_forecasts`."""
        return self._scorer.write_forecasts(rows, committee, file)

    def freeze(self, request: PredictRequest, committee: Committee | None) -> Frozen:
        """See `Backend.freeze`."""
        return merge_frozen([self._scorer.freeze(request, part, committee) for part in self._parts])

    def look_up(self, directory: str, rows: Rows) -> ScoredRows:
        """See `Backend.look_up`."""
        return concatenate_rows([self._scorer.look_up(directory, rows, part) for part in self._parts])

    def count_ranks(self, request: RankRequest) -> NDArray[np.int64]:
        """See `Backend.count_ranks`."""
        return np.sum([self._scorer.count_ranks(request, part) for part in self._parts], axis=0)

    def most_uncertain(self, request: FinishRequest) -> ScoredRows:
        """See `Backend.most_uncertain`."""
        best = [self._scorer.most_uncertain(request, part) for part in self._parts]
        return top_k(concatenate_rows(best), request.size, request.tie_seed)

    def write_hybrid(self, request: HybridRequest) -> None:
        """See `Backend.write_hybrid`."""
        for part in self._parts:
            self._scorer.write_hybrid(request, part)

    def forecast_look(self, evidence: LookEvidence) -> LookOutlook:
        """See `Backend.forecast_look`."""
        return self._bound.forecast_look(evidence)

    def decide_look(
        self, plans: Sequence[LookPlan], audits: Sequence[Audit], hits: Sequence[int], n_affordable: int
    ) -> StopDecision:
        """See `Backend.decide_look`."""
        return self._bound.decide_look(plans, audits, hits, n_affordable)

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """See `Backend.decide`."""
        return self._bound.decide(evidence)

    def close(self) -> None:
        """Nothing to give back."""
