"""Readers of CSV, TSV and SMI sources."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from isd_ray.config.limits import MAX_RECORD_BYTES
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Format, Records, Source
from isd_ray.data.ingest.tables import BLANK, Row, table_rows
from isd_ray.data.ingest.texts import READ_ROWS, decoded, opened, readable, text_records
from isd_ray.delimited import Header, header_of
from isd_ray.errors import InputFileError
from isd_ray.formulas import unescaped

__all__ = ["CSV", "READ_ROWS", "SMI", "TSV", "CsvSource", "SmiSource", "opened", "readable", "text_records"]

CSV_BLOCK_BYTES = 4 << 20
"""Bytes of a table read at once; also the longest header."""
_ROWS_AT_ONCE = 1 << 14
"""Records of a table given out at once."""
_PUBCHEM_TAG = "PUBCHEM_RESULT_TAG"
DESCRIBES = "describes the columns"
"""How the problem of a record begins that is no result."""
_PUBCHEM_DESCRIBES = b"RESULT_"
"""How the rows begin that stand between the header and the results of an assay of PubChem: types, units, words."""
SMI_HEADERS = frozenset({"smiles", "smi", "canonical_smiles", "structure"})
_CX_EXTENSION = re.compile(r"\|[^|]*\|(?=\s|$)")
_SMI_COLUMNS = ["smiles", "id"]
_TEXT_REMEDY = "check that the file is complete, is text in UTF-8, and that its quotes are balanced"


class CsvSource(Source):
    """Delimited text with a header line, compressed or not.

    What separates the fields is seen in the header, best by the columns that are asked for
    (`isd_ray.delimited.header_of`). A record with the wrong number of fields, with a quote that is not closed, or with
    bytes that are not UTF-8, is reported as a problem of that record.
    """

    def __init__(self, file: SourceFile, delimiter: str, columns: Collection[str] = ()) -> None:
        super().__init__(file)
        self._delimiter, self._columns = delimiter, columns

    @cached_property
    def _header(self) -> Header:
        with readable(self.file, _TEXT_REMEDY), opened(self.file) as (stream, _):
            head = stream.read(CSV_BLOCK_BYTES)
            if len(head) == CSV_BLOCK_BYTES and b"\n" not in head and b"\r" not in head:
                raise InputFileError(f"the first line is longer than {len(head):,} bytes", str(self.file), _TEXT_REMEDY)
            try:
                text = head.decode()
            except UnicodeDecodeError:  # in a later line, or in a name: then it can still be given in a configuration
                text = head.decode("latin-1")
            return header_of(text, self._columns, self._delimiter)

    @property
    def column_names(self) -> list[str]:
        """See `Source.column_names`."""
        return self._header.names

    def read(self, columns: Sequence[str]) -> Iterator[Records]:
        """See `Source.read`."""
        header = self._header
        names = header.names
        wanted = [names.index(column) for column in columns]
        first = 1
        with readable(self.file, _TEXT_REMEDY), opened(self.file) as (stream, share):
            for _ in range(header.n_lines):
                _skip_line(stream)
            delimiter = header.delimiter.encode()
            for rows in table_rows(stream, delimiter, len(names), header.n_lines + 1, CSV_BLOCK_BYTES):
                for start in range(0, len(rows), _ROWS_AT_ONCE):
                    part = rows[start : start + _ROWS_AT_ONCE]
                    yield _csv_records(part, wanted, columns, first, share(), self._no_compounds(names))
                    first += len(part)

    @staticmethod
    def _no_compounds(names: list[str]) -> int | None:
        """Place of the column whose words tell PubChem's descriptions of columns from results."""
        return names.index(_PUBCHEM_TAG) if _PUBCHEM_TAG in names else None


def _skip_line(stream: BinaryIO) -> None:
    """Read on behind the end of a line, whatever ends it."""
    head = cast(io.BufferedReader, stream)
    while True:
        seen = head.peek(1)
        ends = [place for place in (seen.find(b"\n"), seen.find(b"\r")) if place >= 0]
        if not seen:
            return
        if ends:
            is_return = seen[min(ends) : min(ends) + 1] == b"\r"
            head.read(min(ends) + 1)
            if is_return and head.peek(1)[:1] == b"\n":
                head.read(1)
            return
        head.read(len(seen))


