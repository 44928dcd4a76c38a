"""An acquisition function for isd_ray: compounds that are probably hits first, among equals the least certain."""

import numpy as np

from isd_ray.core.acquisition import AcquisitionFunction, Candidates, least_confidence


def score(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """The committee's probability of a hit, and a second score that orders equals; float32 (rows,) each."""
    hit = candidates.probabilities[:, candidates.hit]
    return hit.astype(np.float32), least_confidence(candidates)[0]


likely_hits = AcquisitionFunction("likely_hits", score, ("classification",), needs_hit=True)
