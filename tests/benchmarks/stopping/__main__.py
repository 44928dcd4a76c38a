"""Run stopping rules on the scenarios: how often they stop falsely, and at what cost.

    python -m tests.benchmarks.stopping --scenario all --runs 500 --json out.json

The rules are the production objects of `isd_ray.core`; only the learners are synthetic. A stop is false if the
delivered screen misses its target. `oracle` is the share acquired when the target is truly met, on the path without
random rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from tests.benchmarks.stopping.scenarios import RULES, SCENARIOS, missing, prepare
from tests.benchmarks.stopping.simulate import DELTA, MAX_LOOKS, RANDOM_SHARE

CHUNK = 5


def simulate(name, rule, runs, seed, *how):
    """Outcomes of some runs; every rule meets the same worlds."""
    scenario = SCENARIOS[name]()
    stream = zlib.crc32(name.encode())
    return [
        scenario.run(rule, np.random.default_rng([seed, stream, run]), np.random.default_rng([seed, run, 1]), *how)
        for run in runs
    ]


def binomial_interval(successes, runs, confidence=0.95):
    """Clopper-Pearson interval of a rate, by bisection."""

    def at_most(k, p):
        if k < 0:
            return 0.0
        log = [math.lgamma(runs + 1) - math.lgamma(j + 1) - math.lgamma(runs - j + 1) for j in range(k + 1)]
        return sum(math.exp(c + j * math.log(p) + (runs - j) * math.log1p(-p)) for j, c in enumerate(log))

    def solve(k, level):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(k, middle) > level else (low, middle)
        return low

    tail = (1 - confidence) / 2
    lower = solve(successes - 1, 1 - tail) if successes else 0.0
    return lower, 1.0 if successes == runs else solve(successes, tail)


def summarise(name, rule, outcomes, oracles, options, seconds):
    """One object of the JSON."""
    scenario, n = SCENARIOS[name](), len(outcomes)
    false_stops = sum(outcome.false_stop for outcome in outcomes)
    low, high = binomial_interval(false_stops, n)
    acquired = np.array([outcome.acquired for outcome in outcomes])
    return {
        "scenario": name,
        "title": scenario.title,
        "rule": rule,
        "trigger": None if rule.startswith("paper") else options.trigger,
        "n_target": scenario.target.n,
        "batch": scenario.batch,
        "gamma": scenario.target.gamma,
        "delta": DELTA,
        "max_looks": MAX_LOOKS,
        "portions": options.portions,
        "random_share": 0.0 if rule.startswith("paper") else RANDOM_SHARE,
        "seed": options.seed,
        "runs": n,
        "false_stops": false_stops,
        "rate": false_stops / n,
        "rate_low": low,
        "rate_high": high,
        "acquired_mean": float(acquired.mean()),
        "acquired_sd": float(acquired.std()),
        "oracle_mean": float(np.mean([outcome.acquired for outcome in oracles])),
        "accuracy_mean": float(np.mean([outcome.accuracy for outcome in outcomes])),
        "accuracy_min": float(np.min([outcome.accuracy for outcome in outcomes])),
        "looks_mean": 0.0 if rule.startswith("paper") else float(np.mean([outcome.looks for outcome in outcomes])),
        "trips_mean": float(np.mean([outcome.trips for outcome in outcomes])),
        "seconds": seconds,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stopping", description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", nargs="+", default=["all"], help=f"all, or some of {', '.join(SCENARIOS)}")
    parser.add_argument("--rule", nargs="+", default=["all"], help=f"all, or some of {', '.join(RULES)}, paper-cells")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trigger", choices=["blend", "trend", "platt"], default="blend")
    parser.add_argument("--portions", type=int, default=1, help="of each audit of certify and pac (stopping.portions)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    names = list(SCENARIOS) if "all" in options.scenario else options.scenario
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; choose from {', '.join(SCENARIOS)}")
    left_out = {name: reason for name in names if (reason := missing(name)) is not None}
    for name, reason in left_out.items():
        print(f"{name}: left out, {reason}")
    names = [name for name in names if name not in left_out]
    for name in names:
        prepare(name)
    print(f"{'scenario':14s} {'rule':12s} {'runs':>5s} {'false':>5s} {'rate (95 % interval)':>23s} "
          f"{'acquired':>9s} {'oracle':>7s} {'accuracy':>9s} {'looks':>6s} {'trips':>6s} {'seconds':>8s}")  # fmt: skip
    results = []
    with ProcessPoolExecutor(options.jobs) as pool:

        def outcomes_of(name, rule):
            chunks = [range(i, min(i + CHUNK, options.runs)) for i in range(0, options.runs, CHUNK)]
            futures = [
                pool.submit(simulate, name, rule, c, options.seed, options.trigger, options.portions) for c in chunks
            ]
            return [outcome for future in futures for outcome in future.result()]

        for name in names:
            oracles = outcomes_of(name, "oracle")
            for rule in SCENARIOS[name]().rules:
                if not {"all", rule} & set(options.rule):
                    continue
                start = time.perf_counter()
                outcomes = outcomes_of(name, rule)
                line = summarise(name, rule, outcomes, oracles, options, time.perf_counter() - start)
                results.append(line)
                interval = f"{line['rate']:.3f} ({line['rate_low']:.3f}, {line['rate_high']:.3f})"
                print(f"{name:14s} {rule:12s} {line['runs']:5d} {line['false_stops']:5d} {interval:>23s} "
                      f"{line['acquired_mean']:9.3f} {line['oracle_mean']:7.3f} {line['accuracy_mean']:9.4f} "
                      f"{line['looks_mean']:6.2f} {line['trips_mean']:6.1f} {line['seconds']:8.1f}",
                      flush=True)  # fmt: skip
                if options.json:
                    options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
