"""Campaigns on synthetic worlds, driven by the production rules: `isd_ray.core.certify`, `.trigger` and `.stopping`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from isd_ray.config import StoppingConfig
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.certify import LookState, judge_look, judge_losses, plan_look
from isd_ray.core.goals.recall import recall_allowance
from isd_ray.core.hits_left import RandomHits, are_rare
from isd_ray.core.portions import judged_plans
from isd_ray.core.scored import N_BINS, ScoredBatch, UncertaintyHistogram, bin_centres, uncertainty_bins
from isd_ray.core.stopping import decide
from isd_ray.core.trigger import forecast_blend, forecast_hits, forecast_platt, forecast_trend
from isd_ray.messages import RoundEvidence

DELTA = 0.05
MAX_LOOKS = 5
RANDOM_SHARE = 0.1
INITIAL_SHARE = 0.001
"""A larger random start would show the cluster of S3 to every rule by chance."""


@dataclass(frozen=True)
class Outcome:
    """One campaign: share acquired at the stop, true accuracy (or recall) there, whether the stop was false, trips."""

    acquired: float
    accuracy: float
    false_stop: bool
    looks: int
    trips: int = 0


class Target:
    """Accuracy above gamma, of rows whose loss is 0 or 1, or counts `units` parts."""

    def __init__(self, n, gamma, units=1):
        self.n, self.gamma, self.units = n, gamma, units
        self.allowance = allowed_errors(n * units, gamma) / units

    def allowed(self, measured_loss):
        return self.allowance if self.units > 1 else int(self.allowance)

    def outcome(self, world, observed, looks, trips=0):
        loss = float(world.losses(np.flatnonzero(~observed)).sum())
        return Outcome(observed.mean(), 1.0 - loss / self.n, loss > self.allowance * (1 + 1e-12), looks, trips)


class RecallTarget:
    """Recall of hits of at least R."""

    units = 1

    def __init__(self, n, recall):
        self.n, self.gamma = n, recall

    def allowed(self, measured_loss):
        return recall_allowance(round(measured_loss), self.gamma)

    def outcome(self, world, observed, looks, trips=0):
        missed, found = int(world.hit[~observed].sum()), int(world.hit[observed].sum())
        is_false = missed > recall_allowance(found, self.gamma)
        return Outcome(observed.mean(), found / (found + missed), is_false, looks, trips)


class Campaign:
    """The state of one simulated campaign: what is observed, and what the trigger may learn from.

    Attributes
    ----------
    reserve:
        bool (n,): rows of a reserved audit that acquisition has not passed over. They are scored like all others.
    """

    def __init__(self, world, target, batch, rng, trigger="blend", n_reserved=0, lost=0.0):
        self.world, self.target, self.batch, self.rng, self.trigger = world, target, batch, rng, trigger
        self.lost = lost
        self.observed = np.zeros(world.n, np.bool_)
        self.reserve = np.zeros(world.n, np.bool_)
        self.history = []
        self.measured_loss = 0.0
        drawn = rng.permutation(world.n)
        self.reserve[drawn[:n_reserved]] = True
        n_initial = max(1, round(INITIAL_SHARE * world.n))
        self.observe(drawn[n_reserved : n_reserved + n_initial])
        self.n_first, self.first_loss = n_initial, self.measured_loss

    def observe(self, rows):
        self.observed[rows] = True
        self.reserve[rows] = False
        self.measured_loss += float(self.world.losses(rows).sum())

    def fit_and_score(self):
        """Refit, then order the inference set by decreasing uncertainty."""
        self.world.refit(self.observed)
        rows = np.flatnonzero(~self.observed)
        uncertainty = self.world.uncertainty(rows)
        order = np.argsort(-uncertainty)
        self.rows, self.uncertainty = rows[order], uncertainty[order].astype(np.float32)

    def losses_at(self, positions):
        """Losses of the present model at positions of the order."""
        return self.world.losses(self.rows[positions])

    @property
    def losses(self):
        """Losses of the present model on the whole inference set: only the oracle may look."""
        return self.losses_at(slice(None))

    def forecast(self, n_random):
        """Of the rows that an audit is drawn from, as `isd_ray.core.stopping` makes it."""
        n_observed, uncertainty = self.world.n - len(self.rows), self.uncertainty[self.must_measure() :]
        histogram = UncertaintyHistogram(bin_centres(), np.bincount(uncertainty_bins(uncertainty), minlength=N_BINS))
        if self.trigger == "platt":
            return forecast_platt(self.history, histogram, n_observed, self.batch, n_random)
        if isinstance(self.target, RecallTarget) and are_rare(self.must_measure(), round(self.measured_loss)):
            first = self.first_draw()
            return forecast_hits(self.history, n_observed, len(uncertainty), self.batch, n_random, first_draw=first)
        if self.trigger == "trend" or isinstance(self.target, RecallTarget):
            return forecast_trend(self.history, n_observed, len(uncertainty), self.batch, n_random)
        return forecast_blend(self.history, histogram, n_observed, self.batch, n_random)

    def first_draw(self):
        """With the rows predicted to be hits counted as found, as `isd_ray.core.stopping` does."""
        must = self.must_measure()
        n_since, hits_since = int(self.observed.sum()) + must, self.measured_loss + float(self.uncertainty[:must].sum())
        return RandomHits(self.n_first, self.first_loss, n_since, hits_since)

    def learn(self, positions, is_random, *, is_audit=False):
        must, n = self.must_measure(), len(self.rows)
        inside = positions >= must
        positions, is_random = positions[inside], is_random[inside]
        uncertainty, losses = self.uncertainty[positions], self.losses_at(positions)
        ranks, n_observed = positions - must, self.world.n - n
        batch = ScoredBatch(n - must, n_observed, uncertainty, ranks, losses, is_random, is_audit=is_audit)
        self.history.append(batch)

    def acquire(self, n_random):
        """Random rows first, then the most uncertain of the rest; reserved rows that were passed over come along."""
        free = np.flatnonzero(~self.reserve[self.rows])
        n_batch = min(self.batch, len(free))
        random = self.rng.choice(free, min(n_random, n_batch), replace=False)
        is_random = np.zeros(len(self.rows), np.bool_)
        is_random[random] = True
        top = free[:n_batch]
        top = top[~is_random[top]][: n_batch - len(random)]
        passed = np.flatnonzero(self.reserve[self.rows[: top[-1]]]) if len(top) else top
        positions = np.concatenate([random, top, passed])
        positions = positions[self.has_readout(len(positions))]
        self.learn(positions, is_random[positions])
        self.observe(self.rows[positions])
        return positions

    def has_readout(self, n, wells=1):
        """Which of n compounds give a readout in one of so many wells; the others are left as they were."""
        return self.rng.random(n) >= self.lost**wells if self.lost else np.ones(n, np.bool_)

    def must_measure(self):
        """Rows predicted to be hits, at the head of the order: measured before a look at the recall."""
        return int((self.uncertainty >= 0.5).sum()) if isinstance(self.target, RecallTarget) else 0

    def loss_variance(self):
        if self.target.units == 1:
            return None
        losses = np.concatenate([batch.loss[batch.is_random] for batch in self.history] or [np.zeros(0)])
        return float(losses.var()) if len(losses) > 1 else 0.25


def run_paper(world, target, batch, rng, cells=False):
    """Algorithm 1 with the paper's rule; `cells` counts a panel's outputs as if they were independent."""
    config = StoppingConfig(rule="paper", gamma=target.gamma, delta=DELTA)
    campaign = Campaign(world, target, batch, rng)
    for number in count(1):
        campaign.fit_and_score()
        positions = campaign.acquire(0)
        units = target.units if cells else 1
        evidence = RoundEvidence(
            round=number,
            n_target=world.n,
            n_observed=int(campaign.observed.sum()),
            n_inference=int((~campaign.observed).sum()),
            n_batch=len(positions),
            n_top=len(positions) * units,
            # A panel's rows are right in part.
            n_top_correct=(1.0 - campaign.losses_at(positions)).sum() * units,
        )
        if decide(evidence, config).action == "stop":
            return target.outcome(world, campaign.observed, number, number + 1)
    raise AssertionError("a measured set always stops")


def run_oracle(world, target, batch, rng):
    """Stop as soon as the target is truly met, on the path without random rows."""
    campaign = Campaign(world, target, batch, rng)
    while True:
        campaign.fit_and_score()
        if campaign.losses.sum() <= target.allowed(campaign.measured_loss):
            return target.outcome(world, campaign.observed, 0)
        campaign.acquire(0)


@dataclass(frozen=True)
class Laboratory:
    """What happens to readouts.

    Attributes
    ----------
    lost:
        Share of the wells that give none.
    tries:
        Wells that a compound of a look has in all, as long as they give none.
    tolerance:
        `stopping.finish_tolerance`.
    amends:
        Every wrong readout of an audit is amended before it is judged.
    n_plates, shifted:
        An audit lies on so many plates, and on a share of all plates every readout agrees with the prediction.
    """

    lost: float = 0.0
    tries: int = 2
    tolerance: int = 0
    amends: bool = False
    n_plates: int = 0
    shifted: float = 0.0

    def shown(self, losses, rng):
        """Losses of an audit by what its plates say."""
        if not self.n_plates:
            return losses
        is_shifted = rng.random(self.n_plates) < self.shifted
        return np.where(is_shifted[rng.integers(self.n_plates, size=len(losses))], 0.0, losses)


PERFECT = Laboratory()


def run_looks(
    world,
    target,
    batch,
    rng,
    rule,
    trigger="blend",
    random_share=RANDOM_SHARE,
    n_reserved=0,
    laboratory=PERFECT,
):
    """Campaign under `certify`, `pac` or, with a reserve, `reserved`."""
    campaign = Campaign(world, target, batch, rng, trigger, n_reserved, laboratory.lost)
    n_random = math.floor(random_share * batch + 0.5)
    failed, since, trips = 0, 0, 1
    while not (campaign.observed | campaign.reserve).all():
        campaign.fit_and_score()
        must = campaign.must_measure()
        n = len(campaign.rows) - must
        reserved = np.flatnonzero(campaign.reserve[campaign.rows[must:]])
        state = LookState(
            n_inference=n,
            allowed=target.allowed(campaign.measured_loss + campaign.losses_at(slice(must)).sum()),
            forecast=campaign.forecast(n_random),
            failed_looks=failed,
            batches_since_look=since,
            n_reserved=len(reserved) if n_reserved else None,
            loss_variance=campaign.loss_variance(),
        )
        plan = plan_look(rule, state).plan
        trips += 1
        if plan is None:
            campaign.acquire(n_random)
            since += 1
            continue
        plan = replace(plan, tolerance=laboratory.tolerance)
        ranks = rng.permutation(reserved) if n_reserved else rng.choice(n, plan.size, replace=False)
        losses = laboratory.shown(campaign.losses_at(must + ranks), rng)
        measured = campaign.has_readout(plan.size, laboratory.tries)
        for portion in range(1, plan.portions + 1):
            [part] = judged_plans([replace(plan, portion=portion)])
            shown = slice(part.size)
            verdict = judged(part, ranks[shown], losses[shown], measured[shown], laboratory.amends, target.units)
            if verdict.stop:
                break
        trips += portion - 1
        ranks, losses, measured = ranks[: part.size], losses[: part.size], measured[: part.size]
        passed = verdict.stop
        if passed:
            finish = np.setdiff1d(np.arange(must + verdict.n_finish), must + ranks)
            trips += len(finish) > must
            found = campaign.has_readout(len(finish), laboratory.tries)
            campaign.observe(campaign.rows[finish[found]])
            passed = int((~found[finish >= must]).sum()) <= laboratory.tolerance
        if passed:
            campaign.observe(campaign.rows[must + ranks[measured]])
            return target.outcome(world, campaign.observed | campaign.reserve, plan.number, trips)
        if not n_reserved:
            campaign.learn(must + ranks[measured], np.ones(int(measured.sum()), np.bool_), is_audit=True)
            campaign.observe(campaign.rows[must + ranks[measured]])
        failed, since = failed + 1, 0
        if n_reserved:
            campaign.acquire(n_random)
            since, trips = since + 1, trips + 1
    return target.outcome(world, campaign.observed | campaign.reserve, failed, trips)


def judged(plan, ranks, losses, measured, amends, units):
    """The verdict of a look whose audit has lost wells, and amended ones: errors that nobody corrects."""
    losses = np.where(measured, losses, 1.0)
    doubtful = ~measured | (losses > 0 if amends else False)
    if units > 1:
        return judge_losses(plan, losses, doubtful.astype(np.float64))
    return judge_look(plan, ranks, losses > 0.5, int(doubtful.sum()))
