"""Algorithm 1 of the paper, with looks, as a state machine over a backend. Knows nothing of Ray."""

from __future__ import annotations

import time
from dataclasses import asdict

from isd_ray.campaign.amend import amendments
from isd_ray.campaign.batch import selection_of
from isd_ray.campaign.look_rounds import look_from
from isd_ray.campaign.oracle import Readouts, with_amendments
from isd_ray.campaign.record import RELIABILITY_SCHEMA
from isd_ray.campaign.round_files import ROUND_SCHEMA, RoundFiles, details_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import (
    Begun,
    Chosen,
    Continuing,
    Decided,
    Done,
    Final,
    Finishing,
    FurtherRound,
    Measured,
    Released,
    Stage,
    Trained,
)
from isd_ray.campaign.steps.decide import decide
from isd_ray.campaign.steps.deliver import deliver, frozen_for_delivery
from isd_ray.campaign.steps.fit import fit, heed
from isd_ray.campaign.steps.further import go_on, take_portion
from isd_ray.campaign.steps.look import finish
from isd_ray.campaign.steps.release import measure, release
from isd_ray.campaign.steps.score import score
from isd_ray.errors import StoreError
from isd_ray.messages import UNJUDGED, Progress, StepTaken
from isd_ray.models.blas import one_blas_thread


