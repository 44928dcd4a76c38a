"""Feature containers: ragged on-bits of fingerprints, dense rows (descriptors, embeddings), named blocks of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OnBits:
    """The set bits of n molecules in one vocabulary of `width` bits, as a ragged array.

    Attributes
    ----------
    values:
        The set bits of all rows, concatenated; uint16 or uint32, each below `width`.
    offsets:
        int64, shape (n + 1,); row i owns ``values[offsets[i]:offsets[i + 1]]``.
    width:
        Size of the vocabulary (the number of columns of the equivalent 0/1 matrix).
    """

    values: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    width: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, indices: NDArray[np.integer]) -> OnBits:
        """The given rows, in the given order (int indices, shape (m,))."""
        starts = self.offsets[indices]
        lengths = self.offsets[np.asarray(indices) + 1] - starts
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        gather = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return OnBits(self.values[gather], offsets, self.width)

    @property
    def nbytes(self) -> int:
        """Bytes held by the two arrays."""
        return self.values.nbytes + self.offsets.nbytes


@dataclass(frozen=True, slots=True)
class Dense:
    """Dense features of n rows.

    Attributes
    ----------
    values:
        Shape (n, width); uint8, float16 or float32.
    """

    values: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.values.shape[1])

    def take(self, indices: NDArray[np.integer]) -> Dense:
        """The given rows, in the given order (int indices, shape (m,))."""
        return Dense(self.values[indices])

    @property
    def nbytes(self) -> int:
        """Bytes held by the array."""
        return self.values.nbytes


@dataclass(frozen=True, slots=True)
class Texts:
    """A text of each of n rows: SMILES, for models that make features of their own.

    Attributes
    ----------
    values:
        object (n,): str.
    """

    values: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """One text a row."""
        return 1

    def take(self, indices: NDArray[np.integer]) -> Texts:
        """The given rows, in the given order (int indices, shape (m,))."""
        return Texts(self.values[indices])

    @property
    def nbytes(self) -> int:
        """Bytes held by the texts, roughly: 64 each."""
        return 64 * len(self.values)


Features: TypeAlias = OnBits | Dense
Block: TypeAlias = OnBits | Dense | Texts
"""One named block of features."""


@dataclass(frozen=True, slots=True)
class FeatureBlocks:
    """The same n rows in several named blocks.

    Attributes
    ----------
    blocks:
        At least one; all of n rows.
    """

    blocks: Mapping[str, Block]

    def __len__(self) -> int:
        return len(next(iter(self.blocks.values())))

    def __getitem__(self, name: str) -> Block:
        return self.blocks[name]

    def take(self, indices: NDArray[np.integer]) -> FeatureBlocks:
        """The given rows, in the given order (int indices, shape (m,))."""
        return FeatureBlocks({name: block.take(indices) for name, block in self.blocks.items()})

    def only(self, names: Sequence[str]) -> FeatureBlocks:
        """Some of the blocks, in this order."""
        return FeatureBlocks({name: self.blocks[name] for name in names})

    @property
    def nbytes(self) -> int:
        """Bytes held by all blocks."""
        return sum(block.nbytes for block in self.blocks.values())


RowsT = TypeVar("RowsT", bound="OnBits | Dense | Texts | FeatureBlocks")
"""A container of rows: one block, or several of the same rows."""


@dataclass(frozen=True, slots=True)
class Stack(Generic[RowsT]):
    """The rows of several containers one after the other, each left where it is: most often a memory-mapped file.

    Attributes
    ----------
    parts:
        At least one; all of one kind and width, or all with blocks of the same names, kinds and widths.
    """

    parts: tuple[RowsT, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def take(self, indices: NDArray[np.integer]) -> RowsT:
        """The given rows, in the given order (int indices, shape (m,)); ascending ones are the fastest."""
        if len(self.parts) == 1:
            return _taken(self.parts[0], indices)
        stops = np.cumsum([len(part) for part in self.parts])
        order = np.argsort(indices, kind="stable")
        ascending = np.asarray(indices)[order]
        edges = np.searchsorted(ascending, np.concatenate([[0], stops]))
        taken = [
            _taken(part, ascending[first:stop] - (end - len(part)))
            for part, end, first, stop in zip(self.parts, stops, edges[:-1], edges[1:], strict=True)
            if first < stop
        ]
        together = concatenate(taken or [_taken(self.parts[0], ascending)])
        if np.array_equal(order, np.arange(len(order))):
            return together
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return _taken(together, back)


SMALL_PART = 8 << 20
"""Bytes below which neighbours are copied into one part: each part costs a batch some 20 µs, however few its rows."""


def stack(parts: Sequence[RowsT]) -> Stack[RowsT]:
    """Stack containers of one kind and width, in order, with small neighbours copied together.

    Raises
    ------
    ValueError
        If `parts` is empty, or mixes kinds, widths, or blocks.
    """
    if len({_kind(part) for part in parts}) != 1:
        raise ValueError("features of no, or of different, kinds or widths cannot be stacked")
    merged: list[RowsT] = []
    for part in parts:
        if merged and merged[-1].nbytes + part.nbytes <= SMALL_PART:
            merged[-1] = concatenate([merged[-1], part])
        else:
            merged.append(part)
    return Stack(tuple(merged))


def concatenate(parts: Sequence[RowsT]) -> RowsT:
    """Stack feature containers of one kind and width, or with the same blocks, in order.

    Raises
    ------
    ValueError
        If `parts` is empty, or mixes kinds, widths, or blocks.
    """
    if not parts:
        raise ValueError("nothing to concatenate")
    if len({_kind(part) for part in parts}) != 1:
        raise ValueError("features of different kinds or widths cannot be concatenated")
    if len(parts) == 1:
        return parts[0]
    first: object = parts[0]
    together: object
    if isinstance(first, FeatureBlocks):
        several = [part for part in parts if isinstance(part, FeatureBlocks)]
        together = FeatureBlocks({name: concatenate([part[name] for part in several]) for name in first.blocks})
    elif isinstance(first, Dense):
        together = Dense(np.concatenate([part.values for part in parts if isinstance(part, Dense)]))
    elif isinstance(first, Texts):
        together = Texts(np.concatenate([part.values for part in parts if isinstance(part, Texts)]))
    else:
        together = _joined([part for part in parts if isinstance(part, OnBits)])
    return cast(RowsT, together)  # of the kind of all parts


def tanimoto(queries: OnBits, others: OnBits) -> NDArray[np.float32]:
    """Shared bits over all bits of each pair, float32 (n_queries, n_others); 0 for two compounds without a bit."""
    sizes, result = np.diff(others.offsets), np.zeros((len(queries), len(others)), np.float32)
    places, values = others.offsets - others.offsets[0], others.values[others.offsets[0] : others.offsets[-1]]
    before = np.zeros(len(values) + 1, np.int32)
    for query in range(len(queries)):
        bits = queries.values[queries.offsets[query] : queries.offsets[query + 1]]
        has_bit = np.zeros(queries.width, np.bool_)
        has_bit[bits] = True
        np.cumsum(has_bit[values], out=before[1:])
        shared = before[places[1:]] - before[places[:-1]]
        together = len(bits) + sizes - shared
        np.divide(shared, together, out=result[query], where=together > 0, casting="unsafe")
    return result


def _joined(parts: Sequence[OnBits]) -> OnBits:
    shifts = np.cumsum([0] + [int(part.offsets[-1] - part.offsets[0]) for part in parts])
    offsets = [part.offsets[1:] - part.offsets[0] + shift for part, shift in zip(parts, shifts, strict=False)]
    values = [part.values[part.offsets[0] : part.offsets[-1]] for part in parts]
    return OnBits(np.concatenate(values), np.concatenate([np.zeros(1, np.int64), *offsets]), parts[0].width)


def _taken(part: RowsT, indices: NDArray[np.integer]) -> RowsT:
    """`take` by its type: a container gives one of its own kind."""
    return cast(RowsT, part.take(indices))


def _kind(part: OnBits | Dense | Texts | FeatureBlocks) -> tuple[object, ...]:
    """What containers that can be joined have in common."""
    if isinstance(part, FeatureBlocks):
        return tuple((name, *_kind(block)) for name, block in part.blocks.items())
    return type(part), part.width
