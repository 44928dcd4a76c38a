"""What a text table is shows at its beginning, and every reader sees it alike."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from isd_ray.config import LabelsConfig, LibraryConfig, ReadoutsConfig
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.plan import open_sources
from isd_ray.data.ingest.sources import open_source
from isd_ray.data.label_table import label_sources
from isd_ray.delimited import header_delimiter
from isd_ray.errors import InputFileError
from isd_ray.plates.readers import read_readouts


def columns_of(path: Path) -> list[str]:
    return open_source(SourceFile.local(path)).column_names


def read_all(path: Path) -> list[object]:
    return list(open_source(SourceFile.local(path)).read(()))


def told(path: Path) -> object:
    return read_readouts(path, ReadoutsConfig(), 96)


def excel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_the_header_shows_what_separates_the_fields(tmp_path, name, delimiter):
    lines = [
        ("Substanz", "SMILES", "Wert"),
        ("a", "C[C@H](N)O", "0,5" if delimiter != "," else "0.5"),
        ("b", "CC", "1"),
    ]
    path = tmp_path / name
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))
    source = open_source(SourceFile.local(path))
    assert source.column_names == list(lines[0])
    [records] = source.read(lines[0])
    assert [tuple(row.values()) for row in records.table.to_pylist()] == lines[1:]
    assert records.problems == {}


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b;c\n", ","),  # as many of either: the usual one
        ("a;b;c,d\n", ";"),
        ("smiles\n", ","),
        ("\n\na;b\n", ";"),
        ('SMILES;"pIC50 (nM, mean)";Name\n', ";"),
        ('a,b;"' + "c,d\n" * 50_000, ","),  # as if quoted by semicolons, longer than a field may be
        ('"Wert; nM",a\n', ","),
        ('"Wert, nM";a\n', ";"),
        ("", ","),
    ],
)
def test_the_header_has_most_fields_by_the_delimiter(head, delimiter):
    assert header_delimiter(head, ()) == delimiter


def test_the_columns_that_are_asked_for_outrank_the_number_of_fields(tmp_path, monkeypatch):
    text = "SMILES;pIC50 (nM, mean, n = 3)\nCC;5.1\nCCC;6.2\n"
    assert header_delimiter(text, ()) == ","
    assert header_delimiter(text, ("smiles",)) == ";"
    path = tmp_path / "x.csv"
    path.write_text(text)
    names = ["SMILES", "pIC50 (nM, mean, n = 3)"]
    monkeypatch.chdir(tmp_path)
    library = LibraryConfig(source="x.csv", smiles_column="SMILES")
    assert [source.column_names for source in open_sources(library, tmp_path)] == [names]
    for labels in (LabelsConfig(column=names[1]), LabelsConfig(column=names[1], source="x.csv")):
        [source] = label_sources(labels, library, tmp_path)
        assert source.column_names == names
    path.write_text("id;value (nM, mean, n = 3)\na;1\nb;2\n")
    assert len(read_readouts(path, ReadoutsConfig(value="value (nM, mean, n = 3)"), 96).readings) == 2


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.smi", "x.xlsx"])
def test_an_excel_file_is_called_so(tmp_path, name):
    path = excel(tmp_path / name)
    for read in (read_all, told):
        with pytest.raises(InputFileError, match=r"this is an Excel file, or another zip archive\n.*save it as CSV"):
            read(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    with pytest.raises(InputFileError, match=r"this is an Excel file\n"):
        told(path)


def test_binary_files_and_utf16_are_called_so(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"PAR1\x15\x04\x00\x00")
    for read in (columns_of, told):
        with pytest.raises(InputFileError, match=r"this is a binary file, not text\n.*Parquet"):
            read(path)
    path.write_text("id,value\na,1\n", encoding="utf-16")
    with pytest.raises(InputFileError, match=r"it is UTF-16 text\n.*save it as UTF-8"):
        columns_of(path)
    told(path)  # plate readers write it
