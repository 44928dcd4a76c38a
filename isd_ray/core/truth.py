"""What agreement with readouts says of the truth behind them."""

from __future__ import annotations


def accuracy_on_truth(agreement: float, repeatability: float) -> float:
    """Lower bound on the expected accuracy against the truth, from agreement with the readouts that would be measured.

    A delivered label that is wrong either disagrees with its readout or sits on a wrong readout, so the accuracy is at
    least agreement - w, w the mean probability of a wrong readout. A compound whose readout is wrong with probability
    w_i, at most one half, has replicates that disagree with probability 2 w_i (1 - w_i) >= w_i (of several classes, the
    right one the likeliest: 1 - sum of squares >= w_i). So w is at most the mean share of replicates that disagree,
    1 - repeatability, however unequal the w_i are: errors sit near the cut. Nothing is assumed of the model.
    """
    return max(0.0, agreement - (1.0 - repeatability))
