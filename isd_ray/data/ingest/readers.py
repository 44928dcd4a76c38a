"""Readers of CSV, TSV, SMI and Parquet sources."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.config.limits import (
    ALWAYS_EXPANDED_BYTES,
    MAX_BATCH_BYTES,
    MAX_CELL_BYTES,
    MAX_EXPANSION,
    MAX_GROUP_BYTES,
    MAX_GROUP_ROWS,
    MAX_RECORD_BYTES,
)
from isd_ray.data.ingest.columns import is_text, is_texts
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Format, Records, Source
from isd_ray.data.ingest.tables import BLANK, Row, table_rows
from isd_ray.delimited import HEAD_BYTES, UTF8_MARK, UTF16_MARKS, Header, header_of, refuse_binary
from isd_ray.errors import InputFileError
from isd_ray.formulas import unescaped

READ_ROWS = 4096
"""Records of one chunk of the formats read by rows; bounds memory also for wide feature columns."""
CSV_BLOCK_BYTES = 4 << 20
"""Bytes of a table read at once; also the longest header."""
_ROWS_AT_ONCE = 1 << 14
"""Records of a table given out at once."""
_BUFFER_BYTES = 1 << 20
_PUBCHEM_TAG = "PUBCHEM_RESULT_TAG"
_PUBCHEM_DESCRIBES = b"RESULT_"
"""How the rows begin that stand between the header and the results of an assay of PubChem: types, units, words."""
SMI_HEADERS = frozenset({"smiles", "smi", "canonical_smiles", "structure"})
_CX_EXTENSION = re.compile(r"\|[^|]*\|(?=\s|$)")
_SMI_COLUMNS = ["smiles", "id"]


class _Bounded(io.RawIOBase):
    """A decompressed file, ended by an error where it grows beyond measure."""

    def __init__(self, source: Any, size: int, label: str) -> None:
        super().__init__()
        self._source, self._label, self._n_read = source, label, 0
        self._most = max(ALWAYS_EXPANDED_BYTES, MAX_EXPANSION * size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        self._n_read += len(data)
        if self._n_read > self._most:
            raise InputFileError(
                f"decompresses to more than {self._most >> 20:,} MiB, {MAX_EXPANSION} times its size",
                self._label,
                "check where it comes from; if it is right, decompress it and name the plain file",
            )
        buffer[: len(data)] = data
        return len(data)


class _Whole(io.RawIOBase):
    """A file up to where it ended when it was opened: one that grows meanwhile would have no end."""

    def __init__(self, raw: pa.NativeFile, size: int) -> None:
        super().__init__()
        self._raw, self._left = raw, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


_DECOMPRESSORS: dict[bytes, Callable[[pa.NativeFile], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=io.BufferedReader(raw, _BUFFER_BYTES), mode="rb"),
    b"BZh": lambda raw: bz2.BZ2File(io.BufferedReader(raw, _BUFFER_BYTES)),
    b"\xfd7zXZ\x00": lambda raw: lzma.LZMAFile(io.BufferedReader(raw, _BUFFER_BYTES)),  # noqa: SIM115
    b"\x28\xb5\x2f\xfd": lambda raw: pa.CompressedInputStream(raw, "zstd"),
}
"""By how a file begins, whatever its name."""
_MAGIC_BYTES = 6


@contextmanager
def opened(file: SourceFile) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The bytes of a text behind a byte order mark, decompressed; and a function that tells the share read so far.

    Raises
    ------
    InputFileError
        If it is no text, or UTF-16.
    """
    with file.open() as raw:
        size = max(1, raw.size())
        magic = raw.read(_MAGIC_BYTES)
        raw.seek(0)
        make = next((make for begin, make in _DECOMPRESSORS.items() if magic.startswith(begin)), None)
        unpacked = _Whole(raw, size) if make is None else _Bounded(make(raw), size, str(file))
        stream = io.BufferedReader(unpacked, _BUFFER_BYTES)
        head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        refuse_binary(head, str(file))
        if head.startswith(UTF16_MARKS):
            raise InputFileError("it is UTF-16 text", str(file), "save it as UTF-8")
        if head.startswith(UTF8_MARK):
            stream.read(len(UTF8_MARK))
        yield cast(BinaryIO, stream), lambda: min(1.0, raw.tell() / size)


