"""Algorithm 1 of the paper as a state machine over a backend. Knows nothing of Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.oracle import Oracle, Readouts
from isd_ray.campaign.record import ROUND_SCHEMA, simulation_metrics
from isd_ray.campaign.selection import Selection, choose, random_count, unscored
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.store import Attempt, CampaignStore, RoundFiles
from isd_ray.config import CampaignConfig
from isd_ray.core.metrics import is_correct
from isd_ray.core.seeding import derive_seed
from isd_ray.core.sets import TargetSets
from isd_ray.data.library import Library
from isd_ray.messages import (
    ROLES,
    Committee,
    FitRequest,
    HybridRequest,
    Progress,
    Role,
    RoundEvidence,
    ScoredRows,
    ScoreRequest,
)
from isd_ray.models.committee import committee_hash, load_member, save_member


@dataclass(slots=True)
class _Round:
    """What is being worked on between two commits."""

    number: int
    started: float
    committee: Committee | None = None
    attempt: Attempt | None = None
    selection: Selection | None = None
    readouts: Readouts | None = None
    details: dict[str, Any] = field(default_factory=dict)


class CampaignLoop:
    """Runs a campaign step by step; the store decides what has happened, so a new loop continues where another died.

    Parameters
    ----------
    config, store, library, oracle:
        The campaign, its directory, its target library, and where readouts come from.
    backend:
        The workers.
    classes:
        Names of the classes; empty for a regression.
    """

    def __init__(
        self,
        config: CampaignConfig,
        store: CampaignStore,
        library: Library,
        oracle: Oracle,
        backend: Backend,
        classes: tuple[str, ...],
    ) -> None:
        self._config = config
        self._store = store
        self._library = library
        self._oracle = oracle
        self._backend = backend
        self._classes = classes
        self._sets = TargetSets(library.n_rows)
        self._values: list[NDArray[np.float64]] = []
        self._roles: list[NDArray[np.int8]] = []
        self._feature_files: list[str] = []
        self._records: list[dict[str, Any]] = []
        self._stop_round: int | None = None
        self._warnings: list[str] = []
        self._state = LoopState.FIT
        self._round = _Round(0, time.perf_counter())
        self._steps: Mapping[LoopState, Callable[[], LoopState]] = {
            LoopState.FIT: self._fit,
            LoopState.SCORE: self._score,
            LoopState.RELEASE: self._release,
            LoopState.MEASURE: self._measure,
            LoopState.DECIDE: self._decide,
            LoopState.DELIVER: self._deliver,
        }
        for files in store.rounds():
            self._restore(files)

    def advance(self) -> Progress:
        """Do one step and say where the campaign stands. Nothing happens once it is done."""
        if not self._state.is_terminal:
            self._state = self._steps[self._state]()
        last = self._records[-1] if self._records else {}
        warnings, self._warnings = tuple(self._warnings), []
        return Progress(
            state=self._state.value,
            round=self._round.number,
            n_target=self._sets.n_target,
            n_observed=self._sets.n_observed,
            done=self._state.is_terminal,
            system_bound=last.get("system_bound"),
            system_accuracy=last.get("delivered_accuracy"),
            decision=last.get("decision", ""),
            warnings=warnings,
        )

    def _fit(self) -> LoopState:
        number = self._round.number
        if not self._can_fit():
            return LoopState.SCORE
        labels = self._sets.labels
        requests = [
            FitRequest(
                round=number,
                member=member,
                seed=derive_seed(self._config.seed, "member", number, member),
                split_seed=derive_seed(self._config.seed, "split", number),
                feature_files=tuple(self._feature_files),
                labels=labels.astype(np.int64) if self._config.task == "classification" else labels,
            )
            for member in range(self._config.model.members)
        ]
        reports = self._backend.fit(requests)
        weights = tuple(report.weights for report in reports)
        self._round.committee = Committee(committee_hash(weights), weights)
        loss = float(np.mean([report.validation_loss for report in reports]))
        self._round.details.update(
            validation_loss=loss if np.isfinite(loss) else None,
            epochs=float(np.mean([report.epochs for report in reports])),
            fit_seconds=time.perf_counter() - self._round.started,
        )
        return LoopState.SCORE

    def _can_fit(self) -> bool:
        if self._sets.n_observed == 0:
            return False
        if self._config.task == "classification" and len(np.unique(self._sets.labels)) == 1:
            self._warnings.append(
                f"round {self._round.number}: all {self._sets.n_observed} readouts are of one class; "
                "the next batch is drawn at random"
            )
            return False
        return True

    def _score(self) -> LoopState:
        number = self._round.number
        n_batch = self._batch_size()
        start = time.perf_counter()
        if self._round.committee is None:
            rows = self._sets.draw(n_batch, derive_seed(self._config.seed, "random", number))
            role: Role = "random" if number else "initial"
            self._round.selection = Selection.of(unscored(rows), role)
            return LoopState.RELEASE
        n_random = random_count(n_batch, self._config.random_share)
        request = ScoreRequest(
            round=number,
            k=n_batch,
            tie_seed=derive_seed(self._config.seed, "tie", number),
            inference=self._sets.packed_inference(),
            watch=self._sets.draw(n_random, derive_seed(self._config.seed, "random", number)),
        )
        report = self._backend.score(request, self._round.committee)
        self._round.selection = choose(report, n_batch)
        self._round.details.update(simulation_metrics(report, self._sets.n_target, self._config))
        self._round.details["score_seconds"] = time.perf_counter() - start
        return LoopState.RELEASE

    def _batch_size(self) -> int:
        wanted = self._config.acquisition.batch_size if self._sets.n_observed else self._config.initial_size
        allowed = int(self._config.stopping.max_fraction * self._sets.n_target + 1e-9) - self._sets.n_observed
        return max(0, min(wanted, allowed, self._sets.n_inference))

    def _release(self) -> LoopState:
        selection, committee = self._round.selection, self._round.committee
        assert selection is not None, "RELEASE follows SCORE"
        plan = {
            "round": self._round.number,
            "seed": self._config.seed,
            "acquisition": self._config.acquisition_name,
            "n_batch": len(selection.roles),
            "n_random": int((selection.roles == ROLES.index("random")).sum()),
        }
        attempt = self._store.new_attempt(self._round.number, plan)
        if committee is not None:
            for member, weights in enumerate(committee.members):
                save_member(attempt.committee_dir / f"member-{member:03d}.safetensors", weights)
        self._backend.write_features(selection.scored.rows, str(attempt.features_file))
        self._store.release(
            attempt,
            self._batch_table(selection),
            {**self._round.details, "committee_hash": committee.hash if committee else None},
        )
        self._round.attempt = attempt
        return LoopState.MEASURE

    def _batch_table(self, selection: Selection) -> pa.Table:
        scored = selection.scored
        nothing = pa.nulls(len(scored.rows), pa.string())
        return pa.table(
            {
                "row": scored.rows,
                "id": pa.array(self._library.ids(scored.rows), pa.string()),
                "smiles": pa.array(self._library.smiles(scored.rows), pa.string()),
                "role": pa.array([ROLES[role] for role in selection.roles], pa.string()),
                "score": scored.primary,
                "second_score": scored.secondary,
                "prediction": pa.array(scored.prediction, from_pandas=True),
                "uncertainty": pa.array(scored.uncertainty, from_pandas=True),
                "plate": nothing,
                "well": nothing,
            }
        )

    def _measure(self) -> LoopState:
        selection = self._round.selection
        assert selection is not None, "MEASURE follows RELEASE"
        rows = selection.scored.rows
        readouts = self._oracle.measure(rows)
        table = pa.table({"row": rows, "label": readouts.labels, "value": pa.array(readouts.values, from_pandas=True)})
        self._round.details["readouts_sha256"] = self._store.tell(table, self._round.number)
        self._round.readouts = readouts
        return LoopState.DECIDE

    def _observe(self, attempt: Attempt, selection: Selection, readouts: Readouts) -> None:
        self._sets.observe(selection.scored.rows, readouts.labels)
        self._values.append(readouts.values)
        self._roles.append(selection.roles)
        self._feature_files.append(str(attempt.features_file))

    def _decide(self) -> LoopState:
        work = self._round
        assert work.selection is not None, "DECIDE follows MEASURE"
        assert work.readouts is not None, "DECIDE follows MEASURE"
        assert work.attempt is not None, "DECIDE follows MEASURE"
        n_before = self._sets.n_observed
        self._observe(work.attempt, work.selection, work.readouts)
        task, tolerance = self._config.task, self._config.stopping.tolerance
        correct = is_correct(work.selection.scored.prediction, work.readouts.labels, task, tolerance)
        top = work.selection.roles == ROLES.index("top")
        if task == "regression" and tolerance is None:
            # Right and wrong are not defined, so no row is evidence.
            top = np.zeros_like(top)
        evidence = RoundEvidence(
            round=work.number,
            n_target=self._sets.n_target,
            n_observed=self._sets.n_observed,
            n_inference=self._sets.n_inference,
            n_batch=len(correct),
            n_top=int(top.sum()),
            n_top_correct=int((correct & top).sum()),
        )
        decision = self._backend.decide(evidence)
        if "inference_errors" in work.details:
            errors = work.details["inference_errors"] - int((~correct).sum())
            work.details["delivered_accuracy"] = 1.0 - errors / self._sets.n_target
        record = {
            "fit_seconds": 0.0,
            "score_seconds": 0.0,
            **work.details,
            "round": work.number,
            "n_observed": n_before,
            "n_inference": self._sets.n_target - n_before,
            "fraction_acquired": n_before / self._sets.n_target,
            "n_batch": evidence.n_batch,
            "n_random": int((work.selection.roles == ROLES.index("random")).sum()),
            "n_acquired": evidence.n_observed,
            "batch_accuracy": evidence.n_top_correct / evidence.n_top if evidence.n_top else None,
            "alpha": decision.alpha,
            "system_bound": decision.system_bound,
            "decision": decision.action,
            "reason": decision.reason,
            "round_seconds": time.perf_counter() - work.started,
        }
        self._store.commit(work.number, record)
        return self._after_commit(record)

    def _after_commit(self, record: dict[str, Any]) -> LoopState:
        self._records.append(record)
        self._store.write_table("rounds.parquet", self._records, ROUND_SCHEMA)
        if record["decision"] == "stop" and self._stop_round is None:
            self._stop_round = self._round.number
            return LoopState.DELIVER
        return self._next_round()

    def _next_round(self) -> LoopState:
        last = self._records[-1]
        exhausted = last["n_batch"] == 0 or self._sets.n_inference == 0
        if exhausted or (self._stop_round is not None and not self._config.stopping.continue_after_stop):
            return LoopState.DONE
        self._round = _Round(self._round.number + 1, time.perf_counter())
        return LoopState.FIT

    def _deliver(self) -> LoopState:
        work = self._round
        assert work.attempt is not None, "DELIVER follows DECIDE"
        committee = work.committee or self._stored_committee(work.attempt)
        order = np.argsort(self._sets.rows)
        rounds = np.repeat(np.arange(len(self._roles), dtype=np.int32), [len(roles) for roles in self._roles])
        request = HybridRequest(
            round=work.number,
            inference=self._sets.packed_inference(),
            rows=self._sets.rows[order],
            labels=self._sets.labels[order],
            values=np.concatenate(self._values)[order],
            rounds=rounds[order],
            roles=np.concatenate(self._roles)[order],
            classes=self._classes,
            only_label=float(self._sets.labels[0]),
            committee_hash=committee.hash if committee else "",
            campaign_id=self._store.manifest["campaign_id"],
            predictions_dir=str(work.attempt.predictions_dir),
            hybrid_dir=str(self._store.hybrid_dir),
        )
        self._backend.write_hybrid(request, committee)
        self._store.mark_delivered({"round": work.number, "n_measured": len(order), "n_rows": self._sets.n_target})
        return self._next_round()

    @staticmethod
    def _stored_committee(attempt: Attempt) -> Committee | None:
        """The model that decided a restored round: it is delivered, never a new one."""
        weights = tuple(load_member(file) for file in sorted(attempt.committee_dir.glob("*.safetensors")))
        return Committee(committee_hash(weights), weights) if weights else None

    def _restore(self, files: RoundFiles) -> None:
        """Take over a released round from the store; a committed one is history, an open one is where to go on."""
        table = files.read_batch()
        roles = np.array([ROLES.index(role) for role in table["role"].to_pylist()], np.int8)
        columns = ("row", "score", "second_score", "prediction", "uncertainty")
        scored = ScoredRows(*(table[name].to_numpy() for name in columns))
        if self._round.number != files.round:
            self._round = _Round(files.round, time.perf_counter())
        work = self._round
        work.attempt, work.selection = files.attempt, Selection(scored, roles)
        work.details = {name: files.released[name] for name in files.released if name in ROUND_SCHEMA.names}
        if files.committed is None:
            self._state = LoopState.MEASURE
            return
        readouts = self._store.read_readouts(files.committed["readouts_sha256"])
        values = readouts["value"].to_numpy()
        self._observe(work.attempt, work.selection, Readouts(readouts["label"].to_numpy(), values))
        self._state = self._after_commit(dict(files.committed))
        if self._state is LoopState.DELIVER and self._store.is_delivered():
            self._state = self._next_round()
