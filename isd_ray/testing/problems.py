"""Small problems that a model can learn, with all that real libraries have: bits, missing values, structures.

Compounds are chains of fragments. The rule is in how often one of them occurs, and can be read from any block alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.features import Block, Dense, FeatureBlocks, OnBits, Stack, Texts
from isd_ray.core.panels import entries_of, pack_labels
from isd_ray.models.base import BlockShape, Observed, Problem

FRAGMENTS = ("CN", "CC", "CO", "CS", "C(F)", "C(Cl)", "C(=O)", "c1ccc(cc1)")
"""The first carries the rule."""
MOST = 4
"""Most times that a fragment occurs in a compound, so five classes of counts."""
WIDTH = 64
"""On-bits: one for each fragment, thermometer bits of the rule, noise."""
BITS, VALUES, PIXELS, SMILES = "bits", "values", "pixels", "smiles"
SHAPES = {
    BITS: BlockShape(BITS, "on_bits", WIDTH),
    VALUES: BlockShape(VALUES, "dense", 6, standardised=True),
    PIXELS: BlockShape(PIXELS, "dense", 5, scale=1 / 255),
    SMILES: BlockShape(SMILES, "texts", 1),
}
USUAL = (BITS, VALUES)
"""Blocks of a problem that says nothing else."""
NEVER_MEASURED, ONE_CLASS = 7, 8
"""Outputs of the panel without a label, and with one class only."""
KINDS: dict[str, tuple[Task, int]] = {
    "two classes": ("classification", 2),
    "five classes": ("classification", MOST + 1),
    "values": ("regression", 1),
    "panel": ("panel", len(FRAGMENTS) + 1),
    "panel with numbers": ("panel", len(FRAGMENTS) + 1),
}
"""Tasks and outputs of the problems."""
NUMBERS = {"panel with numbers": (0, 1, NEVER_MEASURED)}
"""Of a panel: outputs that are numbers, of the rule, of another fragment in another unit, and without a label."""
_NOISE_BITS = range(16, WIDTH - 4)
UNSEEN_BITS = range(WIDTH - 4, WIDTH)
"""On-bits that only rows to be predicted have."""
_HIDDEN = 0.3
"""Share of a panel's entries that was not measured."""


_Maker = Callable[[NDArray[np.int64], np.random.Generator], Block]


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of n rows, and what is true of them.

    Attributes
    ----------
    features:
        All blocks; every array is read-only.
    labels:
        As `isd_ray.models.base.Observed` takes them.
    """

    features: FeatureBlocks
    labels: NDArray[Any]

    def take(self, rows: NDArray[np.integer]) -> Rows:
        """The given rows, in the given order."""
        return Rows(read_only(self.features.take(rows)), self.labels[rows])

    def observed(self, **changes: Any) -> Observed:
        """All rows as an observation set, in two parts."""
        half = (len(self.labels) + 1) // 2
        parts = [np.arange(half), np.arange(half, len(self.labels))]
        stack = Stack(tuple(read_only(self.features.take(part)) for part in parts if len(part)))
        return replace(Observed(stack, np.arange(len(self.labels)), self.labels), **changes)


def problem_of(kind: str, blocks: Sequence[str]) -> Problem:
    """The problem of that kind, in which a model sees the given blocks."""
    task, n_outputs = KINDS[kind]
    shapes = tuple(SHAPES[name] for name in dict.fromkeys(blocks))
    if kind not in NUMBERS:
        return Problem(task, n_outputs, shapes)
    return Problem(task, n_outputs, shapes, tuple(place in NUMBERS[kind] for place in range(n_outputs)))


def make_rows(kind: str, n: int, seed: int, blocks: Sequence[str]) -> Rows:
    """N rows of a problem, the same for the same arguments.

    A tenth of the values is missing; the last column of values always is. A twentieth of the rows has no bit at all.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, MOST + 1, (n, len(FRAGMENTS))) * (rng.random((n, len(FRAGMENTS))) < 0.7)
    makers: Mapping[str, _Maker] = {BITS: _bits, VALUES: _values, PIXELS: _pixels, SMILES: _smiles}
    features = {
        name: makers[name](counts, np.random.default_rng((seed, place)))
        for place, name in enumerate(makers)
        if name in blocks
    }
    return Rows(read_only(FeatureBlocks(features)), _labels(kind, counts, rng))


