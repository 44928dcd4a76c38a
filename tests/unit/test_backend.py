"""Requests to workers are planned and merged once: the same screen however many workers share it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isd_ray.campaign.backend import Backend, merge_scores
from isd_ray.campaign.setup import begin_or_resume, open_loop
from isd_ray.campaign.watcher import Watcher
from isd_ray.campaign.workers import LocalWorkers
from isd_ray.errors import IsdError
from isd_ray.messages import Evaluation, ScoredRows, Shard, ShardScores
from isd_ray.ops.prepare import prepare
from isd_ray.storage.files import sha256_file

OF_THE_RUN = {"fit_seconds", "score_seconds", "round_seconds", "frozen"}
"""What differs from run to run: times, and the folder that an attempt took."""
SCREEN = {
    "library": {"split": {"fractions": [0.8, 0.0, 0.2]}},
    "model": {"epochs": 12},
    "acquisition": {"batch_size": 90, "function": "least_confidence"},
    "stopping": {"rule": "certify", "quantity": "recall", "gamma": 0.8, "positive": "BBB-"},
}
"""With a test set, predicted hits, audits, ranks in a group and a finish."""


class Put:
    """Stands for a value that travels once."""

    def __init__(self, value):
        self.value = value


class ManyWorkers(LocalWorkers):
    """So many scorers, played by one, whose answers come last first; notes what was put and how often it was asked."""

    def __init__(self, spec, n_scorers, shards_per_scorer):
        super().__init__(spec)
        self.n_scorers, self.shards_per_scorer = n_scorers, shards_per_scorer
        self.put_hashes, self.n_calls, self.is_closed = [], {}, False

    def put(self, value):
        self.put_hashes.append(getattr(value, "hash", ""))
        return Put(value)

    def each(self, kind, method, calls, *, stay=False):
        assert stay == (method.__name__ == "freeze")
        self.n_calls[method.__name__] = max(len(calls), self.n_calls.get(method.__name__, 0))
        calls = [tuple(one.value if isinstance(one, Put) else one for one in call) for call in calls]
        yield from reversed(list(super().each(kind, method, calls)))

    def close(self):
        self.is_closed = True


def screened(config, out, workers_of):
    """The workers, the record of every round, and the files of the hybrid screen."""
    setup = prepare(config, out, Watcher())
    store, workers = begin_or_resume(setup), workers_of(setup.spec)
    loop = open_loop(setup, Backend(setup.spec, setup.truth, workers))
    while not loop.advance().done:
        pass
    records = [
        {key: value for key, value in files.committed.items() if key not in OF_THE_RUN} for files in store.rounds()
    ]
    return workers, records, {file.name: sha256_file(file) for file in (out / "hybrid").iterdir()}


def test_a_screen_shared_by_many_scorers_is_that_of_one(make_config, tmp_path):
    config = make_config(**SCREEN)
    _, *alone = screened(config, tmp_path / "alone", LocalWorkers)
    workers, *shared = screened(config, tmp_path / "shared", lambda spec: ManyWorkers(spec, 2, 3))
    assert shared == alone
    assert any("test_accuracy" in record for record in alone[0])
    assert workers.n_calls["score"] > 2 * 3, "the target and the test set"
    assert workers.n_calls.keys() >= {"fit", "freeze", "count_ranks", "look_up", "most_uncertain", "write_hybrid"}
    committees = [name for name in workers.put_hashes if name]
    assert len(committees) == len(set(committees)) > 1, "each travels once, for scores and predictions"


def test_errors_of_a_test_set_are_in_the_order_of_its_blocks_whatever_that_of_the_answers():
    """Sums of floats depend on it."""
    none = np.zeros(0, np.float32)
    nothing = ScoredRows(np.zeros(0, np.int64), none, none, none, none)
    answers = [
        ShardScores(Shard(library, block, block + 1), 1, nothing, nothing, np.zeros((), np.int64), errors, 0.0)
        for library in ("target", "test")
        for block in range(3)
        for errors in [Evaluation(1, squared=(float(block),))]
    ]
    merged = merge_scores(reversed(answers), 1, 0)
    assert merged.evaluation == merged.test == Evaluation(3, squared=(0.0, 1.0, 2.0))


def test_workers_are_ended_where_a_backend_cannot_be_made(make_config, tmp_path):
    setup = prepare(make_config(), tmp_path / "run", Watcher())
    workers = ManyWorkers(setup.spec, 1, 1)
    with pytest.raises(IsdError, match="nowhere"):
        Backend(replace(setup.spec, libraries={"target": str(tmp_path / "nowhere")}), {}, workers)
    assert workers.is_closed
