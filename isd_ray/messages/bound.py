"""What the bound actor is shown, and what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["continue", "finish", "portion", "repeat", "stop"]
UNJUDGED = ("portion", "repeat")
"""Actions after which a look, or its finish, goes on in another round and is not judged yet."""


@dataclass(frozen=True, slots=True)
class RoundEvidence:
    """What a stopping rule may look at after the readouts of a round.

    Attributes
    ----------
    n_observed, n_inference:
        Sizes of the two sets, the new batch included in the first.
    n_batch:
        Size of the new batch; 0 when nothing more may be acquired.
    n_top, n_top_correct:
        Rows of the batch that the acquisition function chose, and how many of them the model had predicted right before
        their labels were used; of a panel the sum of their shares of right outputs. Rows of other roles are not
        evidence for the paper's bound.
    n_finish, n_finish_lost:
        Rows that complete the finish of a passed look, and those of them whose wells gave no readout.
    rule_counts:
        Whether a yes of the rule ends the screen (`isd_ray.core.conditions`).
    spent_on:
        In words, the limits by which nothing more may be acquired.
    stopped:
        Why a person has stopped the screen; None where nobody has.
    """

    round: int
    n_target: int
    n_observed: int
    n_inference: int
    n_batch: int
    n_top: int
    n_top_correct: float
    n_finish: int = 0
    n_finish_lost: int = 0
    rule_counts: bool = True
    spent_on: tuple[str, ...] = ()
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class StopDecision:
    """What the bound actor decided; ``repeat``, that lost wells are measured once more before, the loop does.

    Attributes
    ----------
    alpha, system_bound:
        The paper's bounds on the accuracy of the inference set and of the screen; None without evidence.
    n_finish:
        With the action ``finish``: measure so many of the most uncertain rows, then stop.
    bounds:
        Of a panel with a claim about each output: what a passed look shows of each, together.
    """

    action: Action
    reason: str
    alpha: float | None = None
    system_bound: float | None = None
    n_finish: int = 0
    bounds: tuple[float, ...] = ()
