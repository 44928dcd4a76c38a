"""Algorithm 1 of the paper, with looks, as a state machine over a backend. Knows nothing of Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts, amendments, settle_amendments
from isd_ray.campaign.backend import Backend
from isd_ray.campaign.batch import batch_table, plates_of, selection_of
from isd_ray.campaign.budget import Budget
from isd_ray.campaign.certificate import make_certificate
from isd_ray.campaign.committees import load_committee, save_committee
from isd_ray.campaign.evidence import audits_of, bound_by_random_rows, output_ranges
from isd_ray.campaign.history import History, calibration_warning
from isd_ray.campaign.oracle import Oracle, Readouts, Standing, with_amendments
from isd_ray.campaign.record import (
    RELIABILITY_SCHEMA,
    ROUND_SCHEMA,
    batch_record,
    decision_record,
    metrics_after,
    metrics_of_finish,
    outputs_after,
    simulation_metrics,
)
from isd_ray.campaign.selection import Ranks, Selection, choose, join, random_count, ranks_by, unscored
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.stock import prices_of
from isd_ray.campaign.store import Attempt, CampaignStore, RoundFiles
from isd_ray.campaign.work import RoundWork
from isd_ray.config import AUDITED_RULES, CampaignConfig
from isd_ray.core.certify import LookPlan
from isd_ray.core.goals import HITS, Goal
from isd_ray.core.panels import has_readout
from isd_ray.core.seeding import derive_seed
from isd_ray.core.stopping import Audit, LookEvidence, settled
from isd_ray.core.topk import uniform_sample
from isd_ray.data.layout import sha256_file
from isd_ray.data.library import Library
from isd_ray.errors import LabelError, StoreError
from isd_ray.messages import (
    ROLES,
    AuditDraw,
    Committee,
    FinishRequest,
    FitRequest,
    Frozen,
    HybridRequest,
    PredictRequest,
    Progress,
    RoundEvidence,
    ScoreReport,
    ScoreRequest,
    StepTaken,
    StopDecision,
)
from isd_ray.models.committee import committee_hash

_FINISH, _TOP, _RANDOM, _AUDIT, _RESERVE = map(ROLES.index, ("finish", "top", "random", "audit", "reserve"))


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
        outputs, in_laboratory = tuple(store.manifest.get("outputs", ())), bool(store.manifest.get("in_laboratory"))
        self._goal = Goal.of(config, classes, outputs, in_laboratory=in_laboratory)
        self._warnings: list[str] = []
        self._waiting = False
        self._saver = ThreadPoolExecutor(1)
        self._steps: Mapping[LoopState, Callable[[], LoopState]] = {
            LoopState.FIT: self._fit,
            LoopState.SCORE: self._score,
            LoopState.FINISH: self._finish,
            LoopState.RELEASE: self._release,
            LoopState.MEASURE: self._measure,
            LoopState.DECIDE: self._decide,
            LoopState.DELIVER: self._deliver,
        }
        store.settle()
        self._load()

    def _load(self) -> None:
        """Stand where the store says."""
        self._history = History(self._goal, self._library.n_rows)
        self._sets = self._history.sets
        self._budget = Budget(self._config, self._history, prices_of(self._config, self._library))
        self._n_amendments = len(amendments(self._store))
        self._amended = amended_readouts(self._store)
        self._state = LoopState.FIT
        self._round = RoundWork(0, time.perf_counter())
        for files in self._store.rounds():
            self._restore(files)

    def _load_amended(self) -> bool:
        """Begin anew from the store if readouts were corrected meanwhile, as another process would; whether it did."""
        if len(amendments(self._store)) == self._n_amendments:
            return False
        self._load()
        return True

    def advance(self) -> Progress:
        """Do one step and say where the campaign stands. Nothing happens once it is done.

        Raises
        ------
        IsdError
            If the step is impossible; the store is as it was, and a new loop may try again.
        """
        began, step, number = time.perf_counter(), self._state, self._round.number
        n_scored = self._sets.n_inference if step is LoopState.SCORE and self._round.committee else 0
        if not self._state.is_terminal:
            try:
                self._state = self._steps[self._state]()
            except OSError as error:
                raise StoreError(
                    f"a file cannot be written or read: {error}",
                    self._store.address,
                    "make room or give access, and repeat the command: it continues where this one stopped",
                ) from error
        last = self._history.records[-1] if self._history.records else {}
        warnings, self._warnings = tuple(self._warnings), []
        return Progress(
            state=self._state.value,
            round=self._round.number,
            n_target=self._sets.n_target,
            n_observed=self._sets.n_measured,
            n_inference=self._sets.n_inference,
            n_affordable=self._budget.left(self._round.number),
            done=self._state.is_terminal,
            taken=StepTaken(step.value, number, time.perf_counter() - began, n_scored),
            system_bound=last.get("system_bound"),
            system_value=last.get("delivered_value"),
            decision=last.get("decision", ""),
            calibration_alarm=bool(last.get("calibration_alarm")),
            waiting=self._waiting,
            warnings=warnings,
        )

    def _seed(self, purpose: str, *path: int) -> int:
        return derive_seed(self._config.seed, purpose, self._round.number, *path)

    def _fit(self) -> LoopState:
        if self._load_amended():
            return self._state
        self._heed(self._oracle.standing())
        if not self._can_fit():
            return LoopState.SCORE
        labels = self._sets.labels
        requests = [
            FitRequest(
                round=self._round.number,
                member=member,
                seed=self._seed("member", member),
                split_seed=self._seed("split"),
                feature_files=tuple(map(self._store.address_of, self._history.feature_files)),
                labels=labels.astype(np.int64) if self._config.task == "classification" else labels,
                places=self._history.places,
            )
            for member in range(self._config.model.members)
        ]
        reports = self._backend.fit(requests)
        weights = tuple(report.weights for report in reports)
        self._round.committee = Committee(committee_hash(weights), weights)
        self._save_committee()
        loss = float(np.mean([report.validation_loss for report in reports]))
        self._round.details.update(
            validation_loss=loss if np.isfinite(loss) else None,
            epochs=float(np.mean([report.epochs for report in reports])),
            fit_seconds=time.perf_counter() - self._round.started,
        )
        return LoopState.SCORE

    def _heed(self, standing: Standing) -> None:
        """Take in what people have said: rows that cannot be had, or must; readouts from outside the plan."""
        self._round.details["n_events"] = standing.n_events
        self._round.wanted = standing.wanted
        self._sets.exclude(standing.excluded)
        external = self._sets.is_left(standing.rows)
        if external.any():
            attempt, rows = self._new_attempt(), standing.rows[external]
            if (sha256 := self._round.details.get("external_sha256")) is not None:
                self._store.check(attempt.external_file, sha256)
            else:
                self._backend.write_features(rows, self._store.address_of(attempt.external_file))
                self._round.details["external_sha256"] = self._store.hash_of(attempt.external_file)
            self._history.observe_external(attempt, rows, standing.readouts.take(external), self._round.number)

    def _can_fit(self) -> bool:
        # The first batch is random whatever is known from elsewhere: a reserve is drawn with it.
        if self._round.number == 0 or self._sets.n_observed == 0:
            return False
        if self._config.task == "classification" and len(np.unique(self._sets.labels)) == 1:
            self._warnings.append(
                f"round {self._round.number}: all {self._sets.n_observed} readouts are of one class; "
                "the next batch is drawn at random"
            )
            return False
        return True

    def _score(self) -> LoopState:
        n_batch, n_drawn = self._budget.batch(self._round.number), self._budget.draw(self._round.number)
        start = time.perf_counter()
        if self._round.committee is None:
            self._round.selection = self._draw_unscored(n_drawn)
            return LoopState.RELEASE
        n_random, reserve = min(random_count(n_batch, self._config.random_share), n_drawn), self._sets.reserve
        random = self._sets.draw(n_random, self._seed("random"))
        wanted = np.setdiff1d(self._round.wanted[self._sets.is_left(self._round.wanted)], random)
        wanted = wanted[: n_batch - n_random]
        request = ScoreRequest(
            round=self._round.number,
            k=n_batch + len(reserve),
            tie_seed=self._seed("tie"),
            inference=self._sets.packed_scored(),
            watch=np.unique(np.concatenate([random, wanted, reserve])),
        )
        report = self._backend.score(request, self._round.committee)
        self._round.details["group_sizes"] = report.histogram.sum(axis=1).tolist()
        self._round.details.update(simulation_metrics(report, self._history, self._config, self._goal))
        ranks = ranks_by(self._goal, report.histogram)
        self._round.look = self._plan_look(report, n_batch, n_random)
        if self._round.look:
            self._round.selection = self._freeze_for_look(self._round.look, ranks)
        else:
            within = partial(self._budget.within, rounds=self._round.number)
            self._round.selection, passed = choose(report, n_batch, random, wanted, reserve, ranks, within)
            self._round.details["passed"] = passed.tolist()
        self._round.details["score_seconds"] = time.perf_counter() - start
        return LoopState.RELEASE

    def _draw_unscored(self, n_batch: int) -> Selection:
        """Rows drawn before there is a model; the first of them, if the rule wants it, as its reserve."""
        if self._round.number:
            return Selection.of(unscored(self._sets.draw(n_batch, self._seed("random"))), "random")
        n_reserve = self._budget.n_reserve
        drawn = unscored(self._sets.draw(n_batch + n_reserve, self._seed("random")))
        self._round.details["reserve_seed"] = self._seed("reserve")
        reserve = uniform_sample(drawn, n_reserve, self._seed("reserve"))
        initial = drawn.take(~np.isin(drawn.rows, reserve.rows))
        return join([Selection.of(initial, "initial"), Selection.of(reserve, "reserve")])

    def _plan_look(self, report: ScoreReport, n_batch: int, n_random: int) -> tuple[LookPlan, ...]:
        stopping = self._config.stopping
        looks = stopping.rule in AUDITED_RULES or stopping.reserve_audit
        if not looks or self._history.stop_round is not None or not self._sets.n_inference:
            return ()
        left = tuple(self._round.details["group_sizes"])
        evidence = LookEvidence(
            counts=self._history.counts(left),
            n_observed=self._sets.n_observed,
            batch_size=self._budget.batch_size,
            n_batch=n_batch,
            n_random=n_random,
            n_affordable=self._budget.look(stopping.reserve_audit and n_batch == 0, self._round.number),
            rule_counts=self._budget.rule_counts(self._round.number),
            histogram=report.histogram,
            scored=tuple(tuple(batches) for batches in self._history.scored),
            failed_looks=self._history.failed_looks,
            risk_spent=self._history.risk_spent,
            batches_since_look=self._history.batches_since_look,
            n_reserved=len(self._sets.reserve) if stopping.rule == "reserved" else None,
        )
        outlook = self._backend.forecast_look(evidence)
        self._round.details["forecast_errors"] = outlook.errors
        self._round.details["outlook"] = outlook.reason
        self._round.details["needed"] = asdict(outlook.needed) if outlook.needed and not n_batch else None
        return outlook.plans

    def _freeze_for_look(self, look: tuple[LookPlan, ...], ranks: Ranks) -> Selection:
        """Write the predictions down, then draw the audit from them; a reserve is the audit as it is."""
        seed = self._seed("audit")
        self._round.details["audit_seed"] = seed
        is_reserved = self._config.stopping.rule == "reserved"
        # Outputs of a panel share one audit.
        draws = () if is_reserved else tuple(dict.fromkeys(AuditDraw(plan.group, plan.size, seed) for plan in look))
        frozen = self._freeze(draws, HITS if self._goal.takes_hits else None)
        hits = Selection.of(frozen.group, "hit", ranks)
        return join([hits, *(Selection.of(drawn, "audit", ranks) for drawn in frozen.drawn)])

    def _freeze(self, draws: tuple[AuditDraw, ...] = (), whole_group: int | None = None) -> Frozen:
        """Write the predictions of the whole inference set, before a row of it is released."""
        if not self._sets.n_observed:
            raise LabelError(
                "no compound has a readout, so nothing can be predicted", self._store.address, "tell some readouts"
            )
        attempt = self._planned_attempt()
        request = PredictRequest(
            round=self._round.number,
            inference=self._sets.packed_scored(),
            directory=self._store.address_of(attempt.predictions_dir),
            only_label=self._goal.as_prediction(self._sets.labels[:1]),
            draws=draws,
            whole_group=whole_group,
        )
        frozen = self._backend.freeze(request, self._round.committee)
        self._round.frozen = request.directory
        self._round.details["predictions"] = dict(frozen.files)
        self._store.note_frozen(self._round.number, frozen.files)
        return frozen

    def _finish(self) -> LoopState:
        """Take the most uncertain rows up to the cut that the look proved, without those audited already."""
        assert self._round.frozen is not None, "FINISH follows a look"
        last = self._history.records[-1]
        request = FinishRequest(
            directory=self._round.frozen,
            group=last["look"][0]["group"],
            size=last["n_finish"],
            tie_seed=derive_seed(self._config.seed, "tie", self._round.number - 1),
        )
        best = self._backend.most_uncertain(request)
        rows = best.take(~np.isin(best.rows, self._history.measured()["rows"]))
        self._round.selection = Selection.of(rows, "finish")
        return LoopState.RELEASE

    def _new_attempt(self) -> Attempt:
        if self._round.attempt is None:
            self._round.attempt = self._store.new_attempt(self._round.number)
        return self._round.attempt

    def _planned_attempt(self) -> Attempt:
        """The attempt with its plan, which is written before anything that follows from it."""
        attempt = self._new_attempt()
        attempt.write_plan(
            {
                "round": self._round.number,
                "seed": self._config.seed,
                "acquisition": self._config.acquisition_name,
                "look": [asdict(plan) for plan in self._round.look] or None,
                "audit_seed": self._round.details.get("audit_seed"),
            }
        )
        return attempt

    def _save_committee(self) -> None:
        """Begin to write the models down: it is done before scoring ends."""
        folder = self._new_attempt().committee_dir
        self._round.saving = save_committee(self._round.committee, folder, self._saver)

    def _release(self) -> LoopState:
        selection, committee = self._round.selection, self._round.committee
        assert selection is not None, "RELEASE follows SCORE or FINISH"
        attempt = self._planned_attempt()
        if not self._round.saving:
            self._save_committee()
        for saved in self._round.saving:
            saved.result()
        trained_on = selection.roles != _RESERVE
        self._backend.write_features(selection.scored.rows[trained_on], self._store.address_of(attempt.features_file))
        released = {
            **self._round.details,
            **self._round.reference(self._store.address),
            "committee_hash": committee.hash if committee else None,
        }
        before = sum(files.released.get("n_plates", 0) for files in self._store.rounds())
        plates = plates_of(selection, self._library, self._config, before)
        if plates is not None:
            pq.write_table(plates, attempt.plates_file)
            released |= {"plates_sha256": sha256_file(attempt.plates_file), "n_plates": len(plates["plate"].unique())}
        self._store.release(attempt, batch_table(selection, self._library, plates), released)
        return LoopState.MEASURE

    def _measure(self) -> LoopState:
        if self._load_amended():
            return self._state
        selection = self._round.selection
        assert selection is not None, "MEASURE follows RELEASE"
        rows = selection.scored.rows
        readouts = self._oracle.measure(self._round.number, rows)
        self._waiting = readouts is None
        if readouts is None:
            return LoopState.MEASURE
        self._round.details["readouts_sha256"] = self._store.keep(readouts.to_table(rows))
        self._round.readouts = with_amendments(readouts, rows, self._amended)
        return LoopState.DECIDE

    def _decide(self) -> LoopState:
        work = self._round
        assert work.selection is not None, "DECIDE follows MEASURE"
        assert work.readouts is not None, "DECIDE follows MEASURE"
        assert work.attempt is not None, "DECIDE follows MEASURE"
        n_before = self._sets.n_measured
        correct = self._history.correct(work.selection, work.readouts)
        losses, present = self._history.losses(work.selection, work.readouts), work.readouts.present
        bound = bound_by_random_rows(self._config, self._goal, work, self._history, losses)
        work.details["output_ranges"] = output_ranges(self._config, self._goal, work, self._history)
        self._history.observe(work.attempt, work.selection, work.readouts, work.details, work.number)
        audits: tuple[Audit, ...] = ()
        if work.look:
            audits = audits_of(self._config, self._goal, work, self._history, losses, self._backend)
        decision = self._judge(work.selection, work.readouts, correct, audits)
        if "group_sizes" in work.details:
            after = metrics_after(work.details, work.selection, present, losses, correct, self._history, self._goal)
            work.details.update(after)
            work.details.update(outputs_after(work.details, work.selection, work.readouts, self._history, self._goal))
        calibration = self._history.calibration()
        if calibration.raised:
            self._warnings.append(f"round {work.number}: {calibration_warning(calibration)}")
        record = {
            "fit_seconds": 0.0,
            "score_seconds": 0.0,
            **work.details,
            **work.reference(self._store.address),
            **batch_record(work.selection, losses, audits, self._goal),
            **decision_record(decision, bound),
            "round": work.number,
            "n_observed": n_before,
            "n_inference": self._sets.n_target - n_before,
            "fraction_acquired": n_before / self._sets.n_target,
            "n_acquired": self._sets.n_measured,
            "spent": self._budget.spent,
            "n_amendments": self._n_amendments,
            "n_lost": int((~present).sum()),
            "calibration_pvalue": calibration.pvalue,
            "calibration_alarm": calibration.raised,
            "round_seconds": time.perf_counter() - work.started,
        }
        self._store.commit(work.number, record)
        return self._after_commit(record)

    def _judge(
        self, selection: Selection, readouts: Readouts, correct: NDArray[np.float64], audits: tuple[Audit, ...]
    ) -> StopDecision:
        """What the bound actor says of the batch, which the history holds already."""
        n_batch, stopping = len(correct), self._config.stopping
        if self._round.look:
            audited = readouts.labels[selection.roles == _AUDIT]
            n_hits = self._history.n_hits - int(self._goal.hits(audited).sum())
            n_others = self._sets.n_measured - int(has_readout(audited).sum()) - n_hits
            self._round.look = settled(self._round.look, self._goal, n_hits, n_others)
            is_last = stopping.reserve_audit and self._round.look[0].finish == "any"
            # A finish would be the next round.
            wells = self._budget.look(is_last, self._round.number + 1)
            return self._backend.decide_look(self._round.look, audits, n_hits, wells)
        # Where right and wrong are not defined, or no model had spoken, no row is evidence.
        top = selection.scored.is_predicted & self._config.counts_errors & (selection.roles == _TOP)
        evidence = RoundEvidence(
            round=self._round.number,
            n_target=self._sets.n_target,
            n_observed=self._sets.n_measured,
            n_inference=self._sets.n_inference,
            n_batch=n_batch,
            n_top=int(top.sum()),
            n_top_correct=float(correct[top].sum()),
            n_finish=int((selection.roles == _FINISH).sum()),
            n_finish_lost=int(((selection.roles == _FINISH) & ~readouts.present).sum()),
            rule_counts=self._budget.rule_counts(self._round.number + 1),
        )
        return self._backend.decide(evidence)

    def _after_commit(self, record: dict[str, Any]) -> LoopState:
        stopped_before = self._history.stop_round is not None
        self._history.records.append(record)
        self._store.write_table("rounds.parquet", self._history.records, ROUND_SCHEMA)
        bins = [asdict(part) for part in self._history.reliability()]
        self._store.write_table("calibration.parquet", bins, RELIABILITY_SCHEMA)
        if record["decision"] == "finish":
            work = self._round
            self._round = RoundWork(work.number + 1, time.perf_counter(), self._committee(), frozen=work.frozen)
            self._round.details = metrics_of_finish(record, self._sets.n_target)
            return LoopState.FINISH
        if record["decision"] == "stop" and not stopped_before:
            return LoopState.DELIVER
        return self._next_round()

    def _next_round(self) -> LoopState:
        last = self._history.records[-1]
        # A look at a reserve acquires nothing and ends nothing.
        exhausted = (last["n_batch"] == 0 and not last["look"]) or self._sets.n_inference == 0
        stopped = self._history.stop_round is not None
        if exhausted or (stopped and not self._config.stopping.continue_after_stop):
            return LoopState.DONE
        self._round = RoundWork(self._round.number + 1, time.perf_counter())
        return LoopState.FIT

    def _committee(self) -> Committee | None:
        """The model of the round: in memory, or of a restored round from the store; never a new one."""
        if self._round.committee is None and self._round.attempt is not None:
            self._store.bring_committee(self._round.attempt)
            return load_committee(self._round.attempt.committee_dir, self._round.committee_hash)
        return self._round.committee

    def _deliver(self) -> LoopState:
        self._round.committee = self._committee()
        if self._round.frozen is None:
            self._freeze()
        assert self._round.frozen is not None, "just frozen"
        certificate = self._store.certificate() or make_certificate(
            self._config, self._goal, self._store.manifest, self._history, self._round.committee
        )
        if certificate is not None:
            self._store.certify(certificate)
        n_told = self._take_late()
        absent, abandoned = self._history.absent()
        request = HybridRequest(
            inference=self._sets.packed_inference(),
            **self._history.measured(),
            absent=absent,
            abandoned=abandoned,
            classes=self._classes,
            outputs=tuple(self._store.manifest.get("outputs", ())),
            committee_hash=self._round.committee.hash if self._round.committee else "",
            campaign_id=self._store.manifest["campaign_id"],
            certificate_id=certificate["certificate_id"] if certificate else "",
            predictions_dir=self._round.frozen,
            hybrid_dir=self._store.address_of(self._store.hybrid_dir),
        )
        self._backend.write_hybrid(request)
        if len(self._oracle.standing().rows) > n_told:
            return LoopState.DELIVER
        settle_amendments(self._store, self._classes)
        self._store.mark_delivered(
            {
                "round": self._round.number,
                "n_measured": self._sets.n_measured,
                "n_late": self._sets.n_measured - self._history.records[-1]["n_acquired"],
                "n_predicted": self._sets.n_inference,
                "frozen": self._round.reference(self._store.address)["frozen"],
                "predictions": self._round.details.get("predictions", {}),
            }
        )
        return self._next_round()

    def _take_late(self) -> int:
        """Have readouts delivered that were told after the last model was fitted; returns how many are told in all.

        After the certificate was made: it speaks of the screen that its audit judged. A readout in the place of a
        prediction, or of an excluded compound, leaves its claim true. Of a panel with a claim about each output those
        predicted compounds stay predicted that were measured in part: their other entries, right or wrong, would leave
        the screen, and wrong ones would weigh more in what is left.
        """
        standing = self._oracle.standing()
        if not len(standing.rows):
            return 0
        spoils = ~self._goal.is_whole(standing.readouts.labels) & self._sets.is_left(standing.rows)
        self._sets.exclude(np.setdiff1d(self._sets.excluded, standing.rows))
        late = self._sets.is_left(standing.rows) & ~spoils
        if late.any():
            self._history.observe_late(standing.rows[late], standing.readouts.take(late), self._round.number)
        return len(standing.rows)

    def _restore(self, files: RoundFiles) -> None:
        """Take over a released round from the store; a committed one is history, an open one is where to go on."""
        if self._round.number != files.round:
            self._round = RoundWork(files.round, time.perf_counter())
        work = self._round
        work.attempt, work.selection = files.attempt, selection_of(files.read_batch())
        work.take_over(files.released, self._store.address)
        self._store.check(work.attempt.features_file, files.released["features_sha256"])
        for name, sha256 in work.details.get("predictions", {}).items():
            self._store.check(work.attempt.predictions_dir / name, sha256)
        work.committee = None
        if (n_events := files.released.get("n_events")) is not None:
            self._heed(self._oracle.standing(n_events))
        if files.committed is None:
            self._state = LoopState.MEASURE
            return
        told = Readouts.of(self._store.read_readouts(files.committed["readouts_sha256"]))
        told = with_amendments(told, work.selection.scored.rows, self._amended)
        self._history.observe(work.attempt, work.selection, told, work.details, work.number)
        self._state = self._after_commit(dict(files.committed))
        if self._state is LoopState.DELIVER and self._store.is_delivered():
            self._state = self._next_round()
