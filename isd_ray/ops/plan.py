"""`isd plan`: a short calibration on this machine, and what the campaign will take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from isd_ray.campaign.claimed import would_be_unverified
from isd_ray.campaign.constant import UNKNOWN, beforehand, constant_warning
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import to_come
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import RESMLP, CampaignConfig
from isd_ray.config_file import as_config
from isd_ray.core.courses import Courses
from isd_ray.core.goals import UNVERIFIED
from isd_ray.core.outlay import CampaignPlan, Outlay, Rates, Workload, outlay
from isd_ray.data.ingest.sources import SourceFile, format_of, open_source, resolve_sources, source_format
from isd_ray.data.ingest.texts import opened
from isd_ray.data.labels import LabelRule, Labels, place_labels, read_labels, rule_beforehand
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, InputFileError, LabelError, LibraryError
from isd_ray.ops.beforehand import constant_of
from isd_ray.ops.calibration import ROWS, build_row_s, calibrate
from isd_ray.ops.courses import courses_of, epochs_of, most_measured
from isd_ray.ops.memory import memory_needed
from isd_ray.ops.plan_trips import plan_trips
from isd_ray.ops.prepare import known_labels, library_address, with_hit
from isd_ray.ops.short_screens import past_run, smaller_run
from isd_ray.ops.workload import DAY_S, going, workload
from isd_ray.plates.layout import initial_size
from isd_ray.report.numbers import counted
from isd_ray.storage.addresses import working_folder


def plan_campaign(
    source: CampaignConfig | str | Path,
    *,
    out: str | Path = Path(),
    n_rows: int | None = None,
    stop_share: float | None = None,
    gpus: int = 0,
    gpu_speedup: float = 50.0,
    price_hour: float | None = None,
    trip_days: float = 0.0,
    most_trips: int | None = None,
    like: Sequence[str | Path] = (),
    watcher: Watcher | None = None,
) -> CampaignPlan:
    """Forecast a campaign.

    Parameters
    ----------
    source:
        A configuration or campaign file; or the folder of a campaign, whose rounds then say how fast models learn.
    out:
        The run's folder, where its library may lie.
    n_rows:
        Size of the target set; default: of the library or of the source, less the held-out parts.
    stop_share:
        Share acquired at the stop, assumed; default: by what is known (`isd_ray.ops.courses`).
    gpus, gpu_speedup:
        GPUs that fit and score, and how many cores one is worth; default: those of the configuration.
    price_hour:
        Price of an hour of one GPU, or of one core without GPUs.
    trip_days:
        Days that a trip to the laboratory takes, in which a cluster of a fixed size is held.
    most_trips:
        Largest number of trips to the laboratory; see `plan_trips`.
    like:
        Past screens that this one may be like: their folders, or campaign files, which are simulated in short.
    watcher:
        Told of these simulations.

    Raises
    ------
    ConfigError
        If the size is not known, a past screen says nothing of this one, or as `plan_trips`.
    """
    own = None
    if not isinstance(source, CampaignConfig) and CampaignStore.exists(source):
        own, out = CampaignStore.open(source), source
        n_rows = n_rows or to_come(own).n_rows
    config = as_config(source) if own is None else CampaignConfig.from_stored(own.config)
    library = _library(config, out)
    n_rows = n_rows or _count(config, library)
    past = [past_run(run, config, n_rows, watcher) for run in like]
    parts = {
        run: part
        for name, run in zip(like, past, strict=True)
        if (part := smaller_run(name, run, config, n_rows, watcher)) is not None
    }
    trips = None if most_trips is None else plan_trips(config, n_rows, most_trips, past)
    if stop_share is None:
        courses = courses_of(config, n_rows, past, own, parts)
    else:
        n_acquired = min(
            most_measured(config, n_rows),
            max(initial_size(config.acquisition, config.plates), round(stop_share * n_rows)),
        )
        courses = Courses.one(n_acquired, f"the screen stops at {stop_share:.0%} measured, as assumed")
    epochs = epochs_of(config, past if own is None else (own.address, *past))
    labels = _labels(config, library)
    rates, measured_on = _rates(config, library, labels, past)
    demand = workload(config, n_rows, courses.planned, epochs, gpus, gpu_speedup, trip_days)
    forecast = outlay(demand, rates)
    ends = [outlay(going(demand, course), rates) for course in (courses.least, courses.most)]
    goal, constant, warnings = _claim(config, labels, out)
    return CampaignPlan(
        goal=goal,
        constant=constant,
        warnings=warnings,
        demand=demand,
        outlay=forecast,
        courses=courses,
        least=ends[0] if courses.least != courses.most else None,
        most=ends[1] if courses.least != courses.most else None,
        problems=tuple(_problems(config, demand, ends[1])),
        assumptions=(*courses.known_by, *_assumptions(config, measured_on, demand, rates, epochs, gpu_speedup)),
        price_hour=price_hour,
        trips=trips,
    )


def _rates(
    config: CampaignConfig, library: Library | None, labels: Labels | None, past: Sequence[str | Path]
) -> tuple[Rates, str]:
    """Speeds on the library; where it is not built yet, on that of a past screen if it has the same features."""
    if library is not None:
        return calibrate(config, library, None if labels is None else labels.labels), "rows of the library"
    for run in past:
        there = CampaignConfig.from_stored(CampaignStore.open(run).config)
        found, like = _library(there, run), there.model_copy(update={"model": config.model})
        if found is not None and config.library.asks_for(found.spec) and _blocks(there) == _blocks(config):
            known = _labels(there, found)
            rates = calibrate(like, found, None if known is None else known.labels)
            return replace(rates, build_row_s=build_row_s(config)), "rows of a past screen"
    return calibrate(config, None), "rows of typical size"


def _blocks(config: CampaignConfig) -> set[str]:
    return set(config.library.descriptor_sets)


def _assumptions(
    config: CampaignConfig,
    measured_on: str,
    demand: Workload,
    rates: Rates,
    epochs: float | None,
    gpu_speedup: float,
) -> Iterator[str]:
    """What the forecast of time rests on, in words."""
    if demand.members and epochs is None:
        yield f"every fit of a network runs all {config.model.epochs} epochs; most end before"
    elif demand.members:
        yield f"a fit of a network runs {epochs:.1f} of at most {config.model.epochs} epochs, as there"
    yield f"speeds were measured just now on one core, with up to {ROWS:,} {measured_on}"
    yield from _speeds(rates, has_networks=demand.members > 0)
    if rates.build_row_s:
        yield f"a record takes {rates.build_row_s * 1e6:.0f} µs to build, on {counted(demand.builders, 'core')}"
    else:
        yield "the library is built"
    if demand.has_gpus:
        yield f"one GPU does the work of {gpu_speedup:g} such cores; python -m tests.benchmarks.gpu measures yours"
    if demand.trip_s:
        yield f"a trip to the laboratory takes {demand.trip_s / DAY_S:g} days"
    else:
        yield "the laboratory's time is not counted; --trip-days says what a trip takes"


def _speeds(rates: Rates, *, has_networks: bool) -> Iterator[str]:
    """The measured speed of each family in words."""
    if has_networks:
        yield (
            f"{RESMLP}: fit {rates.fit_row_s * 1e6:.1f} µs a row, epoch and member, score "
            f"{rates.score_row_s * 1e6:.1f} µs a row and member"
        )
    for family in rates.others:
        yield (
            f"{family.name}: fit {family.fit_base_s:.2f} s and {family.fit_row_s * 1e6:.0f} µs a row by member, score "
            f"{family.score_row_s * 1e6:.1f} µs a row and member"
        )


def _claim(
    config: CampaignConfig, labels: Labels | None, out: str | Path
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The goal, what it is held against, and a warning, by the labels as far as they are known.

    Those of a library that is not built yet are taken as they stand in the file: each compound once, none refused.
    """
    if not config.stopping.claims:
        return None, None, ()
    rule = LabelRule(config.task, (), None) if labels is None else labels.rule
    if labels is None and config.task != "regression":
        with suppress(LabelError):
            rule = rule_beforehand(config.labels, config.task, by_plates=config.hits is not None)
    if rule.classes:
        config = with_hit(config, rule.classes, out)
    elif config.task != "regression" and not rule.outputs:
        unverified = f" ({UNVERIFIED})" if would_be_unverified(config.stopping) else ""
        return f"{config.goal_class.noun}{unverified} {config.stopping.level:g}", UNKNOWN, ()
    goal, constant = constant_of(config, rule, None if labels is None else labels.labels)
    warning = constant_warning(goal, constant, rule.classes)
    return goal.words, beforehand(goal, constant, rule.classes), () if warning is None else (warning,)


