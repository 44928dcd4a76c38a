"""Alignment to controls, and the mean of means: wells → plates → experiments → guides.

Where every well ends up is known from the well table alone, so a mean of means is one weighted sum over the stream of
wells: memory is that of the aggregated embeddings, however many wells there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.data.phenomics.wells import Codes, Embeddings, Wells, combined
from isd_ray.errors import InputFileError

MIN_CONTROLS = 2
"""Control wells that a standard deviation takes."""


@dataclass(frozen=True, slots=True)
class Controls:
    """Unperturbed cells of E experiments, and which embeddings are of use.

    Attributes
    ----------
    mean, sd:
        float64 (E, d); NaN where an experiment has fewer than two controls. A dimension in which its controls do not
        vary has sd 1: it is centred only.
    n:
        int64 (E,): control wells.
    usable:
        bool (n_wells,): wells with a finite embedding.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    n: NDArray[np.int64]
    usable: NDArray[np.bool_]


def control_statistics(wells: Wells, embeddings: Embeddings) -> Controls:
    """Mean and standard deviation of each experiment's controls, in one pass over the wells.

    Raises
    ------
    InputFileError
        If no experiment has two controls.
    """
    shape = (len(wells.experiments), embeddings.width)
    n, mean, squares = np.zeros(shape[0], np.int64), np.zeros(shape), np.zeros(shape)
    usable = np.zeros(len(wells), np.bool_)
    for rows, vectors in embeddings:
        finite = np.isfinite(vectors).all(axis=1)
        usable[rows] = finite
        kept = finite & wells.is_control[rows] & (wells.experiment[rows] >= 0)
        experiments = wells.experiment[rows[kept]]
        for e in np.unique(experiments).tolist():
            # Chan, Golub & LeVeque (1979): sums of squares joined without the loss of large means.
            part = vectors[kept][experiments == e].astype(np.float64)
            n_new, delta = n[e] + len(part), part.mean(axis=0) - mean[e]
            squares[e] += np.square(part - part.mean(axis=0)).sum(axis=0) + delta**2 * n[e] * len(part) / n_new
            mean[e] += delta * len(part) / n_new
            n[e] = n_new
    enough = n >= MIN_CONTROLS
    if not enough.any():
        raise InputFileError(
            f"no experiment has {MIN_CONTROLS} control wells with an embedding",
            "phenomics.controls",
            "check phenomics.control, phenomics.controls and phenomics.experiment",
        )
    mean[~enough] = np.nan
    sd = np.sqrt(squares / np.maximum(n - 1, 1)[:, None])
    sd[sd == 0] = 1.0
    return Controls(mean, sd, n, usable)


def nested_weights(chosen: NDArray[np.bool_], levels: Sequence[Codes]) -> NDArray[np.float32]:
    """Weights with which a sum over wells is the mean over each level of the means over the next, float32 (n,).

    Parameters
    ----------
    chosen:
        bool (n,): wells that count; the others have weight 0.
    levels:
        Codes of the wells from the outermost level in, int64 (n,) each; wells are the innermost.
    """
    wells = np.flatnonzero(chosen)
    group = combined(levels[0][wells], np.zeros(len(wells), np.int64))
    weights = np.ones(len(wells))
    for level in (*(level[wells] for level in levels[1:]), np.arange(len(wells))):
        child = combined(group, level)
        parent_of_child = np.zeros(int(child.max(initial=-1)) + 1, np.int64)
        parent_of_child[child] = group
        weights /= np.bincount(parent_of_child)[group]
        group = child
    result = np.zeros(len(chosen), np.float32)
    result[wells] = weights
    return result


def aggregate(
    wells: Wells, embeddings: Embeddings, controls: Controls, target: Codes, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted sums of the aligned embeddings, float32 (max(target) + 1, d).

    Each embedding is centred and scaled to the controls of its experiment, so its unit is their standard deviation.

    Parameters
    ----------
    target:
        int64 (n,): which sum a well belongs to; -1 where none.
    weights:
        float32 (n,), as of `nested_weights`; wells of weight 0 are not read.
    """
    sums = np.zeros((int(target.max(initial=-1)) + 1, embeddings.width), np.float32)
    for rows, vectors in embeddings:
        kept = weights[rows] > 0
        if not kept.any():
            continue
        rows = rows[kept]
        experiment = wells.experiment[rows]
        aligned = (vectors[kept] - controls.mean[experiment]) / controls.sd[experiment]
        aligned *= weights[rows, None]
        order = np.argsort(target[rows], kind="stable")
        targets, starts = np.unique(target[rows][order], return_index=True)
        sums[targets] += np.add.reduceat(aligned[order], starts, axis=0)
    return sums
