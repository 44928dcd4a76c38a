"""Synthetic learners on synthetic target sets: the worlds in which stopping rules are tried.

A world knows every readout, so it can say what a rule's stop was worth. Rows are interchangeable: nothing depends on a
row's number, so an order by row number is a random tie-break.
"""

from __future__ import annotations

import math

import numpy as np

N_PLATE = 151
"""Outputs of a panel's row."""
SURE = 0.0005
"""Uncertainty that the wrong cluster reports."""


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def logit(p):
    return np.log(p) - np.log1p(-p)


class Learner:
    """Calibrated and well ranked (S1): row i is wrong iff u_i < q_i * g, and g falls as the training set grows.

    Parameters
    ----------
    churn:
        Share of the rows that redraw u at each refit.
    stumble:
        Probability that a refit is a bad one: g is 1.8 times larger.
    noise:
        Share of the readouts that are flipped; errors are counted against readouts.
    """

    def __init__(self, n, rng, churn=0.03, stumble=0.0, noise=0.0):
        self.n, self.rng, self.churn, self.stumble = n, rng, churn, stumble
        hard = rng.permutation(n) < round(0.3 * n)
        self.q = np.where(hard, rng.uniform(0.15, 0.55, n), np.maximum(rng.beta(0.6, 25.0, n), 1e-9))
        self.u = rng.random(n)
        self.flipped = rng.random(n) < noise
        self.rate = self.q

    def difficulty(self, observed):
        """Error probability of each row after a fit on the observed rows, shape (n,)."""
        g = max(0.35, (1.0 + observed.sum() / (0.08 * self.n)) ** -0.5)
        if self.rng.random() < self.stumble:
            g = min(1.0, 1.8 * g)
        return self.q * g

    def refit(self, observed):
        """Fit on the observed rows (bool, shape (n,))."""
        redrawn = np.flatnonzero(self.rng.random(self.n, dtype=np.float32) < self.churn)
        self.u[redrawn] = self.rng.random(len(redrawn))
        self.rate = self.difficulty(observed)

    def losses(self, rows):
        """Loss of the present model on the rows: 1 where it disagrees with the readout."""
        return ((self.u[rows] < self.rate[rows]) ^ self.flipped[rows]).astype(np.float64)

    def uncertainty(self, rows):
        """What the present model reports for the rows: logistic(logit(rate) + 0.25 * noise), in fewer operations."""
        rate = self.rate[rows]
        odds = np.exp(0.25 * self.rng.standard_normal(len(rows)))
        odds *= rate
        return odds / (odds + (1.0 - rate))


class Flat(Learner):
    """S2: every row is equally hard, nothing is learnt, and the confidence says nothing."""

    def __init__(self, n, rng):
        super().__init__(n, rng)
        self.q = np.full(n, 0.08)

    def difficulty(self, observed):
        return self.q

    def uncertainty(self, rows):
        return np.clip(0.08 + 0.02 * self.rng.standard_normal(len(rows)), 1e-4, 1.0)


class WrongCluster(Learner):
    """S3: a random 8 % of the rows is predicted wrong with full confidence, until 20 of them have been measured (S3b:
    for ever)."""

    share, n_needed = 0.08, 20

    def __init__(self, n, rng, learnable=True):
        super().__init__(n, rng)
        self.cluster = rng.permutation(n) < round(self.share * n)
        self.learnable, self.known = learnable, False

    def difficulty(self, observed):
        rate = super().difficulty(observed)
        seen = int((observed & self.cluster).sum())
        self.known = self.learnable and seen >= self.n_needed
        rate[self.cluster] = 0.85 / math.sqrt(1.0 + seen / 40.0) if self.known else 0.85
        return rate

    def uncertainty(self, rows):
        reported = super().uncertainty(rows)
        return reported if self.known else np.where(self.cluster[rows], SURE, reported)


class LateClass(WrongCluster):
    """A class of 7 % of the rows that no model predicts, sure of itself, until 100 of it were measured."""

    share, n_needed = 0.07, 100


class AntiRanked(Learner):
    """S4: the surer, the likelier wrong."""

    def uncertainty(self, rows):
        doubt = 0.6 - self.rate[rows] + 0.02 * self.rng.standard_normal(len(rows))
        return 0.15 * np.clip(doubt, 1e-4, 0.6)


