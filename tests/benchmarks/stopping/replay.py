"""A world of recorded scores: models of growing training sets, and what they said of molecules they never saw."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True)
class Recording:
    """Scores of every molecule under every model, on several paths.

    Attributes
    ----------
    n_train:
        int64 (n_models,), ascending: size of the training set of each model of a path.
    uncertainty:
        float32 (n_paths, n_models, n_molecules).
    wrong:
        bool, the same shape: the prediction is not the readout.
    """

    n_train: np.ndarray
    uncertainty: np.ndarray
    wrong: np.ndarray

    def save(self, file):
        """Write a compressed .npz; whole or not at all, as several processes may want it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}")
        with partial.open("wb") as stream:
            np.savez_compressed(stream, n_train=self.n_train, uncertainty=self.uncertainty, wrong=self.wrong)
        partial.replace(file)

    @classmethod
    def load(cls, file):
        with np.load(file) as arrays:
            return cls(arrays["n_train"], arrays["uncertainty"], arrays["wrong"])


class Replay:
    """A random subset of the recorded molecules, in random order, scored by one of the recorded paths.

    The present model is the recorded one with the largest training set that is not above the number of observed rows.
    Errors are facts of the recording, whatever the rule that is tried does; worlds differ by molecules, order and path.
    """

    def __init__(self, recording, n, rng):
        n_paths, _, n_molecules = recording.wrong.shape
        self.n, self.recording = n, recording
        # A random order, so that a tie-break by row number is a random one.
        self.molecules = rng.choice(n_molecules, n, replace=False)
        self.path = rng.integers(n_paths)
        self.refit(np.zeros(n, np.bool_))

    def refit(self, observed):
        model = max(0, np.searchsorted(self.recording.n_train, observed.sum(), side="right") - 1)
        self.doubt = self.recording.uncertainty[self.path, model, self.molecules]
        self.loss = self.recording.wrong[self.path, model, self.molecules].astype(np.float64)

    def losses(self, rows):
        return self.loss[rows]

    def uncertainty(self, rows):
        return self.doubt[rows]


def cache_folder():
    """Where recordings are kept: the folder that ISD_CACHE names, else `runs/` of the checkout, which git ignores."""
    return Path(os.environ.get("ISD_CACHE") or REPOSITORY / "runs" / "benchmarks")
