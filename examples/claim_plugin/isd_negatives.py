"""A claim for isd_ray: of the compounds delivered as others, measured and predicted, nearly none is a hit.

Before a look n predicted others are left, K of them hits, and h others are measured: D = h + n are delivered as others.
The claim, a negative predictive value of P, allows for (1 - P) D wrong ones, rounded down to a. An audit of m of the n
finds e hits. The r of them that a readout has put right (all but lost wells) leave the delivered others: of D - r then
K - r are wrong, and at least a - s may be, with s = (1 - P) r rounded up. So where the claim is false, K > a - s + r.
The p-value of the exact test, "at most e of m where K of n are bad", falls in K: if that of a - s + r + 1 is at most
the risk of the look, so is that of K, which has probability at most that risk.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from isd_ray.config.claims import Claim
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.goals import OTHERS, HitGoal
from isd_ray.core.looks import LookVerdict


@dataclass(frozen=True, slots=True)
class NegativePredictiveValue(HitGoal):
    quantity: ClassVar[str] = "negative_predictive_value"
    noun: ClassVar[str] = "negative predictive value"
    may_finish: ClassVar[bool] = False
    constant_by_loss: ClassVar[bool] = True

    @property
    def fixed_answer(self):
        return int(self.positive == 0)  # calling nothing a hit is what the claim is held against

    def true_value(self, delivered, truth):
        others = truth[delivered != self.positive]
        return float((others != self.positive).mean()) if len(others) else 1.0

    def value(self, counts, losses):
        delivered = counts.n_others + counts.left[OTHERS]
        return 1.0 - losses[OTHERS] / delivered if delivered else 1.0

    def allowances(self, counts, expected):
        return (self.wrong(counts.n_others + counts.left[OTHERS]),)

    def settle(self, plans, hits, n_others):
        return tuple(replace(plan, allowed=self.wrong(n_others + plan.n_inference)) for plan in plans)

    def judge(self, plan, audit, hits):
        found = int(audit.losses.sum())
        put_right = found - audit.n_uncorrected
        least = int(plan.allowed) - math.ceil(put_right * self.share) + put_right + 1
        pvalue = hypergeometric_pvalue(found, plan.n_inference, least, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)

    @property
    def share(self):
        return 1 - Fraction(str(self.level))  # exact in its decimals

    def wrong(self, n_delivered):
        return math.floor(n_delivered * self.share)


negative_predictive_value = Claim({"classification": NegativePredictiveValue})
