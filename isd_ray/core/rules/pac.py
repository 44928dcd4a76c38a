"""`pac`: one look at the full risk. A guarantee."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.core.looks import LookRule
from isd_ray.core.rules.base import StoppingRule


class Pac(StoppingRule):
    """See the module; the proof is in `docs/guarantees.md`."""

    draws_audits = True

    def looks(self, config: StoppingConfig, batch_size: int) -> LookRule:
        """One, in portions if they are asked for."""
        return LookRule.pac(config.delta, batch_size, config.portions)


RULE = Pac()
