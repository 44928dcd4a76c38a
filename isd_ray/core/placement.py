"""Whether actors find room on nodes, and if not, what is missing: Ray lets them wait in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LIST = re.compile(r"^(!?)in\((.*)\)$")
_SPACED = re.compile(r"\s*([!(),])\s*")
_SHOWN = 3
"""Nodes that are named in a message."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one actor asks of its node.

    Attributes
    ----------
    resources:
        Amounts by Ray's names, as CPU, GPU or a custom one.
    labels:
        Label selectors of Ray: a value, ``!value``, ``in(a, b)`` or ``!in(a, b)``, by label.
    """

    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def selectors(self) -> dict[str, str]:
        """The label selectors as Ray has to be told them: a space in a list is part of a value for it (2.60).

        One inside a value stays, for Ray to refuse.
        """
        return {name: _SPACED.sub(r"\1", wanted.strip()) for name, wanted in self.labels.items()}

    @property
    def words(self) -> str:
        """For messages."""
        amounts = [f"{amount:g} {name}" for name, amount in self.resources.items() if amount]
        return ", ".join([*amounts, *(f"label {name}={wanted}" for name, wanted in self.labels.items())]) or "nothing"


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its address, the amounts that may be placed on it, and its labels."""

    address: str
    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


def unplaced(wanted: Mapping[str, tuple[int, Demand]], nodes: Sequence[Node]) -> dict[str, int]:
    """How many actors of each kind find no node, the most demanding placed first, each where it just fits.

    Parameters
    ----------
    wanted:
        Number and demand of each kind.
    nodes:
        With what is free on them.
    """
    free = [(node, dict(node.resources)) for node in nodes]
    left: dict[str, int] = {}
    for name, (n, demand) in sorted(wanted.items(), key=lambda item: _size(item[1][1]), reverse=True):
        for _ in range(n):
            room = [amounts for node, amounts in free if not _lacks(demand, node, amounts)]
            if not room:
                left[name] = left.get(name, 0) + 1
                continue
            tightest = min(room, key=lambda amounts: (amounts.get("GPU", 0.0), amounts.get("CPU", 0.0)))
            for resource, amount in demand.resources.items():
                tightest[resource] = tightest.get(resource, 0.0) - amount
    return left


def what_is_missing(demand: Demand, nodes: Sequence[Node]) -> str:
    """Why an actor finds no node, in words: node by node what it lacks, or that all of it is in use."""
    by_lack: dict[str, list[str]] = {}
    for node in nodes:
        by_lack.setdefault(", ".join(_lacks(demand, node, node.resources)), []).append(node.address)
    if not by_lack:
        return "there is no node"
    if "" in by_lack:
        return f"what it asks for exists on {_named(by_lack[''])}: it is in use there, or the actor starts slowly"
    return "; ".join(f"{_named(addresses)} lacks {lacks}" for lacks, addresses in by_lack.items())


def _named(addresses: Sequence[str]) -> str:
    shown = ", ".join(addresses[:_SHOWN])
    return f"{shown} and {len(addresses) - _SHOWN} more" if len(addresses) > _SHOWN else shown


def _size(demand: Demand) -> tuple[float, float, int]:
    custom = [name for name in demand.resources if name not in ("CPU", "GPU")]
    return demand.resources.get("GPU", 0.0), demand.resources.get("CPU", 0.0), len(custom) + len(demand.labels)


def _lacks(demand: Demand, node: Node, amounts: Mapping[str, float]) -> list[str]:
    lacks = [
        f"{name} ({amounts.get(name, 0.0):g} of {amount:g})"
        for name, amount in demand.resources.items()
        if amounts.get(name, 0.0) < amount
    ]
    unmatched = [name for name, wanted in demand.selectors.items() if not _matches(wanted, node.labels.get(name))]
    return lacks + [f"label {name}={demand.labels[name]}" for name in unmatched]


def _matches(wanted: str, value: str | None) -> bool:
    listed = _LIST.match(wanted)
    if listed is not None:
        return (value in listed[2].split(",")) != bool(listed[1])
    return value != wanted[1:] if wanted.startswith("!") else value == wanted
