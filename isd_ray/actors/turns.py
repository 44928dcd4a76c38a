"""Whose turn it is where several campaigns wait for room: Ray has no order among them.

Each room is called by its ticket, which all drivers of a cluster see, so that no process is needed that keeps a queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group_table

_NAME = re.compile(r"isd-room-(?P<key>[0-9a-f]+)-(?P<priority>-?\d+)-(?P<since>\d+)")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the queue.

    Attributes
    ----------
    key:
        Of its campaign and driver, in hexadecimal digits.
    priority:
        Higher ones come first.
    since:
        When it began to wait, in nanoseconds since 1970; among equals the oldest comes first.
    """

    key: str
    priority: int
    since: int

    @property
    def name(self) -> str:
        """What a room with this ticket is called."""
        return f"isd-room-{self.key}-{self.priority}-{self.since}"

    @classmethod
    def of(cls, name: str) -> Ticket | None:
        """The ticket of a room; None of any other placement group."""
        found = _NAME.fullmatch(name)
        return found and cls(found["key"], int(found["priority"]), int(found["since"]))

    def comes_before(self, other: Ticket) -> bool:
        """Whether it is its turn before the other's."""
        return (-self.priority, self.since, self.key) < (-other.priority, other.since, other.key)


def rooms_of(key: str) -> list[str]:
    """Names of the rooms, had or waited for, of a campaign and driver."""
    return [ticket.name for ticket, _ in _rooms() if ticket.key == key]


def ahead_of(mine: Ticket, asked: Mapping[str, float]) -> list[Ticket]:
    """The tickets whose turn it is before mine and that wait for what I ask for.

    One for which the cluster as it is has no room at all keeps nobody waiting, nor one that lacks only what I do not
    use: the queue is there for those who would take it from each other.

    Parameters
    ----------
    asked:
        What my room takes in all, by resource.
    """
    free = ray.available_resources()
    return [
        ticket
        for ticket, room in _rooms()
        if ticket.comes_before(mine) and _waits(room) and _competes(room, asked, free)
    ]


def _rooms() -> Iterator[tuple[Ticket, Mapping[str, Any]]]:
    for room in placement_group_table().values():
        ticket = Ticket.of(room["name"])
        if ticket is not None and room["state"] != "REMOVED":
            yield ticket, room


def _waits(room: Mapping[str, Any]) -> bool:
    return room["state"] == "PENDING" and room["stats"]["scheduling_state"] != "INFEASIBLE"


def _competes(room: Mapping[str, Any], asked: Mapping[str, float], free: Mapping[str, float]) -> bool:
    """Whether a room lacks something that is asked for here; all that it uses, where enough is free but in pieces."""
    wanted: dict[str, float] = {}
    for bundle in room["bundles"].values():
        for name, amount in bundle.items():
            wanted[name] = wanted.get(name, 0.0) + amount
    short = {name for name, amount in wanted.items() if amount > free.get(name, 0.0)}
    return any(asked.get(name) for name in short or wanted)
