"""What one answer for every compound reaches, in words, where outputs of a panel have claims of different kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isd_ray.campaign.constant import constant_warning, constant_words
from isd_ray.config.stopping import MeanErrorClaim
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.goals import OutputClaims, OutputGoal

HIT = OutputGoal("hit", 0.8, 0.25, is_recall=True)
SHARE = OutputGoal("share", 0.9, 0.25)
ERROR = OutputGoal("error", 0.7, 0.25, 0.5, MeanErrorClaim(0.6, 2.0, 1))
REACHED = {"hit": 0.3, "share": 0.95, "error": 0.75}


def about(*claims: OutputGoal, **reached: float) -> tuple[OutputClaims, ConstantAnswer]:
    known = REACHED | reached
    outputs = [ConstantAnswer(None, known[claim.name], known[claim.name]) for claim in claims]
    ends = [one.low for one in outputs]
    return OutputClaims(0.8, None, claims), ConstantAnswer(None, min(ends), max(ends), None, tuple(outputs))


@pytest.mark.parametrize(
    ("claims", "has"),
    [
        ((HIT, SHARE), "has accuracy 0.95; as many"),
        ((HIT, ERROR), "has one less the mean loss, in parts of the largest that counts, 0.75; as many"),
        (
            (SHARE, ERROR),
            "has accuracy, of mean errors one less the mean loss, in parts of the largest that counts, 0.75",
        ),
    ],
)
def test_a_mean_error_is_not_called_an_accuracy(claims, has):
    assert has in constant_words(*about(*claims), ())


def test_a_claim_that_is_worth_nothing_is_raised_by_the_key_that_it_has():
    said = {name: constant_warning(*about(claim), ()) for name, claim in (("share", SHARE), ("error", ERROR))}
    assert said["share"].endswith("Ask for more (stopping.panel.gamma)")
    assert said["error"].endswith("Ask for a smaller error (stopping.panel.max_loss)")
    both = constant_warning(*about(HIT, SHARE, ERROR, hit=0.8), ())
    assert "picked at random or the commonest answer of each output" in both
    assert both.endswith("Ask for more (stopping.panel.gamma), or a smaller error (stopping.panel.max_loss)")
    assert constant_warning(*about(HIT, replace(SHARE, gamma=0.96)), ()) is None
