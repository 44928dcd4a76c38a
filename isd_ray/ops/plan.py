"""`isd plan`: a short calibration on this machine, and what the campaign will take."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from isd_ray.campaign.claimed import would_be_unverified
from isd_ray.campaign.constant import UNKNOWN, beforehand, constant_warning
from isd_ray.config import RESMLP, CampaignConfig
from isd_ray.core.goals import UNVERIFIED
from isd_ray.core.outlay import CampaignPlan, Outlay, Rates, Workload, outlay
from isd_ray.data.ingest.sources import SourceFile, format_of, open_source, resolve_sources, source_format
from isd_ray.data.ingest.texts import opened
from isd_ray.data.labels import LabelRule, Labels, place_labels, read_labels, rule_beforehand
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, InputFileError, LabelError, LibraryError
from isd_ray.ops.beforehand import constant_of
from isd_ray.ops.calibration import ROWS, calibrate
from isd_ray.ops.memory import memory_needed
from isd_ray.ops.plan_trips import plan_trips
from isd_ray.ops.prepare import known_labels, library_address, panel_outputs, with_hit
from isd_ray.plates.layout import batch_size, initial_size


def plan_campaign(
    config: CampaignConfig,
    *,
    out: Path = Path(),
    n_rows: int | None = None,
    stop_share: float = 0.3,
    gpus: int = 0,
    gpu_speedup: float = 50.0,
    price_hour: float | None = None,
    most_trips: int | None = None,
    like: Sequence[str | Path] = (),
) -> CampaignPlan:
    """Forecast a campaign.

    Parameters
    ----------
    out:
        The run's folder, where its library may lie.
    n_rows:
        Size of the target set; default: of the library or of the source, less the held-out parts.
    stop_share:
        Share acquired at the stop.
    gpus, gpu_speedup:
        As in `Workload`.
    price_hour:
        Price of an hour of one GPU, or of one core without GPUs.
    most_trips, like:
        Largest number of trips to the laboratory, and past screens that this one may be like; see `plan_trips`.

    Raises
    ------
    ConfigError
        If the size is not known, or as `plan_trips`.
    """
    library = _library(config, out)
    n_rows = n_rows or _count(config, library)
    if like and most_trips is None:
        raise ConfigError("past screens are compared with for a number of trips only", "--like", "give --rounds too")
    trips = None if most_trips is None else plan_trips(config, n_rows, most_trips, like)
    rates = calibrate(config, library)
    compute, model = config.compute, config.model
    demand = Workload(
        n_rows=n_rows,
        n_initial=min(initial_size(config), n_rows),
        n_batch=batch_size(config),
        members=model.members_of(RESMLP) if RESMLP in model.families else 0,
        epochs=model.epochs,
        trained_share=1.0 if config.validation.source == "external" else 1.0 - config.validation.fraction,
        trainers=min(compute.trainers, model.n_members),
        scorers=compute.scorers,
        builders=config.library.workers or os.cpu_count() or 1,
        stop_share=min(stop_share, config.stopping.max_fraction),
        gpus=gpus,
        gpu_speedup=gpu_speedup,
        growth=config.acquisition.growth,
        # A reserve is measured with the first batch.
        n_audits=int(config.stopping.in_force.draws_audits),
        n_outputs=len(panel_outputs(config)),
        has_numbers=bool(config.labels.numbers),
        block_rows=config.library.block_rows,
        part_rows=config.library.block_rows * config.library.part_blocks,
        resident_bytes=float(compute.resident),
    )
    forecast = outlay(demand, rates)
    fits = f"; every fit of a network runs all {model.epochs} epochs" if demand.members else ""
    rows = f"{ROWS:,} {'rows of the library' if library else 'rows of typical size'}"
    assumptions = [
        f"the screen stops at {demand.stop_share:.0%} measured{fits}",
        f"speeds were measured just now on one core, with {rows}",
        *_speeds(rates, has_networks=demand.members > 0),
        f"a record takes {rates.build_row_s * 1e6:.0f} µs to build" if rates.build_row_s else "the library is built",
        "the laboratory's time, and the first start of Ray, are not counted",
    ]
    if gpus:
        assumptions.append(
            f"one GPU does the work of {gpu_speedup:g} such cores; python -m tests.benchmarks.gpu measures yours"
        )
    goal, constant, warnings = _claim(config, library, out)
    return CampaignPlan(
        goal=goal,
        constant=constant,
        warnings=warnings,
        demand=demand,
        outlay=forecast,
        problems=tuple(_problems(config, demand, forecast)),
        assumptions=tuple(assumptions),
        money=None if price_hour is None else price_hour * forecast.device_hours,
        trips=trips,
    )


def _speeds(rates: Rates, *, has_networks: bool) -> Iterator[str]:
    """The measured speed of each family in words."""
    if has_networks:
        yield (
            f"{RESMLP}: fit {rates.fit_row_s * 1e6:.1f} µs a row, epoch and member, score "
            f"{rates.score_row_s * 1e6:.1f} µs a row and member"
        )
    for family in rates.others:
        yield (
            f"{family.name}: fit {family.fit_row_s * 1e6:.0f} µs a row and member in all, score "
            f"{family.score_row_s * 1e6:.1f} µs a row and member"
        )


def _claim(
    config: CampaignConfig, library: Library | None, out: Path
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The goal, what it is held against, and a warning, by the labels as far as they are known.

    Those of a library that is not built yet are taken as they stand in the file: each compound once, none refused.
    """
    if not config.stopping.claims:
        return None, None, ()
    labels = _labels(config, library)
    rule = LabelRule(config.task, (), None) if labels is None else labels.rule
    if labels is None and config.task != "regression":
        with suppress(LabelError):
            rule = rule_beforehand(config.labels, config.task, by_plates=config.hits is not None)
    if rule.classes:
        config = with_hit(config, rule.classes, out)
    elif config.task != "regression" and not rule.outputs:
        unverified = f" ({UNVERIFIED})" if would_be_unverified(config) else ""
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
        table = read_labels(config.labels, config.library, Path.cwd())
        return place_labels(table, np.arange(len(table)), config.task, None)
    except (InputFileError, LabelError, LibraryError):
        return None


