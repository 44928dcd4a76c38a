"""The scenarios by name: a world, a target, a batch, and the rules that apply."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from isd_ray.core.certify import LookRule, look_deltas, reserve_size
from isd_ray.core.goals.recall import recall_allowance
from tests.benchmarks.stopping import digits, record_qm9
from tests.benchmarks.stopping.replay import Replay
from tests.benchmarks.stopping.simulate import (
    DELTA,
    MAX_LOOKS,
    PERFECT,
    Laboratory,
    Outcome,
    RecallTarget,
    Target,
    run_looks,
    run_oracle,
    run_paper,
)
from tests.benchmarks.stopping.worlds import (
    N_PLATE,
    AntiRanked,
    Clusters,
    Flat,
    Knife,
    LateClass,
    Learner,
    Panel,
    RareHits,
    SharedHistory,
    Ties,
    TwoModes,
    WrongCluster,
)

LOOKS = ("certify", "pac", "reserved")
RULES = ("paper", *LOOKS)
AUDITED = ("certify", "pac")
"""Rules of scenarios in which wells are lost: `reserved` has a bound of its own for these."""


@dataclass(frozen=True)
class Scenario:
    """One line of the benchmark's table."""

    title: str
    world: Callable[[Any], Any]
    target: Any
    batch: int
    rules: tuple[str, ...] = RULES
    laboratory: Laboratory = PERFECT

    def run(self, rule, world_rng, rng, trigger="blend", portions=1) -> Outcome:
        """Simulate one campaign; `oracle` stops when the target is truly met."""
        world, target = self.world(world_rng), self.target
        if rule == "oracle":
            return run_oracle(world, target, self.batch, rng)
        if rule.startswith("paper"):
            return run_paper(world, target, self.batch, rng, cells=rule == "paper-cells")
        looks = {
            "certify": LookRule.certify(DELTA, MAX_LOOKS, self.batch, portions=portions),
            "pac": LookRule.pac(DELTA, self.batch, portions),
            "reserved": LookRule.reserved(DELTA, MAX_LOOKS, self.batch),
        }[rule]
        n_reserved = self.n_reserved() if rule == "reserved" else 0
        return run_looks(
            world, target, self.batch, rng, looks, trigger, n_reserved=n_reserved, laboratory=self.laboratory
        )

    def n_reserved(self):
        """Rows of the reserved audit, from what is known before the start."""
        if isinstance(self.target, RecallTarget):
            # As a laboratory would plan that expects 1 % hits.
            allowed = recall_allowance(self.target.n // 100, self.target.gamma)
            return reserve_size(self.target.n, allowed, look_deltas(DELTA, MAX_LOOKS)[0])
        return reserve_size(self.target.n, math.floor(self.target.allowance), look_deltas(DELTA, MAX_LOOKS)[0])


def _learner(title, n, batch, gamma, world=Learner, **options):
    return Scenario(title, lambda rng: world(n, rng, **options), Target(n, gamma), batch)


def _recall(title, n, rules=LOOKS, **laboratory):
    return Scenario(title, lambda rng: RareHits(n, rng), RecallTarget(n, 0.9), 500, rules, Laboratory(**laboratory))


def _lost(share):
    n, laboratory = 1_200, Laboratory(lost=share, tolerance=2)
    target, title = Target(n, 0.95), f"{share:.0%} of the wells lost, N = 1,200"
    return Scenario(title, lambda rng: Learner(n, rng), target, 50, AUDITED, laboratory)


def _adversary(title, world, **laboratory):
    n, target = 10_000, Target(10_000, 0.95)
    return Scenario(title, lambda rng: world(n, rng, target.allowance), target, 200, AUDITED, Laboratory(**laboratory))


def _shared(n, rng, allowed):
    """Rows that a first campaign measured before its certificate, by its own draws."""
    first, target = Learner(n, rng), Target(n, 0.95)
    known = np.zeros(n, np.bool_)
    outcome = run_looks(first, target, 200, rng, LookRule.certify(DELTA, MAX_LOOKS, 200))
    known[rng.permutation(n)[: round(outcome.acquired * n)]] = True
    return SharedHistory(n, rng, allowed, known)


def _panel():
    n = 1674
    rules = ("paper", "paper-cells", *LOOKS)
    return Scenario("panel rows x 151, uninformative", lambda rng: Panel(n, rng), Target(n, 0.93, N_PLATE), 25, rules)


def _digits():
    return Scenario("real: digits", digits.Digits, Target(digits.N_IMAGES, 0.95), 30)


def _qm9():
    n, batch = record_qm9.Plan.n_pool, record_qm9.Plan.batch
    return Scenario("real: QM9", lambda rng: Replay(record_qm9.recording(), n, rng), Target(n, 0.95), batch)


SCENARIOS = {
    "S1": lambda: _learner("calibrated, well ranked", 10_000, 200, 0.95),
    "S1-0.90": lambda: _learner("gamma 0.90", 10_000, 200, 0.90),
    "S1-0.99": lambda: _learner("gamma 0.99", 10_000, 200, 0.99),
    "S1-100k": lambda: _learner("N = 100,000", 100_000, 1000, 0.95),
    "S1-100k-0.99": lambda: _learner("N = 100,000, gamma 0.99", 100_000, 1000, 0.99),
    "S2": lambda: _learner("flat confidence", 10_000, 100, 0.95, Flat),
    "S3": lambda: _learner("confidently wrong cluster", 10_000, 200, 0.95, WrongCluster),
    "S3b": lambda: _learner("the same, never learned", 10_000, 200, 0.95, WrongCluster, learnable=False),
    "S4": lambda: _learner("anti-ranked confidence", 10_000, 200, 0.95, AntiRanked),
    "S5": lambda: _learner("3 % label noise", 10_000, 200, 0.95, noise=0.03),
    "S7": lambda: _learner("refits that churn", 10_000, 200, 0.95, churn=0.3, stumble=0.1),
    "S8": lambda: _learner("small batches", 10_000, 50, 0.95),
    "rows": _panel,
    "recall": lambda: _recall("recall of 1 % hits", 20_000),
    "recall-100k": lambda: _recall("recall, N = 100,000", 100_000),
    "lost-0": lambda: _lost(0.0),
    "lost-1": lambda: _lost(0.01),
    "lost-2": lambda: _lost(0.02),
    "lost-5": lambda: _lost(0.05),
    "recall-lost-2": lambda: _recall("recall, 2 % of the wells lost", 20_000, AUDITED, lost=0.02, tolerance=2),
    "ties": lambda: _learner("three confidences", 10_000, 200, 0.95, Ties),
    "clusters": lambda: _learner("wrong in clusters", 10_000, 200, 0.95, Clusters),
    "two-modes": lambda: _learner("every second model worse", 10_000, 200, 0.95, TwoModes),
    "late-class": lambda: _learner("a class unknown until 100 are seen", 10_000, 200, 0.95, LateClass),
    "knife-sure": lambda: _adversary("one error too many, sure of it", partial(Knife, at_confident_end=True)),
    "knife-unsure": lambda: _adversary("one error too many, unsure", partial(Knife, at_confident_end=False)),
    "shared": lambda: _adversary("a second campaign that knows the first", _shared),
    "amended": lambda: _adversary("errors of audits amended", partial(Knife, at_confident_end=True), amends=True),
    "plates": lambda: _adversary(
        "5 % of 20 plates hide errors", partial(Knife, at_confident_end=True), n_plates=20, shifted=0.05
    ),
    "digits": _digits,
    "qm9": _qm9,
}


def missing(name):
    """Why a scenario cannot be run here, or None."""
    if name == "qm9" and not record_qm9.recording_file().is_file() and record_qm9.source_file() is None:
        return "ISD_DATA names no folder with qm9.parquet"
    return None


def prepare(name):
    """Make once what the scenario's runs share on disk, before they run in parallel."""
    if name == "qm9":
        record_qm9.recording()
