"""`none`: never stop before the budget ends or all is measured; the paper's bound is reported, for reading only."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.core.rules import paper
from isd_ray.core.rules.base import StoppingRule
from isd_ray.messages import RoundEvidence, StopDecision


class NoRule(StoppingRule):
    """See the module."""

    judges = False
    may_keep_wells = True

    def decide(self, evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
        """Go on."""
        decision = paper.RULE.decide(evidence, config)
        if evidence.n_inference == 0:
            return decision
        return StopDecision("continue", "no stopping rule", decision.alpha, decision.system_bound)


RULE = NoRule()
