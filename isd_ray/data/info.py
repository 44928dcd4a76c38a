"""What there is to say about a library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isd_ray.card import Carded
from isd_ray.data.versions import LibraryVersion


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """A block of features beside the main ones.

    Attributes
    ----------
    missing:
        Share of its values that are missing.
    assays:
        Of a block of history: name, compounds measured and hits.
    """

    name: str
    source: str
    width: int
    dtype: str
    nbytes: int
    missing: float
    hash: str
    assays: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class LibraryInfo(Carded):
    """What `isd library info` tells.

    Attributes
    ----------
    nbytes:
        Bytes of all parts.
    mean_on_bits:
        Mean on-bits of a molecule, estimated from the first block; None for dense features.
    counts:
        Records read and kept, duplicates merged, rejects by reason.
    blocks:
        Features beside the main ones.
    versions:
        What it was before compounds were added, and what it is.
    """

    path: str
    hash: str
    n_rows: int
    n_blocks: int
    block_rows: int
    width: int
    features: dict[str, Any]
    nbytes: int
    mean_on_bits: float | None
    columns: dict[str, str]
    counts: dict[str, Any]
    sources: list[dict[str, Any]]
    blocks: list[BlockInfo]
    versions: list[LibraryVersion]


def features_in_short(described: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the features with the number of values of each context in place of thousands of them."""
    features: dict[str, Any] = dict(described)
    if contexts := features.get("contexts"):
        features["contexts"] = [{"column": one["column"], "n_values": len(one["values"])} for one in contexts]
    return features
