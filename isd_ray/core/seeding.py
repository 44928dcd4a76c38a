"""Seeds derived from the campaign's seed, and the seeded hash of a row that breaks ties."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def derive_seed(campaign_seed: int, *path: int | str) -> int:
    """Seed for one purpose: a 63-bit integer that depends on the campaign's seed and on every part of `path`.

    A cryptographic hash, so that neighbouring rounds and members get unrelated streams.
    """
    text = "/".join(str(part) for part in (campaign_seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def draw_seed(campaign_seed: int, nonce: str | None, purpose: str, round_number: int, *content: str) -> int:
    """A seed for rows that chance chooses: from the campaign's nonce too, and from `content`.

    With the campaign's seed alone two campaigns on one library would draw the same rows, and a model that knows the
    readouts of the first would be better exactly on the audits of the second. Simulations draw from their seed alone,
    so that they can be repeated, and so do campaigns from before there were nonces.
    """
    return derive_seed(campaign_seed, purpose, round_number, *((nonce, *content) if nonce else ()))


def tie_keys(seed: int, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A seeded pseudo-random key of each row, shape (n,): smaller comes first among rows of equal score.

    SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), a bijection of the 64-bit integers: for one
    seed two rows never share a key, and the key does not depend on file order, shards or blocks.
    """
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
