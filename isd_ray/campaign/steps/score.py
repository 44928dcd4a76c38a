"""Choosing the next batch: by the committee's scores, by a look, or at random before there is a committee."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.record import simulation_metrics
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.selection import Pick, Selection, choose, first_of, join, random_count, ranks_by, unscored
from isd_ray.campaign.steps.look import freeze_for_look, plan_looks
from isd_ray.core.features import OnBits
from isd_ray.core.topk import uniform_sample
from isd_ray.messages import Rows, ScoreRequest

PICKED_FROM = 3
"""Batches of the best rows that a diverse one is picked from."""


def score(screen: Screen) -> None:
    """Score the inference set and choose the batch of the round."""
    n_batch, n_drawn = screen.budget.batch(screen.round.number), screen.budget.draw(screen.round.number)
    start = time.perf_counter()
    if screen.round.committee is None:
        screen.round.selection = _draw_unscored(screen, n_drawn)
        return
    n_random, reserve = min(random_count(n_batch, screen.config.random_share), n_drawn), screen.sets.reserve
    random = screen.sets.draw(n_random, screen.draw_seed("random"))
    wanted = np.setdiff1d(screen.round.wanted[screen.sets.is_left(screen.round.wanted)], random)
    wanted = wanted[: n_batch - n_random]
    request = ScoreRequest(
        round=screen.round.number,
        k=(n_batch if screen.config.acquisition.pick == "best" else PICKED_FROM * n_batch) + len(reserve),
        tie_seed=screen.seed("tie"),
        inference=screen.sets.packed_scored(),
        watch=np.unique(np.concatenate([random, wanted, reserve])),
    )
    report = screen.backend.score(request, screen.round.committee)
    screen.round.details["group_sizes"] = report.histogram.sum(axis=1).tolist()
    screen.round.details.update(simulation_metrics(report, screen.history, screen.config, screen.goal))
    ranks = ranks_by(screen.goal, report.histogram)
    screen.round.look = plan_looks(screen, report, n_batch, n_random)
    if screen.round.look:
        screen.round.selection = freeze_for_look(screen, screen.round.look, ranks)
    else:
        within = partial(screen.budget.within, rounds=screen.round.number)
        screen.round.selection, passed = choose(
            report, n_batch, random, wanted, reserve, ranks, within, _pick_of(screen, n_batch)
        )
        screen.round.details["passed"] = passed.tolist()
    screen.round.details["score_seconds"] = time.perf_counter() - start


def _pick_of(screen: Screen, n_batch: int) -> Pick:
    if screen.config.acquisition.pick == "best":
        return first_of
    from isd_ray.chem.diverse import maxmin

    def diverse(rows: Rows, n: int) -> NDArray[np.int64]:
        best = screen.library.features(rows[: PICKED_FROM * n_batch])
        assert isinstance(best, OnBits), "as the setup checks"
        return maxmin(best, min(n, len(best)))

    return diverse


def _draw_unscored(screen: Screen, n_batch: int) -> Selection:
    """Rows drawn before there is a model; the first of them, if the rule wants it, as its reserve."""
    if screen.round.number:
        return Selection.of(unscored(screen.sets.draw(n_batch, screen.draw_seed("random"))), "random")
    n_reserve = screen.budget.n_reserve
    drawn = unscored(screen.sets.draw(n_batch + n_reserve, screen.draw_seed("random")))
    screen.round.details["reserve_seed"] = screen.draw_seed("reserve")
    reserve = uniform_sample(drawn, n_reserve, screen.draw_seed("reserve"))
    initial = drawn.take(~np.isin(drawn.rows, reserve.rows))
    return join([Selection.of(initial, "initial"), Selection.of(reserve, "reserve")])
