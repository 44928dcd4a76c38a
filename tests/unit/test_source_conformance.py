"""Our own formats pass the tests that we ship for those of others, and broken ones do not."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray import plugins
from isd_ray.config import LibraryConfig
from isd_ray.config.formats import BUILT_IN_SOURCES, SOURCES
from isd_ray.data.ingest.parquet import PARQUET
from isd_ray.data.ingest.readers import CSV, READ_ROWS, SMI, TSV, opened, readable, text_records
from isd_ray.data.ingest.records import Format, Records, Source
from isd_ray.data.ingest.sdf import SDF
from isd_ray.data.ingest.sources import source_format, source_formats
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError
from isd_ray.ops.build import build_library
from isd_ray.testing.sources import SourceConformance

BLOCK = "\n  none\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 C   0  0\nM  END\n"
NOT_UTF8 = b"\xff\xfe\xfd"


def lines(path, records, bad, line, header=b"") -> None:
    path.write_bytes(header + b"".join(NOT_UTF8 + b"\n" if n in bad else line(row) for n, row in enumerate(records)))


class TestCsv(SourceConformance):
    format, ending = CSV, ".csv"

    def write(self, path, records, bad=()):
        names = ",".join(self.columns).encode() + b"\n"
        lines(path, records, bad, lambda row: (",".join(f'"{v}"' for v in row.values()) + "\n").encode(), names)


class TestTsv(SourceConformance):
    format, ending = TSV, ".tsv"

    def write(self, path, records, bad=()):
        names = "\t".join(self.columns).encode() + b"\n"
        lines(path, records, bad, lambda row: ("\t".join(row.values()) + "\n").encode(), names)


class TestSmi(SourceConformance):
    format, ending, columns = SMI, ".smi", ("smiles", "id")

    def write(self, path, records, bad=()):
        lines(path, records, bad, lambda row: f"{row['smiles']} {row['id']}\n".encode())


class TestSdf(SourceConformance):
    format, ending = SDF, ".sdf"

    def write(self, path, records, bad=()):
        def text(row) -> bytes:
            items = "".join(f"> <{name}>\n{value}\n\n" for name, value in row.items())
            return f"{BLOCK}{items}$$$$\n".encode()

        path.write_bytes(b"".join(b"broken\n$$$$\n" if n in bad else text(row) for n, row in enumerate(records)))


class TestParquet(SourceConformance):
    format, ending = PARQUET, ".parquet"

    def write(self, path, records, bad=()):
        columns = {
            name: pa.array([NOT_UTF8 if n in bad else row[name].encode() for n, row in enumerate(records)], pa.binary())
            for name in self.columns
        }
        arrays = [pa.StringArray.from_buffers(len(a), *a.buffers()[1:]) for a in columns.values()]
        pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), path)


# --- a format of a package, and what can be wrong with it -------------------------------------------------------------


class JsonLines(Source):
    """One JSON object a line; its columns are those of the first."""

    first, step, forgets, shows = 1, 1, False, True

    @property
    def column_names(self):
        with readable(self.file, "check it"), opened(self.file) as (stream, _):
            return list(json.loads(stream.readline()))

    def read(self, columns):
        values, at, problems, first = {name: [] for name in columns}, [], {}, self.first
        with readable(self.file, "check it"), opened(self.file) as (stream, share):
            for number, raw in enumerate(stream, start=1):
                try:
                    row = json.loads(raw)
                    row.keys()
                except (ValueError, AttributeError):
                    if self.forgets:
                        continue
                    row = {}
                    if self.shows:
                        problems[len(at)] = "the line is no JSON object"
                for name in columns:
                    values[name].append(row.get(name))
                at.append(number)
                if len(at) == READ_ROWS:
                    yield text_records(values, columns, first, at, share(), problems)
                    first += self.step * len(at)
                    values, at, problems = {name: [] for name in columns}, [], {}
            if at:
                yield self.last(values, columns, first, at, share(), problems)

    def last(self, *parts) -> Records:
        return text_records(*parts)


class Json(SourceConformance):
    format, ending = Format(lambda file, columns: JsonLines(file), (".jsonl",)), ".jsonl"

    def write(self, path, records, bad=()):
        lines(path, records, bad, lambda row: (json.dumps(row) + "\n").encode())


class TestJson(Json):
    pass


class FromZero(JsonLines):
    first = 0


class Gaps(JsonLines):
    step = 2


class Forgets(JsonLines):
    forgets = True


class Silent(JsonLines):
    shows = False


class Shifted(JsonLines):
    def last(self, *parts):
        records = super().last(*parts)
        return replace(
            records, problems={min(place + 1, len(records) - 1): why for place, why in records.problems.items()}
        )


class SameLine(JsonLines):
    def last(self, *parts):
        records = super().last(*parts)
        return replace(records, lines=np.ones(len(records), np.int64))


class Cut(JsonLines):
    def last(self, *parts):
        records = super().last(*parts)
        return replace(records, table=records.table.slice(0, len(records) - 1))


class Raises(JsonLines):
    def read(self, columns):
        raise RuntimeError("no idea what this is")
        yield


BROKEN = {
    "test_every_record_is_read_in_order_with_its_values": (FromZero, SameLine, Cut),
    "test_many_records_are_accounted_for": (Gaps,),
    "test_a_broken_record_costs_itself_and_says_why": (Forgets, Silent, Shifted),
    "test_what_is_no_such_file_is_refused_in_words": (Raises,),
}
CASES = [(test, source) for test, sources in BROKEN.items() for source in sources]


@pytest.mark.parametrize(("test", "source"), CASES, ids=[source.__name__ for _, source in CASES])
def test_what_is_wrong_is_found(test, source, tmp_path):
    suite = Json()
    more = (b"\x00\x01",) if "no_such_file" in test else ()
    getattr(suite, test)(tmp_path / "good.jsonl", *more)
    suite.format = Format(lambda file, columns: source(file), (".jsonl",))
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(suite, test)(tmp_path / "broken.jsonl", *more)


@pytest.mark.parametrize("endings", [(".JSONL",), ("jsonl",), (".other",)])
def test_endings_that_no_file_can_have_are_found(endings):
    suite = Json()
    suite.format = replace(Json.format, endings=endings)
    with pytest.raises(AssertionError):
        suite.test_it_says_which_files_are_its_own()


@pytest.fixture
def installed(monkeypatch):
    entry = SimpleNamespace(name="jsonl", value="pkg:jsonl", load=lambda: Json.format, dist=None)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == SOURCES else [])
    source_format.cache_clear()
    yield
    source_format.cache_clear()


@pytest.mark.parametrize("name", ["auto", "jsonl"])
def test_a_library_is_built_from_a_format_of_a_package_by_its_name_or_ending(installed, tmp_path, name):
    suite, file = Json(), tmp_path / "compounds.jsonl"
    suite.write(file, suite.records(), bad=(1, 4))
    config = LibraryConfig(
        source=str(file), format=name, id_column="id", features="ecfp4", duplicates="keep", workers=1
    )
    build_library(config, tmp_path / "library")
    library = Library.open(tmp_path / "library")
    rejects = pq.read_table(library.path / "rejects.parquet").to_pylist()
    assert library.n_rows + len(rejects) == len(suite.records())
    assert [(reject["line"], reject["reason"]) for reject in rejects] == [
        (2, "the line is no JSON object"),
        (5, "the line is no JSON object"),
    ]


def test_a_format_that_there_is_not_is_refused_with_the_near_miss():
    with pytest.raises(ConfigError, match=r"library\.format: there is no format 'parket'\n.*did you mean 'parquet'"):
        LibraryConfig(source="x.csv", format="parket")
    with pytest.raises(ConfigError, match=r"choose one of auto, csv, .*, or install the package"):
        LibraryConfig(source="x.csv", format="xlsx")


def test_our_own_formats_have_endings_of_their_own():
    endings = [ending for found in source_formats().values() for ending in found.endings]
    assert len(endings) == len(set(endings))
    assert list(source_formats()) == list(BUILT_IN_SOURCES)