def _library(config: CampaignConfig, out: Path) -> Library | None:
    address = library_address(config, out)
    return Library.open(address) if Library.exists(address) else None


def _count(config: CampaignConfig, library: Library | None) -> int:
    n_rows = library.n_rows if library else None
    names = [config.library.source] if isinstance(config.library.source, str) else list(config.library.source or ())
    if n_rows is None:
        n_rows = sum(_records(file) for name in names for file in resolve_sources(name, Path.cwd(), "library.source"))
    split = config.library.split
    return n_rows if split is None or split.column is not None else round(split.fractions[0] * n_rows)


def _records(file: SourceFile) -> int:
    """Records of a source: exact for Parquet and SDF, the lines of other texts, decompressed."""
    found, n = format_of(file, ()), 0
    if found is source_format("parquet"):
        with file.filesystem.open_input_file(file.path) as content:
            return int(pq.read_metadata(content).num_rows)
    if found is source_format("sdf"):
        n = sum(len(records) for records in open_source(file).read(()))
    else:
        with opened(file) as (stream, _):
            n = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 24), b""))
    if not n:
        raise ConfigError(
            f"how many compounds {file.path} holds is not known before the library is built",
            "library.source",
            "give --rows, or build the library first",
        )
    return n


def _problems(config: CampaignConfig, demand: Workload, forecast: Outlay) -> list[str]:
    """What cannot fit on this machine, if the campaign runs on it."""
    if config.compute.address is not None or demand.gpus:
        return []
    need = memory_needed(config.compute, forecast.size)
    free = psutil.virtual_memory().available
    found = []
    if need > free:
        found.append(f"memory: {need / 2**30:.1f} GiB needed by all processes together, {free / 2**30:.1f} GiB free")
    disk = psutil.disk_usage(str(Path.cwd())).free
    if forecast.disk_bytes > disk:
        found.append(f"disk: {forecast.disk_bytes / 2**30:.1f} GiB for the library, {disk / 2**30:.1f} GiB free here")
    return found
