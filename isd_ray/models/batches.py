"""From feature containers (numpy, possibly read-only) to the tensors a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from isd_ray.core.features import Dense, Features, OnBits
from isd_ray.errors import LibraryError

TABLE_PIECE_ROWS = 1024
"""Rows of the embedding table whose gradient is summed at a time on a CPU: 2 MB at 512 columns. A fresh table of 12 MB
or more for each step costs more in page faults (0.4 ms a megabyte on virtual machines) than in arithmetic."""


_VOCABULARY_PIECE = 1 << 20
"""On-bits looked at together: numpy copies indices to 8 bytes each."""


@dataclass(frozen=True, slots=True)
class TablePiece:
    """For consecutive bits, the rows of a batch that have them.

    Attributes
    ----------
    start, stop:
        The bits start … stop - 1.
    rows:
        int32; rows of the batch ordered by bit, ties by row.
    offsets:
        int32, shape (stop - start + 1,); bit start + j owns ``rows[offsets[j]:offsets[j + 1]]``.
    """

    start: int
    stop: int
    rows: torch.Tensor
    offsets: torch.Tensor


@dataclass(frozen=True, slots=True)
class OnBitBatch:
    """On-bits of n rows, and for training the same thing turned round: for each bit the rows that have it.

    Attributes
    ----------
    bits:
        int32, shape (nnz,); the set bits of all rows.
    offsets:
        int32, shape (n + 1,); row i owns ``bits[offsets[i]:offsets[i + 1]]``.
    pieces:
        The transposed index, all bits once; empty when no gradient is needed.
    extra:
        float32 (n, E): dense values that stand beside the bits.
    """

    bits: torch.Tensor
    offsets: torch.Tensor
    pieces: tuple[TablePiece, ...] = ()
    extra: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class DenseBatch:
    """Dense features of n rows, unscaled; uint8 or float32, shape (n, width). `extra` as of `OnBitBatch`."""

    values: torch.Tensor
    extra: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)


InputBatch: TypeAlias = OnBitBatch | DenseBatch


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a network takes of n rows: on-bits or a dense block, and further dense values beside it.

    Attributes
    ----------
    extra:
        float32 (n, E), as `with_flags` makes them; None where there are none.
    """

    main: Features
    extra: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.main)

    def slice_rows(self, start: int, stop: int) -> Inputs:
        """Rows start to stop without a copy."""
        extra = None if self.extra is None else self.extra[start:stop]
        if isinstance(self.main, Dense):
            return Inputs(Dense(self.main.values[start:stop]), extra)
        return Inputs(OnBits(self.main.values, self.main.offsets[start : stop + 1], self.main.width), extra)


def with_flags(blocks: Sequence[Dense]) -> NDArray[np.float32]:
    """Standardised blocks side by side, missing values as 0, and behind them a flag for each value: 1 where missing."""
    values = np.concatenate([np.asarray(block.values, np.float32) for block in blocks], axis=1)
    missing = np.isnan(values)
    values[missing] = 0.0
    return np.concatenate([values, missing.astype(np.float32)], axis=1)


def to_batch(inputs: Inputs, device: torch.device, *, for_training: bool = False) -> InputBatch:
    """Copy inputs to `device` as a batch; the arrays may be read-only and are never aliased.

    Parameters
    ----------
    for_training:
        Also make the transposed index from which the gradient of the first layer is summed.
    """
    features = inputs.main
    extra = None if inputs.extra is None else torch.from_numpy(np.array(inputs.extra)).to(device)
    if isinstance(features, Dense):
        kind = np.uint8 if features.values.dtype == np.uint8 else np.float32
        return DenseBatch(torch.from_numpy(np.array(features.values, dtype=kind, order="C")).to(device), extra)
    start, end = int(features.offsets[0]), int(features.offsets[-1])
    bits = features.values[start:end]
    offsets = (features.offsets - start).astype(np.int32)
    pieces = _transpose(bits, offsets, features.width, device) if for_training else ()
    values = torch.from_numpy(bits.astype(np.int32)).to(device)
    return OnBitBatch(values, torch.from_numpy(offsets).to(device), pieces, extra)


def _transpose(
    bits: NDArray[np.unsignedinteger], offsets: NDArray[np.int32], width: int, device: torch.device
) -> tuple[TablePiece, ...]:
    # A stable sort of 16-bit keys is a radix sort in numpy, several times faster than torch.sort.
    order = np.argsort(bits, kind="stable")
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))[order]
    ends = np.zeros(width + 1, dtype=np.int32)
    np.cumsum(np.bincount(bits, minlength=width), out=ends[1:])
    step = TABLE_PIECE_ROWS if device.type == "cpu" else width
    pieces = []
    for start in range(0, width, step):
        stop = min(start + step, width)
        piece_rows = torch.from_numpy(rows[ends[start] : ends[stop]]).to(device)
        piece_offsets = torch.from_numpy(ends[start : stop + 1] - ends[start]).to(device)
        pieces.append(TablePiece(start, stop, piece_rows, piece_offsets))
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The bits that occur in the rows of one fit, as positions in a smaller table.

    Attributes
    ----------
    bits:
        int64, ascending, shape (n_seen,).
    width:
        Size of the full vocabulary.
    """

    bits: NDArray[np.int64]
    width: int

    @classmethod
    def of(cls, parts: Sequence[OnBits]) -> Vocabulary:
        """The bits that occur in at least one row of `parts`."""
        width = parts[0].width
        seen = np.zeros(width, dtype=bool)
        for part in parts:
            first, end = int(part.offsets[0]), int(part.offsets[-1])
            for start in range(first, end, _VOCABULARY_PIECE):
                seen[part.values[start : min(start + _VOCABULARY_PIECE, end)]] = True
        if not seen.any():
            seen[0] = True  # a table needs a row, even where all fingerprints are empty
        return cls(np.flatnonzero(seen), width)

    def remap(self, features: OnBits) -> OnBits:
        """The same rows in terms of positions in `bits`, as uint16 where they fit."""
        positions = np.zeros(self.width, dtype=np.uint16 if len(self.bits) <= 1 << 16 else np.uint32)
        positions[self.bits] = np.arange(len(self.bits))
        values = positions[features.values[features.offsets[0] : features.offsets[-1]]]
        return OnBits(values, features.offsets - features.offsets[0], len(self.bits))


def check_fit(features: Features, kind: str, width: int) -> None:
    """Refuse features of another kind or width than the network was made for.

    Raises
    ------
    LibraryError
        With both shapes.
    """
    given = "dense" if isinstance(features, Dense) else "on_bits"
    if (given, features.width) != (kind, width):
        raise LibraryError(
            f"the features are {given} with {features.width} columns, the model expects {kind} with {width}",
            "",
            "use the library the model was fitted on, or fit again with this library's feature specification",
        )
