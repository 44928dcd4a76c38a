"""Parquet files of any kind are read right or refused in words, within bounds of memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.sources import open_source
from isd_ray.errors import InputFileError
from tests.unit.test_real_files import build


def test_a_dictionary_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "x.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000, np.int32)), pa.array(["C" * 900_000]))
    pq.write_table(pa.table({"smiles": text, "id": range(3_000)}), path)
    assert path.stat().st_size < 1 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(InputFileError, match="larger than 256 MiB when they are decoded"):
        build(path)
    assert pa.total_allocated_bytes() - before < 64 << 20
    long = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), pa.array(["C" * (2 << 20), "CC"]))
    pq.write_table(pa.table({"smiles": long, "id": range(3)}), path)
    assert build(path).smiles().tolist() == ["CC"]


def test_bytes_and_nulls_and_other_types_are_read_as_what_they_are_or_refused(tmp_path):
    path = tmp_path / "x.parquet"
    smiles = pa.array([b"CCO", b"CC\xff", None], pa.binary())
    pq.write_table(pa.table({"smiles": smiles, "id": pa.array([b"a", b"b", b"c"]), "x": pa.nulls(3)}), path)
    library = build(path, columns=["x"])
    assert (library.ids().tolist(), library.column("x").tolist()) == (["a"], [None])
    for name in ("smiles", "id"):
        columns = {"smiles": pa.array(["C"]), "id": pa.array(["a"]), name: pa.array([[1.0]])}
        pq.write_table(pa.table(columns), path)
        with pytest.raises(InputFileError, match=f"{name}.* holds list"):
            build(path)


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "dictionary"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_parquet_library_is_read_however_its_texts_are_stored(tmp_path, encoding, kind):
    smiles = [None if i % 97 == 5 else "C" * (i % 31 + 1) + "O" for i in range(10_000)]
    table = pa.table({"smiles": pa.array(smiles, kind), "id": [f"c{i}" for i in range(len(smiles))]})
    how = {"column_encoding": {"smiles": encoding, "id": "PLAIN"}, "use_dictionary": False}
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=7_000, **({} if encoding == "dictionary" else how))
    read = [records.table for records in open_source(SourceFile.local(tmp_path / "x.parquet")).read(("smiles", "id"))]
    assert max(map(len, read)) <= 4_200
    found = pa.concat_tables(read)
    assert found["smiles"].to_pylist() == smiles
    assert found["id"].to_pylist() == table["id"].to_pylist()


def test_texts_stored_by_their_differences_are_bounded_before_they_are_decoded(tmp_path):
    """A file of some kilobytes: each text is as long as the first, and says only that it is the same."""
    table = pa.table({"smiles": ["C" * (24 << 20)] + ["C" * (24 << 20) for _ in range(60)]})
    pq.write_table(
        table,
        tmp_path / "x.parquet",
        use_dictionary=False,
        column_encoding={"smiles": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    )
    del table
    assert (tmp_path / "x.parquet").stat().st_size < 1 << 20
    before, most = pa.total_allocated_bytes(), 0
    for records in open_source(SourceFile.local(tmp_path / "x.parquet")).read(("smiles",)):
        assert set(records.problems.values()) == {"column 'smiles' is longer than 1 MiB"}
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 2 << 30
