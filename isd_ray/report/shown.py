"""What objects of lower layers (`isd_ray.card.Carded`) show of themselves in a notebook."""

from __future__ import annotations

from functools import singledispatch

from isd_ray.campaign.status import Status
from isd_ray.card import Carded, card, pairs
from isd_ray.data.export import Exported
from isd_ray.data.info import LibraryInfo
from isd_ray.report.library import library_lines
from isd_ray.report.numbers import counted
from isd_ray.report.words import status_lines


@singledispatch
def card_of(shown: Carded) -> str:
    """The card of an object, HTML."""
    raise TypeError(f"there is no card of {type(shown).__name__}")


@card_of.register
def _(shown: Status) -> str:
    return card(f"Campaign {shown.campaign_id}", pairs(status_lines(shown)))


@card_of.register
def _(shown: LibraryInfo) -> str:
    return card(f"Library {shown.path}", pairs(library_lines(shown)))


@card_of.register
def _(shown: Exported) -> str:
    lines = [("Written", counted(shown.n_lines, "line"))]
    if shown.n_empty:
        lines.append(("Without a structure that RDKit reads", f"{shown.n_empty:,}"))
    return card("Export", pairs(lines))