def _csv_records(
    rows: list[Row], wanted: list[int], columns: Sequence[str], first: int, share: float, tag: int | None
) -> Records:
    problems = {index: reason for index, (_, fields, reason) in enumerate(rows) if fields is None}
    if tag is not None:
        for index, (_, fields, _) in enumerate(rows):
            if fields is not None and fields[tag].startswith(_PUBCHEM_DESCRIBES):
                word = fields[tag].decode(errors="replace")
                problems[index] = f"{DESCRIBES}: {word}"
    arrays = []
    for place, name in zip(wanted, columns, strict=True):
        values = [None if index in problems else row[1][place] for index, row in enumerate(rows)]  # type: ignore[index]
        array, undecodable = decoded(pa.array(values, pa.binary()))
        for index in undecodable:
            problems.setdefault(index, f"column {name!r} is not UTF-8 text")
        arrays.append(unescaped(array))
    lines = np.array([line for line, _, _ in rows], dtype=np.int64)
    return Records(pa.Table.from_arrays(arrays, names=list(columns)), first, lines, share, problems)


class SmiSource(Source):
    """Lines of ``SMILES id``, separated by blanks or tabs; a first line that begins with the word SMILES is a header.

    The columns are always `smiles` and `id`: an id may hold blanks, and ends at a tab or at the end of the line.
    """

    @property
    def column_names(self) -> list[str]:
        """See `Source.column_names`."""
        return list(_SMI_COLUMNS)

    def structure_column(self, smiles_column: str | None) -> str | None:
        """See `Source.structure_column`."""
        return smiles_column and "smiles"

    def read(self, columns: Sequence[str]) -> Iterator[Records]:
        """See `Source.read`."""
        first = 1
        values: dict[str, list[str | None]] = {"smiles": [], "id": []}
        lines: list[int] = []
        problems: dict[int, str] = {}
        with readable(self.file, _TEXT_REMEDY), opened(self.file) as (stream, share):
            lines_read = iter(lambda: stream.readline(MAX_RECORD_BYTES + 1), b"")
            for number, raw in enumerate(lines_read, start=1):
                if len(raw) > MAX_RECORD_BYTES:
                    words = f"line {number} is longer than {MAX_RECORD_BYTES >> 20} MiB"
                    raise InputFileError(words, str(self.file), _TEXT_REMEDY)
                fields, problem = _smi_fields(raw)
                if number == 1 and fields and fields[0].casefold() in SMI_HEADERS:
                    continue
                if problem:
                    problems[len(lines)] = problem
                values["smiles"].append(fields[0] if fields else None)
                values["id"].append(fields[1] if len(fields) > 1 else None)
                lines.append(number)
                if len(lines) == READ_ROWS:
                    yield text_records(values, columns, first, lines, share(), problems)
                    first += len(lines)
                    values, lines, problems = {"smiles": [], "id": []}, [], {}
            if lines:
                yield text_records(values, columns, first, lines, share(), problems)


def _smi_fields(raw: bytes) -> tuple[list[str], str]:
    try:
        fields = raw.decode("utf-8-sig").split(None, 1)
    except UnicodeDecodeError:
        return [], "the line is not UTF-8 text"
    if not fields:
        return [], BLANK
    if len(fields) > 1 and (extension := _CX_EXTENSION.match(fields[1])):  # CXSMILES: SMILES |extension| id
        rest = fields[1][extension.end() :].strip()
        fields = [f"{fields[0]} {extension[0].strip()}", *([rest] if rest else [])]
    return [fields[0], *(rest.split("\t", 1)[0].strip() for rest in fields[1:])], ""


CSV = Format(lambda file, columns: CsvSource(file, ",", columns), (".csv",))
TSV = Format(lambda file, columns: CsvSource(file, "\t", columns), (".tsv", ".tab"))
SMI = Format(lambda file, columns: SmiSource(file), (".smi", ".smiles"))
