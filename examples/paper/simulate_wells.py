"""Simulated wells of a phenotypic screen whose gene and compound relations are known, in the columns of RxRx3.

    python examples/paper/simulate_wells.py --out runs/rxrx3        # RxRx3's size: 2.2 million wells, 1.2 GB, minutes

Writes wells.parquet (embeddings and metadata), compounds.parquet (id and an embedding of each compound from which its
relations can be learnt in part) and truth.parquet (the pathways of each gene and compound).

A well's embedding is offset[experiment] + scale[experiment] * (plate effect + perturbation + noise of sd 1). Active
genes act in the direction of one of four pathways, other genes in one orthogonal to all. A compound moves some
pathways, each around one of its lower concentrations, and at the higher ones more and more in a direction of its own,
as toxic compounds do. A gene and a compound are related if they have a pathway in common.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_PATHWAYS = 4
SHARE_MOVED = 0.35
"""Probability that a compound moves a pathway."""
GENE_STRENGTH, PATHWAY_STRENGTH, OWN_STRENGTH = 4.0, 9.0, 5.0
"""Lengths of effects, in standard deviations of the noise of a well."""
WEAK_GUIDE = 0.4
"""Strength of every third guide, relative to the others."""
FEATURE_NOISE = 4.0


@dataclass(frozen=True)
class Size:
    """How much of everything; the defaults are RxRx3's."""

    genes: int = 17_063
    active_genes: int = 151
    guides: int = 6
    gene_experiments: int = 2
    gene_plates: int = 8
    compounds: int = 1_674
    concentrations: int = 8
    compound_experiments: int = 4
    compound_plates: int = 6
    experiments: int = 180
    controls: int = 1_400
    width: int = 128
    features: int = 64


