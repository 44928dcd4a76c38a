"""Whether a folder holds all that its files speak of: parts are missing where it was copied or restored in part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isd_ray.campaign.events import Event
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.errors import CorruptFileError

DECISIONS = {"release": "batch.json", "decision": "round.json"}
"""Files of a round by the kind of the event that names them, which comes after them."""


def require_whole(rounds: Sequence[RoundFiles], events: Sequence[Event], n_events: int, folder: Path) -> None:
    """Refuse a campaign of which a part is missing, as where only some of its folder was copied or restored.

    Parameters
    ----------
    rounds, events:
        What the folder holds; the log as it was before the rounds were read.
    n_events:
        Length of the log since then.

    Raises
    ------
    CorruptFileError
        If the log tells of decisions that are not there, or has fewer entries than one of them went by.
    """
    for event in events:
        if (kind := event["kind"]) not in DECISIONS:
            continue
        number = int(event["round"])
        is_there = number < len(rounds) and (kind == "release" or rounds[number].committed is not None)
        if not is_there:
            raise CorruptFileError(
                "is missing, and the log tells of it",
                str(folder / "rounds" / f"{number:05d}" / DECISIONS[kind]),
                "restore the folder rounds/ from a backup; nothing is written until it is whole",
            )
    for files in rounds:
        n_used = max(files.released.get("n_events", 0), (files.committed or {}).get("n_heard", 0))
        if n_used > n_events:
            raise CorruptFileError(
                f"the log has {n_events:,} entries, and round {files.round} went by {n_used:,}: the last are missing",
                str(folder / "events"),
                "restore that folder from a backup; nothing is written until it is whole",
            )
