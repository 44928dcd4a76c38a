"""Where a campaign in a laboratory stands, and what is computed at it just now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from isd_ray.campaign.amend import measured_readouts, no_longer_claimed
from isd_ray.campaign.claimed import stored_goal
from isd_ray.campaign.confirmed import standing_words
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.round_files import RoundFiles, RoundRecord
from isd_ray.campaign.standing import standing_of
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Place
from isd_ray.campaign.versions import in_force, taken_up
from isd_ray.card import Carded
from isd_ray.config import CampaignConfig
from isd_ray.core.race import counting
from isd_ray.core.trips import n_trips
from isd_ray.messages import Rows
from isd_ray.storage.addresses import is_uri


@dataclass(frozen=True, slots=True)
class Status(Carded):
    """Where a campaign stands.

    Attributes
    ----------
    campaign_id, goal, rule:
        The campaign, what it claims, and the rule that ends it.
    state:
        ``new``, ``waiting`` for readouts, ``ready`` to be asked, or ``ended``; of a simulation, which measures by
        itself, ``running`` before its end.
    next:
        What to do now, in words.
    round:
        The last released round; None before the first.
    n_trips:
        Trips to the laboratory so far (`isd_ray.core.trips`), with the batch that is out.
    n_library:
        Compounds of the library, in the version whose compounds are the target set.
    joined:
        What came to the library after the beginning and joined the target set, or waits for the next batch: `version`,
        `n`, `reason`, and `round` (None while it waits), and more (`isd_ray.campaign.versions.taken_up`).
    counts:
        How many of them are INFERENCE (predicted so far), STAGED or RUNNING (in the batch that is out, before and
        after its files were written), FAILED (no readout, may be asked again), OBSERVED, EXTERNAL (measured outside the
        plan), EXCLUDED or ABANDONED (cannot be had, the latter after a failure).
    n_missing:
        Readouts that the batch that is out waits for.
    bound, interval:
        Of the claimed quantity in the last decided round, by its random rows: at confidence 1 - delta for that round on
        its own, and no stop rests on it; None where there were none.
    certificate:
        Its id; None without one.
    withdrawn:
        Why it was withdrawn, or has to be; None if neither.
    decision, outlook:
        Of the last decided round, in words; and whether a look was worth its audit then.
    constant:
        What one answer for every compound, or random picking, would reach of the goal, in words, as the last decided
        round knew; None before it.
    outputs:
        Of a panel with a claim about each output: name, gamma, and about where its accuracy lies by the random rows of
        the last decided round (low, high; None without any), each at confidence 1 - delta on its own; and the range of
        its constant answer (`constant`, None where it is not known).
    phase:
        What is computed now if a process is at work; None where nothing is to be computed, or nobody can see it.
    race:
        Of a committee of several families: `family` and `share` of each, how much it counts in the last released round;
        else empty.
    warnings:
        What people should know of the models of the last decided round, in words.
    seconds_left:
        Of a simulation: as `Standing`, the most that it can take at the pace of its last rounds.
    confirmed:
        Where second readouts stand, in words (`isd_ray.campaign.confirmed`); None where none were asked for.
    head:
        SHA-256 of the log as it is; noted elsewhere, it shows whether anything was changed later (`verify`).
    """

    campaign_id: str
    goal: str
    rule: str
    state: str
    next: str
    round: int | None
    n_trips: int
    n_library: int
    counts: Mapping[str, int]
    n_missing: int
    bound: float | None
    interval: tuple[float, float] | None
    certificate: str | None
    withdrawn: str | None
    decision: str | None
    outlook: str | None
    constant: str | None
    outputs: tuple[Mapping[str, Any], ...]
    phase: Phase | None
    race: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...]
    seconds_left: float | None
    confirmed: str | None = None
    head: str | None = None
    joined: tuple[Mapping[str, Any], ...] = ()


TOLD, IN_PART, FAILED, MISSING = "told", "told in part", "failed", "missing"
"""Of a compound of the batch that is out: what its readout is."""
STATUSES = ("INFERENCE", "STAGED", "RUNNING", "FAILED", "OBSERVED", "EXTERNAL", "EXCLUDED", "ABANDONED")


def status_of(store: CampaignStore) -> Status:
    """Where the campaign stands, from its log."""
    config = CampaignConfig.from_stored(store.config)
    ledger, rounds = Laboratory(store).ledger(), store.rounds()
    place = Place.of(rounds)
    counts = Counter(dict.fromkeys(STATUSES, 0))
    missing = np.zeros(0) if place.open_round is None else ledger.missing(place.open_round, place.open_rows)
    under_way = is_dispatched(store, place.open_round)
    measured, out = measured_readouts(store)[0], place.open_rows[missing > 0]
    n_library = in_force(store, rounds).n_rows
    measured, excluded = (rows[rows < n_library] for rows in (measured, _excluded(store, ledger, rounds)))
    counts.update(_statuses(place.released_rows, measured, excluded, out, under_way=under_way))
    counts["INFERENCE"] = n_library - sum(counts.values())
    closed = place.open_round in ledger.closed
    in_laboratory = bool(store.manifest["in_laboratory"])
    n_missing = 0 if closed or not in_laboratory else int(missing.sum())
    last = next((files.committed for files in reversed(rounds) if files.committed), RoundRecord())
    certificate = store.certificate()
    state = _state(store, n_missing, bool(rounds), in_laboratory=in_laboratory)
    # A batch that is out, or a campaign that was never asked, waits for people; only `ask` computes.
    waits = in_laboratory and (not rounds or place.open_round is not None)
    low, high = last.get("interval_low"), last.get("interval_high")
    goal = stored_goal(store)
    nothing = [None] * len(goal.outputs)
    ranges, constants = last.get("output_ranges") or nothing, last.get("output_constants") or nothing
    return Status(
        campaign_id=store.manifest["campaign_id"],
        goal=goal.words,
        rule=config.stopping.rule,
        state=state,
        next=_of_stopped(in_laboratory=in_laboratory)
        if ledger.stopped is not None and state in ("ready", "running")
        else {
            "ended": "nothing: the hybrid screen is delivered",
            "waiting": f"tell {n_missing:,} readout{'' if n_missing == 1 else 's'} of round {place.open_round}"
            f"{_once_more(rounds)}; or say what failed, or close it",
            "ready": "ask for the next batch",
            "new": "ask for the first batch",
            "running": "nothing: it measures by itself; if it was cut off, `isd resume` goes on",
        }[state],
        round=rounds[-1].round if rounds else None,
        n_trips=n_trips(files.released for files in rounds),
        n_library=n_library,
        counts=dict(counts),
        n_missing=n_missing,
        bound=last.get("system_bound"),
        interval=None if low is None or high is None else (low, high),
        certificate=certificate["certificate_id"] if certificate else None,
        withdrawn=no_longer_claimed(store),
        decision=last.get("reason"),
        outlook=last.get("outlook"),
        constant=last.get("constant"),
        outputs=tuple(
            {
                "name": output.name,
                "gamma": output.level,
                "asked": output.asked,
                "low": low,
                "high": high,
                "constant": output.shown_range(constant),
            }
            for output, found, constant in zip(goal.outputs, ranges, constants, strict=True)
            for low, high in [output.shown_range(found) or (None, None)]
        ),
        phase=None if state == "ended" or waits else phase_of(store, rounds),
        race=counting([files.released for files in rounds]),
        warnings=tuple(caution["words"] for caution in last.get("warnings", ())),
        seconds_left=None if in_laboratory else standing_of(store).seconds_left,
        confirmed=standing_words(store),
        head=store.head(),
        joined=tuple(taken_up(store, rounds)),
    )


def _excluded(store: CampaignStore, ledger: Ledger, rounds: Sequence[RoundFiles]) -> Rows:
    """Rows that cannot be had; of a screen that has ended those that it heeded, as what came later is predicted."""
    heeded = [n for files in rounds if (n := files.released.get("n_events")) is not None]
    if store.is_delivered() and store.manifest["in_laboratory"] and heeded:
        return Laboratory(store).standing(max(heeded)).excluded
    return ledger.excluded


def _of_stopped(*, in_laboratory: bool) -> str:
    """What to do with a screen that a person has stopped."""
    return f"it is stopped; `isd {'ask' if in_laboratory else 'resume'}` delivers it, or takes its last look"


def _once_more(rounds: Sequence[RoundFiles]) -> str:
    """What else is to be said of the last released round."""
    before = rounds[-1].repeats if rounds else None
    return "" if before is None else f", compounds of round {before} whose wells gave none, measured once more"


def _state(store: CampaignStore, n_missing: int, is_begun: bool, *, in_laboratory: bool) -> str:
    """One of the states of `Status`."""
    if store.is_delivered():
        return "ended"
    if not in_laboratory:
        return "running"
    return "waiting" if n_missing else "ready" if is_begun else "new"


def is_dispatched(store: CampaignStore, round_number: int | None) -> bool:
    """Whether the files of a round's batch were written for the laboratory."""
    return any(event["kind"] == "dispatch" and event["round"] == round_number for event in store.events())


