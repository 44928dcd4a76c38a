"""How far a campaign goes: by its rules alone, by its own rounds, by past screens, or by a guess that is called one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.standing import paid_evenly
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import to_come
from isd_ray.config import RESMLP, CampaignConfig
from isd_ray.core.conditions import affordable
from isd_ray.core.courses import Course, Courses
from isd_ray.core.replay import Replayed
from isd_ray.errors import ConfigError
from isd_ray.ops.curves import AROUND, GUESS, GUESSED, Learnt, is_like, learnt_of, unsaid
from isd_ray.ops.results import rounds_of
from isd_ray.plates.layout import batch_size, initial_size

SEEN = (0.075, 0.67)
"""Least and greatest share that a certified screen of `tests/benchmarks/RESULTS.md` took: of QM9 and of hsf1."""
MOST_ROUNDS = 1000
"""A replay on a large library takes batches of at least one of so many parts: it is about wells, not rounds."""
_GUESS = Learnt(GUESS, 7802)
_NONE: Mapping[str | Path, str | Path] = MappingProxyType({})
_NAME = "name a past screen, --like RUN or --like CAMPAIGN.toml, or the campaign's own folder once it has rounds"
_UNLUCKY = "the longest with a look that fails, as about three in ten do"
_OWN_ROUNDS = (
    f"by its rounds so far: models learn no more, or go on as until now, with {AROUND[0]:g} to {AROUND[-1]:g} times as "
    "many errors"
)


def courses_of(
    config: CampaignConfig,
    n_target: int,
    past: Sequence[str | Path] = (),
    own: CampaignStore | None = None,
    smaller: Mapping[str | Path, str | Path] = _NONE,
) -> Courses:
    """How many rows a campaign measures.

    Parameters
    ----------
    past:
        Folders of screens that this one may be like.
    own:
        The campaign itself, under way or over.
    smaller:
        By the folder of a past screen that of one of a part of its compounds: what its size does is seen by that.

    Raises
    ------
    ConfigError
        If a past screen says nothing of this one.
    """
    limit = most_measured(config, n_target)
    if own is not None and own.is_delivered():
        return Courses.one(len(measured_readouts(own)[0]), "the campaign is over")
    if not config.stopping.in_force.judges:
        return Courses.one(limit, f"the rule {config.stopping.rule!r} measures until a limit is reached")
    n_measured, why = 0, unsaid(config)
    if own is not None:
        n_measured = len(measured_readouts(own)[0])
        try:
            if why is None:
                learnt = learnt_of(config, own.address)
                ways = [learnt, learnt.carried_on]
                return _at_least(n_measured, _replayed(config, n_target, (ways, []), limit, _OWN_ROUNDS))
        except ConfigError as error:
            why = error.what
    if past:
        return _at_least(n_measured, _by_past(config, n_target, past, smaller, limit))
    if config.task == "classification" and unsaid(config) is None and not config.goal_class.knows_hits:
        said = (
            f"a GUESS: models learn as fast as in {GUESS.name}, a public set of 7,802 compounds, with half to twice as "
            f"many errors; {_NAME}"
        )
        return _at_least(n_measured, _replayed(config, n_target, _ways(_GUESS, n_target), limit, said, is_guess=True))
    least, most = (
        Course(min(limit, max(initial_size(config.acquisition, config.plates), round(share * n_target))))
        for share in SEEN
    )
    reason = f" ({why})" if why and own is not None else ""
    said = (
        f"NOTHING IS KNOWN of how fast models learn here{reason}: certified screens that were tried took {SEEN[0]:.1%} "
        f"to {SEEN[1]:.0%} of their compounds, and some goals take all; {_NAME}"
    )
    return _at_least(n_measured, Courses(least, None, most, (said,)))


def epochs_of(config: CampaignConfig, runs: Sequence[str | Path]) -> float | None:
    """Epochs that fits of networks took on average in some screens; None if that is not known."""
    if RESMLP not in config.model.families:
        return None
    taken = [row["epochs"] for run in runs for row in rounds_of(CampaignStore.open(run)).to_pylist() if row["epochs"]]
    return min(config.model.epochs, sum(taken) / len(taken)) if taken else None


def most_measured(config: CampaignConfig, n_target: int) -> int:
    """Rows after which a limit ends a screen that takes batches alone: an audit may be larger than a batch."""
    stopping, paid = config.stopping, paid_evenly(config, n_target)
    if not any(leaf.rounds is not None for leaf in stopping.condition.leaves()):
        return min(n_target, affordable(stopping, 0, 0, n_target, paid))
    first, number = initial_size(config.acquisition, config.plates), 1
    n = min(n_target, affordable(stopping, 0, 0, n_target, paid), first)
    while (left := n_target - n) and (room := affordable(stopping, n, number, n_target, paid)):
        n += min(left, room, batch_size(config.acquisition, config.plates, number, left))
        number += 1
    return n


Ways: TypeAlias = tuple[list[Learnt], list[Learnt]]
"""How a library may learn: the likely ways, and the others."""


def _ways(learnt: Learnt, n_target: int, exponent: float | None = None) -> Ways:
    """Of a library of another size: as a smaller part has shown, else by the share measured or the number of labels."""
    by_number = learnt.scaled(n_target, 0.0)
    if is_like(learnt.n_target, n_target) or by_number is None:
        return [learnt.carried_on], []
    between = None if exponent is None else learnt.scaled(n_target, exponent)
    ends = [learnt.carried_on, by_number]
    return (ends, []) if between is None else ([between], ends)


def _replayed(
    config: CampaignConfig,
    n_target: int,
    ways: Ways,
    limit: int,
    said: str,
    *,
    is_guess: bool = False,
) -> Courses:
    factors = GUESSED if is_guess else AROUND

    def batch(number: int, left: int) -> int:
        return max(batch_size(config.acquisition, config.plates, number, left), n_target // MOST_ROUNDS)

    def ends(ways: Sequence[Learnt], n_failing: int) -> list[Replayed | None]:
        return [end for way in ways for end in way.ends(config, n_target, batch, factors, n_failing)]

    likely, others = ways
    unlikely = [*ends(others, 0), *ends(likely, 1), *ends(others, 1)]
    return Courses.of(ends(likely, 0), limit, (f"{said}; {_UNLUCKY}",), unlikely, is_guess=is_guess)


def _by_past(
    config: CampaignConfig,
    n_target: int,
    past: Sequence[str | Path],
    smaller: Mapping[str | Path, str | Path],
    limit: int,
) -> Courses:
    named = " or ".join(map(str, past))
    if unsaid(config) is not None:
        ends = [end for run in past for end in _ends_like(config, CampaignStore.open(run), n_target)]
        said = f"it ends as {named} did, at the same share measured or, of another size, with as many wells"
        return Courses.of(ends, limit, (said,))
    likely: list[Learnt] = []
    others: list[Learnt] = []
    known_by: set[str] = set()
    for run in past:
        learnt = learnt_of(config, run)
        exponent = _exponent(config, learnt, smaller.get(run))
        ways = _ways(learnt, n_target, exponent)
        likely, others = likely + ways[0], others + ways[1]
        if ways[1]:
            known_by.add(f"labels as a quarter of them has shown (a size to the power of {exponent:.2f})")
        else:
            known_by |= {"the share measured", "the number of labels"} if len(ways[0]) > 1 else {"the share measured"}
    by = " and by ".join(sorted(known_by, reverse=True))
    said = f"models learn as fast as in {named} by {by}, with {AROUND[0]:g} to {AROUND[-1]:g} times as many errors"
    return _replayed(config, n_target, (likely, others), limit, said)


def _exponent(config: CampaignConfig, learnt: Learnt, smaller: str | Path | None) -> float | None:
    """What the size does, by a screen of a smaller part; None where that says nothing, as it ended too soon."""
    if smaller is None:
        return None
    try:
        return learnt.exponent(learnt_of(config, smaller))
    except ConfigError:
        return None


def _ends_like(config: CampaignConfig, store: CampaignStore, n_target: int) -> list[Replayed]:
    """Ends of a screen with the same claim: at the same share, and of another size with the same number of wells."""
    there = CampaignConfig.from_stored(store.config)
    claim = ("rule", "quantity", "gamma", "delta", "tolerance", "tolerances", "max_loss", "loss_clip", "panel")
    other = [key for key in claim if getattr(there.stopping, key) != getattr(config.stopping, key)]
    if other or not store.is_delivered():
        what = f"differs in {', '.join(f'stopping.{key}' for key in other)}" if other else "has not ended"
        raise ConfigError(
            f"the past screen {what}, and only one with the same claim that has ended says anything of this one",
            f"--like {store.address}",
            "name its campaign file, which is simulated with this claim",
        )
    n_there = to_come(store).n_rows
    rounds = rounds_of(store).to_pylist()
    n_wells, n_audit = rounds[-1]["n_acquired"], rounds[-1]["n_audit"]
    by_share = Replayed(len(rounds), round(n_wells / n_there * n_target), round(n_audit / n_there * n_target))
    if is_like(n_there, n_target):
        return [by_share]
    return [by_share, Replayed(len(rounds), min(n_wells, n_target), min(n_audit, n_target))]


def _at_least(n_measured: int, courses: Courses) -> Courses:
    """What is measured already cannot be taken back."""

    def raised(course: Course) -> Course:
        return Course(max(course.n_acquired, n_measured), course.n_audit)

    likely = courses.likely and raised(courses.likely)
    return Courses(raised(courses.least), likely, raised(courses.most), courses.known_by)
