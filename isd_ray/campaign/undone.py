"""What people took back before a decision used it: it stays on record, and the ledger leaves it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.events import Event
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.whole import DECISIONS

UNDO = "undo"
"""Kind of the event that names others, which it takes back."""
_JUDGED_BY = ("audit", "reserve", "hit")
"""Roles of the batches whose first readouts a look is judged by: what it counts as wrong, and as found."""


def undone_events(store: CampaignStore, events: Sequence[Event] | None = None) -> dict[int, int]:
    """Numbers of the events that are taken back.

    Parameters
    ----------
    events:
        The log until some event, as it was read; default: all of it, as it is now.

    Returns
    -------
    dict
        By number of the event, that of the event that takes it back.
    """
    undos = [event for event in (store.events() if events is None else events) if event["kind"] == UNDO]
    rounds = store.rounds() if undos else []
    return {number: undo["sequence"] for undo in undos if not came_too_late(undo, rounds) for number in undo["undone"]}


def came_too_late(undo: Event, rounds: Sequence[RoundFiles]) -> bool:
    """Whether a decision that was on its way when an event was taken back had used it: then it stands.

    Who takes something back looks for decisions before, but one that is being computed is not on record yet. Each says
    how many events it went by, so that everybody who reads the log judges alike.
    """
    first, at = min(undo["undone"]), undo["sequence"]
    for files in rounds:
        if any(first < n_used <= at for n_used in _n_used(files)):
            return True
        if files.committed is not None and files.committed["decision"] == "stop":
            # What is told after the end was decided is delivered at once.
            return files.committed.get("n_heard", 0) <= at
    return False


def is_evidence(event: Event, store: CampaignStore, rounds: Sequence[RoundFiles]) -> bool:
    """Whether an event says what was read of a batch that a look is judged by, or that it gave no readout.

    Such a word stays as it was said first: whoever might take it back, and say another one, could mend an audit until
    it passes.
    """
    number = event.get("round")
    if event["kind"] not in ("tell", "fail") or number is None or number >= len(rounds):
        return False
    batch, plates = rounds[number].read_batch(), rounds[number].read_plates()
    if not pc.any(pc.is_in(batch["role"], value_set=pa.array(_JUDGED_BY))).as_py():
        return False
    said = store.read_readouts(event["readouts_sha256"])["row"].to_numpy()
    if np.isin(said, batch["row"].to_numpy()).any():
        return True
    # Wells of compounds that wait for others are read, too.
    if plates is None or event.get("readings_sha256") is None:
        return False
    read = store.read_readouts(event["readings_sha256"])["plate"].drop_null()
    return bool(pc.any(pc.is_in(read, value_set=plates["plate"])).as_py())


def n_used(store: CampaignStore) -> int:
    """How many events of the log, from the first on, decisions rest on."""
    logged = [event["sequence"] + 1 for event in store.events() if event["kind"] in DECISIONS]
    return max([0, *logged, *(number for files in store.rounds() for number in _n_used(files))])


def _n_used(files: RoundFiles) -> Iterator[int]:
    """How many events a round went by when its batch was chosen, and when it was decided.

    Decisions of campaigns of earlier versions do not say; nothing could be taken back then.
    """
    if "n_events" in files.released:
        yield files.released["n_events"]
    if files.committed is not None and "n_heard" in files.committed:
        yield files.committed["n_heard"]
