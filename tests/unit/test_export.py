"""An exported hybrid screen has every line of it, with a structure or without."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.data.export import Exported, export_hybrid
from isd_ray.errors import InputFileError
from isd_ray.ops.campaign import Campaign


@pytest.fixture
def hybrid(tmp_path):
    lines = {"id": ["A", "B", "C"], "smiles": ["CCO", "Cc1cc(C#N)oc1=N", None], "label": ["1", "0", "1"]}
    pq.write_table(pa.table(lines), tmp_path / "part-00000.parquet")
    return tmp_path


def test_a_compound_that_rdkit_cannot_read_is_a_record_without_atoms(hybrid):
    assert export_hybrid(hybrid, hybrid / "h.sdf") == Exported(3, n_empty=2)
    records = {mol.GetProp("_Name"): mol for mol in Chem.SDMolSupplier(str(hybrid / "h.sdf"))}
    assert [records[name].GetNumAtoms() for name in "ABC"] == [3, 0, 0]
    assert [records[name].GetProp("label") for name in "ABC"] == ["1", "0", "1"]
    assert records["B"].GetProp("smiles") == "Cc1cc(C#N)oc1=N"
    assert not records["A"].HasProp("smiles")
    assert export_hybrid(hybrid, hybrid / "h.csv") == Exported(3)


def test_the_command_says_that_structures_are_lacking(hybrid, monkeypatch):
    campaign = type("Fake", (), {"export": lambda self, out, hits, **how: export_hybrid(hybrid, out, **how)})()
    monkeypatch.setattr(Campaign, "open", lambda path, watcher: campaign)
    words = CliRunner().invoke(app, ["export", "run", "--out", str(hybrid / "h.sdf")]).output
    assert words.startswith("wrote 3 lines to")
    assert "2 of them without a structure that RDKit reads" in words


def test_a_long_table_has_no_structures(hybrid):
    with pytest.raises(InputFileError, match="a long table has no structures"):
        export_hybrid(hybrid, hybrid / "h.sdf", long=True)
