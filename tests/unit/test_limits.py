"""Files that are damaged, mistaken or malicious end in an error that says so, before they fill memory or disk."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray.config import ReadoutsConfig
from isd_ray.config.limits import MAX_CONFIG_BYTES, MAX_RECORD_BYTES
from isd_ray.config_file import load_config
from isd_ray.data.ingest import parquet as parquet_sources
from isd_ray.data.ingest import texts
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.sources import open_source
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, CorruptFileError, InputFileError
from isd_ray.plates import text as plate_text
from isd_ray.plates.readers import parquet, read_readouts


def consumed(path, columns=("smiles",)):
    return sum(len(records) for records in open_source(SourceFile.local(path)).read(columns))


LONG = b"C" * 10_000


@pytest.mark.parametrize(
    ("kind", "head", "record"),
    [
        ("csv", b"smiles,id\n", LONG + b",a\n"),
        ("smi", b"", LONG + b" a\n"),
        ("sdf", b"", LONG + b"\n\n\nM  END\n$$$$\n"),
    ],
)
def test_a_gzip_bomb_ends_in_an_error(kind, head, record, tmp_path, monkeypatch):
    path = tmp_path / f"bomb.{kind}.gz"
    path.write_bytes(gzip.compress(head + record * 800))
    assert consumed(path, ()) == 800  # 8 MB of nothing harm nobody
    monkeypatch.setattr(texts, "ALWAYS_EXPANDED_BYTES", 1 << 20)
    with pytest.raises(InputFileError, match=r"decompresses to more than \d+ MiB, 200 times its size"):
        consumed(path, ())


def test_text_that_compresses_well_is_no_bomb(tmp_path):
    path = tmp_path / "good.csv.gz"
    path.write_bytes(gzip.compress(b"smiles,id\n" + b"CCO,a\n" * 100_000))
    assert consumed(path) == 100_000


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("one.csv", "the first line is longer"),
        ("one.smi", "line 2 is longer"),
        ("one.sdf", "record in line 1 is longer"),
    ],
)
def test_a_line_or_record_without_end_is_named(tmp_path, name, what):
    path = tmp_path / name
    path.write_bytes((b"CCO a\n" if name.endswith("smi") else b"") + b"C" * (MAX_RECORD_BYTES + (5 << 20)))
    with pytest.raises(InputFileError, match=what):
        consumed(path)


@pytest.mark.parametrize(("limit", "value"), [("MAX_GROUP_ROWS", 2_000), ("MAX_GROUP_BYTES", 10_000)])
def test_an_absurd_row_group_is_refused_before_it_is_read(tmp_path, monkeypatch, limit, value):
    path = tmp_path / "wide.parquet"
    pq.write_table(pa.table({"smiles": [f"C{i}" for i in range(2_001)], "other": range(2_001)}), path)
    monkeypatch.setattr(parquet_sources, limit, value)
    with pytest.raises(InputFileError, match=r"a row group of 2,001 rows and [\d,]+ bytes is too large"):
        consumed(path)


def test_columns_that_are_not_read_count_for_nothing(tmp_path, monkeypatch):
    path = tmp_path / "wide.parquet"
    pq.write_table(
        pa.table({"smiles": ["C"] * 2_000, "image": [b"0123456789" + bytes([i % 256]) for i in range(2_000)]}), path
    )
    monkeypatch.setattr(parquet_sources, "MAX_GROUP_BYTES", 2_000)
    assert consumed(path) == 2_000


def test_readouts_are_bounded_as_text_and_as_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr(plate_text, "MAX_READOUTS_BYTES", 1_000)
    monkeypatch.setattr(parquet, "MAX_READOUTS_BYTES", 1_000)
    text, table = tmp_path / "a.csv", tmp_path / "a.parquet"
    text.write_text("id,value\n" + "C1,0.5\n" * 200)
    pq.write_table(pa.table({"id": [f"C{i}" for i in range(500)], "value": [0.5] * 500}), table)
    for path in (text, table):
        with pytest.raises(InputFileError, match="too many for a file of readouts"):
            read_readouts(path, ReadoutsConfig(), 384)


def test_a_configuration_of_megabytes_is_none(tmp_path):
    path = tmp_path / "campaign.toml"
    path.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(ConfigError, match="1,048,577 bytes are no configuration"):
        load_config(path)


def test_a_description_of_a_library_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "library.json").write_text(" " * 2_000 + "{}")
    monkeypatch.setattr("isd_ray.data.layout.MAX_DESCRIPTION_BYTES", 1_000)
    with pytest.raises(CorruptFileError, match="2,002 bytes are no description of a library"):
        Library.open(tmp_path)
