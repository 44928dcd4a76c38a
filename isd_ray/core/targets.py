"""Targets beyond accuracy, as numbers of errors that an exact audit can bound.

Each turns its target into an allowance c among the rows of one prediction that are left in the inference set; the audit
is drawn from those rows only and judged by `isd_ray.core.certify.judge_look`. Claims about several such populations
hold together at the risk of one (`passes_all`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from isd_ray.core.bounds import hypergeometric_pvalue
from isd_ray.core.certify import judge_look
from isd_ray.core.looks import LookPlan, LookVerdict

_SCALES = 200
"""Steps of the search for the allowances of a balanced accuracy."""


def recall_allowance(n_hits: int, recall: float) -> int:
    """Most hits that may be missed if n_hits are found: floor(n_hits (1 - R) / R), exact in the decimals of R."""
    share = Fraction(str(recall))
    return math.floor(n_hits * (1 - share) / share)


def recall_floor(n_found: float, n_missed: float) -> float:
    """Recall of a screen; 1 where there is no hit at all, as none is missed."""
    return n_found / (n_found + n_missed) if n_found + n_missed else 1.0


def judge_recall(
    plan: LookPlan, ranks: NDArray[np.int64], hits: NDArray[np.bool_], n_hits: int, recall: float, n_lost: int = 0
) -> LookVerdict:
    """Decide a look at the recall of hits: found hits / all hits >= R.

    Before the look all rows left that are predicted to be hits are measured; the audit is of the predicted negatives,
    in which a hit is an error. Without a finish the audit's own hits count as found: stop iff U - e <= the allowance of
    n_hits + e. That is false only if the upper bound U is below the number of hits there, probability at most delta_j.
    With a finish the allowance is that of the hits known before the audit, so it is fixed beforehand.

    Parameters
    ----------
    plan:
        With `n_inference` the predicted negatives left, `allowed` = recall_allowance(n_hits, recall).
    ranks, hits:
        As `ranks` and `errors` of `judge_look`, among the predicted negatives.
    n_hits:
        Hits measured before the audit, those among the predicted positives included.
    n_lost:
        How many of `hits` are failed wells: counted as missed hits, which nothing has found.

    Raises
    ------
    ValueError
        As `judge_look`, or if the plan's allowance is another one.
    """
    if plan.allowed != recall_allowance(n_hits, recall):
        raise ValueError(
            f"{n_hits} hits at a recall of {recall} allow {recall_allowance(n_hits, recall)} missed ones, "
            f"the look declared {plan.allowed:g}"
        )
    verdict = judge_look(plan, ranks, hits)
    if plan.finish != "none":
        return verdict
    found = int(hits.sum())
    credited = found - n_lost
    allowed = recall_allowance(n_hits + credited, recall)
    pvalue = hypergeometric_pvalue(found, plan.n_inference, allowed + 1 + credited, plan.size)
    return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


def precision_allowance(n_hits: int, n_predicted: int, precision: float) -> int:
    """Most errors among n_predicted predicted hits that keep the precision of the delivered hits at P or above.

    Delivered are n_hits measured hits, all of them true, and the predicted ones that were not measured.
    """
    return math.floor((n_hits + n_predicted) * (1 - Fraction(str(precision))))


def precision_floor(n_hits: int, n_predicted: int, wrong: float) -> float:
    """Precision of the delivered hits, n_hits of them measured; 1 where none is delivered, as none is wrong."""
    delivered = n_hits + n_predicted
    return (delivered - wrong) / delivered if delivered else 1.0


def judge_precision(
    plan: LookPlan, false_hits: NDArray[np.bool_], n_hits: int, precision: float, n_lost: int = 0
) -> LookVerdict:
    """Decide a look at the precision of the delivered hits, from an audit of the predicted ones.

    The e false hits found leave the delivered hits, of which K - e are then wrong: stop iff U - e <= the allowance of
    n_hits measured and n - e predicted hits. That is false only if the upper bound U is below K, probability at most
    delta_j.

    Parameters
    ----------
    plan:
        With `n_inference` the n predicted hits left, `allowed` = precision_allowance(n_hits, n, precision).
    false_hits:
        bool (m,): audited rows that are no hits.
    n_hits:
        Hits measured before the audit.
    n_lost:
        How many of `false_hits` are failed wells: counted as false hits, which are still delivered.
    """
    found = int(false_hits.sum())
    credited = found - n_lost
    allowed = precision_allowance(n_hits, plan.n_inference - credited, precision)
    pvalue = hypergeometric_pvalue(found, plan.n_inference, allowed + 1 + credited, plan.size)
    return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


def judge_population(plan: LookPlan, errors: NDArray[np.bool_]) -> LookVerdict:
    """Decide whether a group held at most the allowed errors when it was frozen; those found are not credited.

    For claims in which a corrected error moves more than one count, as a balanced accuracy: correcting only improves
    it (`balanced_accuracy_floor` falls in both numbers of wrong rows), so what holds before holds after.
    """
    found = int(errors.sum())
    pvalue = hypergeometric_pvalue(found, plan.n_inference, int(plan.allowed) + 1, plan.size)
    return LookVerdict(pvalue <= plan.delta, 0, found, pvalue)


def mean_loss_allowance(n_target: int, largest_mean: float, unit: float) -> float:
    """Largest total of losses in [0, 1] that keeps the mean error of n_target rows at `largest_mean`.

    `unit` is the error that a loss of 1 stands for; measured rows have no error.
    """
    return n_target * largest_mean / unit


def balanced_accuracy_floor(n_hits: int, n_others: int, predicted: tuple[int, int], wrong: tuple[int, int]) -> Fraction:
    """Balanced accuracy of a screen, exactly; it falls in both numbers of wrong rows.

    Parameters
    ----------
    n_hits, n_others:
        Measured rows of the two classes.
    predicted:
        Rows left that are predicted as hits, and as others.
    wrong:
        How many of each are wrong.
    """
    true_hits, true_others = n_hits + predicted[0] - wrong[0], n_others + predicted[1] - wrong[1]
    sensitivity = Fraction(true_hits, true_hits + wrong[1]) if true_hits + wrong[1] else Fraction(1)
    specificity = Fraction(true_others, true_others + wrong[0]) if true_others + wrong[0] else Fraction(1)
    return (sensitivity + specificity) / 2


def balanced_accuracy_allowances(
    n_hits: int, n_others: int, predicted: tuple[int, int], expected: tuple[float, float], target: float
) -> tuple[int, int] | None:
    """Allowances for the predicted hits and the predicted others that together leave the balanced accuracy at target.

    In proportion to the errors `expected` (forecasts; at least half an error each), as large as can be. Two audits, one
    of each prediction, tested at the same delta_j and joined by `passes_all`, prove the target.

    Returns
    -------
    tuple of int or None
        None if even no error at all is too few to reach the target.
    """
    goal = Fraction(str(target))
    best = None
    largest = max(predicted[0] / max(0.5, expected[0]), predicted[1] / max(0.5, expected[1]))
    for scale in np.concatenate([[0.0], np.geomspace(0.01, max(0.02, largest), _SCALES)]):
        wrong = tuple(min(n, int(scale * max(0.5, k))) for n, k in zip(predicted, expected, strict=True))
        if balanced_accuracy_floor(n_hits, n_others, predicted, (wrong[0], wrong[1])) < goal:
            break
        best = (wrong[0], wrong[1])
    return best


def passes_all(passed: Sequence[bool]) -> bool:
    """Intersection-union: claims that are each tested at the full delta_j hold together at delta_j (Berger 1982).

    If the joint claim is false then some part is false, and a stop needs every part to pass.
    """
    return len(passed) > 0 and all(passed)


def accuracy_on_truth(agreement: float, repeatability: float) -> float:
    """Lower bound on the expected accuracy against the truth, from agreement with the readouts that would be measured.

    A delivered label that is wrong either disagrees with its readout or sits on a wrong readout, so the accuracy is at
    least agreement - w, w the mean probability of a wrong readout. A compound whose readout is wrong with probability
    w_i, at most one half, has replicates that disagree with probability 2 w_i (1 - w_i) >= w_i (of several classes, the
    right one the likeliest: 1 - sum of squares >= w_i). So w is at most the mean share of replicates that disagree,
    1 - repeatability, however unequal the w_i are: errors sit near the cut. Nothing is assumed of the model.
    """
    return max(0.0, agreement - (1.0 - repeatability))
