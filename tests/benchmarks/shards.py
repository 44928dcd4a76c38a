"""What the coordinator does with the answers of many shards: ``python -m tests.benchmarks.shards``.

A few actors stand for all scorers: each call returns a `ShardScores` as large as a real one, with made-up scores, and
no time is spent on scoring. `ActorGroup` and `merge_scores` are the campaign's own.
"""

from __future__ import annotations

import itertools
import json
import resource
import signal
import time

import numpy as np
import ray

from isd_ray.actors.failure import FailurePolicy
from isd_ray.actors.group import ActorGroup, GroupOptions
from isd_ray.campaign.backend import merge_scores
from isd_ray.config import ComputeConfig
from isd_ray.core.placement import Demand
from isd_ray.core.scored import N_BINS
from isd_ray.messages import ScoredRows, Shard, ShardScores
from isd_ray.ops.connect import ray_session
from tests.benchmarks.measure import parser

ROWS_PER_SHARD = 1_000_000
SHARDS = (64, 256, 1024, 4096)
BATCHES = (1_000, 10_000, 100_000)
RUNNING = (10, 100, 1000)
"""Calls under way at once: one for each scorer."""
LOOKS = 20
BLOCKS_PER_SHARD = 122
"""Of 8,192 rows."""


class StandIn:
    """Answers for any shard at once."""

    def __init__(self, k: int) -> None:
        rng = np.random.default_rng(k)
        self._within = np.sort(rng.choice(ROWS_PER_SHARD, k, replace=False))
        self._rng = rng

    def ready(self) -> None:
        """Nothing to start."""

    def score(self, number: int) -> ShardScores:
        """The k best of a million rows with uniform scores: random and descending."""
        k = len(self._within)
        # The k largest of many uniform scores, to first order.
        scores = (1.0 - np.sort(self._rng.random(k)) * k / ROWS_PER_SHARD).astype(np.float32)
        rows = self._rng.permutation(self._within) + number * ROWS_PER_SHARD
        none = ScoredRows(rows[:0], scores[:0], scores[:0], scores[:0].astype(np.float64), scores[:0])
        return ShardScores(
            shard=Shard("target", number * BLOCKS_PER_SHARD, (number + 1) * BLOCKS_PER_SHARD),
            n_scored=ROWS_PER_SHARD,
            top=ScoredRows(rows, scores, np.zeros(k, np.float32), np.zeros(k), scores),
            watched=none,
            histogram=np.ones((1, N_BINS), np.int64),
            evaluation=None,
            seconds=0.0,
        )


def answer_bytes(k: int) -> int:
    """Size of the arrays of one shard's answer."""
    answer = StandIn(k).score(0)
    arrays = (getattr(answer.top, name) for name in ScoredRows.__slots__)
    return answer.histogram.nbytes + sum(array.nbytes for array in arrays)


def measured(actors: int, shards: int, k: int) -> dict[str, float]:
    """One pass over `shards` answers of k rows."""
    options = GroupOptions("scorer", actors, actors, Demand({"CPU": 1.0}), 300.0, 600.0, FailurePolicy(0))
    group = ActorGroup(StandIn, (k,), options)
    group.wait_until_ready()
    group.map("score", [(0,)] * actors)
    begin, busy = time.perf_counter(), time.process_time()
    # As `Backend.score` does.
    answers = (answer for _, answer in group.each("score", [(number,) for number in range(shards)]))
    report = merge_scores(answers, k, 1)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    group.close()
    assert len(report.top.rows) == k
    megabytes = shards * answer_bytes(k) / 1e6
    # Of this process so far, mapped answers in the object store included.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"shards": shards, "k": k, "MB": megabytes, "seconds": seconds, "cpu_s": busy, "peak_MB": peak}


class Silent:
    """Answers nothing."""

    def ready(self) -> None:
        """Nothing to start."""

    def waits(self) -> None:
        """For ever."""
        signal.pause()


def measured_wait(calls: int) -> dict[str, float]:
    """Milliseconds of one look at so many calls under way, one of which has answered."""
    silent = ray.remote(Silent).options(num_cpus=0).remote()
    ray.get(silent.ready.remote())
    running = [silent.waits.remote() for _ in range(calls - 1)] + [ray.put(0)]
    begin = time.perf_counter()
    for _ in range(LOOKS):
        ray.wait(running)
    wait = (time.perf_counter() - begin) / LOOKS
    ray.kill(silent)
    return {"calls": calls, "wait_ms": 1000.0 * wait}


def main(arguments=None):
    options_of = parser("shards", __doc__)
    options_of.add_argument("--actors", type=int, default=2)
    options_of.add_argument("--shards", type=int, nargs="+", default=SHARDS)
    options_of.add_argument("--k", type=int, nargs="+", default=BATCHES)
    options_of.add_argument("--most", type=float, default=8000.0, help="largest number of megabytes of one pass")
    options_of.add_argument("--calls", type=int, nargs="+", default=RUNNING)
    options = options_of.parse_args(arguments)
    lines = []
    with ray_session(ComputeConfig(scorers=options.actors, object_store_memory=1 << 30)):
        for calls in options.calls:
            lines.append(measured_wait(calls))
            print({name: round(value, 3) for name, value in lines[-1].items()}, flush=True)
        for k, shards in itertools.product(options.k, options.shards):
            if shards * answer_bytes(k) <= options.most * 1e6:
                lines.append(measured(options.actors, shards, k))
                print({name: round(value, 3) for name, value in lines[-1].items()}, flush=True)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
