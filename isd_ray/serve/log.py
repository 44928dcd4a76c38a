"""Who did what: the log of a campaign as a table."""

from __future__ import annotations

from typing import Any

from isd_ray.campaign.events import Event
from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.manifest import RECONFIGURE
from isd_ray.campaign.undone import UNDO, came_too_late, undone_events
from isd_ray.report.sections.history import EVENTS, ROUTINE
from isd_ray.report.words import setting_lines
from isd_ray.serve.paging import link_to, page_of, pages_of
from isd_ray.serve.shelf import Held

EVENTS_A_PAGE = 50


def entry_of(kind: str) -> str:
    """What entries of a kind are called."""
    return EVENTS.get(kind, kind)


def log_of(held: Held, page: int, who: str, kind: str) -> dict[str, Any]:
    """What happened, newest first: all of it, or of one person or kind."""
    every = held.once("log", lambda: _entries(held))
    found = [entry for entry in every if (not who or entry["who"] == who) and (not kind or entry["kind"] == kind)]
    entries = {"who": who, "kind": kind}
    return {
        "link": lambda **changes: link_to({**entries, **changes}, {"page": "1"}),
        "events": page_of(found, page, EVENTS_A_PAGE),
        "pages": pages_of(found, page, EVENTS_A_PAGE),
        "people": sorted({entry["who"] for entry in every}),
        "kinds": sorted({(entry["words"], entry["kind"]) for entry in every if entry["kind"] not in ROUTINE}),
        "who": who,
        "kind": kind,
    }


def _entries(held: Held) -> list[dict[str, Any]]:
    store, campaign = held.campaign.store, held.campaign
    rounds, undone = store.rounds(), undone_events(store)
    # That predictions were frozen says that the batch that is out is an audit.
    secret = unjudged(rounds)
    undoable = {entry.number for entry in campaign.undoable()} if store.manifest["in_laboratory"] else set()
    return [
        {
            **event,
            "words": entry_of(event["kind"]),
            "about": _about(event),
            "undone_by": undone.get(event["sequence"]),
            "is_void": event["kind"] == UNDO and came_too_late(event, rounds),
            "is_undoable": event["sequence"] in undoable,
        }
        for event in reversed(store.events())
        if not (event["kind"] == "freeze" and event["round"] in secret)
    ]


def _about(event: Event) -> str:
    """File and reason; of a batch its files, while those of the hybrid screen are too many; of an undo its entries."""
    said = [str(event[name]) for name in ("file", "reason") if event.get(name)]
    if event["kind"] == RECONFIGURE:
        said[:0] = setting_lines(event["settings"])
    if event["kind"] == UNDO:
        said.insert(0, f"entry {', '.join(map(str, event['undone']))}")
    if event["kind"] == "dispatch":
        said.append(", ".join(event["files"]))
    return ": ".join(said)
