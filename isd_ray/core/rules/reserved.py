"""`reserved`: looks at an audit that is measured before the first model and never trained on. A guarantee."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.core.audit_size import reserve_size
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.looks import LookRule, look_deltas
from isd_ray.core.rules.base import StoppingRule


class Reserved(StoppingRule):
    """See the module; the proof is in `docs/guarantees.md`."""

    is_reserved = True
    has_many_looks = True

    def looks(self, config: StoppingConfig, batch_size: int) -> LookRule:
        """Several at the same rows."""
        return LookRule.reserved(config.delta, config.max_looks, batch_size, config.first_look_share)

    def reserved_rows(self, config: StoppingConfig, n_target: int) -> int:
        """As `reserve_size` says, or enough to certify a model with half the allowed errors.

        Raises
        ------
        ValueError
            If no reserve could certify.
        """
        if config.reserve_size is not None:
            return min(config.reserve_size, n_target)
        first, *_ = look_deltas(config.delta, config.max_looks, config.first_look_share)
        return reserve_size(n_target, allowed_errors(n_target, config.gamma), first)


RULE = Reserved()
