"""Requests to workers: planned and merged once, the same answer however many workers there are."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import begin_or_resume, open_loop
from isd_ray.campaign.watcher import Watcher
from isd_ray.campaign.workers import LocalWorkers
from isd_ray.errors import IsdError
from isd_ray.messages import WorkerSpec
from isd_ray.ops.prepare import prepare


class Many(LocalWorkers):
    """As many scorers as asked for, played by one; answers come last first, and what was put must be asked for."""

    def __init__(self, spec, n_scorers, shards_per_scorer):
        super().__init__(spec)
        self.n_scorers, self.shards_per_scorer = n_scorers, shards_per_scorer
        self.n_put, self.calls, self.is_closed = {}, {}, False

    def put(self, value):
        name = type(value).__name__
        self.n_put[name] = self.n_put.get(name, 0) + 1
        return ("put", value)

    def each(self, kind, method, calls, *, stay=False):
        self.calls[method.__name__] = len(calls)
        fetched = [
            tuple(argument[1] if isinstance(argument, tuple) and argument[:1] == ("put",) else argument for argument in call)
            for call in calls
        ]
        return reversed(list(super().each(kind, method, fetched, stay=stay)))

    def close(self):
        self.is_closed = True


def hybrid_of(config, out, workers_of):
    setup = prepare(config, out, Watcher())
    begin_or_resume(setup)
    workers = workers_of(setup.spec)
    loop = open_loop(setup, Backend(setup.spec, setup.truth, workers))
    while not loop.advance().done:
        pass
    return workers, {file.name: file.read_bytes() for file in (out / "hybrid").iterdir()}
