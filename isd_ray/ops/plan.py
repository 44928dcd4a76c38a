"""`isd plan`: a short calibration on this machine, and what the campaign will take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from isd_ray.campaign.families import SeenBlocks, block_hashes, models_of
from isd_ray.chem.rdkit2d import RDKIT2D
from isd_ray.config import RESMLP, CampaignConfig, DenseFeatures, Fingerprint
from isd_ray.config.model import family_class
from isd_ray.core.features import Block, Dense, FeatureBlocks, Features, OnBits, Stack
from isd_ray.core.outlay import CampaignPlan, Demand, FamilyRates, Outlay, Rates, outlay
from isd_ray.core.panels import pack_labels
from isd_ray.data.ingest.sources import SourceFile, resolve_sources
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError
from isd_ray.messages import LabelArray, WorkerSpec
from isd_ray.models.base import BlockShape, Observed, Problem, family
from isd_ray.models.device import configure_threads, resolve_placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture
from isd_ray.ops.prepare import library_address, output_embeddings, panel_outputs
from isd_ray.plates.layout import batch_size, initial_size

_CALIBRATION_ROWS = 8192
_CALIBRATION_EPOCHS = 2
_BUILD_S = {"morgan": 35e-6, "torsion": 80e-6, "atom_pair": 90e-6, "rdkit_path": 160e-6}
"""RDKit's seconds for one fingerprint of one drug-like molecule, on a core of 2024."""
_STANDARDISE_S = 270e-6
"""Likewise for parsing and standardising."""
_TYPICAL_BITS = {"morgan": 48, "torsion": 44, "atom_pair": 210, "rdkit_path": 180}
"""Set bits of a drug-like molecule, where there is no library to look at."""


