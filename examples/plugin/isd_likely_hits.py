"""An acquisition function for isd_ray: compounds that are probably hits first, among equals the least certain."""

import numpy as np

from isd_ray.core.acquisition import AcquisitionFunction, Candidates, least_confidence


def score(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """From class probabilities (members, rows, classes) to score and tie-break, float32 (rows,) each."""
    hit = candidates.outputs[:, :, -1].mean(axis=0)  # the last class of `labels.classes` is the hit
    return hit.astype(np.float32), least_confidence(candidates)[0]


likely_hits = AcquisitionFunction("likely_hits", score, ("classification",))