class Ties(Learner):
    """As S1 with three confidences, so that nearly all rows tie."""

    def uncertainty(self, rows):
        return np.searchsorted([0.02, 0.15], super().uncertainty(rows)) * 0.2 + 0.01


class Clusters(Learner):
    """Clusters of 40 rows are right or wrong together; one in eight is wrong until 3 of its rows were measured."""

    def __init__(self, n, rng):
        super().__init__(n, rng)
        self.cluster = rng.permutation(n) // 40
        self.wrong = rng.random(n // 40 + 1) < 0.125

    def difficulty(self, observed):
        unknown = self.wrong & (np.bincount(self.cluster[observed], minlength=len(self.wrong)) < 3)
        return np.maximum(0.3 * super().difficulty(observed), unknown[self.cluster])

    def uncertainty(self, rows):
        return np.clip(0.3 * self.rng.random(len(rows)) * (0.2 + self.rate[rows]), 1e-4, 1.0)


class TwoModes(Learner):
    """Refits take turns: a model of the S1 kind, and one that is wrong in 6 % of all rows besides."""

    def __init__(self, n, rng):
        super().__init__(n, rng)
        self.n_refits = 0

    def difficulty(self, observed):
        self.n_refits += 1
        rate = super().difficulty(observed)
        return rate if self.n_refits % 2 else np.maximum(rate, 0.06)


class Knife:
    """One error more than is allowed is left in the inference set, whatever was measured.

    Parameters
    ----------
    allowed:
        Errors that keep the target.
    at_confident_end:
        They lie where the model is surest, or where it is least sure.
    """

    def __init__(self, n, rng, allowed, at_confident_end):
        self.n, self.rng, self.n_wrong, self.sign = n, rng, int(allowed) + 1, 1 if at_confident_end else -1
        self.refit(np.zeros(n, np.bool_))

    def refit(self, observed):
        self.doubt = self.rng.random(self.n)
        left = np.flatnonzero(~observed)
        self.loss = np.zeros(self.n)
        self.loss[left[np.argsort(self.sign * self.doubt[left])[: self.n_wrong]]] = 1.0

    def losses(self, rows):
        return self.loss[rows]

    def uncertainty(self, rows):
        return 0.5 * self.doubt[rows]


class SharedHistory:
    """The second campaign on a library: its model knows every readout of the first, and errs where it has none.

    The first campaign's audit would prove what the second's model has by heart; its own is drawn anew.

    Parameters
    ----------
    known:
        bool (n,): rows that the first campaign measured.
    """

    def __init__(self, n, rng, allowed, known):
        self.n, self.rng, self.known, self.n_wrong = n, rng, known, int(allowed) + 1
        self.refit(np.zeros(n, np.bool_))

    def refit(self, observed):
        left = np.flatnonzero(~observed & ~self.known)
        self.loss = np.zeros(self.n)
        self.loss[self.rng.permutation(left)[: self.n_wrong]] = 1.0

    def losses(self, rows):
        return self.loss[rows]

    def uncertainty(self, rows):
        return np.where(self.known[rows], 0.01, 0.05) * (0.5 + self.rng.random(len(rows)))


class Panel:
    """Rows of 151 outputs; a row's loss is the share of wrong outputs. Nothing is learnt, the ranking says nothing."""

    def __init__(self, n, rng):
        self.n, self.rng = n, rng
        self.loss = rng.binomial(N_PLATE, rng.beta(0.4, 3.6, n)) / N_PLATE

    def refit(self, observed):
        pass

    def losses(self, rows):
        return self.loss[rows]

    def uncertainty(self, rows):
        return self.rng.random(len(rows))


class RareHits:
    """1 % hits with score 2 * hit + normal and calibrated probabilities; acquired by probability of a hit.

    What a rule must bound is the hits among the rows that are predicted to be none: a hit is the loss.
    """

    def __init__(self, n, rng):
        self.n, self.rng = n, rng
        self.hit = rng.permutation(n) < round(0.01 * n)
        score = 2.0 * self.hit + rng.standard_normal(n)
        self.probability = logistic(logit(0.01) + 2.0 * score - 2.0)

    def refit(self, observed):
        pass

    def losses(self, rows):
        return self.hit[rows].astype(np.float64)

    def uncertainty(self, rows):
        return self.probability[rows]
