"""The plainest way to make a batch: the rows with the best scores."""

from __future__ import annotations

from isd_ray.config.picks import BatchPick

BEST = BatchPick()