def _labels(config: CampaignConfig, library: Library | None) -> Labels | None:
    """Known labels; None where they are not, or not before a library is built."""
    try:
        if library is not None:
            return known_labels(config, library)
        if config.task == "panel":
            return None
        table = read_labels(config.labels, config.library, working_folder())
        return place_labels(table, np.arange(len(table)), config.task, None)
    except (InputFileError, LabelError, LibraryError):
        return None


def _library(config: CampaignConfig, out: str | Path) -> Library | None:
    address = library_address(config.library, out)
    return Library.open(address) if Library.exists(address) else None


def _count(config: CampaignConfig, library: Library | None) -> int:
    n_rows = library.n_rows if library else None
    names = [config.library.source] if isinstance(config.library.source, str) else list(config.library.source or ())
    if n_rows is None:
        folder = working_folder()
        n_rows = sum(_records(file) for name in names for file in resolve_sources(name, folder, "library.source"))
    split = config.library.split
    return n_rows if split is None or split.column is not None else round(split.fractions[0] * n_rows)


def _records(file: SourceFile) -> int:
    """Records of a source: exact for Parquet and SDF, the lines of other texts, decompressed, but for a header."""
    found, n = format_of(file, ()), 0
    if found is source_format("parquet"):
        with file.filesystem.open_input_file(file.path) as content:
            return int(pq.read_metadata(content).num_rows)
    if found is source_format("sdf"):
        n = sum(len(records) for records in open_source(file).read(()))
    else:
        with opened(file) as (stream, _):
            n = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 24), b""))
        n -= found in (source_format("csv"), source_format("tsv"))
    if n <= 0:
        raise ConfigError(
            f"how many compounds {file.path} holds is not known before the library is built",
            "library.source",
            "give --rows, or build the library first",
        )
    return n


def _problems(config: CampaignConfig, demand: Workload, forecast: Outlay) -> list[str]:
    """What cannot fit on this machine, if the campaign runs on it."""
    if config.compute.address is not None or demand.has_gpus:
        return []
    need = memory_needed(config.compute, forecast.size)
    free = psutil.virtual_memory().available
    found = []
    if need > free:
        found.append(f"memory: {need / 2**30:.1f} GiB needed by all processes together, {free / 2**30:.1f} GiB free")
    disk = psutil.disk_usage(str(working_folder())).free
    if forecast.disk_bytes > disk:
        found.append(f"disk: {forecast.disk_bytes / 2**30:.1f} GiB for the library, {disk / 2**30:.1f} GiB free here")
    return found