class CampaignLoop:
    """Runs a campaign step by step; the store decides what has happened, so a new loop continues where another died.

    Parameters
    ----------
    screen:
        The campaign.
    """

    def __init__(self, screen: Screen) -> None:
        screen.store.settle()
        self._screen = screen
        self._stage = self._load()

    @one_blas_thread
    def advance(self) -> Progress:
        """Do one step and say where the campaign stands. Nothing happens once it is done.

        Raises
        ------
        IsdError
            If the step is impossible; the store is as it was, and a new loop may try again.
        """
        screen, stage = self._screen, self._stage
        began = time.perf_counter()
        n_scored = screen.sets.n_inference if isinstance(stage, Trained) and stage.committee else 0
        try:
            self._stage = self._after(stage)
        except OSError as error:
            raise StoreError(
                f"a file cannot be written or read: {error}",
                screen.store.address,
                "make room or give access, and repeat the command: it continues where this one stopped",
            ) from error
        last = screen.history.records[-1] if screen.history.records else {}
        warnings, screen.warnings = tuple(screen.warnings), []
        return Progress(
            state=self._stage.state.value,
            round=self._stage.number,
            n_target=screen.sets.n_target,
            n_observed=screen.sets.n_measured,
            n_inference=screen.sets.n_inference,
            n_affordable=screen.budget.left(self._stage.number),
            done=self._stage.state.is_terminal,
            taken=StepTaken(stage.state.value, stage.number, time.perf_counter() - began, n_scored),
            system_bound=last.get("system_bound"),
            system_value=last.get("delivered_value"),
            constant=last.get("constant_brief"),
            decision=last.get("decision", ""),
            calibration_alarm=bool(last.get("calibration_alarm")),
            waiting=isinstance(self._stage, Released) and self._stage is stage,
            warnings=warnings,
        )

    def _after(self, stage: Stage) -> Stage:
        """The stage after one: itself while readouts are missing, and once the campaign is done."""
        screen = self._screen
        match stage:
            case Begun():
                return self._amended() or fit(screen, stage)
            case Trained():
                return score(screen, stage)
            case Finishing():
                return finish(screen, stage)
            case Continuing():
                return take_portion(screen, stage)
            case Chosen():
                return release(screen, stage)
            case Released():
                return self._amended() or measure(screen, stage) or stage
            case Measured():
                return self._committed(decide(screen, stage), is_new=True)
            case Decided():
                return self._delivered(frozen_for_delivery(screen, stage))
            case Final():
                return self._delivered(stage)
            case Done():
                return stage

    def _committed(self, decided: Decided, *, is_new: bool) -> Stage:
        """What follows a committed round."""
        screen, record, look = self._screen, decided.record, decided.measured.released.look
        stopped_before = screen.history.stop_round is not None
        screen.history.records.append(record)
        if is_new:
            self._write_tables()
        if look is not None and record["decision"] in ("finish", *UNJUDGED):
            return go_on(screen, decided, look)
        if record["decision"] == "stop" and not stopped_before:
            return decided
        return self._next_round(decided.number)

    def _write_tables(self) -> None:
        """Write what people read of all rounds; it follows from their records."""
        history, store = self._screen.history, self._screen.store
        store.write_table("rounds.parquet", history.records, ROUND_SCHEMA)
        store.write_table("calibration.parquet", [asdict(part) for part in history.reliability()], RELIABILITY_SCHEMA)

    def _delivered(self, final: Final) -> Stage:
        return self._next_round(final.number) if deliver(self._screen, final) else final

    def _next_round(self, number: int) -> Begun | Done:
        screen = self._screen
        last = screen.history.records[-1]
        # A look at a reserve acquires nothing and ends nothing.
        exhausted = (last["n_batch"] == 0 and not last["look"]) or screen.sets.n_inference == 0
        stopped = screen.history.stop_round is not None
        if exhausted or (stopped and not screen.config.stopping.continue_after_stop):
            return Done(number)
        return Begun(number + 1, time.perf_counter())

    # --- what the store says ----------------------------------------------------------------------------------------

    def _load(self) -> Stage:
        """The stage that the store has reached."""
        stage: Stage = Begun(0, time.perf_counter())
        for files in self._screen.store.rounds():
            stage = self._restored(stage, files)
        if self._screen.history.records:
            self._write_tables()  # whoever committed the last round may have been killed before
        return stage

    def _amended(self) -> Stage | None:
        """Begin anew from the store if readouts were corrected meanwhile, as another process would; None if not."""
        if len(amendments(self._screen.store)) == self._screen.n_amendments:
            return None
        self._screen.begin()
        return self._load()

    def _restored(self, before: Stage, files: RoundFiles) -> Stage:
        """The stage after a released round of the store: a committed one is history, an open one is where to go on."""
        screen, batch = self._screen, self._released(before, files)
        if files.committed is None:
            return batch
        told = Readouts.of(screen.store.read_readouts(files.committed["readouts_sha256"]))
        told = with_amendments(told, batch.selection.scored.rows, screen.amended)
        if (race := screen.judge_race(batch, told)) is not None:
            screen.history.race.append(race)
        screen.history.observe(batch.attempt, batch.selection, told, batch.details, batch.number)
        stage = self._committed(Decided(Measured(batch, told, batch.details), files.committed), is_new=False)
        if isinstance(stage, Decided) and screen.store.is_delivered():
            return self._next_round(stage.number)
        return stage

    def _released(self, before: Stage, files: RoundFiles) -> Released:
        """A batch as its release has it; where it goes on with a look, with what the rounds before have of that."""
        screen, released = self._screen, files.released
        look = before.look if isinstance(before, FurtherRound) else None
        selection, details = selection_of(files.read_batch()), details_of(released)
        screen.store.check(files.attempt.features_file, released["features_sha256"])
        for name, sha256 in details.get("predictions", {}).items():
            screen.store.check(files.attempt.predictions_dir / name, sha256)
        if (n_events := released.get("n_events")) is not None:
            standing = screen.oracle.standing(n_events)
            details |= heed(screen, files.attempt, standing, released.get("external_sha256"))
        return Released(
            number=files.round,
            started=time.perf_counter(),
            attempt=files.attempt,
            selection=selection,
            committee=None,
            committee_hash=released["committee_hash"],
            look=look_from(released, screen.store.address, files.round if look is None else look.round),
            earlier=before.earlier if isinstance(before, Continuing | Chosen) else None,
            details=details,
        )
