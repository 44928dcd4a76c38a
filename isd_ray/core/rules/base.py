"""What each stopping rule says of a round, and how it looks: pure functions of the evidence."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.config.rules import Rule
from isd_ray.core.looks import LookRule
from isd_ray.messages import RoundEvidence, StopDecision


class StoppingRule(Rule):
    """A rule whose stop is that of a look; others override what differs."""

    def decide(self, evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
        """What it says of a round."""
        return between_looks(evidence, config)

    def looks(self, config: StoppingConfig, batch_size: int) -> LookRule:
        """How it looks; a rule without looks of its own looks as `certify` does, once, at the end of a budget."""
        return LookRule.certify(config.delta, config.max_looks, batch_size, config.first_look_share, 1)

    def reserved_rows(self, config: StoppingConfig, n_target: int) -> int:
        """Rows of an audit that is drawn before the first model."""
        return 0


def between_looks(evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
    """Between looks nothing can stop; the bound reported is that of `random_bound`, and no stop rests on it."""
    if evidence.n_inference == 0:
        if n_abandoned := evidence.n_target - evidence.n_observed:
            return StopDecision("stop", f"no compound is left to measure; {n_abandoned} of the reserve gave no readout")
        return StopDecision("stop", "every compound of the target set is measured", system_bound=1.0)
    if evidence.n_finish_lost > config.finish_tolerance:
        lost = f"{evidence.n_finish_lost} of the {evidence.n_finish} compounds of the finish gave no readout"
        return StopDecision("continue", f"{lost}; the look is spent")
    if evidence.n_finish:
        return StopDecision("stop", f"the finish of {evidence.n_finish} compounds completes a passed look")
    return StopDecision("continue", "goes on; no audit this round")
