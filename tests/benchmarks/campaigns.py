"""Whole rounds of a campaign in this process over workers on Ray, with every call to them timed."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.actors.workers import RayWorkers
from isd_ray.campaign.backend import Backend
from isd_ray.campaign.families import answers_of
from isd_ray.campaign.loop import CampaignLoop
from isd_ray.campaign.setup import CampaignSetup, begin_or_resume, blocks_for, open_loop
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.core.features import OnBits
from isd_ray.data.labels import LabelRule, Labels
from isd_ray.data.library import Library
from isd_ray.messages import WorkerSpec

CLASSES = ("few", "many")


class TimedBackend:
    """A backend that notes how long each call took: lists of seconds by method."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            answer = method(*arguments)
            self.seconds[name].append(time.perf_counter() - start)
            return answer

        return timed


def many_bits(library: Library) -> NDArray[np.float64]:
    """A class that can be learnt from the features alone: whether a row has more set bits than the median row."""
    counts = []
    for index in range(library.n_blocks):
        features = library.block(index)
        assert isinstance(features, OnBits)
        counts.append(np.diff(features.offsets))
    bits = np.concatenate(counts)
    return (bits > np.median(bits)).astype(np.float64)


def run_rounds(
    config: CampaignConfig, library: Library, labels: NDArray[np.float64], out: Path, n_rounds: int
) -> list[dict[str, Any]]:
    """Run a campaign for some rounds; for each, its record, its wall time and the seconds of every call."""
    rule = LabelRule("classification", CLASSES, None)
    blocks = blocks_for(config, answers_of(config.labels, ()), library, out)
    spec = WorkerSpec(config, {"target": library.address}, CLASSES, blocks=blocks, version=library.hash)
    known = Labels(np.full(len(labels), np.nan), labels.astype(np.int64), rule, 0)
    setup = CampaignSetup(config, out, spec, rule, known, None)
    backend = TimedBackend(Backend(spec, {}, RayWorkers(spec)))
    loop, store = open_loop(setup, backend), begin_or_resume(setup)
    return timed_rounds(loop, store, backend, n_rounds)


def timed_rounds(
    loop: CampaignLoop, store: CampaignStore, backend: TimedBackend, n_rounds: int
) -> list[dict[str, Any]]:
    """Advance a campaign by some rounds, and close its backend; returns as `run_rounds`."""
    rounds: list[dict[str, Any]] = []
    start = time.perf_counter()
    while len(rounds) < n_rounds:
        progress = loop.advance()
        committed = store.rounds()[-1].committed if store.rounds() else None
        if committed is not None and committed["round"] == len(rounds):
            calls = {name: sum(values) for name, values in backend.seconds.items()}
            rounds.append({**committed, "wall": time.perf_counter() - start, "calls": calls})
            backend.seconds.clear()
            start = time.perf_counter()
        if progress.done:
            break
    backend.close()
    return rounds