@contextmanager
def readable(file: SourceFile, remedy: str) -> Iterator[None]:
    """Turn the errors of readers and decompressors into InputFileError."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputFileError(f"cannot be read: {reason[0]}", str(file), remedy) from error


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
                problems[index] = f"describes the columns: {word}"
    arrays = []
    for place, name in zip(wanted, columns, strict=True):
        values = [None if index in problems else row[1][place] for index, row in enumerate(rows)]  # type: ignore[index]
        array, undecodable = decoded(pa.array(values, pa.binary()))
        for index in undecodable:
            problems.setdefault(index, f"column {name!r} is not UTF-8 text")
        arrays.append(unescaped(array))
    lines = np.array([line for line, _, _ in rows], dtype=np.int64)
    return Records(pa.Table.from_arrays(arrays, names=list(columns)), first, lines, share, problems)


def decoded(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Bytes as strings, and the indices that are not UTF-8 (null there)."""
    try:
        return pc.cast(values, pa.string()), []
    except pa.ArrowInvalid:
        texts = [None if value is None else _text_or_none(value) for value in values.to_pylist()]
        lost = [
            i
            for i, (text, was_null) in enumerate(zip(texts, values.is_null().to_pylist(), strict=True))
            if text is None and not was_null
        ]
        return pa.array(texts, pa.string()), lost


