"""`paper`: the rule of the paper, Eq. 5 and 6. A heuristic, without a guarantee."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.core.bounds import kl_lower_bound
from isd_ray.core.rules.base import StoppingRule
from isd_ray.messages import RoundEvidence, StopDecision


class Paper(StoppingRule):
    """Stop when (n_obs + alpha * n_inf) / n_target > gamma.

    Assumes that the model is weakly calibrated (Lemma 1), so that the hardest rows bound the rest, and looks every
    round at the full delta. Where a confident region is wrong it stops falsely. Rows of a panel count by their
    share of right outputs: the bound for coins holds for any independent values in [0, 1] (Hoeffding 1963).
    """

    is_heuristic = True
    may_keep_wells = True

    def decide(self, evidence: RoundEvidence, config: StoppingConfig) -> StopDecision:
        """Eq. 6, with a strict inequality."""
        if evidence.n_inference == 0:
            return StopDecision("stop", "every compound of the target set is measured", 1.0, 1.0)
        if evidence.n_top == 0:
            return StopDecision("continue", "no row chosen by the acquisition function yet")
        alpha = kl_lower_bound(evidence.n_top_correct / evidence.n_top, evidence.n_top, config.delta)
        bound = (evidence.n_observed + alpha * evidence.n_inference) / evidence.n_target
        if bound > config.gamma:
            return StopDecision("stop", f"the paper's bound {bound:.4f} is above gamma {config.gamma:g}", alpha, bound)
        words = f"the paper's bound {bound:.4f} is not above gamma {config.gamma:g}"
        return StopDecision("continue", words, alpha, bound)


def earliest_paper_stop(batch_size: int, gamma: float, delta: float) -> float:
    """Least share of the target set at which the paper's rule can stop, were every prediction right.

    alpha is at most delta**(1/b), so the share f must satisfy f + (1 - f) * delta**(1/b) > gamma.
    """
    alpha = delta ** (1.0 / batch_size)
    return max(0.0, (gamma - alpha) / (1.0 - alpha))


RULE = Paper()
