"""Numbers that a build computes of each molecule stand in columns like those of the source."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from isd_ray.config import LibraryConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.errors import ConfigError

SMILES = ["CCO", "C1CC", "c1ccccc1", "OCC", "CC(C)(C)C1CC2(C)C(=O)C1C2O"]
"""The second does not parse, the fourth repeats the first."""


def build(folder, **options):
    source = folder / "compounds.csv"
    source.write_text("\n".join(["smiles,price", *(f"{text},{i}" for i, text in enumerate(SMILES))]) + "\n")
    settings = {"source": str(source), "features": "ecfp4", "workers": 1, **options}
    return build_library(LibraryConfig.model_validate(settings), folder / "library", base_dir=folder)


def test_descriptors_stand_beside_the_molecules_they_are_of(tmp_path):
    library = build(tmp_path, descriptors=["sa_score", "n_heavy_atoms"], columns=["price"])
    assert library.column_names[-3:] == ["price", "sa_score", "n_heavy_atoms"]
    assert library.column("price").tolist() == [0, 2, 4]
    assert library.column("n_heavy_atoms").tolist() == [3.0, 6.0, 13.0]
    # Values of RDKit's own table of Ertl and Schuffenhauer's score: benzene is as easy as can be.
    ethanol, benzene, cage = library.column("sa_score").tolist()
    assert benzene == pytest.approx(1.0, abs=0.01)
    assert benzene < ethanol < 3.0 < cage < 10.0


def test_without_being_asked_there_are_none(tmp_path):
    assert "sa_score" not in build(tmp_path).column_names


def test_a_kept_column_may_not_have_the_name_of_a_descriptor(tmp_path):
    with pytest.raises(ConfigError, match="the library has its own"):
        build(tmp_path, descriptors=["sa_score"], columns=["sa_score"])


def test_descriptors_need_structures():
    dense = {"kind": "dense", "column": "x", "width": 2}
    settings = {"source": "x.parquet", "smiles_column": "", "duplicates": "keep", "features": dense}
    with pytest.raises(ValidationError, match="need `smiles_column`"):
        LibraryConfig.model_validate({**settings, "descriptors": ["sa_score"]})


def test_alerts_are_columns_that_filter_nothing(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("smiles\nO=C1C=CC(=O)C=C1\nCCO\n")  # a quinone is a PAINS alert
    config = LibraryConfig(source=str(path), features="ecfp4", descriptors=("pains", "brenk", "nih"), workers=1)
    library = build_library(config, tmp_path / "library", base_dir=tmp_path)
    assert library.n_rows == 2
    for name in ("pains", "brenk", "nih"):
        alerts = library.column(name)
        assert alerts[0] >= 1
        assert alerts[1] == 0
