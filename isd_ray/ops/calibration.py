"""What the workers of a campaign will be worth on a core of this machine: measured for a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.families import SeenBlocks, answers_of, block_hashes, models_of, with_assays_excluded
from isd_ray.chem.descriptor_sets import descriptor_set
from isd_ray.config import RESMLP, CampaignConfig, DenseFeatures, Fingerprint, ValidationConfig
from isd_ray.config.model import family_class
from isd_ray.core.features import Block, Dense, FeatureBlocks, Features, OnBits, Stack
from isd_ray.core.outlay import FamilyRates, Rates
from isd_ray.core.panels import pack_labels
from isd_ray.core.predictions import HALF
from isd_ray.data.library import Library
from isd_ray.messages import LabelArray, WorkerSpec
from isd_ray.models.base import BlockShape, Fitted, Model, Observed, Problem, family
from isd_ray.models.device import Placement, configure_threads, resolve_placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture
from isd_ray.ops.memory import n_bytes, n_values, values_of_row
from isd_ray.ops.prepare import output_embeddings, panel_outputs

ROWS = 8192
"""Rows that are fitted and scored."""
_FEW = 8
"""Trees cost most of their time whatever the rows are: they are fitted on one in so many as well."""
_EPOCHS = 2
_BUILD_S = {"morgan": 35e-6, "torsion": 80e-6, "atom_pair": 90e-6, "rdkit_path": 160e-6}
"""RDKit's seconds for one fingerprint of one drug-like molecule, on a core of 2024."""
_STANDARDISE_S = 270e-6
"""Likewise for parsing and standardising."""
_START_S, _START_BUILDER_S = 4.0, 1.5
"""Likewise for starting a process of a screen, and one that builds its library."""
_PASS_ROW_S = 1e-6
"""Likewise for what a row costs in a pass of scoring whatever its models: counted, ranked, perhaps chosen."""
_END_ROW_S = 20e-6
"""Likewise for what each row costs once: its id, its label, its line of the hybrid screen."""
_TYPICAL_BITS = {"morgan": 48, "torsion": 44, "atom_pair": 210, "rdkit_path": 180}
"""Set bits of a drug-like molecule, where there is no library to look at."""
_DESCRIPTORS_S = 1e-3
"""Likewise for a set of descriptors."""


def calibrate(config: CampaignConfig, library: Library | None, known: LabelArray | None = None) -> Rates:
    """Fit a member of each family for a moment and score some rows with it, by the code that will do it.

    Parameters
    ----------
    library:
        That of the campaign, or of a past screen like it; None where there is none.
    known:
        Labels of the library, where they are known: trees of labels that nothing predicts are larger than others.
    """
    configure_threads(1)
    rows = _some_rows(library)
    features = _typical(config) if library is None else library.features(rows)
    outputs = panel_outputs(config.task, config.labels, config.library)
    labels, n_outputs = _typical_labels(config, outputs, len(features))
    if library is not None and known is not None and (known[rows] != known[rows][0]).any():
        labels = known[rows]
        n_outputs = max(n_outputs, int(labels.max()) + 1) if config.task == "classification" else n_outputs
    networks = (0.0, 0.0, 0)
    if RESMLP in config.model.families:
        networks = _network_rates(config, outputs, features, labels, n_outputs)
    on_disk = None
    if library is not None:
        on_disk = n_bytes(library) / library.n_rows
    return Rates(
        build_row_s=0.0 if library else build_row_s(config),
        fit_row_s=networks[0],
        score_row_s=networks[1],
        row_bytes=on_disk or features.nbytes / len(features) + 100.0,
        member_bytes=networks[2],
        start_s=_START_S,
        builder_start_s=_START_BUILDER_S,
        pass_row_s=_PASS_ROW_S,
        end_row_s=_END_ROW_S,
        row_values=_typical_values(config, features) if library is None else values_of_row(library),
        others=tuple(_family_rates(config, outputs, library, rows, features, labels, n_outputs)),
    )


def _some_rows(library: Library | None) -> NDArray[np.int64]:
    """Rows that are fitted and scored, ascending: of a library at random, as files often are in order."""
    if library is None or library.n_rows <= ROWS:
        return np.arange(ROWS if library is None else library.n_rows)
    return np.sort(np.random.default_rng(0).choice(library.n_rows, ROWS, replace=False, shuffle=False))


def _network_rates(
    config: CampaignConfig, outputs: tuple[str, ...], features: Features, labels: LabelArray, n_outputs: int
) -> tuple[float, float, int]:
    """Of a residual network: seconds of a row and epoch in a fit, of a row in scoring, and bytes of its weights."""
    placement = resolve_placement("cpu", config.compute.precision)
    spec = config.library.features
    numbers = config.labels.are_numbers(outputs)
    is_panel = config.task == "panel"
    architecture = Architecture.from_config(config.model, spec, n_outputs, is_panel=is_panel, numbers=numbers)
    model = config.model.model_copy(update={"epochs": _EPOCHS, "patience": _EPOCHS})
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
        output_embeddings=output_embeddings(config.model, outputs),
    )
    fit_s = time.process_time() - start
    predictor = CommitteePredictor([fitted.weights], architecture, placement)
    predictor.outputs(features)
    start = time.process_time()
    predictor.outputs(features)
    score_s = time.process_time() - start
    weights = sum(array.nbytes for array in fitted.weights.values())
    return fit_s / (fitted.n_train * fitted.epochs), score_s / len(features), weights