def unit(vectors):
    """Vectors of length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def relations(size: Size, rng):
    """Effects of genes (G, d) and of compounds by concentration (C, D, d), features (C, f), pathways of both."""
    pathways = np.linalg.qr(rng.normal(size=(size.width, N_PATHWAYS)))[0].T
    own = rng.normal(size=(size.genes, size.width))
    own = unit(own - own @ pathways.T @ pathways)
    pathway = np.where(np.arange(size.genes) < size.active_genes, np.arange(size.genes) % N_PATHWAYS, -1)
    genes = np.where((pathway >= 0)[:, None], unit(pathways[pathway] + 0.5 * own), own) * GENE_STRENGTH
    moved = rng.random((size.compounds, N_PATHWAYS)) < SHARE_MOVED
    doses = np.arange(size.concentrations)
    best = rng.integers(1, max(2, size.concentrations // 2), (size.compounds, N_PATHWAYS))
    bell = np.exp(-2.0 * np.square(doses - best[:, :, None])) * moved[:, :, None]
    toxicity = OWN_STRENGTH * (1.0 + 3.0 * np.maximum(0.0, (doses - size.concentrations / 2) / size.concentrations * 2))
    effects = PATHWAY_STRENGTH * np.einsum("cpk,pd->ckd", bell, pathways)
    effects += toxicity[None, :, None] * unit(rng.normal(size=(size.compounds, 1, size.width)))
    mixing = rng.normal(size=(N_PATHWAYS, size.features))
    features = np.tanh((2.0 * moved - 1.0) @ mixing) + rng.normal(0, FEATURE_NOISE, (size.compounds, size.features))
    genes, effects, features = (array.astype(np.float32) for array in (genes, effects, features))
    return genes, effects, features, pathway, moved


def simulate(size: Size, out: Path, seed: int = 0) -> None:
    """Write the three files."""
    rng = np.random.default_rng(seed)
    out.mkdir(parents=True, exist_ok=True)
    genes, effects, features, pathway, moved = relations(size, rng)
    gene_names = np.array([f"G{i:05d}" for i in range(size.genes)])
    compound_names = np.array([f"C{i:04d}" for i in range(size.compounds)])
    fixed = pa.list_(pa.float32(), size.features)
    table = {"id": compound_names, "embedding": pa.FixedSizeListArray.from_arrays(features.ravel(), type=fixed)}
    pq.write_table(pa.table(table), out / "compounds.parquet")
    names = np.concatenate([gene_names, compound_names])
    pathways = [[p] if p >= 0 else [] for p in pathway.tolist()] + [np.flatnonzero(row) for row in moved]
    pq.write_table(
        pa.table({"name": names, "pathways": pa.array(pathways, pa.list_(pa.int32()))}), out / "truth.parquet"
    )

    # Which experiments a guide, or a compound at one concentration, is seen in.
    guide_of = np.arange(size.genes * size.guides)
    dose_of = np.arange(size.compounds * size.concentrations)
    seen_guides = (guide_of[:, None] * 7 + 61 * np.arange(size.gene_experiments)) % size.experiments
    seen_doses = (dose_of[:, None] * 11 + 43 * np.arange(size.compound_experiments)) % size.experiments
    schema = pa.schema(
        [(name, pa.string()) for name in ("well_id", "experiment_name")]
        + [("plate", pa.int32())]
        + [(name, pa.string()) for name in ("perturbation_type", "gene", "treatment")]
        + [("concentration", pa.float32()), ("embedding", pa.list_(pa.float32(), size.width))]
    )
    with pq.ParquetWriter(out / "wells.parquet", schema, compression="none") as sink:
        for experiment in range(size.experiments):
            guides = np.repeat(np.flatnonzero((seen_guides == experiment).any(axis=1)), size.gene_plates)
            doses = np.repeat(np.flatnonzero((seen_doses == experiment).any(axis=1)), size.compound_plates)
            n = (size.controls, len(guides), len(doses))
            plate = np.concatenate([
                np.arange(n[0]) % max(size.gene_plates, size.compound_plates),
                np.arange(n[1]) % size.gene_plates,
                np.arange(n[2]) % size.compound_plates,
            ])  # fmt: skip
            strength = np.where(guides % size.guides % 3 == 2, WEAK_GUIDE, 1.0)[:, None]
            compound, dose = doses // size.concentrations, doses % size.concentrations
            wells = np.zeros((sum(n), size.width), np.float32)
            wells[n[0] : n[0] + n[1]] = strength * genes[guides // size.guides]
            wells[n[0] + n[1] :] = effects[compound, dose]
            wells += rng.normal(0, 0.3, (plate.max() + 1, size.width)).astype(np.float32)[plate]
            wells += rng.standard_normal(wells.shape, np.float32)
            wells *= rng.uniform(0.5, 2.0, size.width).astype(np.float32)
            wells += rng.normal(0, 5.0, size.width).astype(np.float32)
            columns = {
                "well_id": [f"E{experiment:03d}-{i:05d}" for i in range(len(wells))],
                "experiment_name": [f"E{experiment:03d}"] * len(wells),
                "plate": plate.astype(np.int32),
                "perturbation_type": ["CRISPR"] * (n[0] + n[1]) + ["COMPOUND"] * n[2],
                "gene": [None] * n[0] + gene_names[guides // size.guides].tolist() + [None] * n[2],
                "treatment": ["EMPTY_control"] * n[0]
                + [f"guide_{guide}" for guide in (guides % size.guides).tolist()]
                + compound_names[compound].tolist(),
                "concentration": pa.array(
                    np.concatenate([np.full(n[0] + n[1], np.nan), 0.01 * 3.0**dose]).astype(np.float32),
                    from_pandas=True,
                ),
                "embedding": pa.FixedSizeListArray.from_arrays(wells.ravel(), type=schema.field("embedding").type),
            }
            sink.write_table(pa.table(columns, schema=schema))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    for name, value in Size().__dict__.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = vars(parser.parse_args())
    out, seed = options.pop("out"), options.pop("seed")
    simulate(Size(**options), out, seed)


if __name__ == "__main__":
    main()
