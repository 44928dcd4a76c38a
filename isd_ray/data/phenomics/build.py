"""The whole way from wells to the files that a campaign reads.

At its end stand cosine similarities of genes and compounds, cut into labels gene by gene.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.config import PhenomicsConfig
from isd_ray.core.panels import n_bytes
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.data.label_rule import BINARY_CLASSES
from isd_ray.data.output_embeddings import EMBEDDING, OUTPUT
from isd_ray.data.panel_file import write_panel_labels
from isd_ray.data.phenomics.aggregate import MIN_CONTROLS, Controls, aggregate, control_statistics, nested_weights
from isd_ray.data.phenomics.wells import Embeddings, Perturbations, Wells, read_wells
from isd_ray.data.predictions import replace_table
from isd_ray.errors import ConfigError
from isd_ray.storage.addresses import working_folder
from isd_ray.storage.output_files import refuse_file_as_folder, written

LABELS, GENES, SUMMARY = "labels.parquet", "genes.parquet", "summary.json"
"""What a map's folder holds."""
_CELLS = 1 << 25
"""Similarities held at a time: 128 MiB."""
_COMPOUNDS = 1 << 10


def build_map(
    config: PhenomicsConfig,
    embeddings: str,
    out: Path,
    *,
    metadata: str | None = None,
    base_dir: Path | None = None,
    message: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Make labels of gene and compound pairs, and embeddings of the genes, from wells.

    Writes ``labels.parquet`` (`isd_ray.data.panel_file`: a line for each compound, an output for each gene kept),
    ``genes.parquet`` (output, embedding, threshold, activity) and ``summary.json``.

    Parameters
    ----------
    embeddings:
        Parquet file with an embedding for each well, and, unless `metadata` is given, the columns of the well table.
    metadata:
        The well table: CSV, TSV or Parquet.
    message:
        Told what is being done.

    Returns
    -------
    dict
        The content of ``summary.json``.

    Raises
    ------
    InputFileError
        If a file or column is missing, or wells cannot be told apart or have no controls.
    ConfigError
        If no gene is as active as `min_activity` asks for.
    """
    refuse_file_as_folder(out)
    base_dir = base_dir or working_folder()
    source = open_source(resolve_source(embeddings, base_dir))
    table = (
        None
        if metadata is None
        else open_source(resolve_source(metadata, base_dir), columns=(config.well, config.plate, config.kind))
    )
    wells = read_wells(table or source, config)
    stream = Embeddings(source, config, table)
    message(f"controls of {len(wells.experiments):,} experiments, {len(wells):,} wells")
    controls = control_statistics(wells, stream)
    message("wells to plates, experiments and guides")
    genes, doses = _means(wells, stream, controls)
    concentrations, names = wells.concentrations, wells.guides.groups
    # A perturbation whose every well had to be left out has no embedding.
    with_gene, with_dose = np.flatnonzero(genes.any(axis=1)), np.flatnonzero(doses.any(axis=1))
    compounds, of_dose = np.unique(concentrations.parents[with_dose], return_inverse=True)
    message(f"similarities of {len(with_gene):,} genes and {len(with_dose):,} concentrations")
    found = similarities(genes[with_gene], doses[with_dose], of_dose, config.siqr_steps)
    kept = np.flatnonzero(found.activity >= config.min_activity)
    if not len(kept):
        raise ConfigError(
            f"no gene is similar to a share of {config.min_activity:g} of the compounds; the most active one is to "
            f"{found.activity.max():.3f}",
            "phenomics.min_activity",
            "lower it; with one concentration of each compound no gene can reach 0.25",
        )
    ones = panel_bits(found.bits[kept], len(compounds))
    measured = np.broadcast_to(np.packbits(np.ones(len(kept), np.uint8)), ones.shape)
    outputs = [names[gene] for gene in with_gene[kept]]
    ids = pa.array([concentrations.groups[compound] for compound in compounds], pa.string())
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
    write_panel_labels(out / LABELS, ids, np.stack([ones, measured], axis=1), outputs, BINARY_CLASSES)
    replace_table(
        pa.table(
            {
                OUTPUT: outputs,
                EMBEDDING: _fixed_lists(genes[with_gene[kept]]),
                "threshold": found.threshold[kept],
                "activity": found.activity[kept],
            }
        ),
        out / GENES,
    )
    summary = {
        **_counts(wells, controls),
        "n_genes": len(with_gene),
        "n_genes_kept": len(kept),
        "n_compounds": len(compounds),
        "n_concentrations": len(with_dose),
        "share_similar": float(found.activity[kept].mean()),
    }
    (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def _means(wells: Wells, stream: Embeddings, controls: Controls) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings of genes, over guides, and of compounds at each concentration, in one pass."""
    sound = _is_sound(wells, controls)
    guides, doses = wells.guides, wells.concentrations
    inner = (wells.experiment, wells.plate)
    gene, dose = _group_of_well(guides), doses.of_well
    weights = nested_weights(sound & (gene >= 0), (gene, guides.of_well, *inner))
    weights += nested_weights(sound & (dose >= 0), (dose, *inner))
    n_genes = len(guides.groups)
    target = np.where(gene >= 0, gene, np.where(dose >= 0, n_genes + dose, -1))
    means = aggregate(wells, stream, controls, target, weights)
    return means[:n_genes], means[n_genes:]


def _is_sound(wells: Wells, controls: Controls) -> NDArray[np.bool_]:
    """Wells with an embedding, on a plate of an experiment that has controls."""
    return controls.usable & (wells.plate >= 0) & (controls.n[wells.experiment] >= MIN_CONTROLS)


def _group_of_well(perturbations: Perturbations) -> NDArray[np.int64]:
    return np.where(perturbations.of_well >= 0, perturbations.parents[perturbations.of_well], -1)


def _counts(wells: Wells, controls: Controls) -> dict[str, Any]:
    perturbed = (wells.guides.of_well >= 0) | (wells.concentrations.of_well >= 0)
    without = [wells.experiments[e] for e in np.flatnonzero(controls.n < MIN_CONTROLS)]
    return {
        "n_wells": len(wells),
        "n_wells_used": int((perturbed & _is_sound(wells, controls)).sum()),
        "n_controls": int(controls.n.sum()),
        "n_wells_without_embedding": int((~controls.usable).sum()),
        "n_wells_of_no_perturbation": int((~perturbed & ~wells.is_control).sum()),
        "experiments_without_controls": without,
    }


def _fixed_lists(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


@dataclass(frozen=True, slots=True)
class Similarities:
    """Which compounds each of G genes is similar to.

    Attributes
    ----------
    bits:
        uint8 (G, ceil(C / 8)): packed, a bit for each of C compounds.
    threshold, activity:
        float32 (G,): the least cosine of a similar compound; the share of compounds that are similar.
    """

    bits: NDArray[np.uint8]
    threshold: NDArray[np.float32]
    activity: NDArray[np.float32]


def similarities(
    genes: NDArray[np.float32], doses: NDArray[np.float32], compound_of_dose: NDArray[np.int64], siqr_steps: float
) -> Similarities:
    """Compare every gene with every compound at its best concentration (paper, Section 4.3), in blocks of genes.

    A gene's threshold is taken over its similarities to every compound at every concentration, as median + `siqr_steps`
    · (upper quartile - median). The paper does not say over which; over the best concentrations only, no gene could be
    similar to more than a quarter of the compounds, the least activity that it keeps.

    Parameters
    ----------
    genes:
        float32 (G, d), aggregated embeddings.
    doses:
        float32 (D, d), of every compound at every concentration.
    compound_of_dose:
        int64 (D,), ascending: 0 … C - 1, each at least once.
    """
    doses, genes = _directions(doses), _directions(genes)
    starts = np.flatnonzero(np.diff(compound_of_dose, prepend=-1))
    n_genes, n_compounds = len(genes), len(starts)
    bits = np.empty((n_genes, n_bytes(n_compounds)), np.uint8)
    threshold, activity = np.empty(n_genes, np.float32), np.empty(n_genes, np.float32)
    step = max(1, _CELLS // len(doses))
    for start in range(0, n_genes, step):
        block = slice(start, min(start + step, n_genes))
        cosines = genes[block] @ doses.T
        best = np.maximum.reduceat(cosines, starts, axis=1)
        median, upper = np.quantile(cosines, [0.5, 0.75], axis=1, overwrite_input=True)
        threshold[block] = median + siqr_steps * (upper - median)
        is_similar = best > threshold[block, None]
        bits[block] = np.packbits(is_similar, axis=1)
        activity[block] = is_similar.mean(axis=1)
    return Similarities(bits, threshold, activity)


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)


def panel_bits(bits: NDArray[np.uint8], n_compounds: int) -> NDArray[np.uint8]:
    """Bits by gene, uint8 (K, ceil(C / 8)), as bits by compound, uint8 (C, ceil(K / 8))."""
    turned = np.empty((n_compounds, n_bytes(len(bits))), np.uint8)
    for start in range(0, n_compounds, _COMPOUNDS):
        stop = min(start + _COMPOUNDS, n_compounds)
        cells = np.unpackbits(bits[:, start // 8 : n_bytes(stop)], axis=1, count=stop - start)
        turned[start:stop] = np.packbits(cells.T, axis=1)
    return turned
