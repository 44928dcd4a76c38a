"""Feature blocks as one sparse matrix, for models that are linear or made of trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.features import Dense, FeatureBlocks, OnBits, Stack
from isd_ray.errors import ConfigError
from isd_ray.messages import Weights
from isd_ray.models.base import BlockShape, Problem

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PIECE_ROWS = 8192
"""Rows that are read from memory maps at a time."""
_KEPT = "columns."


class Columns:
    """Which columns of which blocks a model looks at, and in which order: those of dense blocks, then on-bits.

    Bits that too few of the observed rows have are left out: no fit can learn from them, and each costs time.

    Parameters
    ----------
    blocks:
        The blocks.
    kept:
        For each block of on-bits the bits that are columns, int64, ascending.
    """

    def __init__(self, blocks: Sequence[BlockShape], kept: Mapping[str, NDArray[np.int64]]) -> None:
        self.dense = tuple(block for block in blocks if block.kind == "dense")
        self.bits = tuple(block for block in blocks if block.kind == "on_bits")
        self.n_dense = sum(block.width for block in self.dense)
        self._kept = {block.name: np.asarray(kept[block.name], np.int64) for block in self.bits}
        self._place: dict[str, NDArray[np.int32]] = {}
        first = self.n_dense
        for block in self.bits:
            place = np.full(block.width, -1, np.int32)
            place[self._kept[block.name]] = np.arange(first, first + len(self._kept[block.name]))
            self._place[block.name] = place
            first += len(self._kept[block.name])
        self.width = first

    @classmethod
    def seen(cls, problem: Problem, features: Stack[FeatureBlocks], rows: NDArray[np.int64], at_least: int) -> Columns:
        """All dense columns, and the bits that at least so many of `rows` have.

        Raises
        ------
        ConfigError
            If there is no block of numbers.
        """
        bits = [block for block in problem.blocks if block.kind == "on_bits"]
        if not any(block.kind in ("on_bits", "dense") for block in problem.blocks):
            raise ConfigError(
                "this family reads numbers, and no block has any", "model.blocks", "give it another block"
            )
        counts = {block.name: np.zeros(block.width, np.int64) for block in bits}
        for piece in Pieces(features, rows) if bits else ():
            for name, count in counts.items():
                block = piece[name]
                assert isinstance(block, OnBits), "as the problem says"
                count += np.bincount(block.values[block.offsets[0] : block.offsets[-1]], minlength=len(count))
        kept = {name: np.flatnonzero(count >= at_least) for name, count in counts.items()}
        if not any(map(len, kept.values())) and not any(block.kind == "dense" for block in problem.blocks):
            kept[bits[0].name] = np.zeros(1, np.int64)  # trees need a column, even where no row has a bit
        return cls(problem.blocks, kept)

    def only(self, used: NDArray[np.bool_]) -> Columns:
        """The same without the bits whose column is not in `used`, bool (width,); dense columns stay."""
        kept = {name: bits[used[self._place[name][bits]]] for name, bits in self._kept.items()}
        return Columns((*self.dense, *self.bits), kept)

    def origin(self, column: int) -> tuple[str, int]:
        """Block and place in it of a column."""
        for block in self.dense:
            if column < block.width:
                return block.name, column
            column -= block.width
        for block in self.bits:
            if column < len(self._kept[block.name]):
                return block.name, int(self._kept[block.name][column])
            column -= len(self._kept[block.name])
        raise IndexError(f"there is no column {column} behind the last")

    def weights(self) -> Weights:
        """The kept bits, as arrays of a member."""
        return {f"{_KEPT}{name}": bits for name, bits in self._kept.items()}

    @classmethod
    def of(cls, problem: Problem, weights: Mapping[str, NDArray[np.generic]]) -> Columns:
        """What `weights` was given, back."""
        kept = {
            block.name: np.asarray(weights[f"{_KEPT}{block.name}"], np.int64)
            for block in problem.blocks
            if block.kind == "on_bits"
        }
        return cls(problem.blocks, kept)

    def dense_values(self, features: FeatureBlocks) -> NDArray[np.float32]:
        """Values of the dense blocks side by side, float32 (n, n_dense); NaN where missing."""
        parts = []
        for block in self.dense:
            found = features[block.name]
            assert isinstance(found, Dense), "as the problem says"
            values = np.asarray(found.values, np.float32)
            parts.append(values if block.scale == 1.0 else values * np.float32(block.scale))
        if not parts:
            return np.empty((len(features), 0), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def bit_indices(self, features: FeatureBlocks) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Columns of the kept bits of all rows, and where each row's begin: int32 (nnz,), int64 (n + 1,)."""
        n_rows, indices, lengths = len(features), [], []
        for block in self.bits:
            found = features[block.name]
            assert isinstance(found, OnBits), "as the problem says"
            columns = self._place[block.name].take(found.values[found.offsets[0] : found.offsets[-1]])
            offsets = found.offsets - found.offsets[0]
            if len(self._kept[block.name]) < block.width:
                at_kept = np.flatnonzero(columns >= 0)  # several times as fast as a mask and its cumulated sum
                columns, offsets = columns.take(at_kept), np.searchsorted(at_kept, offsets)
            indices.append(columns)
            lengths.append(offsets)
        if len(indices) == 1:
            return indices[0], lengths[0]
        if not indices:
            return np.empty(0, np.int32), np.zeros(n_rows + 1, np.int64)
        each = np.array([np.diff(offsets) for offsets in lengths])
        total = np.zeros(n_rows + 1, np.int64)
        np.cumsum(each.sum(axis=0), out=total[1:])
        merged = np.empty(total[-1], np.int32)
        start = total[:-1].copy()
        for columns, length in zip(indices, each, strict=True):
            first = np.repeat(start - (np.cumsum(length) - length), length)
            merged[first + np.arange(len(columns))] = columns
            start += length
        return merged, total

    def matrix(self, features: FeatureBlocks, dense: NDArray[np.float32] | None = None) -> csr_matrix:
        """All columns as float32 CSR (n, width), in which zeros of dense blocks stand.

        Parameters
        ----------
        dense:
            float32 (n, n_dense), in the place of `dense_values`, in which missing values are NaN.
        """
        from scipy.sparse import csr_matrix

        bits, offsets = self.bit_indices(features)
        n_rows, n_dense = len(features), self.n_dense
        if not n_dense:
            return csr_matrix((np.ones(len(bits), np.float32), bits, offsets), (n_rows, self.width))
        indptr = offsets + np.arange(n_rows + 1, dtype=np.int64) * n_dense
        # In each row the dense values, then its bits: a mask is filled several times as fast as places one by one.
        runs = np.empty((n_rows, 2), np.int64)
        runs[:, 0], runs[:, 1] = n_dense, np.diff(offsets)
        is_dense = np.repeat(np.tile([True, False], n_rows), runs.reshape(-1))
        indices = np.empty(len(is_dense), np.int32)
        indices[is_dense] = np.tile(np.arange(n_dense, dtype=np.int32), n_rows)
        indices[~is_dense] = bits
        data = np.ones(len(is_dense), np.float32)
        data[is_dense] = (self.dense_values(features) if dense is None else dense).reshape(-1)
        return csr_matrix((data, indices, indptr), (n_rows, self.width))


class Pieces:
    """The given rows, some thousand at a time and in their order, read anew each time they are gone through."""

    def __init__(self, features: Stack[FeatureBlocks], rows: NDArray[np.int64]) -> None:
        self._features, self._rows = features, rows

    def __iter__(self) -> Iterator[FeatureBlocks]:
        for start in range(0, len(self._rows), PIECE_ROWS):
            yield self._features.take(self._rows[start : start + PIECE_ROWS])
