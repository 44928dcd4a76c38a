"""`certify`: looks at random audits, planned by forecasts, with delta split over them. A guarantee."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.core.looks import LookRule
from isd_ray.core.rules.base import StoppingRule


class Certify(StoppingRule):
    """See the module; the proof is in `docs/guarantees.md`."""

    draws_audits = True
    has_many_looks = True
    may_keep_wells = True

    def looks(self, config: StoppingConfig, batch_size: int) -> LookRule:
        """Several, in portions if they are asked for."""
        return LookRule.certify(config.delta, config.max_looks, batch_size, config.first_look_share, config.portions)


RULE = Certify()
