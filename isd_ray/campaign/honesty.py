"""What people should know of a screen's models before they believe them: said in the rounds where it is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from isd_ray.core.race import CONSTANT, RaceBatch, Rival, lost_against

Caution: TypeAlias = dict[str, Any]
"""For the record of a round: `about`, which names it from round to round, and `words`."""
PLAIN_FAMILIES = ("linear", CONSTANT)
"""What models of hits are held against: who loses here has learnt nothing that matters."""


def race_cautions(batches: Sequence[RaceBatch], families: Sequence[str]) -> list[Caution]:
    """That the committee of a claim about hits lost against plain answers on the latest batches, if it did."""
    rival = lost_against(batches, families, PLAIN_FAMILIES)
    return [] if rival is None else [{"about": f"race:{rival.family}", "words": _lost(rival)}]


def _lost(rival: Rival) -> str:
    name = "the constant answer, the share of hits known before" if rival.family == CONSTANT else repr(rival.family)
    return (
        f"on the last {rival.n} batches {name} forecast the readouts better than the families that count together "
        f"(mean loss {rival.loss:.3f} against {rival.committee_loss:.3f}): hits are looked for in no "
        "better order than its own; a certificate still holds, but wells are lost"
    )


def news(cautions: Sequence[Caution], before: Mapping[str, Any] | None) -> list[str]:
    """Words of those that the last round did not have."""
    known = {caution["about"] for caution in (before or {}).get("warnings", ())}
    return [caution["words"] for caution in cautions if caution["about"] not in known]