def _text_or_none(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


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


def text_records(
    values: dict[str, list[str | None]],
    columns: Sequence[str],
    first: int,
    lines: list[int],
    share: float,
    problems: dict[int, str],
) -> Records:
    """Records of collected texts, by column."""
    table = pa.table({name: pa.array(values[name], pa.string()) for name in columns})
    return Records(table, first, np.array(lines, dtype=np.int64), share, problems)


def _valid(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Strings of a file that may hold any bytes: null where they are not UTF-8, and the indices of these."""
    try:
        values.validate(full=True)
        return values, []
    except pa.ArrowInvalid:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary.cast(pa.large_binary()).take(values.indices)
        return decoded(values.cast(pa.large_binary()).cast(pa.binary()))


def _is_view_or_fixed(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_view = pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)
    return bool(is_view or pa.types.is_fixed_size_binary(kind))


class ParquetSource(Source):
    """A Parquet file; columns keep their types."""

    typed = True

    @cached_property
    def _schema(self) -> pa.Schema:
        with readable(self.file, "check that it is a complete Parquet file, or set format"), self.file.open() as raw:
            return pq.read_schema(raw)

    @property
    def column_names(self) -> list[str]:
        """See `Source.column_names`."""
        return list(self._schema.names)

    def column_type(self, name: str) -> pa.DataType:
        """See `Source.column_type`."""
        return self._schema.field(name).type

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """What the writer noted beside the columns."""
        return self._schema.metadata or {}

    def read(self, columns: Sequence[str]) -> Iterator[Records]:
        """See `Source.read`."""
        first = 1
        with (
            readable(self.file, "check that the file is complete"),
            self.file.open() as raw,
            pq.ParquetFile(raw, buffer_size=_BUFFER_BYTES) as file,
        ):
            n_rows = max(1, file.metadata.num_rows)
            texts = self._texts(columns)
            by_reference = pq.ParquetFile(raw, metadata=file.metadata, read_dictionary=texts) if texts else file
            # Without a column asked for there is still the number of records.
            wanted = list(columns) or self.column_names[:1]
            # One row group at a time: an iterator over all of them keeps the buffers of each until its end. One thread:
            # each thread that decodes keeps freed memory to itself, many megabytes in all, and more with time.
            for group in range(file.num_row_groups):
                self._refuse_absurd(file, group, (), raw.size())
                # The first batch is read before the columns are looked at: where what is said of them is damaged,
                # reading raises an error, while asking for it ends the process.
                has_long_texts = self._has_long_texts(by_reference, group, wanted)
                self._refuse_absurd(file, group, wanted, raw.size())
                reader = by_reference if has_long_texts else file
                batches = reader.iter_batches(READ_ROWS, row_groups=[group], columns=wanted, use_threads=False)
                for batch in batches:
                    lines = np.arange(first, first + len(batch), dtype=np.int64)
                    first += len(batch)
                    table, problems = self._decoded(pa.Table.from_batches([batch]).select(list(columns)), first)
                    yield Records(table, first - len(batch), lines, (first - 1) / n_rows, problems)

    def _texts(self, columns: Sequence[str]) -> list[str]:
        """Columns of strings and bytes, to be read as the dictionaries that they may be stored as.

        A dictionary of one long string and millions of references to it take a few bytes of the file and any number of
        the memory, so that their size is looked at before they are decoded, where there are long ones: to build
        dictionaries costs more than all the rest of reading.
        """
        present = set(columns).intersection(self.column_names)
        kinds = {name: self._schema.field(name).type for name in present}
        return [n for n, k in kinds.items() if is_texts(k) and not pa.types.is_null(k) and not _is_view_or_fixed(k)]

    @staticmethod
    def _has_long_texts(file: pq.ParquetFile, group: int, wanted: Sequence[str]) -> bool:
        """Whether the dictionaries of a row group hold texts so long that a few thousand references are too many."""
        batches = file.iter_batches(READ_ROWS, row_groups=[group], columns=list(wanted), use_threads=False)
        longest = [
            pc.max(pc.binary_length(column.dictionary)).as_py() or 0
            for column in next(batches, pa.record_batch({})).columns
            if pa.types.is_dictionary(column.type) and is_texts(column.type)
        ]
        return max(longest, default=0) * READ_ROWS > MAX_BATCH_BYTES

    def _decoded(self, table: pa.Table, stop: int) -> tuple[pa.Table, dict[int, str]]:
        problems: dict[int, str] = {}
        total = 0
        for place, name in enumerate(table.column_names):
            kind = self._schema.field(name).type
            values = table[name].combine_chunks()
            if pa.types.is_dictionary(values.type) and is_texts(values.type):
                lengths = pc.binary_length(values.dictionary).take(values.indices).fill_null(0)
                is_long = pc.greater(lengths, MAX_CELL_BYTES)
                for index in np.flatnonzero(is_long.to_numpy(zero_copy_only=False)).tolist():
                    problems.setdefault(index, f"column {name!r} is longer than {MAX_CELL_BYTES >> 20} MiB")
                total += pc.sum(pc.if_else(is_long, 0, lengths)).as_py() or 0
                if total > MAX_BATCH_BYTES:
                    raise InputFileError(
                        f"the texts of records {stop - len(table)} to {stop - 1} are larger than "
                        f"{MAX_BATCH_BYTES >> 20} MiB when they are decoded",
                        str(self.file),
                        "check where the file comes from",
                    )
                indices = pc.if_else(is_long, pa.scalar(None, values.indices.type), values.indices)
                values = values.dictionary.take(indices)
            if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(values.type):
                kind = kind.value_type
            if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
                kind = pa.string() if pa.types.is_string_view(kind) else pa.binary()
                values = values.cast(kind)
            if is_text(kind):
                values, lost = _valid(values)
                kind = pa.string() if lost else kind
                for index in lost:
                    problems.setdefault(index, f"column {name!r} is not UTF-8 text")
            table = table.set_column(place, name, values if values.type == kind else values.cast(kind))
        return table, problems

    def _refuse_absurd(self, file: pq.ParquetFile, group: int, wanted: Sequence[str], size: int) -> None:
        """Refuse a row group that is too large, as a whole or in the columns that are read."""
        about = file.metadata.row_group(group)
        places = [i for i in range(file.metadata.num_columns) if file.schema.column(i).path.split(".", 1)[0] in wanted]
        if wanted:
            columns = [about.column(place) for place in places if place < about.num_columns]
            n_bytes = sum(column.total_uncompressed_size for column in columns)
            size = sum(column.total_compressed_size for column in columns)
        else:
            n_bytes = 0  # columns that are not read may be as large as they like
        most = max(ALWAYS_EXPANDED_BYTES, MAX_EXPANSION * size)
        if about.num_rows > MAX_GROUP_ROWS or n_bytes > min(MAX_GROUP_BYTES, most):
            raise InputFileError(
                f"a row group of {about.num_rows:,} rows and {n_bytes or about.total_byte_size:,} bytes is too large",
                str(self.file),
                "check where the file comes from; if it is right, write it again with smaller row groups",
            )


CSV = Format(lambda file, columns: CsvSource(file, ",", columns), (".csv",))
TSV = Format(lambda file, columns: CsvSource(file, "\t", columns), (".tsv", ".tab"))
SMI = Format(lambda file, columns: SmiSource(file), (".smi", ".smiles"))
PARQUET = Format(lambda file, columns: ParquetSource(file), (".parquet", ".pq"))
