"""Our own claims pass the tests that we ship for those of others, and broken ones do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest

from isd_ray.config.claims import BUILT_IN_CLAIMS, Claim, claim_named
from isd_ray.core import enumeration
from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.enumeration import problems_of
from isd_ray.core.goals import HITS, OTHERS, MeanAbsoluteError, PanelAbsoluteError, PanelRecall, Precision, Recall
from isd_ray.core.goals.precision import judge_precision, precision_allowance
from isd_ray.core.looks import LookVerdict
from isd_ray.testing.claims import ClaimConformance

UNTRIED = {"accuracy": "is_share_right", "recall": "by_output"}
"""What our own claims have, and no other may."""

for _name in BUILT_IN_CLAIMS:
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (ClaimConformance,), {"claim": claim_named(_name)})
for _name in UNTRIED:
    globals()[f"Test_{_name}"].test_it_asks_for_nothing_that_is_not_tried = None


@pytest.mark.parametrize("quantity", UNTRIED)
def test_reserves_and_claims_about_outputs_are_for_our_own_claims_alone(quantity):
    assert UNTRIED[quantity] in " ".join(enumeration.untried(claim_named(quantity)))


class OneErrorMore(Precision):
    """Allows for an error more than there may be."""

    def judge(self, plan, audit, hits):
        found = int(audit.losses.sum())
        credited = found - audit.n_uncorrected
        pvalue = hypergeometric_pvalue(found, plan.n_inference, int(plan.allowed) + 2 + credited, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


class TwiceTheRisk(Recall):
    def judge(self, plan, audit, hits):
        return super().judge(replace(plan, delta=2 * plan.delta), audit, hits)


class LostIsFound(Precision):
    """Takes lost wells for false hits that are delivered no more."""

    def judge(self, plan, audit, hits):
        return judge_precision(plan, audit.losses > 0.5, hits[0], self.level)


class LostIsRight(Precision):
    def judge(self, plan, audit, hits):
        return judge_precision(plan, (audit.losses > 0.5) & audit.measured, hits[0], self.level)


class FirstHalf(Precision):
    """Looks at half of the audit only."""

    def judge(self, plan, audit, hits):
        half = plan.size // 2
        seen = audit.losses[:half] > 0.5
        allowed = int(plan.allowed)
        pvalue = hypergeometric_pvalue(int(seen.sum()), plan.n_inference, allowed + 1, half)
        return LookVerdict(pvalue <= plan.delta, 0, float(audit.losses.sum()), pvalue)


class FewerHitsAreBetter(Precision):
    """Allows for less than it might, and the less the more hits there are: who amends a hit wins by it."""

    def judge(self, plan, audit, hits):
        found, allowed = int(audit.losses.sum()), int(plan.allowed) - hits[0]
        pvalue = hypergeometric_pvalue(found, plan.n_inference, max(allowed, 0) + 1, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


class FewerOthersAreBetter(Precision):
    """Allows for the less the more of the measured are no hits: who amends one of them wins by it."""

    def settle(self, plans, hits, n_others):
        allowed = [precision_allowance(hits[0], plan.n_inference, self.level) - n_others for plan in plans]
        return tuple(replace(plan, allowed=max(0, n)) for plan, n in zip(plans, allowed, strict=True))

    def judge(self, plan, audit, hits):
        found = int(audit.losses.sum())
        pvalue = hypergeometric_pvalue(found, plan.n_inference, int(plan.allowed) + 1, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


class CountsOnPredictedHits(Recall):
    """Measures no predicted hit, and believes that all of them are hits."""

    takes_hits: ClassVar[bool] = False

    def settle(self, plans, hits, n_others):
        return tuple(plans)

    def judge(self, plan, audit, hits):
        found = int(audit.losses.sum())
        pvalue = hypergeometric_pvalue(found, plan.n_inference, int(plan.allowed) + 1, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


class NoLostHitIsFalse(Recall):
    """The F1 of hits, 2 TP / (2 TP + FP + FN): forgets false ones among predicted hits whose wells are lost twice."""

    quantity: ClassVar[str] = "f1"
    may_finish: ClassVar[bool] = False

    def true_value(self, delivered, truth):
        said, hit = delivered == self.positive, truth == self.positive
        return f1(int((said & hit).sum()), int((said != hit).sum()))

    def value(self, counts, losses):
        return f1(counts.n_hits + counts.left[HITS] - losses[HITS], losses[HITS] + losses[OTHERS])

    def allowances(self, counts, expected):
        return (self.missed(counts.n_hits + max(0, math.floor(counts.left[HITS] - expected[HITS]))),)

    def settle(self, plans, hits, n_others):
        return tuple(replace(plan, allowed=self.missed(hits[0])) for plan in plans)

    def judge(self, plan, audit, hits):
        found = int(audit.losses.sum())
        credited = found - audit.n_uncorrected
        least = self.missed(hits[0] + credited) + credited + 1
        pvalue = hypergeometric_pvalue(found, plan.n_inference, least, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)

    def missed(self, n_hits):
        level = Fraction(str(self.level))
        return math.floor(2 * n_hits * (1 - level) / level)


def f1(right, wrong):
    return 2 * right / (2 * right + wrong) if right + wrong else 1.0


class NoLostHitOfAPanelIsFalse(PanelRecall):
    """The share of delivered hits that are hits: takes all of them for measured, so that an audit need not show it."""

    def true_value(self, delivered, truth):
        return super().true_value(truth, delivered)

    def judge(self, plan, audit, hits):
        return replace(super().judge(plan, audit, hits), stop=True)


class NoHitHides(PanelRecall):
    """Takes predicted hits of one output whose wells are lost for no hits of the others."""

    def with_unread(self, plans, prediction):
        return tuple(plans)


class BelievesItsForecast(Precision):
    """Allows for the errors that it has forecast."""

    def allowances(self, counts, expected):
        [allowed] = super().allowances(counts, expected)
        return (min(allowed + expected[HITS], counts.left[HITS] - 1),)

    def judge(self, plan, audit, hits):
        found = int(audit.losses.sum())
        pvalue = hypergeometric_pvalue(found, plan.n_inference, int(plan.allowed) + 1, plan.size)
        return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


class OtherGroup(Precision):
    """Audits the predicted others, in which no false hit is."""

    audited: ClassVar[tuple[int, ...]] = (OTHERS,)


class CarelessFinish(Recall):
    """Stops where the finish has not shown yet that it suffices."""

    def judge(self, plan, audit, hits):
        verdict = super().judge(plan, audit, hits)
        return replace(verdict, n_finish=verdict.n_finish // 2)


class OtherValue(Precision):
    def value(self, counts, losses):
        return 1.0 - sum(losses) / counts.n_target


class MoreErrorsAreBetter(Precision):
    """The share of false hits, by its value as by its definition: no bound on errors shows that it is large."""

    def value(self, counts, losses):
        return 1.0 - super().value(counts, losses)

    def true_value(self, delivered, truth):
        return 1.0 - super().true_value(delivered, truth)


class EasilyMet(Recall):
    def is_met(self, counts, losses):
        return True


class NeverShown(Recall):
    def judge(self, plan, audit, hits):
        return replace(super().judge(plan, audit, hits), stop=False)


class Hidden(Recall):
    @property
    def words(self):
        return f"recall is at least {self.level:g}"


class Nameless(Precision):
    @property
    def words(self):
        return f"{self.name} is good"


class Raises(Precision):
    def judge(self, plan, audit, hits):
        raise ZeroDivisionError("by the number of hits")


@dataclass(frozen=True, slots=True)
class NothingIsKept(MeanAbsoluteError):  # noqa: N818 (no exception)
    def kept(self, labels):
        return np.zeros(len(labels))


@dataclass(frozen=True, slots=True)
class OtherUnits(PanelAbsoluteError):  # noqa: N818 (no exception)
    """Averages errors in the units of the outputs, and claims them in tolerances."""

    def losses(self, prediction, labels):
        return PanelAbsoluteError.losses(replace(self, tolerances=(1.0,) * 3), prediction, labels)


@dataclass(frozen=True, slots=True)
class NoNumberIsLost(PanelAbsoluteError):  # noqa: N818 (no exception)
    def kept(self, labels):
        return np.zeros(len(labels))


BROKEN = {
    "false_stops": (
        *(OneErrorMore, TwiceTheRisk, LostIsFound, CountsOnPredictedHits),
        *(NoLostHitIsFalse, NoLostHitOfAPanelIsFalse, NoHitHides, BelievesItsForecast, OtherGroup, CarelessFinish),
        *(NothingIsKept, NoNumberIsLost),
    ),
    "odd_audits": (LostIsRight, FirstHalf),
    "helping_amendments": (FewerHitsAreBetter, FewerOthersAreBetter),
    "wrong_values": (OtherUnits, OtherValue, MoreErrorsAreBetter, EasilyMet),
    "never_certified": (NeverShown,),
    "hidden_words": (Hidden, Nameless),
}
CASES = [(check, kind) for check, kinds in BROKEN.items() for kind in kinds]


def claim_of(kind) -> Claim:
    task = "regression" if kind.is_regression else "panel" if kind.is_panel else "classification"
    return Claim({task: kind})


@pytest.mark.parametrize(("check", "kind"), CASES, ids=[kind.__name__ for _, kind in CASES])
def test_what_is_wrong_is_found(check, kind):
    assert next(getattr(enumeration, check)(claim_of(kind)), None) is not None


def test_what_a_claim_raises_is_a_problem_of_it():
    found = problems_of(claim_of(Raises))
    assert any("ZeroDivisionError: by the number of hits" in problem for problem in found)


def test_the_suite_names_each_problem_once_and_none_of_a_claim_that_is_right():
    assert problems_of(Claim({"classification": Precision})) == []
    [problem] = problems_of(claim_of(OneErrorMore))
    assert "stops falsely with probability 0." in problem