def _labels(kind: str, counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
    if kind == "two classes":
        return (counts[:, 0] > 1).astype(np.int64)
    if kind == "five classes":
        return counts[:, 0].astype(np.int64)
    if kind == "values":
        return 250.0 + 40.0 * counts[:, 0] + rng.normal(0.0, 5.0, len(counts))
    matrix = np.concatenate([counts > 0, np.ones((len(counts), 1), bool)], axis=1).astype(np.int8)
    matrix[rng.random(matrix.shape) < _HIDDEN] = -1
    matrix[:, NEVER_MEASURED] = -1
    matrix[0, ONE_CLASS] = 1
    if kind not in NUMBERS:
        return pack_labels(matrix)
    values = np.where(matrix < 0, np.nan, matrix)
    of_rule, of_other = NUMBERS[kind][:2]
    values[:, of_rule] += 249.0 + 40.0 * counts[:, 0] + rng.normal(0.0, 5.0, len(counts)) - (matrix[:, of_rule] - 1)
    values[:, of_other] += 1e-3 * counts[:, 1] - matrix[:, of_other]
    return values


def _bits(counts: NDArray[np.int64], rng: np.random.Generator) -> OnBits:
    matrix = np.zeros((len(counts), WIDTH), bool)
    matrix[:, : len(FRAGMENTS)] = counts > 0
    for level in range(1, MOST):
        matrix[:, len(FRAGMENTS) + level] = counts[:, 0] > level
    matrix[:, _NOISE_BITS] = rng.random((len(counts), len(_NOISE_BITS))) < 0.2
    matrix[::20] = False
    return bits_of(matrix)


def bits_of(matrix: NDArray[np.bool_]) -> OnBits:
    """The on-bits of a matrix, bool (n, width)."""
    offsets = np.zeros(len(matrix) + 1, np.int64)
    np.cumsum(matrix.sum(axis=1), out=offsets[1:])
    return OnBits(np.nonzero(matrix)[1].astype(np.uint16), offsets, matrix.shape[1])


def _values(counts: NDArray[np.int64], rng: np.random.Generator) -> Dense:
    values = rng.normal(0.0, 1.0, (len(counts), SHAPES[VALUES].width))
    values[:, :2] = (counts[:, :2] - 1.4) / 1.4 + 0.1 * values[:, :2]
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, -1] = np.nan
    return Dense(np.clip(values, -4.0, 4.0).astype(np.float16))


def _pixels(counts: NDArray[np.int64], rng: np.random.Generator) -> Dense:
    pixels = rng.integers(0, 256, (len(counts), SHAPES[PIXELS].width))
    pixels[:, :2] = 60 * counts[:, :2]
    return Dense(pixels.astype(np.uint8))


def _smiles(counts: NDArray[np.int64], rng: np.random.Generator) -> Texts:
    texts = [
        "C" + "".join(rng.permutation([part for part, k in zip(FRAGMENTS, row, strict=True) for _ in range(k)]))
        for row in counts.tolist()
    ]
    return Texts(np.array(texts, object))


def arrays_of(block: Block) -> list[NDArray[Any]]:
    """The arrays of a block."""
    return [block.values, block.offsets] if isinstance(block, OnBits) else [block.values]


def read_only(features: FeatureBlocks) -> FeatureBlocks:
    """The same features, whose arrays nobody can write to, as those of a memory map."""
    for block in features.blocks.values():
        for array in arrays_of(block):
            array.setflags(write=False)
    return features


def with_blocks(features: FeatureBlocks, **blocks: Block) -> FeatureBlocks:
    """Features in which some blocks are others; those that are not there are left out."""
    return read_only(FeatureBlocks({name: blocks.get(name, block) for name, block in features.blocks.items()}))


def learnable(kind: str, labels: NDArray[Any]) -> NDArray[np.int8]:
    """Of a panel the entries that can be learnt, int8 (n, K): measured, of outputs with two classes; others -1."""
    entries = entries_of(labels, KINDS[kind][1])
    matrix = np.where(np.isnan(entries), -1, entries).astype(np.int8)
    matrix[:, [NEVER_MEASURED, ONE_CLASS, *NUMBERS.get(kind, ())]] = -1
    return matrix
