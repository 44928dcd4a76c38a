"""Record real models for the scenario `qm9`: two classes of the HOMO-LUMO gap, the paper's ECFP4, one ResMLP.

    python -m tests.benchmarks.stopping.record_qm9

Each path is a screen of a pool of QM9's target molecules with the production learner: random rows and least confidence,
refitted after every batch. Every model also scores molecules of a disjoint set, and these scores are what is replayed:
in a campaign too a model predicts only what it has not been fitted on.

One core needs 3 to 6 minutes. The recording lies in `ISD_CACHE` (default: `runs/benchmarks/`) under a name that changes
with the plan and the learner's settings; after a change of the learner's code delete it.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rdkit import Chem

from isd_ray.chem.fingerprints import on_bits
from isd_ray.config import LibraryConfig, ModelConfig, ValidationConfig
from isd_ray.core.predictions import predict
from isd_ray.core.seeding import derive_seed
from isd_ray.models.device import configure_threads, resolve_placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture
from tests.benchmarks.stopping.replay import Recording, cache_folder
from tests.benchmarks.stopping.simulate import RANDOM_SHARE

SPEC = LibraryConfig(source="qm9.parquet", features="ecfp4").features
MODEL = ModelConfig()
VALIDATION = ValidationConfig()
N_CLASSES = 2


@dataclass(frozen=True)
class Plan:
    """Sizes of a recording; a world of N molecules wants pools of N, so that a model's share of the set is real."""

    n_replayed: int = 40_000
    n_paths: int = 3
    n_pool: int = 20_000
    n_initial: int = 20
    batch: int = 300
    n_models: int = 31
    seed: int = 0

    @property
    def n_train(self):
        return self.n_initial + self.batch * np.arange(self.n_models)


@dataclass(frozen=True)
class Molecules:
    """Fingerprints and classes of some molecules."""

    features: object
    labels: np.ndarray

    def take(self, rows):
        return Molecules(self.features.take(rows), self.labels[rows])


def source_file():
    """`qm9.parquet` in the folder that ISD_DATA names, or None."""
    file = Path(os.environ.get("ISD_DATA", "")) / "qm9.parquet"
    return file if file.is_file() else None


def recording_file(plan=None):
    settings = f"{plan or Plan()} {SPEC.model_dump_json()} {MODEL.model_dump_json()} {VALIDATION.model_dump_json()}"
    return cache_folder() / f"qm9-{hashlib.sha256(settings.encode()).hexdigest()[:12]}.npz"


@cache
def recording():
    """The recording, made if there is none yet.

    Raises
    ------
    FileNotFoundError
        If there is none, and no data to make it from.
    """
    file = recording_file()
    if not file.is_file():
        make(file)
    return Recording.load(file)


def make(file):
    source = source_file()
    if source is None:
        raise FileNotFoundError(f"there is no {file}, and ISD_DATA names no folder with qm9.parquet to make it from")
    print(f"recording {file.name}: a few minutes, once", flush=True)
    start = time.perf_counter()
    configure_threads(1)
    record(Plan(), source).save(file)
    print(f"recorded in {time.perf_counter() - start:.0f} s, {file.stat().st_size / 1e6:.0f} MB", flush=True)


def record(plan, source):
    """All paths of a plan; the same plan gives the same recording on the same kind of processor."""
    molecules = read_molecules(source, plan.n_replayed + plan.n_paths * plan.n_pool, plan.seed)
    replayed = molecules.take(np.arange(plan.n_replayed))
    shape = (plan.n_paths, plan.n_models, plan.n_replayed)
    recorded = Recording(plan.n_train, np.empty(shape, np.float32), np.empty(shape, np.bool_))
    for path in range(plan.n_paths):
        first = plan.n_replayed + path * plan.n_pool
        pool = molecules.take(np.arange(first, first + plan.n_pool))
        for model, predictor in enumerate(screen(plan, pool, path)):
            prediction, recorded.uncertainty[path, model] = predict(
                predictor.outputs(replayed.features), "classification"
            )
            recorded.wrong[path, model] = prediction != replayed.labels
    return recorded


def read_molecules(source, n, seed):
    """A random sample of the target set, in random order."""
    table = pq.read_table(source, columns=["smiles", "gap", "repo_split"])
    gap = table["gap"].to_numpy()
    target = np.flatnonzero(table["repo_split"].to_numpy() == 0)
    rows = np.random.default_rng(derive_seed(seed, "molecules")).choice(target, n, replace=False)
    smiles = table["smiles"].take(rows).to_pylist()
    features = on_bits([Chem.MolFromSmiles(text) for text in smiles], SPEC)
    return Molecules(features, (gap[rows] > np.median(gap)).astype(np.int64))


def screen(plan, pool, path):
    """Screen a pool, and yield the model of every round."""
    rng = np.random.default_rng(derive_seed(plan.seed, "screen", path))
    architecture, placement = Architecture.from_config(MODEL, SPEC, N_CLASSES), resolve_placement("cpu", "auto")
    observed = np.zeros(plan.n_pool, np.bool_)
    observed[: plan.n_initial] = True
    for model in range(plan.n_models):
        training = pool.take(np.flatnonzero(observed))
        fitted = fit_member(
            training.features,
            training.labels,
            task="classification",
            architecture=architecture,
            model=MODEL,
            validation=VALIDATION,
            seed=derive_seed(plan.seed, "fit", path, model),
            placement=placement,
        )
        predictor = CommitteePredictor([fitted.weights], architecture, placement)
        yield predictor
        left = np.flatnonzero(~observed)
        _, uncertainty = predict(predictor.outputs(pool.features.take(left)), "classification")
        n_random = round(RANDOM_SHARE * plan.batch)
        drawn = rng.choice(len(left), n_random, replace=False)
        # Random rows come first; the rest of the batch is the most uncertain of the others.
        uncertainty[drawn] = np.inf
        observed[left[np.argsort(-uncertainty, kind="stable")[: plan.batch]]] = True


if __name__ == "__main__":
    make(recording_file())
