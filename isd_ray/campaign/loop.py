"""Algorithm 1 of the paper, with looks, as a state machine over a backend. Knows nothing of Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from isd_ray.campaign.amend import amendments
from isd_ray.campaign.backend import Backend
from isd_ray.campaign.batch import selection_of
from isd_ray.campaign.oracle import Oracle, Readouts, with_amendments
from isd_ray.campaign.record import RELIABILITY_SCHEMA, metrics_of_finish
from isd_ray.campaign.round_files import ROUND_SCHEMA, RoundFiles, RoundRecord, some_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.steps.decide import decide
from isd_ray.campaign.steps.deliver import deliver
from isd_ray.campaign.steps.fit import fit, heed
from isd_ray.campaign.steps.further import earlier_of, repeat_of, take_portion
from isd_ray.campaign.steps.look import finish
from isd_ray.campaign.steps.release import measure, release
from isd_ray.campaign.steps.score import score
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.work import Earlier, RoundWork
from isd_ray.config import CampaignConfig
from isd_ray.core.portions import next_portion
from isd_ray.data.library import Library
from isd_ray.errors import StoreError
from isd_ray.messages import UNJUDGED, Progress, StepTaken


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
        store.settle()
        self._screen = Screen(config, store, library, oracle, backend, classes)
        self._waiting = False
        self._steps: Mapping[LoopState, Callable[[], LoopState]] = {
            LoopState.FIT: self._fit,
            LoopState.SCORE: self._score,
            LoopState.FINISH: self._finish,
            LoopState.PORTION: self._portion,
            LoopState.RELEASE: self._release,
            LoopState.MEASURE: self._measure,
            LoopState.DECIDE: self._decide,
            LoopState.DELIVER: self._deliver,
        }
        self._load()

    def _load(self) -> None:
        """Stand where the store says."""
        self._state = LoopState.FIT
        for files in self._screen.store.rounds():
            self._restore(files)

    def _load_amended(self) -> bool:
        """Begin anew from the store if readouts were corrected meanwhile, as another process would; whether it did."""
        if len(amendments(self._screen.store)) == self._screen.n_amendments:
            return False
        self._screen.begin()
        self._load()
        return True

    def advance(self) -> Progress:
        """Do one step and say where the campaign stands. Nothing happens once it is done.

        Raises
        ------
        IsdError
            If the step is impossible; the store is as it was, and a new loop may try again.
        """
        screen = self._screen
        began, step, number = time.perf_counter(), self._state, screen.round.number
        n_scored = screen.sets.n_inference if step is LoopState.SCORE and screen.round.committee else 0
        if not self._state.is_terminal:
            try:
                self._state = self._steps[self._state]()
            except OSError as error:
                raise StoreError(
                    f"a file cannot be written or read: {error}",
                    screen.store.address,
                    "make room or give access, and repeat the command: it continues where this one stopped",
                ) from error
        last = screen.history.records[-1] if screen.history.records else {}
        warnings, screen.warnings = tuple(screen.warnings), []
        return Progress(
            state=self._state.value,
            round=screen.round.number,
            n_target=screen.sets.n_target,
            n_observed=screen.sets.n_measured,
            n_inference=screen.sets.n_inference,
            n_affordable=screen.budget.left(screen.round.number),
            done=self._state.is_terminal,
            taken=StepTaken(step.value, number, time.perf_counter() - began, n_scored),
            system_bound=last.get("system_bound"),
            system_value=last.get("delivered_value"),
            constant=last.get("constant_brief"),
            decision=last.get("decision", ""),
            calibration_alarm=bool(last.get("calibration_alarm")),
            waiting=self._waiting,
            warnings=warnings,
        )

    # --- the steps: what each does, and what follows ----------------------------------------------------------------

    def _fit(self) -> LoopState:
        if self._load_amended():
            return self._state
        fit(self._screen)
        return LoopState.SCORE

    def _score(self) -> LoopState:
        score(self._screen)
        return LoopState.RELEASE

    def _finish(self) -> LoopState:
        finish(self._screen)
        return LoopState.RELEASE

    def _portion(self) -> LoopState:
        take_portion(self._screen)
        return LoopState.RELEASE

    def _release(self) -> LoopState:
        release(self._screen)
        return LoopState.MEASURE

    def _measure(self) -> LoopState:
        if self._load_amended():
            return self._state
        self._waiting = not measure(self._screen)
        return LoopState.MEASURE if self._waiting else LoopState.DECIDE

    def _decide(self) -> LoopState:
        return self._after_commit(decide(self._screen))

    def _deliver(self) -> LoopState:
        return self._next_round() if deliver(self._screen) else LoopState.DELIVER

    def _after_commit(self, record: RoundRecord) -> LoopState:
        screen = self._screen
        stopped_before = screen.history.stop_round is not None
        screen.history.records.append(record)
        screen.store.write_table("rounds.parquet", screen.history.records, ROUND_SCHEMA)
        bins = [asdict(part) for part in screen.history.reliability()]
        screen.store.write_table("calibration.parquet", bins, RELIABILITY_SCHEMA)
        if record["decision"] in ("finish", *UNJUDGED):
            work = screen.round
            earlier = earlier_of(screen, record) if record["decision"] in UNJUDGED else None
            screen.round = RoundWork(
                work.number + 1,
                time.perf_counter(),
                screen.committee(),
                frozen=work.frozen,
                ranked_in=work.look_round,
                details=metrics_of_finish(record, screen.sets.n_target),
            )
            if earlier is None:
                return LoopState.FINISH
            return self._further(work, earlier)
        if record["decision"] == "stop" and not stopped_before:
            return LoopState.DELIVER
        return self._next_round()

    def _further(self, before: RoundWork, earlier: Earlier) -> LoopState:
        """Go on with the look, or the finish, of the round before."""
        work, kept = self._screen.round, ("audit_rest_sha256", "rest_sizes")
        work.earlier, work.look = earlier, before.look
        work.details.update(some_of(before.details, kept))
        if earlier.record["decision"] == "repeat":
            work.selection = repeat_of(earlier)
            work.details["repeats"] = before.number
            return LoopState.RELEASE
        work.look = next_portion(before.look)
        work.details |= {"continues": before.number, "look_sizes": earlier.sizes, "n_fitted": earlier.n_fitted}
        return LoopState.PORTION

    def _next_round(self) -> LoopState:
        screen = self._screen
        last = screen.history.records[-1]
        # A look at a reserve acquires nothing and ends nothing.
        exhausted = (last["n_batch"] == 0 and not last["look"]) or screen.sets.n_inference == 0
        stopped = screen.history.stop_round is not None
        if exhausted or (stopped and not screen.config.stopping.continue_after_stop):
            return LoopState.DONE
        screen.round = RoundWork(screen.round.number + 1, time.perf_counter())
        return LoopState.FIT

    def _restore(self, files: RoundFiles) -> None:
        """Take over a released round from the store; a committed one is history, an open one is where to go on."""
        screen = self._screen
        if screen.round.number != files.round:
            screen.round = RoundWork(files.round, time.perf_counter())
        work = screen.round
        work.attempt, work.selection = files.attempt, selection_of(files.read_batch())
        work.take_over(files.released, screen.store.address)
        screen.store.check(work.attempt.features_file, files.released["features_sha256"])
        for name, sha256 in work.details.get("predictions", {}).items():
            screen.store.check(work.attempt.predictions_dir / name, sha256)
        work.committee = None
        if (n_events := files.released.get("n_events")) is not None:
            heed(screen, screen.oracle.standing(n_events))
        if files.committed is None:
            self._state = LoopState.MEASURE
            return
        told = Readouts.of(screen.store.read_readouts(files.committed["readouts_sha256"]))
        told = with_amendments(told, work.selection.scored.rows, screen.amended)
        if (race := screen.judge_race(work.selection, told)) is not None:
            screen.history.race.append(race)
        screen.history.observe(work.attempt, work.selection, told, work.details, work.number)
        work.readouts = told
        self._state = self._after_commit(files.committed)
        if self._state is LoopState.DELIVER and screen.store.is_delivered():
            self._state = self._next_round()
