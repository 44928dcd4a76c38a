"""Fixtures that several folders share: data sets, small real campaigns, one Ray for the whole session."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from isd_ray.campaign import setup
from isd_ray.config import CampaignConfig
from tests.small import small_config, write_compounds

# Ray's processes are as important as the tests beside them: at Ray's niceness of 15 they would starve.
os.environ.setdefault("RAY_worker_niceness", "0")

NEW_NONCE, EARLIER_CAMPAIGNS = setup.new_nonce, setup.earlier_campaigns


@pytest.fixture(scope="session", autouse=True)
def repeatable_draws():
    """Laboratories draw as simulations do, from their seed alone; `own_draws` has them draw as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "new_nonce", lambda: None)
        patch.setattr(setup, "earlier_campaigns", lambda out, library: [])
        yield


@pytest.fixture
def own_draws(monkeypatch):
    """A nonce for each campaign of a laboratory, which knows the others that lie beside it."""
    monkeypatch.setattr(setup, "new_nonce", NEW_NONCE)
    monkeypatch.setattr(setup, "earlier_campaigns", EARLIER_CAMPAIGNS)


@pytest.fixture(scope="session")
def isd_data() -> Path:
    """The folder with the data sets of the experiments; absent is a skip here and a failure in CI."""
    folder = os.environ.get("ISD_DATA")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = "ISD_DATA does not name the folder with the data sets"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def paper_script():
    """Loads a script of examples/paper, or of another folder of examples, by its name."""

    def load(name: str, folder: str = "paper") -> ModuleType:
        path = Path(__file__).parents[1] / "examples" / folder / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def compounds(tmp_path_factory) -> Path:
    """The compounds of `tests.small`."""
    path = tmp_path_factory.mktemp("data") / "compounds.csv"
    write_compounds(path)
    return path


@pytest.fixture(scope="session")
def make_config(compounds, tmp_path_factory):
    """A small campaign on real compounds; tables given are merged over it. All share one library on disk."""
    library = tmp_path_factory.mktemp("library") / "small"

    def make(**changes) -> CampaignConfig:
        return small_config(compounds, library, **changes)

    return make


@pytest.fixture
def regression():
    """Changes that make a small campaign a regression of molecular size."""
    return {
        "task": "regression",
        "labels": {"column": "size"},
        "acquisition": {"function": "variance", "random_share": 0.1},
        "stopping": {"rule": "paper", "gamma": 0.9, "tolerance": 4.0},
    }


FRAGMENTS = ("N", "Cl", "F", "S", "c1", "C(=O)", "n", "#", "@", "OC")


@pytest.fixture(scope="session")
def panel_file(compounds, tmp_path_factory) -> Path:
    """A CSV of eleven outputs of the compounds, a quarter of the entries missing, at least one there in each row."""
    table = pa.csv.read_csv(compounds)
    smiles = table["smiles"].to_pylist()
    outputs = [[int(fragment in text) for text in smiles] for fragment in FRAGMENTS]
    matrix = np.array([[int(name == "BBB+") for name in table["bbb"].to_pylist()], *outputs]).T
    rng = np.random.default_rng(5)
    missing = rng.random(matrix.shape) < 0.25
    missing[np.arange(len(matrix)), rng.integers(0, matrix.shape[1], len(matrix))] = False
    columns = {f"has_{j:02d}": pa.array(matrix[:, j], pa.int8(), mask=missing[:, j]) for j in range(matrix.shape[1])}
    path = tmp_path_factory.mktemp("panel") / "panel.csv"
    pa.csv.write_csv(pa.table({"name": table["name"], **columns}), path)
    return path


NUMBERS = {"n_atoms": "CNOSFcnos", "n_hetero": "NOSFnos", "n_aromatic": "cnos"}
"""Outputs that are numbers, by the letters that they count."""


@pytest.fixture(scope="session")
def numbers_file(compounds, tmp_path_factory) -> Path:
    """A CSV of two outputs of classes and three of numbers, a quarter of the entries missing, none of a whole row."""
    table = pa.csv.read_csv(compounds)
    smiles = table["smiles"].to_pylist()
    columns = {"has_n": [float("N" in text) for text in smiles], "has_cl": [float("Cl" in text) for text in smiles]}
    columns |= {name: [float(sum(map(text.count, of))) for text in smiles] for name, of in NUMBERS.items()}
    columns["n_hetero"] = [1e-3 * n for n in columns["n_hetero"]]
    rng = np.random.default_rng(6)
    missing = rng.random((len(smiles), len(columns))) < 0.25
    missing[np.arange(len(smiles)), rng.integers(0, len(columns), len(smiles))] = False
    path = tmp_path_factory.mktemp("numbers") / "numbers.csv"
    cells = {name: pa.array(values, mask=missing[:, place]) for place, (name, values) in enumerate(columns.items())}
    pa.csv.write_csv(pa.table({"name": table["name"], **cells}), path)
    return path


@pytest.fixture(scope="session")
def numbers(numbers_file):
    """Changes that make a small campaign a panel of classes and numbers, each with a claim of its own."""
    return {
        "task": "panel",
        "labels": {"column": None, "columns": ["has_*", "n_*"], "numbers": ["n_*"], "source": str(numbers_file)},
        "model": {"members": 3},
        "stopping": {
            "rule": "certify",
            "gamma": 0.8,
            "tolerances": {"n_atoms": 6.0, "n_hetero": 3.5e-3, "n_aromatic": 5.0},
            "panel": {"gamma": {"n_*": 0.7}, "delta_weight": {"n_atoms": 2}},
        },
    }


@pytest.fixture
def panel(panel_file):
    """Changes that make a small campaign a panel."""
    return {
        "task": "panel",
        "labels": {"column": None, "columns": ["has_*"], "source": str(panel_file)},
        "stopping": {"rule": "certify", "gamma": 0.85},
    }


@pytest.fixture(scope="session")
def ray_cluster():
    """One embedded Ray for the whole session: starting it takes many seconds."""
    import ray

    ray.init(
        address="local",
        num_cpus=16,
        include_dashboard=False,
        object_store_memory=256 << 20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()
