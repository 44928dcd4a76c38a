"""Corrected energies hold what the counts of atoms do not explain, and no molecule that the fit has seen."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.chem.reference_energy import atom_counts
from isd_ray.cli import app
from isd_ray.config import ReferenceEnergyConfig
from isd_ray.data.reference_energy import correct_energies
from isd_ray.errors import InputFileError

ATOMS = {"H": -0.6, "C": -38.1, "O": -75.2}


def molecules(n=300):
    """Chains with an alcohol at every third, whose energies are those of their atoms and a known rest."""
    smiles = ["C" * (1 + i % 25) + "O" * (i % 3 == 0) for i in range(n)]
    counts = atom_counts(smiles)
    rest = np.random.default_rng(0).normal(0.0, 0.05, n)
    return smiles, counts[:, [1, 6, 8]] @ np.array(list(ATOMS.values())) + rest, rest


def write(folder, smiles, energies, **columns):
    file = folder / "energies.parquet"
    pq.write_table(pa.table({"smiles": smiles, "u0": energies, **columns}), file)
    return file


def correct(folder, file, **settings):
    config = ReferenceEnergyConfig(column="u0", **{"n_sample": 100, **settings})
    summary = correct_energies(config, str(file), folder / "out")
    return summary, pq.read_table(folder / "out" / "molecules.parquet").to_pydict()


def test_hydrogens_are_counted_whether_written_or_not():
    (implicit, explicit, missing, wrong) = atom_counts(["CCO", "[H]OC([H])([H])C", None, "C1CC"])
    assert implicit[[1, 6, 8]].tolist() == explicit[[1, 6, 8]].tolist() == [6, 2, 1]
    assert not missing.any()
    assert not wrong.any()


def test_the_rest_is_what_the_atoms_leave_and_the_sample_is_gone(tmp_path):
    smiles, energies, rest = molecules()
    summary, found = correct(tmp_path, write(tmp_path, smiles, energies))
    assert summary["atomic_energies"] == pytest.approx(ATOMS, abs=0.1)
    assert len(found["id"]) == 200
    rows = np.array(found["id"], int) - 1
    assert [smiles[row] for row in rows] == found["smiles"]
    assert found["u0"] == energies[rows].tolist()
    assert np.abs(np.array(found["energy"]) - rest[rows]).max() < 0.05
    assert abs(np.mean(found["energy"])) < 0.02


def test_outliers_unknown_elements_and_what_cannot_be_read_are_left_out_and_counted(tmp_path):
    smiles, energies, _ = molecules()
    smiles += ["C" * 30, "CCF", "C1CC", "CCC", None]
    ids = [f"M{i}" for i in range(len(smiles))]
    # A seed that draws neither the outlier nor the only fluorine.
    file = write(tmp_path, smiles, [*energies, 1e4, -200.0, -100.0, None, -100.0], name=ids)
    summary, found = correct(tmp_path, file, id_column="name", seed=1)
    assert (summary["n_outliers"], summary["n_unknown_element"], summary["n_unreadable"]) == (1, 1, 3)
    assert summary["n_molecules"] == len(found["id"]) == 305 - 100 - 5
    assert not set(found["id"]) & set(ids[-5:])
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def test_the_sample_leaves_something(tmp_path):
    smiles, energies, _ = molecules(90)
    with pytest.raises(InputFileError, match=r"n_sample = 100 are left out, and 90"):
        correct(tmp_path, write(tmp_path, smiles, energies))


def test_the_command_prints_what_it_wrote(tmp_path):
    smiles, energies, _ = molecules()
    file = write(tmp_path, smiles, energies)
    arguments = ["reference-energy", str(file), "--column", "u0", "--set", "n_sample=100", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n_molecules"] == 200
