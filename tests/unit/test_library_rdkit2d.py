"""Descriptors of `rdkit2d` are a block of the library's molecules, whoever computes them.

Invariants: what is stored of a molecule is the standardised value of its canonical SMILES; bytes do not depend on the
number of processes; the library beside it is the same with or without.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors

import isd_ray as isd
from isd_ray.campaign.watcher import Watcher
from isd_ray.chem import rdkit2d as chem
from isd_ray.chem.rdkit2d import RDKIT2D, rdkit2d
from isd_ray.config import CampaignConfig, ComputeConfig, LibraryConfig
from isd_ray.data.blocks import descriptors
from isd_ray.data.blocks.add import add_block, remove_block
from isd_ray.data.blocks.descriptors import Descriptors, describe
from isd_ray.data.blocks.standard import standardise
from isd_ray.data.ingest.molecules import done
from isd_ray.data.library import Library
from isd_ray.errors import LibraryError
from isd_ray.ops import prepare
from isd_ray.ops.prepare import open_or_build
from tests.unit.blocks_helpers import SETTINGS, N, build, smiles_of

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Told(Watcher):
    def __init__(self):
        self.lines, self.progress = [], []

    def message(self, text):
        self.lines.append(text)

    def building(self, progress):
        self.progress.append(progress)


def test_names_stand_beside_the_values_they_are_of():
    (values,) = rdkit2d([ASPIRIN])
    found, mol = dict(zip(RDKIT2D, values.tolist(), strict=True)), Chem.MolFromSmiles(ASPIRIN)
    assert len(RDKIT2D) == len(set(RDKIT2D)) == 118
    assert found["NumHeavyAtoms"] == 13
    assert found["CrippenClogP"] == pytest.approx(Crippen.MolLogP(mol))
    assert found["tpsa"] == pytest.approx(rdMolDescriptors.CalcTPSA(mol))
    assert [found[f"PEOE_VSA{i + 1}"] for i in range(14)] == list(rdMolDescriptors.PEOE_VSA_(mol))
    assert [found[f"MQN{i + 1}"] for i in range(42)] == list(rdMolDescriptors.MQNs_(mol))
    assert [found[name] for name in ("FormalCharge", "NumAromaticAtoms", "LargestRing")] == [0, 6, 6]


def test_what_rdkit_cannot_tell_is_missing(monkeypatch):
    values = rdkit2d([None, "no molecule", "C"])
    assert np.isnan(values[:2]).all()
    assert not np.isnan(values[2]).any()

    def fails(mol):
        raise RuntimeError("invariant violation")

    monkeypatch.setattr(chem, "_SURFACES", (*chem._SURFACES[:3], ("MQN", 42, fails)))
    (values,) = rdkit2d([ASPIRIN])
    assert [name for name, value in zip(RDKIT2D, values, strict=True) if np.isnan(value)] == list(RDKIT2D[-45:-3])


@pytest.fixture
def library(tmp_path):
    return add_block(build(tmp_path), Descriptors("rdkit2d"))


def test_values_are_those_of_the_rows_standardised(library):
    assert library.block_names == ("fingerprints", "rdkit2d")
    assert library.block_columns("rdkit2d") == RDKIT2D
    (block,) = library.added_blocks
    mean, sd = (np.array([getattr(column, name) for column in block.columns]) for name in ("mean", "sd"))
    rows = np.random.default_rng(0).permutation(N)
    expected = standardise(rdkit2d(library.smiles(rows).tolist()), mean, sd)
    np.testing.assert_array_equal(library.features_of(rows, ["rdkit2d"])["rdkit2d"].values, expected)
    assert (block.source, block.rdkit) == ("descriptors", library.metadata["rdkit"])


def test_bytes_do_not_depend_on_the_number_of_processes(library, tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.ingest.molecules.SERIAL_CHUNKS", 0)
    monkeypatch.setattr(descriptors, "CHUNK_ROWS", 7)
    other = add_block(build(tmp_path, out="other"), Descriptors("rdkit2d", lambda chunks: done(describe, chunks, 2)))
    assert files(other.path) == files(library.path)


def test_infinite_values_count_as_missing_and_are_told(tmp_path, monkeypatch):
    def infinite(structures):
        values = rdkit2d(structures)
        values[:, 0] = np.inf
        return values

    monkeypatch.setattr(descriptors, "descriptor_set", lambda name: replace(chem.DESCRIPTOR_SET, compute=infinite))
    library, told = build(tmp_path), Told()
    config = LibraryConfig.model_validate({"path": str(library.path), "descriptors": ["rdkit2d"], **SETTINGS})
    library = open_or_build(config, ComputeConfig(), library.path, told)
    (block,) = library.added_blocks
    assert block.found == {"n_infinite": N}
    assert block.n_missing == N
    assert f"library: {N} values of block rdkit2d are infinite, and count as missing" in told.lines


def test_a_library_without_structures_has_no_descriptors(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 9, "name": [f"c{i}" for i in range(9)]}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").touch()
    dense = {"kind": "dense", "column": "x", "width": 2}
    options = {"source": str(tmp_path / "x.parquet"), "features": dense, "smiles_column": "", "duplicates": "keep"}
    with pytest.raises(LibraryError, match="need structures"):
        add_block(build(tmp_path, **options), Descriptors("rdkit2d"))


def config_of(folder, **options):
    return LibraryConfig.model_validate({"source": str(folder / "x.csv"), **SETTINGS, **options})


def test_a_build_adds_the_block_that_is_asked_for(library, tmp_path):
    config, told = config_of(tmp_path, descriptors=["rdkit2d", "n_heavy_atoms"]), Told()
    built = open_or_build(config, ComputeConfig(), tmp_path / "built", told)
    assert built.column_names[-1] == "n_heavy_atoms"
    assert built.block_names == ("fingerprints", "rdkit2d")
    np.testing.assert_array_equal(
        built.features_of(np.arange(N), ["rdkit2d"])["rdkit2d"].values,
        library.features_of(np.arange(N), ["rdkit2d"])["rdkit2d"].values,
    )
    assert told.lines == ["built: adding block rdkit2d"]
    assert told.progress[-1].n_read == N


def test_a_library_that_lacks_the_block_is_given_it_once(library, tmp_path):
    plain = build(tmp_path, out="plain")
    config, told = config_of(tmp_path, descriptors=["rdkit2d"]), Told()
    assert open_or_build(config, ComputeConfig(), plain.path, told).block_hash("rdkit2d") == library.block_hash(
        "rdkit2d"
    )
    assert told.lines == ["plain: adding block rdkit2d"]
    open_or_build(config, ComputeConfig(), plain.path, told)
    assert len(told.lines) == 1
    assert open_or_build(config_of(tmp_path), ComputeConfig(), plain.path, told).block_names[-1] == "rdkit2d"


def test_a_block_of_another_definition_is_refused(library, tmp_path, monkeypatch):
    monkeypatch.setattr(descriptors, "descriptor_set", lambda name: replace(chem.DESCRIPTOR_SET, version=2))
    with pytest.raises(LibraryError, match=r"block 'rdkit2d' was made otherwise[\s\S]*version[\s\S]*remove-block"):
        open_or_build(config_of(tmp_path, descriptors=["rdkit2d"]), ComputeConfig(), library.path, Told())
    assert Library.open(library.path).block_names == ("fingerprints", "rdkit2d")


def test_a_killed_addition_continues_and_computes_no_part_again(library, tmp_path):
    other = build(tmp_path, out="other")
    script = textwrap.dedent(f"""
        import os, signal
        from isd_ray.data.blocks import descriptors
        from isd_ray.data.blocks.add import add_block, remove_block
        from isd_ray.data.blocks.descriptors import Descriptors
        from isd_ray.data.library import Library

        def progress(seen):
            if seen.n_read > 40:
                os.kill(os.getpid(), signal.SIGKILL)

        descriptors.CHUNK_ROWS = 7
        add_block(Library.open({str(other.path)!r}), Descriptors("rdkit2d", progress=progress))
        """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Library.open(other.path).block_names == ("fingerprints",)
    seen = []
    add_block(other, Descriptors("rdkit2d", progress=seen.append))
    assert seen[-1].n_read == N - 32, "the first part of 32 rows is not computed again"
    assert files(other.path) == files(library.path)


def test_held_out_files_are_standardised_as_the_target_set(tmp_path):
    few = [f"{smiles_of(i)},c{i}\n" for i in range(20, 40)]
    (tmp_path / "few.csv").write_text("smiles,name\n" + "".join(few))
    build(tmp_path, out="unused")
    settings = {
        "source": str(tmp_path / "x.csv"),
        **SETTINGS,
        "path": str(tmp_path / "lib"),
        "descriptors": ["rdkit2d"],
    }
    data = {
        "library": settings,
        "labels": {"column": "label"},
        "acquisition": {"batch_size": 8},
        "test": {"file": str(tmp_path / "few.csv")},
    }
    config = CampaignConfig.model_validate(data)
    for _ in range(2):  # made, then opened
        libraries = prepare._libraries(config, tmp_path / "run", Watcher())
        target, test = libraries["target"], libraries["test"]
        assert test.added_blocks[0].columns == target.added_blocks[0].columns
        rows = target.rows_of(test.ids())
        np.testing.assert_array_equal(
            test.features_of(np.arange(test.n_rows), ["rdkit2d"])["rdkit2d"].values,
            target.features_of(rows, ["rdkit2d"])["rdkit2d"].values,
        )
    remove_block(test.path, "rdkit2d")
    add_block(test, Descriptors("rdkit2d"))
    with pytest.raises(LibraryError, match="other statistics than those of the target set"):
        prepare._libraries(config, tmp_path / "run", Watcher())


def test_the_public_builder_makes_the_blocks_too(tmp_path):
    source = tmp_path / "compounds.csv"
    source.write_text("smiles,x\n" + "".join(f"{'C' * n}O,{n}\n" for n in range(1, 9)))
    config = LibraryConfig(source=str(source), descriptors=("rdkit2d",), dense_columns=("x",))
    library = isd.build_library(config, tmp_path / "library")
    assert library.block_names == ("fingerprints", "rdkit2d", "columns")
