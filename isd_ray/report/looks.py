"""What objects that must be asked first show of themselves in a notebook."""

from __future__ import annotations

from collections.abc import Callable

from isd_ray.card import card, pairs, paragraphs
from isd_ray.errors import IsdError


def asked_card(title: str, ask: Callable[[], list[tuple[str, str]]]) -> str:
    """A card of what the answer says; of one that cannot be had why not: to show an object must not fail."""
    try:
        return card(title, pairs(ask()))
    except IsdError as error:
        return card(title, paragraphs(str(error).splitlines()))