def awaited_of(store: CampaignStore) -> dict[str, str]:
    """Compounds of the batch that is out, by id: `TOLD`, `IN_PART` (of a panel), `FAILED` or `MISSING`."""
    rounds = store.rounds()
    if not rounds or rounds[-1].committed is not None:
        return {}
    ledger, batch = Laboratory(store).ledger(), rounds[-1].read_batch()
    rows = batch["row"].to_numpy()
    is_out, is_told = ledger.missing(rounds[-1].round, rows) > 0, ledger.is_told(rows)
    states = np.where(is_told, np.where(is_out, IN_PART, TOLD), np.where(is_out, MISSING, FAILED))
    return dict(zip(batch["id"].to_pylist(), states.tolist(), strict=True))


def _statuses(asked: Rows, measured: Rows, excluded: Rows, out: Rows, *, under_way: bool) -> dict[str, int]:
    """How many rows that somebody has said something of have each status; of rows in `out` readouts are awaited."""
    rows = reduce(np.union1d, (asked, measured, excluded))
    is_asked, is_measured, is_excluded, is_out = (np.isin(rows, some) for some in (asked, measured, excluded, out))
    statuses = np.select(
        [is_measured & ~is_out, is_excluded, is_out],
        [
            np.where(is_asked, "OBSERVED", "EXTERNAL"),
            np.where(is_asked, "ABANDONED", "EXCLUDED"),
            np.full(len(rows), "RUNNING" if under_way else "STAGED"),
        ],
        np.where(is_asked, "FAILED", "INFERENCE"),
    )
    names, counts = np.unique(statuses, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


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