def plan_campaign(
    config: CampaignConfig,
    *,
    out: Path = Path(),
    n_rows: int | None = None,
    stop_share: float = 0.3,
    gpus: int = 0,
    gpu_speedup: float = 50.0,
    price_hour: float | None = None,
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
        As in `Demand`.
    price_hour:
        Price of an hour of one GPU, or of one core without GPUs.

    Raises
    ------
    ConfigError
        If the size is not known.
    """
    library = _library(config, out)
    n_rows = n_rows or _count(config, library)
    rates = _calibrate(config, library)
    compute, model = config.compute, config.model
    demand = Demand(
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
    )
    forecast = outlay(demand, rates)
    assumptions = [
        f"the screen stops at {demand.stop_share:.0%} acquired; every fit runs all {model.epochs} epochs",
        f"fit {rates.fit_row_s * 1e6:.1f} µs a row, epoch and network, score {rates.score_row_s * 1e6:.1f} µs a row "
        f"and network: measured just now on one core, {_CALIBRATION_ROWS:,} "
        f"{'rows of the library' if library else 'rows of typical size'}",
        *(
            f"{name}: fit {rate.fit_row_s * 1e6:.0f} µs a row and member in all, score "
            f"{rate.score_row_s * 1e6:.1f} µs a row and member"
            for name, rate in zip([name for name in model.families if name != RESMLP], rates.others, strict=True)
        ),
        f"a record takes {rates.build_row_s * 1e6:.0f} µs to build" if rates.build_row_s else "the library is built",
        "the laboratory's time, and the first start of Ray, are not counted",
    ]
    if gpus:
        assumptions.append(
            f"one GPU does the work of {gpu_speedup:g} such cores; python -m tests.benchmarks.gpu measures yours"
        )
    return CampaignPlan(
        demand=demand,
        outlay=forecast,
        problems=tuple(_problems(config, demand, forecast)),
        assumptions=tuple(assumptions),
        money=None if price_hour is None else price_hour * forecast.device_hours,
    )


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
    """Records of a source: exact for Parquet, the lines of plain text files."""
    with file.filesystem.open_input_file(file.path) as content:
        if file.path.endswith(".parquet"):
            return int(pq.read_metadata(content).num_rows)
        if file.path.endswith((".csv", ".tsv", ".smi", ".txt")):
            return sum(chunk.count(b"\n") for chunk in iter(lambda: content.read(1 << 24), b""))
    raise ConfigError(
        f"how many compounds {file.path} holds is not known before the library is built",
        "library.source",
        "give --rows, or build the library first",
    )


def _calibrate(config: CampaignConfig, library: Library | None) -> Rates:
    """Fit a member for a moment and score some rows with it, by the code that will do it."""
    configure_threads(1)
    placement = resolve_placement("cpu", config.compute.precision)
    spec = config.library.features
    features = (
        _typical(config) if library is None else library.features(np.arange(min(library.n_rows, _CALIBRATION_ROWS)))
    )
    labels, n_outputs = _typical_labels(config, len(features))
    architecture = Architecture.from_config(config.model, spec, n_outputs, is_panel=config.task == "panel")
    model = config.model.model_copy(update={"epochs": _CALIBRATION_EPOCHS, "patience": _CALIBRATION_EPOCHS})
    # Processor time: a busy machine makes the plan no longer.
    start = time.process_time()
    fitted = fit_member(
        features,
        labels,
        task=config.task,
        architecture=architecture,
        model=model,
        validation=config.validation.model_copy(update={"source": "observed"}),
        seed=0,
        placement=placement,
        output_embeddings=output_embeddings(config, panel_outputs(config)),
    )
    fit_s = time.process_time() - start
    predictor = CommitteePredictor([fitted.weights], architecture, placement)
    predictor.outputs(features)
    start = time.process_time()
    predictor.outputs(features)
    score_s = time.process_time() - start
    on_disk = sum(part["bytes"] for part in library.metadata["parts"]) / library.n_rows if library else None
    return Rates(
        build_row_s=0.0 if library else _build_row_s(config),
        fit_row_s=fit_s / (fitted.n_train * fitted.epochs),
        score_row_s=score_s / len(features),
        row_bytes=on_disk or features.nbytes / len(features) + 100.0,
        member_bytes=sum(array.nbytes for array in fitted.weights.values()),
        others=tuple(_family_rates(config, library, features, labels, n_outputs)),
    )


def _family_rates(
    config: CampaignConfig, library: Library | None, features: Features, labels: LabelArray, n_outputs: int
) -> Iterator[FamilyRates]:
    """The same of each family beside the networks, on all blocks of the library, or those it will have."""
    outputs = panel_outputs(config)
    rows = np.arange(len(features))
    placement = resolve_placement("cpu", "float32")
    if library is None:
        generator = np.random.default_rng(0)
        shapes = [BlockShape("main", config.library.features.kind, config.library.features.width)]
        blocks: dict[str, Block] = {"main": features}
        for descriptors in config.library.descriptor_sets:
            values = generator.standard_normal((len(features), len(RDKIT2D))).astype(np.float16)
            shapes.append(BlockShape(descriptors, "dense", len(RDKIT2D), standardised=True))
            blocks[descriptors] = Dense(values)
        together = FeatureBlocks(blocks)
        problem = Problem(config.task, n_outputs, tuple(shapes))
        models = {
            name: family(name, family_class(name).Config.model_validate(config.model.options[name]), problem)
            for name in config.model.families
            if name != RESMLP and not family_class(name).needs
        }
    else:
        classes = tuple(map(str, range(n_outputs))) if config.task == "classification" else ()
        spec = WorkerSpec(config, {"target": library.address}, classes, outputs, blocks=block_hashes(config, library))
        seen = SeenBlocks(spec.config, spec.blocks, library)
        together = seen.rows(rows)
        models = {name: model for name, model in models_of(spec, seen).items() if name != RESMLP}
    for name, model in models.items():
        start = time.process_time()
        data = Observed(Stack((together,)), rows, labels, config.validation)
        fitted = model.fit(data, seed=0, split_seed=0, placement=placement)
        fit_s = time.process_time() - start
        predictor = model.open([fitted.weights], placement)
        start = time.process_time()
        predictor.outputs(together)
        score_s = time.process_time() - start
        n_bytes = sum(array.nbytes for array in fitted.weights.values())
        yield FamilyRates(config.model.members_of(name), fit_s / len(rows), score_s / len(rows), n_bytes)


def _typical(config: CampaignConfig) -> Features:
    """Rows of the configured width with as many set bits as drug-like molecules have."""
    generator = np.random.default_rng(0)
    spec = config.library.features
    if isinstance(spec, DenseFeatures):
        return Dense(generator.random((_CALIBRATION_ROWS, spec.width), dtype=np.float32))
    n_bits = sum(_bits(fingerprint) for fingerprint in spec.fingerprints)
    bits = np.sort(generator.integers(0, spec.width, (_CALIBRATION_ROWS, n_bits), dtype=np.uint32), axis=1).ravel()
    offsets = np.arange(_CALIBRATION_ROWS + 1, dtype=np.int64) * n_bits
    return OnBits(bits.astype(np.uint16) if spec.width <= 1 << 16 else bits, offsets, spec.width)


def _typical_labels(config: CampaignConfig, n_rows: int) -> tuple[LabelArray, int]:
    """Random labels as the task has them, and outputs of the network; how many classes there are is not known yet."""
    generator = np.random.default_rng(0)
    if config.task == "regression":
        return generator.random(n_rows), 1
    if config.task == "panel":
        n_outputs = len(panel_outputs(config))
        return pack_labels(generator.integers(0, 2, (n_rows, n_outputs), np.int8)), n_outputs
    n_outputs = max(2, len(config.labels.classes))
    return generator.integers(0, n_outputs, n_rows), n_outputs


def _bits(fingerprint: Fingerprint) -> int:
    return round(_TYPICAL_BITS[fingerprint.kind] * (1.4 if fingerprint.count_levels > 1 else 1.0))


def _build_row_s(config: CampaignConfig) -> float:
    spec = config.library.features
    if isinstance(spec, DenseFeatures):
        return 0.0
    return _STANDARDISE_S + sum(_BUILD_S[fingerprint.kind] for fingerprint in spec.fingerprints)


def _problems(config: CampaignConfig, demand: Demand, forecast: Outlay) -> list[str]:
    """What cannot fit on this machine, if the campaign runs on it."""
    if config.compute.address is not None or demand.gpus:
        return []
    counts = {"coordinator": 2, "trainer": demand.trainers, "scorer": demand.scorers}
    need = sum(counts[kind] * size for kind, size in forecast.memory.items()) + int(config.compute.object_store_memory)
    free = psutil.virtual_memory().available
    found = []
    if need > free:
        found.append(f"memory: {need / 2**30:.1f} GiB needed by all processes together, {free / 2**30:.1f} GiB free")
    disk = psutil.disk_usage(str(Path.cwd())).free
    if forecast.disk_bytes > disk:
        found.append(f"disk: {forecast.disk_bytes / 2**30:.1f} GiB for the library, {disk / 2**30:.1f} GiB free here")
    return found
