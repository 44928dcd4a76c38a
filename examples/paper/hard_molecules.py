"""Molecules of QM9 that are hard to predict (Section 4.2 and Fig. 5 of the paper), as flags in a copy of the file.

    python examples/paper/hard_molecules.py --out runs/qm9-hard.parquet     # ISD_DATA names the folder with qm9.parquet

Five models with different seeds predict each molecule of the target set from the other four fifths of a 5-fold split
that they share; a molecule is hard if at least four of the five are wrong. The copy has all columns of qm9.parquet, and
`n_wrong` and `hard`, which are 0 and false for held-out molecules.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import CampaignConfig
from isd_ray.core.features import stack
from isd_ray.data.ingest.build import build_library
from isd_ray.data.library import Library
from isd_ray.models.device import configure_threads
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture

FILE = "qm9.parquet"
CONFIG = Path(__file__).with_name("qm9.toml")
"""Features, labels and network are those of this campaign."""
N_FOLDS, N_MODELS, N_WRONG = 5, 5, 4
TARGET = 0
PREDICTED_ROWS = 8192


def cross_validated_errors(library: Library, labels: NDArray[np.int64], config: CampaignConfig) -> NDArray[np.int64]:
    """How many of the models predict each row wrongly when it is held out, int64 (n,)."""
    features = stack([library.block(block) for block in range(library.n_blocks)])
    architecture = Architecture.from_config(config.model, library.spec, 2)
    fold = np.random.default_rng(config.seed).permutation(len(labels)) % N_FOLDS
    n_wrong = np.zeros(len(labels), np.int64)
    for seed in range(N_MODELS):
        for held_out in range(N_FOLDS):
            rows, others = np.flatnonzero(fold == held_out), np.flatnonzero(fold != held_out)
            fitted = fit_member(
                features,
                labels[others],
                rows=others,
                task="classification",
                architecture=architecture,
                model=config.model,
                validation=config.validation,
                seed=N_FOLDS * seed + held_out,
            )
            predictor = CommitteePredictor([fitted.weights], architecture)
            for part in np.array_split(rows, -(-len(rows) // PREDICTED_ROWS)):
                n_wrong[part] += predictor.outputs(features.take(part))[0].argmax(axis=1) != labels[part]
            print(f"model {seed + 1}, fold {held_out + 1}: {fitted.epochs} epochs, {fitted.seconds:.0f} s", flush=True)
    return n_wrong


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ISD_DATA", ".")))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="Take this share of the molecules, drawn by chance.")
    options = parser.parse_args()
    table = pq.read_table(options.data / FILE)
    n_kept = round(options.share * len(table))
    table = table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:n_kept]))
    gap = table["gap"].to_numpy()
    labels = (gap > np.median(gap)).astype(np.int64)
    target = np.flatnonzero(table["repo_split"].to_numpy() == TARGET)
    config = CampaignConfig.from_toml(CONFIG, ['validation.source="observed"'])
    configure_threads(config.compute.threads)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / FILE
        pq.write_table(table.take(target), source)
        settings = config.library.model_copy(update={"source": str(source), "split": None})
        library = build_library(settings, Path(folder) / "library", base_dir=Path(folder))
        errors = cross_validated_errors(library, labels[target], config)
    n_wrong = np.zeros(len(table), np.int64)
    n_wrong[target] = errors
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table = table.append_column("n_wrong", pa.array(n_wrong)).append_column("hard", pa.array(n_wrong >= N_WRONG))
    pq.write_table(table, options.out, compression="zstd")
    print(f"{(errors >= N_WRONG).sum():,} of {len(target):,} molecules are hard ({(errors >= N_WRONG).mean():.1%})")


if __name__ == "__main__":
    main()
