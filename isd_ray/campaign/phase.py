"""What is computed at a campaign just now, as far as its directory tells: whoever looks on may be another process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.store import CampaignStore
from isd_ray.storage.addresses import is_uri


@dataclass(frozen=True, slots=True)
class Phase:
    """The step that a campaign is in, if a process is at work on it: the directory cannot tell whether one is.

    Attributes
    ----------
    step:
        As `LoopState`.
    quiet_s:
        Seconds since the last file was written; long ones say that nobody may be at work.
    """

    round: int
    step: str
    quiet_s: float


def phase_of(store: CampaignStore, rounds: Sequence[RoundFiles]) -> Phase | None:
    """The step of a campaign that has not ended; None on an object store, which shows no unfinished files.

    Parameters
    ----------
    rounds:
        The released rounds.
    """
    if is_uri(store.address):
        return None
    number, step = _step(store, rounds)
    files = (store.path / "campaign.json", store.path / "events", *store.round_dir(number).rglob("*"))
    newest = max(file.stat().st_mtime for file in files if file.exists())
    return Phase(number, step.value, max(0.0, time.time() - newest))


def _step(store: CampaignStore, rounds: Sequence[RoundFiles]) -> tuple[int, LoopState]:
    """Round and step, by the last decision and by what was written since."""
    last = rounds[-1] if rounds else None
    if last is not None and last.committed is None:
        return last.round, LoopState.MEASURE
    decision = None if last is None or last.committed is None else last.committed["decision"]
    if last is not None and decision == "stop":
        return last.round, LoopState.DELIVER
    number = 0 if last is None else last.round + 1
    if decision == "finish":
        return number, LoopState.FINISH
    if decision == "portion":
        return number, LoopState.PORTION
    if decision == "repeat":
        return number, LoopState.RELEASE
    for attempt in store.round_dir(number).glob("attempt-*"):
        if any((attempt / "predictions").glob("*")):
            return number, LoopState.RELEASE
        if any((attempt / "committee").glob("*")):
            return number, LoopState.SCORE
    return number, LoopState.FIT
