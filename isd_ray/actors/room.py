"""Room for all actors of a campaign at once, or for none: campaigns that each hold a part of it would wait for ever.

Those that wait take turns, for Ray has no order among them: each room is called by its ticket, which all drivers of a
cluster see, so that no process is needed that keeps a queue.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from isd_ray.actors.group import STILL_WAITING_S, GroupOptions
from isd_ray.actors.nodes import NODES_REMEDY, free_now, lacking_now, nodes_now
from isd_ray.core.placement import unplaced
from isd_ray.errors import ResourceError

_NAME = re.compile(r"isd-room-(?P<key>[0-9a-f]+)-(?P<priority>-?\d+)-(?P<since>\d+)")
_LOGGER = logging.getLogger(__name__)


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


class Room:
    """What the actors that must run before work begins ask for, reserved as one; actors that come later find their own.

    Who waits for room takes its turn: a room that could be had is left to those that wait for it and come first
    (`Ticket`). It is held while a lost actor is replaced, follows to other nodes where one is lost, and
    ends with the process that took it.

    Parameters
    ----------
    groups:
        The groups; those whose actors ask for nothing need no room.
    busy_timeout_s:
        Longest wait where the cluster would have room, but others use it. Where it has none for all of them,
        `GroupOptions.start_timeout_s` is how long nodes may take to come.
    owner:
        Whose room it is, as the address of a campaign, of which a driver has one process at a time that takes room:
        what an earlier one had is given back first (`give_back`). Empty where there can be no such process.
    priority:
        Those with a higher one come first, among equals the one that has waited longest.

    Raises
    ------
    ResourceError
        If there is no room in time: who asks for what, what nodes lack, and what is free.
    """

    def __init__(
        self, groups: Sequence[GroupOptions], busy_timeout_s: float, owner: str = "", priority: int = 0
    ) -> None:
        if owner:
            give_back(owner)
        self._ticket = Ticket(_key(owner) if owner else uuid4().hex, priority, time.time_ns())
        self._groups = [group for group in groups if any(group.demand.resources.values())]
        self._each = [group for group in self._groups for _ in range(group.min_size)]
        self._first = {group.name: self._each.index(group) for group in self._groups}
        self._reserved: PlacementGroup | None = None
        try:
            if self._each:
                self._wait(busy_timeout_s)
        except BaseException:
            self.give_back()
            raise

    def place(self, group: GroupOptions, slot: int) -> PlacementGroupSchedulingStrategy | None:
        """Where an actor of a group belongs; None if nothing is reserved for it."""
        if self._reserved is None or group.name not in self._first or slot >= group.min_size:
            return None
        return PlacementGroupSchedulingStrategy(self._reserved, self._first[group.name] + slot)

    def give_back(self) -> None:
        """Others may have it; actors that run in it are ended."""
        if self._reserved is not None:
            remove_placement_group(self._reserved)
        self._reserved = None

    def _wait(self, busy_timeout_s: float) -> None:
        began, next_word = time.monotonic(), STILL_WAITING_S
        while not self._taken():
            waited = time.monotonic() - began
            missing = unplaced({group.name: (group.min_size, group.demand) for group in self._groups}, nodes_now())
            if missing:
                self._refuse_impossible(missing, waited)
            elif waited >= busy_timeout_s:
                raise ResourceError(
                    f"others left no room within {busy_timeout_s:g} s; {words_of(self._groups)}",
                    remedy="try again when they have ended, ask for less in [compute], add nodes, or raise "
                    "compute.room_timeout_s or compute.priority",
                )
            if waited >= next_word:
                next_word = waited + STILL_WAITING_S
                ahead = len(ahead_of(self._ticket, self._asked()))
                _LOGGER.warning(
                    "waiting for room, %d before this; %s",
                    ahead,
                    words_of(self._groups),
                    extra={"campaign": self._groups[0].campaign},
                )

    def _taken(self) -> bool:
        """Try for a second; what is reserved while others come first is given back to them."""
        if self._reserved is None:
            if ahead_of(self._ticket, self._asked()):
                time.sleep(1.0)
                return False
            self._reserved = placement_group(
                [{name: amount for name, amount in group.demand.resources.items() if amount} for group in self._each],
                strategy="SPREAD",
                bundle_label_selector=[group.demand.selectors for group in self._each],
                name=self._ticket.name,
            )
        if not self._reserved.wait(1):
            return False
        if ahead_of(self._ticket, self._asked()):
            self.give_back()
            return False
        return True

    def _asked(self) -> dict[str, float]:
        """All of it by resource."""
        asked: dict[str, float] = {}
        for group in self._each:
            for name, amount in group.demand.resources.items():
                asked[name] = asked.get(name, 0.0) + amount
        return asked

    def _refuse_impossible(self, missing: dict[str, int], waited: float) -> None:
        for group in self._groups:
            limit = group.start_timeout_s
            if group.name in missing and limit is not None and waited >= limit:
                lacks = lacking_now(group.demand)
                raise ResourceError(
                    f"{missing[group.name]} of {group.min_size} {group.name} actors did not start within {limit} s; "
                    f"each asks for {group.demand.words}: {lacks}; free now: {free_now()}",
                    remedy=NODES_REMEDY,
                )


def give_back(owner: str) -> None:
    """Give back the room of an owner, if there is any: that of a process which was killed before it could.

    Ray keeps what an actor has reserved until its driver ends, too.
    """
    for name in rooms_of(_key(owner)):
        with suppress(ValueError):  # it is gone meanwhile
            remove_placement_group(get_placement_group(name))


def _key(owner: str) -> str:
    """Of an owner in this driver; no other driver's is the same, whatever it works at and in which namespace."""
    driver = ray.get_runtime_context().get_job_id()
    return hashlib.sha256(f"{driver} {owner}".encode()).hexdigest()[:16]


def words_of(groups: Sequence[GroupOptions]) -> str:
    """What groups ask for before work begins, and what is free."""
    asked = ", ".join(f"{group.min_size} {group.name} actors of {group.demand.words}" for group in groups)
    return f"asked for are {asked}, all at once; free now: {free_now()}"
