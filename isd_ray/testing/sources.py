"""What every format of source files must do, as tests to inherit: see `SourceConformance`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Format, Records
from isd_ray.errors import InputFileError

N_MANY = 20_000
"""Records of a file that is read in several chunks."""
BAD = (1, 4)
"""Places of the records that are written broken."""
_N = 7
_FRAGMENTS = ("CC", "CO", "CN", "CS", "C(C)", "C(F)")

Record = dict[str, str]


class SourceConformance:
    """Tests of one format, for pytest.

    A package inherits from it in a test file of its own::

        from isd_ray.testing.sources import SourceConformance
        from my_package import my_format


        class TestMyFormat(SourceConformance):
            format = my_format
            ending = ".mine"

            def write(self, path, records, bad=()): ...

    Attributes
    ----------
    format:
        The format.
    ending:
        Of the files that are written; one of its own.
    columns:
        Of the records that `write` gets: structure, id, and what else there is.
    """

    format: ClassVar[Format]
    ending: ClassVar[str]
    columns: ClassVar[tuple[str, ...]] = ("smiles", "id", "note")

    def write(self, path: Path, records: Sequence[Record], bad: Sequence[int] = ()) -> None:
        """Write a file with these records, those at the places in `bad` so that they cannot be read."""
        raise NotImplementedError

    def records(self, n: int = _N) -> list[Record]:
        """N records with different values; blanks and commas among them."""
        rng = np.random.default_rng(0)
        values = {
            "smiles": ["".join(rng.choice(_FRAGMENTS, 4)) for _ in range(n)],
            "id": [f"C-{place:06d}" for place in range(n)],
            "note": [f"lot {place}, shelf {place % 3}" for place in range(n)],
        }
        return [{name: values[name][place] for name in self.columns} for place in range(n)]

    def read(self, path: Path, columns: Sequence[str] | None = None) -> list[Records]:
        """All chunks of a file, each checked on its own."""
        asked = self.columns if columns is None else columns
        source = self.format.open(SourceFile.local(path), self.columns)
        chunks = list(source.read(asked))
        first = 1
        for chunk in chunks:
            assert chunk.first == first, f"a chunk begins with record {chunk.first}, and {first} is the next"
            if asked:
                assert chunk.table.num_rows == len(chunk), f"{chunk.table.num_rows} rows have {len(chunk)} lines"
            assert list(chunk.table.column_names) == list(asked), f"asked for {asked}, got {chunk.table.column_names}"
            assert 0.0 <= chunk.share <= 1.0, f"{chunk.share} is no share of a file"
            assert all(0 <= place < len(chunk) for place in chunk.problems), "a problem is of no record of its chunk"
            assert all(chunk.problems.values()), "a problem has no words"
            first += len(chunk)
        assert all(a.share <= b.share for a, b in pairwise(chunks)), "the share that is read falls"
        lines = np.concatenate([np.empty(0, np.int64), *(chunk.lines for chunk in chunks)])
        assert (lines >= 1).all(), "lines count from 1"
        assert (np.diff(lines) > 0).all(), "records do not begin in lines one behind the other"
        return chunks

    def rows(self, chunks: Sequence[Records]) -> list[Record]:
        """Their records."""
        return [row for chunk in chunks for row in chunk.table.to_pylist()]

    def problems(self, chunks: Sequence[Records]) -> dict[int, str]:
        """Why records could not be read, by their places in the file."""
        return {chunk.first - 1 + place: words for chunk in chunks for place, words in chunk.problems.items()}

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Of a file that a test writes."""
        return tmp_path / f"file{self.ending}"

    def test_it_says_which_files_are_its_own(self) -> None:
        """Endings begin with a dot, in lower case, and that of the tests is among them."""
        assert isinstance(self.format, Format), f"it is a {type(self.format).__name__}"
        assert self.ending in self.format.endings, f"{self.ending!r} is none of {self.format.endings}"
        for ending in self.format.endings:
            assert ending.startswith("."), f"{ending!r} begins without a dot"
            assert ending == ending.lower(), f"{ending!r} is not in lower case"

    def test_every_record_is_read_in_order_with_its_values(self, path: Path) -> None:
        """And the columns are known before."""
        self.write(path, self.records())
        source = self.format.open(SourceFile.local(path), self.columns)
        for name in self.columns:
            source.require(name, "library.columns")
        chunks = self.read(path)
        assert self.rows(chunks) == self.records()
        assert not self.problems(chunks), f"good records have problems: {self.problems(chunks)}"

    def test_a_file_can_be_read_again_and_in_part(self, path: Path) -> None:
        """A build asks for some columns, a later one for others; without any there is still the number of records."""
        self.write(path, self.records())
        whole = self.rows(self.read(path))
        assert self.rows(self.read(path)) == whole, "the second time the file has other records"
        turned = self.columns[::-1]
        for asked in (turned, turned[:1]):
            assert self.rows(self.read(path, asked)) == [{name: row[name] for name in asked} for row in whole]
        assert sum(map(len, self.read(path, ()))) == len(whole), "records are lost where no column is asked for"

    def test_many_records_are_accounted_for(self, path: Path) -> None:
        """In chunks, one behind the other."""
        self.write(path, self.records(N_MANY))
        chunks = self.read(path)
        assert self.rows(chunks) == self.records(N_MANY)
        assert len(chunks) > 1, f"{N_MANY:,} records are one chunk: memory grows with the file"

    def test_a_broken_record_costs_itself_and_says_why(self, path: Path) -> None:
        """It has no values, its number is its place in the file, and all others are read."""
        records = self.records()
        self.write(path, records, BAD)
        chunks = self.read(path)
        rows, problems = self.rows(chunks), self.problems(chunks)
        assert len(rows) == len(records), f"{len(rows)} of {len(records)} records are accounted for"
        assert sorted(problems) == list(BAD), f"records {BAD} are broken, and problems are said of {sorted(problems)}"
        for place, (row, record) in enumerate(zip(rows, records, strict=True)):
            wanted = dict.fromkeys(self.columns) if place in BAD else record
            assert row == wanted, f"record {place} is {row} in the place of {wanted}"

    def test_a_file_that_ends_too_soon_is_refused_or_its_records_are_those_before(self, path: Path) -> None:
        """Nothing is made up, and there is no other error than one in words."""
        self.write(path, self.records())
        data, records = path.read_bytes(), self.records()
        for share in (0.2, 0.5, 0.8, 0.99):
            path.write_bytes(data[: int(share * len(data))])
            try:
                chunks = self.read(path)
            except InputFileError as error:
                _names_the_file(error, path)
                continue
            rows, problems = self.rows(chunks), self.problems(chunks)
            good = [row for place, row in enumerate(rows) if place not in problems]
            # The last one may have lost the end of its last value.
            assert good[:-1] == records[: len(good) - 1], f"cut at {share:.0%}, other records are read"

    @pytest.mark.parametrize("data", [b"\x00\x01\x02" * 100, b"\xff\xfe" + b"\x7f" * 99, b"PK\x03\x04" + b"x" * 99])
    def test_what_is_no_such_file_is_refused_in_words(self, path: Path, data: bytes) -> None:
        """An InputFileError that names it, or records with problems alone; nothing else is raised."""
        path.write_bytes(data)
        try:
            chunks = self.read(path)
        except InputFileError as error:
            _names_the_file(error, path)
            return
        rows, problems = self.rows(chunks), self.problems(chunks)
        assert sorted(problems) == list(range(len(rows))), "bytes that mean nothing are good records"


def _names_the_file(error: InputFileError, path: Path) -> None:
    assert str(path) in str(error), f"the error does not name the file: {error}"
