"""What becomes known of a campaign while it runs: the events of its log, and on Ray its metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from typing import Any

from isd_ray.actors.logs import configure
from isd_ray.campaign.round_files import RoundRecord
from isd_ray.campaign.standing import paid_evenly, standing_of
from isd_ray.campaign.states import LoopState, RunState
from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.core.conditions import affordable
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.messages import Progress, StepTaken

_LOGGER = logging.getLogger(__name__)
_BUILD_EVENT_S = 60.0
"""From one event about a library build to the next."""


def observed(
    config: CampaignConfig, steps: Generator[Progress, None, None], *, on_ray: bool
) -> Generator[Progress, None, None]:
    """The steps of a campaign as they come: logged as configured, and on Ray shown by its metrics."""
    configure(config.logging)
    metrics = None
    if on_ray:
        from isd_ray.actors.metrics import CampaignMetrics

        metrics = CampaignMetrics(config.name, config.stopping)

    def enter(state: RunState, level: int = logging.INFO, **fields: Any) -> None:
        _log(level, config.name, f"the campaign is {state.value}", state=state.value, **fields)
        if metrics is not None:
            metrics.enter(state)

    enter(RunState.RUNNING)
    state = RunState.STOPPED
    try:
        with closing(steps):
            for progress in steps:
                _log_step(config.name, progress)
                if metrics is not None:
                    metrics.step(progress)
                if progress.done:
                    state = RunState.ENDED
                elif progress.waiting:
                    state = RunState.WAITING
                yield progress
    except Exception as error:
        # Its words may name compounds or addresses: they are for who catches it.
        enter(RunState.FAILED, logging.ERROR, error=type(error).__name__)
        raise
    except BaseException:
        enter(RunState.STOPPED)
        raise
    enter(state)


def show_again(store: CampaignStore) -> None:
    """Show a campaign of a laboratory by the metrics of this process, as it was shown when its last batch went out.

    For a process that begins while nothing is done; it shows nothing of a campaign that has asked for nothing yet.
    """
    from isd_ray.actors.metrics import CampaignMetrics

    since = [event["time"] for event in store.events() if event["kind"] in ("release", "deliver")]
    if not since:
        return
    config, progress = CampaignConfig.from_stored(store.config), where_it_stands(store)
    metrics = CampaignMetrics(config.name, config.stopping)
    state = RunState.ENDED if progress.done else RunState.WAITING
    metrics.enter(state, datetime.fromisoformat(since[-1]).timestamp())
    metrics.show(progress)


def where_it_stands(store: CampaignStore) -> Progress:
    """Where a campaign of a laboratory stands, by its store: what the last step said, which is not known here."""
    config, status, standing = CampaignConfig.from_stored(store.config), status_of(store), standing_of(store)
    rounds = store.rounds()
    last = next((files.committed for files in reversed(rounds) if files.committed), RoundRecord())
    n_target = standing.n_target - status.counts["EXCLUDED"] - status.counts["ABANDONED"]
    n_observed = status.counts["OBSERVED"] + status.counts["EXTERNAL"]
    paid = paid_evenly(config, n_target)
    return Progress(
        state=status.state,
        round=status.round or 0,
        n_target=n_target,
        n_observed=n_observed,
        n_inference=n_target - n_observed,
        n_affordable=affordable(config.stopping, n_observed, len(rounds), n_target, paid),
        done=status.state == "ended",
        taken=StepTaken("", status.round or 0, 0.0, 0),
        system_bound=last.get("system_bound"),
        calibration_alarm=bool(last.get("calibration_alarm")),
        waiting=status.state != "ended",
    )


def _log_step(campaign: str, progress: Progress) -> None:
    taken = progress.taken
    for warning in progress.warnings:
        _log(logging.WARNING, campaign, warning, round=taken.round)
    fields: dict[str, Any] = {"round": taken.round, "phase": taken.name, "seconds": round(taken.seconds, 3)}
    if taken.n_scored:
        fields["n_scored"] = taken.n_scored
    if taken.name == LoopState.DECIDE.value:
        counts = {"n_observed": progress.n_observed, "n_inference": progress.n_inference}
        fields |= {**counts, "bound": progress.system_bound, "decision": progress.decision}
    _log(logging.INFO, campaign, f"round {taken.round}: {taken.name} took {taken.seconds:.1f} s", **fields)


def _log(level: int, campaign: str, text: str, **fields: Any) -> None:
    _LOGGER.log(level, text, extra={"campaign": campaign, **fields})


class LoggedWatcher(Watcher):
    """Logs what is said beside the steps, which are logged where they are done.

    Parameters
    ----------
    config:
        The campaign, and how it logs.
    """

    def __init__(self, config: CampaignConfig) -> None:
        configure(config.logging)
        self._campaign, self._next_event = config.name, 0.0

    def message(self, text: str) -> None:
        """A line of text, as an event."""
        _log(logging.INFO, self._campaign, text)

    def building(self, progress: BuildProgress) -> None:
        """The library grows: an event a minute."""
        if (now := time.monotonic()) < self._next_event:
            return
        self._next_event = now + _BUILD_EVENT_S
        counts = {name: getattr(progress, name) for name in ("n_read", "n_merged", "n_refused")}
        counts["n_records"] = progress.n_total
        _log(logging.INFO, self._campaign, "the library grows", **counts)
