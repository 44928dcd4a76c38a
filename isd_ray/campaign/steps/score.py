"""Choosing the next batch: by the committee's scores, by a look, or at random before there is a committee."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.batch import Ranks, Selection, join, ranks_by, unscored
from isd_ray.campaign.look_rounds import FrozenLook
from isd_ray.campaign.record import simulation_metrics
from isd_ray.campaign.round_files import RoundRecord
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Chosen, Trained
from isd_ray.campaign.steps.look import freeze_for_look, plan_looks
from isd_ray.core.features import OnBits
from isd_ray.core.topk import uniform_sample
from isd_ray.errors import ConfigError
from isd_ray.messages import Committee, Rows, ScoreReport, ScoreRequest

Pick: TypeAlias = Callable[[Rows, int], NDArray[np.int64]]
"""Which so many of some rows, best first, are taken: their places, ascending."""


def score(screen: Screen, fitted: Trained) -> Chosen:
    """Score the inference set and choose the batch of the round."""
    if fitted.committee is None:
        selection, look, found = _draw_unscored(screen, fitted.number)
    else:
        selection, look, found = _by_scores(screen, fitted, fitted.committee)
    return Chosen(
        number=fitted.number,
        started=fitted.started,
        selection=selection,
        committee=fitted.committee,
        look=look,
        earlier=None,
        details={**fitted.details, **found},
        attempt=fitted.attempt,
        saving=fitted.saving,
    )


def _by_scores(
    screen: Screen, fitted: Trained, committee: Committee
) -> tuple[Selection, FrozenLook | None, RoundRecord]:
    """The audit of a look, or the random rows, the wanted and the best ones; with what the record says of them."""
    number, start, config = fitted.number, time.perf_counter(), screen.config
    n_batch, n_drawn = screen.budget.batch(number), screen.budget.draw(number)
    n_random, reserve = min(random_count(n_batch, config.random_share), n_drawn), screen.sets.reserve
    random = screen.sets.draw(n_random, screen.draw_seed("random", number))
    # A reserve is no uniform sample of what wishes leave; versions before took some up that came before it was drawn.
    wished = fitted.wanted[:0] if config.stopping.in_force.is_reserved else fitted.wanted
    wanted = np.setdiff1d(wished[screen.sets.is_left(wished)], random)[: n_batch - n_random]
    request = ScoreRequest(
        round=number,
        k=config.batch_pick.n_batches * n_batch + len(reserve),
        tie_seed=screen.seed("tie", number),
        inference=screen.sets.packed_scored(),
        watch=np.unique(np.concatenate([random, wanted, reserve])),
    )
    report = screen.backend.score(request, committee)
    plans, outlook = plan_looks(screen, number, report, n_batch, n_random)
    found: RoundRecord = {
        "group_sizes": report.histogram.sum(axis=1).tolist(),
        **simulation_metrics(report, screen.history, screen.goal, config.task, counts_errors=config.counts_errors),
        **outlook,
    }
    ranks, look = ranks_by(screen.goal, report.histogram), None
    if plans:
        selection, look, frozen = freeze_for_look(screen, fitted, plans, ranks)
        found |= frozen
    else:
        within = partial(screen.budget.within, rounds=number)
        pick = _pick_of(screen, n_batch)
        selection, passed = choose(report, n_batch, random, wanted, reserve, ranks, within, pick)
        found["passed"] = passed.tolist()
    found["score_seconds"] = time.perf_counter() - start
    return selection, look, found


def random_count(batch_size: int, random_share: float) -> int:
    """How many rows of a batch are drawn uniformly: the share rounded half up."""
    return math.floor(random_share * batch_size + 0.5)


def first_of(rows: Rows, n: int) -> NDArray[np.int64]:
    """The n best."""
    return np.arange(min(n, len(rows)))


def choose(
    report: ScoreReport,
    n_batch: int,
    random: Rows,
    wanted: Rows,
    reserve: Rows,
    ranks: Ranks,
    within: Callable[[Rows], int] = len,
    pick: Pick = first_of,
) -> tuple[Selection, Rows]:
    """The random rows, which were drawn first from the whole inference set, the wanted, then the best of the rest.

    Parameters
    ----------
    report:
        `top` holds the best n_batch + len(reserve) rows or more, so that enough are left when some are random or
        reserved.
    random, wanted:
        Rows that were drawn, and others that people ask for: at most n_batch together.
    reserve:
        Measured rows that are scored like all others but not acquired, ascending.
    ranks:
        About how many rows of its group are more uncertain than each.
    within:
        How many of the rows of a batch, in this order, can be paid; not fewer than the random ones.
    pick:
        Which of the best that are neither random, wanted nor reserved.

    Returns
    -------
    tuple
        The batch, and the reserved rows that its best rows passed over.
    """
    watched = report.watched
    rest = report.top.take(~np.isin(report.top.rows, [*random, *wanted]))
    is_reserved = np.isin(rest.rows, reserve)
    free = np.flatnonzero(~is_reserved)
    places = free[pick(rest.rows[free], n_batch - len(random) - len(wanted))]
    n_paid = within(np.concatenate([random, wanted, rest.rows[places]]))
    wanted, places = wanted[: n_paid - len(random)], places[: max(0, n_paid - len(random) - len(wanted))]
    passed = rest.rows[: places[-1]][is_reserved[: places[-1]]] if len(places) else np.empty(0, np.int64)
    chosen = join(
        [
            Selection.of(watched.take(np.isin(watched.rows, random)), "random", ranks),
            Selection.of(watched.take(np.isin(watched.rows, wanted)), "wanted", ranks),
            Selection.of(rest.take(places), "top", ranks),
        ]
    )
    return chosen, passed


def _pick_of(screen: Screen, n_batch: int) -> Pick:
    stage = screen.config.batch_pick
    if (choose_places := stage.choose) is None:
        return first_of

    def picked(rows: Rows, n: int) -> NDArray[np.int64]:
        best = screen.library.features(rows[: stage.n_batches * n_batch])
        assert isinstance(best, OnBits), "as the setup checks"
        places = np.asarray(choose_places(best, min(n, len(best))))
        if not is_batch(places, min(n, len(best)), len(best)):
            raise ConfigError(
                f"acquisition.pick={screen.config.acquisition.pick!r} does not take {min(n, len(best)):,} of "
                f"{len(best):,} rows, each once and in their order",
                "acquisition.pick",
                "mend the package that adds it (isd_ray.testing.picks.PickConformance finds it), or use 'best'",
            )
        return places.astype(np.int64)

    return picked


def is_batch(places: NDArray[np.integer], n: int, n_rows: int) -> bool:
    """Whether places are those of n of some rows, ascending, each once."""
    if places.shape != (n,) or not np.issubdtype(places.dtype, np.integer):
        return False
    return not n or bool(places[0] >= 0 and places[-1] < n_rows and (np.diff(places) > 0).all())


def _draw_unscored(screen: Screen, number: int) -> tuple[Selection, None, RoundRecord]:
    """Rows drawn before there is a model; the first of them, if the rule wants it, as its reserve."""
    n_batch, seed = screen.budget.draw(number), screen.draw_seed("random", number)
    if number:
        return Selection.of(unscored(screen.sets.draw(n_batch, seed)), "random"), None, {}
    n_reserve, reserve_seed = screen.budget.n_reserve, screen.draw_seed("reserve", number)
    drawn = unscored(screen.sets.draw(n_batch + n_reserve, seed))
    reserve = uniform_sample(drawn, n_reserve, reserve_seed)
    initial = drawn.take(~np.isin(drawn.rows, reserve.rows))
    selection = join([Selection.of(initial, "initial"), Selection.of(reserve, "reserve")])
    return selection, None, {"reserve_seed": reserve_seed}
