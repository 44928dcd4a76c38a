"""The backend that puts a campaign's work on Ray actors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from isd_ray.actors.bound import BoundActor
from isd_ray.actors.group import ActorGroup
from isd_ray.actors.options import scorer_options, stable_options, trainer_options
from isd_ray.actors.room import Room
from isd_ray.actors.scorer import Scorer
from isd_ray.actors.trainer import Trainer
from isd_ray.campaign.backend import Truth
from isd_ray.campaign.scoring import blocks_of_scorers, merge_frozen, merge_scores, plan_shards, whole_library_request
from isd_ray.core.goals import goal_for
from isd_ray.core.looks import LookPlan
from isd_ray.core.metrics import merge_evaluations
from isd_ray.core.stopping import Audit, LookEvidence, LookOutlook
from isd_ray.core.topk import concatenate_rows, top_k
from isd_ray.data.library import Library
from isd_ray.messages import (
    Committee,
    Evaluation,
    FinishRequest,
    FitReport,
    FitRequest,
    Frozen,
    HybridRequest,
    PredictRequest,
    RankRequest,
    RoundEvidence,
    Rows,
    ScoredRows,
    ScoreReport,
    ScoreRequest,
    ShardScores,
    StopDecision,
    WorkerSpec,
)

SHARDS_PER_SCORER = 4
"""More shards than scorers, so that a fast scorer takes over from a slow one."""


class RayBackend:
    """Trainers, scorers and the bound actor on Ray; gives the same answers as `LocalBackend`.

    Created inside the coordinator, so that its actors end with it.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    truth:
        Known labels in a simulation; empty otherwise.
    owner:
        Address of the campaign (`isd_ray.actors.room.Room`).
    """

    def __init__(self, spec: WorkerSpec, truth: Truth, owner: str = "") -> None:
        self._spec = spec
        self._target = Library.open(spec.libraries["target"])
        self._parts = range(self._target.n_parts)
        self._truth = {name: ray.put(labels) for name, labels in truth.items()}
        self._committee: tuple[str, Any] = ("", None)
        trainers, scorers = trainer_options(spec.config), scorer_options(spec.config)
        compute = spec.config.compute
        self._room = Room((trainers, scorers), compute.room_timeout_s, owner, compute.priority)
        self._trainers = ActorGroup(Trainer, (ray.put(spec),), trainers, self._room.place)
        self._scorers = ActorGroup(Scorer, (ray.put(spec),), scorers, self._room.place)
        rule = (spec.config.stopping, goal_for(spec.config, spec.classes, spec.outputs))
        self._bound = ActorGroup(BoundActor, rule, stable_options(spec.config, "bound"))
        try:
            for group in (self._bound, self._trainers, self._scorers):
                group.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def fit(self, requests: Sequence[FitRequest]) -> list[FitReport]:
        """See `Backend.fit`."""
        return self._trainers.map("fit", [(request,) for request in requests])

    def score(self, request: ScoreRequest, committee: Committee | None) -> ScoreReport:
        """See `Backend.score`."""
        committee_ref = self._put_committee(committee)
        truth = self._truth.get("target") if committee else None
        request_ref = ray.put(request)
        n_scorers = self._spec.config.compute.scorers
        runs = blocks_of_scorers(self._target, n_scorers)
        target = [shard for run in runs for shard in plan_shards("target", run, SHARDS_PER_SCORER)]
        calls: list[tuple[Any, ...]] = [(request_ref, shard, committee_ref, truth) for shard in target]
        if committee and "test" in self._truth:
            library = Library.open(self._spec.libraries["test"])
            whole_ref = ray.put(whole_library_request(request.round, library.n_rows))
            held_out = plan_shards("test", range(library.n_blocks), SHARDS_PER_SCORER * n_scorers)
            calls += [(whole_ref, shard, committee_ref, self._truth["test"]) for shard in held_out]
        tests: dict[int, Evaluation] = {}

        def of_target() -> Iterator[ShardScores]:
            for index, answer in self._scorers.each("score", calls):
                if index < len(target):
                    yield answer
                elif answer.evaluation is not None:
                    tests[index] = answer.evaluation

        merged = merge_scores(of_target(), request.k, request.tie_seed)
        return replace(merged, test=merge_evaluations([tests[index] for index in sorted(tests)]) if tests else None)

    def write_features(self, rows: Rows, file: str) -> None:
        """See `Backend.write_features`."""
        self._scorers.map("write_features", [(rows, file)])

    def write_forecasts(self, rows: Rows, committee: Committee, file: str) -> str:
        """See `Backend.write_forecasts`."""
        [sha256] = self._scorers.map("write_forecasts", [(rows, self._put_committee(committee), file)])
        return str(sha256)

    def freeze(self, request: PredictRequest, committee: Committee | None) -> Frozen:
        """See `Backend.freeze`."""
        request_ref, committee_ref = ray.put(request), self._put_committee(committee)
        calls = [(request_ref, part, committee_ref) for part in self._parts]
        return merge_frozen(self._scorers.map("freeze", calls, stay=True))

    def look_up(self, directory: str, rows: Rows) -> ScoredRows:
        """See `Backend.look_up`."""
        return concatenate_rows(self._scorers.map("look_up", [(directory, rows, part) for part in self._parts]))

    def count_ranks(self, request: RankRequest) -> NDArray[np.int64]:
        """See `Backend.count_ranks`."""
        request_ref = ray.put(request)
        return np.sum(self._scorers.map("count_ranks", [(request_ref, part) for part in self._parts]), axis=0)

    def most_uncertain(self, request: FinishRequest) -> ScoredRows:
        """See `Backend.most_uncertain`."""
        best = self._scorers.map("most_uncertain", [(request, part) for part in self._parts])
        return top_k(concatenate_rows(best), request.size, request.tie_seed)

    def write_hybrid(self, request: HybridRequest) -> None:
        """See `Backend.write_hybrid`."""
        request_ref = ray.put(request)
        self._scorers.map("write_hybrid", [(request_ref, part) for part in self._parts])

    def forecast_look(self, evidence: LookEvidence) -> LookOutlook:
        """See `Backend.forecast_look`."""
        [forecast] = self._bound.map("forecast_look", [(evidence,)])
        return forecast

    def decide_look(
        self, plans: Sequence[LookPlan], audits: Sequence[Audit], hits: Sequence[int], n_affordable: int
    ) -> StopDecision:
        """See `Backend.decide_look`."""
        [decision] = self._bound.map("decide_look", [(plans, audits, hits, n_affordable)])
        return decision

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """See `Backend.decide`."""
        [decision] = self._bound.map("decide", [(evidence,)])
        return decision

    def close(self) -> None:
        """End the actors, and give their room back."""
        for group in (self._trainers, self._scorers, self._bound):
            group.close()
        self._room.give_back()

    def _put_committee(self, committee: Committee | None) -> Any:
        """Put a committee into the object store once, whatever the number of calls that read it."""
        if committee is None:
            return None
        if self._committee[0] != committee.hash:
            self._committee = (committee.hash, ray.put(committee))
        return self._committee[1]
