"""What becomes of hosts while a screen runs on them. Each fault is told of the screen, and lets it go on in the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.hosts.cluster import DAY_S, DEAD_AFTER_S, Screen, wait_for
from tests.chaos.hosts.jobs import JobScreen
from tests.chaos.hosts.machines import fill

Do = Callable[[Any], None]
BRIEF_S, LONG_S = 2.0, DEAD_AFTER_S + 10.0
SOME_PACKETS, MANY_PACKETS = 0.1, 0.3
"""Of those from one host to another, which pass two cables."""
KEEPERS = {"coordinator_labels": {"host": "in(two, three)"}}
"""Coordinator and bound actor are away from the head, and another host could take them."""


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes
    ----------
    held:
        Whose call is under way when it happens; empty if it is there from the start.
    do:
        Makes it happen.
    compute:
        What the screen's configuration says of its actors, beside the usual.
    as_job:
        Whether the screen is given as a job, and after an error submitted again; then no call is held.
    days:
        By how many the clocks of hosts are ahead from the start, by their names.
    """

    name: str
    held: str
    do: Do
    compute: dict[str, Any] = field(default_factory=dict)
    as_job: bool = False
    days: Mapping[str, float] = field(default_factory=dict)


def nothing(screen: Screen) -> None:
    """The screen is let go on."""


def cut_for(seconds: float, which: str = "") -> Do:
    """A host is cut off for a while: the one of the call, or one that is named."""

    def do(screen: Screen) -> None:
        host = screen.cluster.hosts[which] if which else screen.held()
        screen.held()
        with host.cut_off():
            time.sleep(seconds)

    return do


def cut_until_the_end(screen: Screen) -> None:
    """The host of the call is cut off, and stays so until the screen has ended."""
    with screen.held().cut_off():
        time.sleep(LONG_S)
        screen.ended()


def cut_off_the_coordinator(screen: Screen) -> None:
    """The host of the coordinator is cut off until Ray has started another one, and then has both of them go on."""
    screen.held()
    hosts = screen.cluster.hosts
    [host] = [host for host in hosts.values() if host.has_process("ray::Coordinator")]
    others = [other for other in hosts.values() if other is not host]
    with host.cut_off():
        wait_for(lambda: any(other.has_process("ray::Coordinator") for other in others), "another coordinator")
        screen.let_go()
        time.sleep(BRIEF_S)


def no_power(which: str) -> Do:
    """A host loses its power: that of the call, or one that is named."""

    def do(screen: Screen) -> None:
        held = screen.held()
        (screen.cluster.hosts[which] if which else held).switch_off()

    return do


def no_power_for_a_while(screen: JobScreen) -> None:
    """The head loses its power and has it again, with its disk as it was; the others have it all the time."""
    screen.held()
    screen.cluster.head.switch_off(keep_disk=True)
    screen.cluster.restart_head()


def lost_packets(share: float) -> Do:
    """A share of the packets between hosts is lost, each way, from the start to the end."""

    def do(screen: Screen) -> None:
        with ExitStack() as stack:
            for host in screen.cluster.hosts.values():
                stack.enter_context(host.lossy(1 - math.sqrt(1 - share)))
            screen.ended()

    return do


def set_back(which: str = "") -> Do:
    """The clock of a host is set back by a day until the screen ends: that of the call, or one that is named.

    Ray's timers there stand still, also for minutes after the clock is right again; so it is switched off and on then.
    """

    def do(screen: Screen) -> None:
        held = screen.held()
        host = screen.cluster.hosts[which] if which else held
        host.set_clock(-DAY_S)
        screen.ended()
        host.switch_off()
        screen.cluster.mend()

    return do


def full_disk(which: str = "") -> Do:
    """The disk of a host, with Ray's files and those of processes that work there, is full until the screen ends."""

    def do(screen: Screen) -> None:
        held = screen.held()
        with (screen.cluster.hosts[which] if which else held).full_disk():
            screen.ended()

    return do


def full_disk_for_all(screen: Screen | JobScreen) -> None:
    """The disk of the head, where it also keeps the campaign for all hosts, is full until the screen has ended."""
    screen.held()
    with screen.cluster.head.full_disk():
        full_shared_disk(screen)


def full_shared_disk(screen: Screen | JobScreen) -> None:
    """The disk with the campaign, which all hosts share, is full until the screen has ended."""
    screen.held()
    filler = screen.out.with_name("filler")
    fill(filler)
    screen.ended()
    filler.unlink()


def short_of_memory(title: str) -> Do:
    """The memory of a host is used up until Ray has ended the actor that is meant there."""

    def do(screen: Screen) -> None:
        held = screen.held()
        [host] = [host for host in screen.cluster.hosts.values() if host.has_process(title)][:1] or [held]
        with host.short_of_memory():
            wait_for(lambda: not host.has_process(title), f"the end of {title}")

    return do


FAULTS = (
    Fault("none", "", nothing),
    Fault(f"scorer's host cut off for {BRIEF_S:g} s", "Scorer", cut_for(BRIEF_S)),
    Fault(f"scorer's host cut off for {LONG_S:g} s", "Scorer", cut_for(LONG_S)),
    Fault("scorer's host cut off until the end", "Scorer", cut_until_the_end),
    Fault(f"trainer's host cut off for {LONG_S:g} s", "Trainer", cut_for(LONG_S)),
    Fault("coordinator's host cut off while another goes on", "Scorer", cut_off_the_coordinator, KEEPERS),
    Fault(f"head cut off for {BRIEF_S:g} s", "Scorer", cut_for(BRIEF_S, "head")),
    Fault(f"head cut off for {LONG_S:g} s", "Scorer", cut_for(LONG_S, "head")),
    Fault("scorer's host without power", "Scorer", no_power("")),
    Fault("head without power", "Scorer", no_power("head")),
    Fault("head of a job without power, then on again", "", no_power_for_a_while, as_job=True),
    Fault(f"{SOME_PACKETS:.0%} of all packets lost", "", lost_packets(SOME_PACKETS)),
    Fault(f"{MANY_PACKETS:.0%} of all packets lost", "", lost_packets(MANY_PACKETS)),
    Fault("clocks days apart", "", nothing, days={"head": 2, "one": -1, "two": 3}),
    Fault("clock of the head set back by a day", "Scorer", set_back("head")),
    Fault("clock of a scorer's host set back by a day", "Scorer", set_back()),
    Fault("disk of a trainer's host full", "Trainer", full_disk()),
    Fault("disk of a scorer's host full", "Scorer", full_disk()),
    Fault("disk of the head full", "Scorer", full_disk("head")),
    Fault("disk of the head full, with the campaign", "Scorer", full_disk_for_all),
    Fault("disk of the head of a job full, with the campaign", "", full_disk_for_all, as_job=True),
    Fault("disk of the campaign full", "Scorer", full_shared_disk),
    Fault("memory of a trainer's host short", "Trainer", short_of_memory("ray::Trainer")),
    Fault("memory of a scorer's host short", "Scorer", short_of_memory("ray::Scorer")),
    Fault("memory of the bound actor's host short", "BoundActor", short_of_memory("ray::BoundActor")),
    Fault("memory of the coordinator's host short", "Scorer", short_of_memory("ray::Coordinator")),
)
