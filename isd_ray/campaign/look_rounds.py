"""A look, or a finish, can take several rounds: its lost wells are measured once more, its audit in portions."""

from __future__ import annotations

from collections.abc import Sequence

from isd_ray.campaign.round_files import RoundFiles
from isd_ray.messages import UNJUDGED


def rounds_of_look(rounds: Sequence[RoundFiles], number: int) -> list[RoundFiles]:
    """The rounds of the look, or of the finish, that round `number` goes on with, oldest first; itself the last.

    Parameters
    ----------
    rounds:
        All released rounds.
    """
    found = [rounds[number]]
    while (before := found[0].goes_on_from) is not None:
        found.insert(0, rounds[before])
    return found


def unjudged(rounds: Sequence[RoundFiles]) -> set[int]:
    """Of released rounds those of which nobody is told yet why their compounds were chosen, nor what is predicted.

    The one that is out, and those of a look that goes on before it is judged.
    """
    if not rounds:
        return set()
    last = rounds[-1]
    if last.committed is not None and last.committed["decision"] not in UNJUDGED:
        return set()
    return {files.round for files in rounds_of_look(rounds, last.round)}
