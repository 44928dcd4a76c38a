"""Rounds of which nobody is told yet why their compounds were chosen."""

from __future__ import annotations

from collections.abc import Sequence

from isd_ray.campaign.store import RoundFiles


def unjudged(rounds: Sequence[RoundFiles]) -> set[int]:
    """Of released rounds those of which nobody is told why their compounds were chosen, nor what is predicted of them.

    The one that is out, and one whose lost wells are measured once more before it is judged.
    """
    if not rounds:
        return set()
    last = rounds[-1]
    if last.committed is None:
        return {last.round} | (set() if last.repeats is None else {last.repeats})
    return {last.round} if last.committed["decision"] == "repeat" else set()