def _family_rates(
    config: CampaignConfig,
    outputs: tuple[str, ...],
    library: Library | None,
    rows: NDArray[np.int64],
    features: Features,
    labels: LabelArray,
    n_outputs: int,
) -> Iterator[FamilyRates]:
    """The same of each family beside the networks, on all blocks of the library, or those it will have."""
    placement = resolve_placement("cpu", "float32")
    if library is None:
        generator = np.random.default_rng(0)
        shapes = [BlockShape("main", config.library.features.kind, config.library.features.width)]
        blocks: dict[str, Block] = {"main": features}
        for descriptors in config.library.descriptor_sets:
            width = len(descriptor_set(descriptors).names)
            values = generator.standard_normal((len(features), width)).astype(np.float16)
            shapes.append(BlockShape(descriptors, "dense", width, standardised=True))
            blocks[descriptors] = Dense(values)
        together = FeatureBlocks(blocks)
        problem = Problem(config.task, n_outputs, tuple(shapes), config.labels.are_numbers(outputs))
        models = {
            name: family(name, family_class(name).Config.model_validate(config.model.options[name]), problem)
            for name in config.model.families
            if name != RESMLP and not family_class(name).needs
        }
    else:
        classes = tuple(map(str, range(n_outputs))) if config.task == "classification" else ()
        config = with_assays_excluded(config, library)
        hashes = block_hashes(config.model, answers_of(config.labels, outputs), library)
        spec = WorkerSpec(config, {"target": library.address}, classes, outputs, blocks=hashes)
        seen = SeenBlocks(spec.config.model, spec.blocks, library)
        together = seen.rows(rows)
        models = {name: model for name, model in models_of(spec, seen).items() if name != RESMLP}
    for name, model in models.items():
        fitted, base_s, row_s = _fit_rates(model, together, labels, config.validation, placement)
        predictor = model.open([fitted.weights], placement)
        start = time.process_time()
        predictor.outputs(together)
        score_s = (time.process_time() - start) / len(rows)
        weights = sum(array.nbytes for array in fitted.weights.values())
        yield FamilyRates(name, config.model.members_of(name), base_s, row_s, score_s, weights)


def _fit_rates(
    model: Model, features: FeatureBlocks, labels: LabelArray, validation: ValidationConfig, placement: Placement
) -> tuple[Fitted, float, float]:
    """A model fitted on all rows, and the line through its time and that of a fit on a few: base and seconds a row."""
    taken: list[float] = []
    n_few = max(1, len(features) // _FEW)
    # The first fit of all also loads its package.
    for n in (n_few, n_few, len(features)):
        start = time.process_time()
        data = Observed(Stack((features,)), np.arange(n), labels[:n], validation)
        fitted = model.fit(data, seed=0, split_seed=0, placement=placement)
        taken.append(time.process_time() - start)
    row_s = max(0.0, taken[2] - taken[1]) / max(1, len(features) - n_few)
    return fitted, max(0.0, taken[1] - row_s * n_few), row_s


def _typical(config: CampaignConfig) -> Features:
    """Rows of the configured width with as many set bits as drug-like molecules have."""
    generator = np.random.default_rng(0)
    spec = config.library.features
    if isinstance(spec, DenseFeatures):
        return Dense(generator.random((ROWS, spec.width), dtype=np.float32))
    n_bits = sum(_bits(fingerprint) for fingerprint in spec.fingerprints)
    bits = np.sort(generator.integers(0, spec.width, (ROWS, n_bits), dtype=np.uint32), axis=1).ravel()
    offsets = np.arange(ROWS + 1, dtype=np.int64) * n_bits
    return OnBits(bits.astype(np.uint16) if spec.width <= 1 << 16 else bits, offsets, spec.width)


def _typical_values(config: CampaignConfig, features: Features) -> float:
    """Set bits, or values, of a row, as `values_of_row` counts them."""
    return n_values(features) + 2 * sum(len(descriptor_set(name).names) for name in config.library.descriptor_sets)


def _typical_labels(config: CampaignConfig, outputs: tuple[str, ...], n_rows: int) -> tuple[LabelArray, int]:
    """Random labels as the task has them, and outputs of the network; how many classes there are is not known yet."""
    generator = np.random.default_rng(0)
    if config.task == "regression":
        return generator.random(n_rows), 1
    if config.task == "panel":
        n_outputs = len(outputs)
        if config.labels.numbers:
            is_class = ~np.array(config.labels.are_numbers(outputs))
            values = generator.random((n_rows, n_outputs))
            return np.where(is_class, values > HALF, values), n_outputs
        return pack_labels(generator.integers(0, 2, (n_rows, n_outputs), np.int8)), n_outputs
    n_outputs = max(2, len(config.labels.classes))
    return generator.integers(0, n_outputs, n_rows), n_outputs


def _bits(fingerprint: Fingerprint) -> int:
    return round(_TYPICAL_BITS[fingerprint.kind] * (1.4 if fingerprint.count_levels > 1 else 1.0))


def build_row_s(config: CampaignConfig) -> float:
    """Seconds for one record of a library that is not built yet."""
    spec = config.library.features
    if isinstance(spec, DenseFeatures):
        return 0.0
    fingerprints = sum(_BUILD_S[fingerprint.kind] for fingerprint in spec.fingerprints)
    return _STANDARDISE_S + fingerprints + _DESCRIPTORS_S * len(config.library.descriptor_sets)
