"""A plan for at most so many trips to the laboratory: which batches, and what they cost in wells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import to_come
from isd_ray.config import CampaignConfig
from isd_ray.config.rules import BUILT_IN_RULES, rule_named
from isd_ray.core.replay import MOST_TRIPS, TripsOption, TripsPlan, replay
from isd_ray.errors import ConfigError
from isd_ray.ops.curves import AROUND, GUESS, GUESSED, UNLIKE, curve_of, terms_of
from isd_ray.plates.layout import batch_size, initial_size

_NOTHING = (None, None, None)
GROWTHS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.5, 3.0)
SIZES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""What is tried: growths, and first batches in multiples of the configured one."""
FEWEST_TRIPS = 3
"""A first batch, one that a model has chosen, and the audit."""
PLANNED_RULES = tuple(name for name in BUILT_IN_RULES if rule_named(name).draws_audits)
MANY_TRIPS = 100
"""Options that take more trips, where no more are allowed, are not looked into."""


def plan_trips(config: CampaignConfig, n_target: int, most_trips: int, like: Sequence[str | Path] = ()) -> TripsPlan:
    """Replay the rule on learning curves, and choose the batches that take the fewest wells in so many trips.

    Parameters
    ----------
    like:
        Folders of past screens that this one may be like; without any, a guess.

    Raises
    ------
    ConfigError
        If nothing can be said of the claim or rule, or a past screen says nothing of this one.
    """
    _refuse(config, most_trips, guesses=not like)
    known = [curve_of(config, run) for run in like]
    curves = [curve.times(factor) for curve in known or [GUESS] for factor in (AROUND if known else GUESSED)]
    terms = terms_of(config, n_target)

    def replayed(option: CampaignConfig, give_up: int) -> TripsOption:
        sections = option.acquisition, option.plates
        n_initial, batch = initial_size(*sections), partial(batch_size, *sections)
        replays = [replay(curve, terms, n_initial, batch, give_up) for curve in curves]
        return TripsOption.of((*_first(option), option.acquisition.growth), replays, most_trips)

    options = [replayed(option, max(most_trips, MANY_TRIPS)) for option in _options(config, n_target)]
    ending = [(option.n_wells, option.n_trips, option) for option in options if option.n_wells and option.n_trips]
    within = [found for found in ending if found[1] <= most_trips]
    return TripsPlan(
        most_trips=most_trips,
        unlimited=replayed(config, MOST_TRIPS),
        # What ends on every curve goes before what does not.
        best=min(within, key=lambda found: (found[2].wells is None, *found[:2]), default=_NOTHING)[2],
        fewest=min(ending, key=lambda found: (found[1], found[0]), default=_NOTHING)[2],
        curves=tuple(curve.name for curve in curves),
        assumptions=tuple(_assumptions(n_target, like)),
    )


def _first(config: CampaignConfig) -> tuple[str, int]:
    """The key that sizes the first batch, in compounds or in plates, and its value."""
    acquisition = config.acquisition
    if acquisition.batch_size is not None:
        return "batch_size", acquisition.batch_size
    assert acquisition.n_plates is not None, "the configuration has one of the two"
    return "n_plates", acquisition.n_plates


def _options(config: CampaignConfig, n_target: int) -> Iterator[CampaignConfig]:
    """The configuration with other batches, as far as a first one and a chosen one are to be had."""
    key, configured = _first(config)
    for size in sorted({round(times * configured) for times in SIZES}):
        for growth in GROWTHS:
            changed = config.acquisition.model_copy(update={key: size, "growth": growth})
            option = config.model_copy(update={"acquisition": changed})
            sections = option.acquisition, option.plates
            if initial_size(*sections) + batch_size(*sections) < n_target:
                yield option


def _refuse(config: CampaignConfig, most_trips: int, *, guesses: bool) -> None:
    """Refuse what no learning curve says anything of."""
    stopping, remedy = config.stopping, "simulate a past screen with acquisition.growth, and see its wells and trips"
    if most_trips < FEWEST_TRIPS:
        raise ConfigError(
            f"{most_trips} trips are too few for any screen: a first batch, one that a model has chosen, and an audit",
            "--rounds",
            f"allow {FEWEST_TRIPS} at least",
        )
    if not stopping.in_force.draws_audits:
        raise ConfigError(
            f"trips are planned for the rules {' and '.join(PLANNED_RULES)}, not for {stopping.rule!r}",
            "--rounds",
            f"use another stopping.rule, or {remedy}",
        )
    if config.goal_class.knows_hits or stopping.panel is not None:
        claim = "each output of a panel" if stopping.panel is not None else stopping.quantity
        raise ConfigError(f"trips are not planned for claims about {claim}", "--rounds", remedy)
    if guesses and (config.task != "classification"):
        raise ConfigError(
            f"how fast a model of this {config.task} learns cannot even be guessed",
            "--rounds",
            "name a past screen with the same readout: --like RUN",
        )


def _assumptions(n_target: int, like: Sequence[str | Path]) -> Iterator[str]:
    if like:
        named = " or ".join(map(str, like))
        yield (
            f"this screen learns as fast as {named} did by the share measured, with {AROUND[0]:g} to {AROUND[-1]:g} "
            "times as many errors"
        )
        sizes = {str(run): to_come(CampaignStore.open(run)).n_rows for run in like}
        for run, size in sizes.items():
            if not 1 / UNLIKE <= size / n_target <= UNLIKE:
                yield (
                    f"{run} had {size:,} compounds: larger libraries usually need a smaller share, so read this plan "
                    "with care"
                )
    else:
        yield (
            f"a GUESS: this screen learns as fast as {GUESS.name} did, a public set of 7,802 compounds, with half to "
            "twice as many errors; name a past screen of yours by --like to do better"
        )
    yield "every look passes (an audit is sized to pass in seven of ten) without a finish, which would be a trip more"
    yield "every well gives a readout, and models that are refitted less often choose as well (they choose worse)"
