"""Readers of CSV, TSV, SMI and Parquet sources."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config.limits import (
    ALWAYS_EXPANDED_BYTES,
    MAX_EXPANSION,
    MAX_GROUP_BYTES,
    MAX_GROUP_ROWS,
    MAX_RECORD_BYTES,
)
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Records, Source
from isd_ray.delimited import HEAD_BYTES, UTF16_MARKS, header_delimiter, refuse_binary
from isd_ray.errors import InputFileError

READ_ROWS = 4096
"""Records of one chunk of the formats read by rows; bounds memory also for wide feature columns."""
CSV_BLOCK_BYTES = 4 << 20
"""Bytes parsed at once; also the longest CSV record."""
_BUFFER_BYTES = 1 << 20
_OFFSET_BYTES = 4
_BLANK = "blank line"
_SMI_HEADERS = frozenset({"smiles", "smi", "canonical_smiles", "structure"})
_SMI_COLUMNS = ["smiles", "id"]


class _BoundedGzip(gzip.GzipFile):
    """A gzipped file, ended by an error where it grows beyond measure."""

    def __init__(self, raw: io.BufferedReader, size: int, label: str) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._most, self._label = max(ALWAYS_EXPANDED_BYTES, MAX_EXPANSION * size), label

    def _bounded(self, data: bytes) -> bytes:
        if self.tell() > self._most:
            raise InputFileError(
                f"decompresses to more than {self._most >> 20:,} MiB, {MAX_EXPANSION} times its size",
                self._label,
                "check where it comes from; if it is right, decompress it and name the plain file",
            )
        return data

    def read(self, size: int | None = -1) -> bytes:
        return self._bounded(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._bounded(super().read1(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._bounded(super().readline(size))


@contextmanager
def opened(file: SourceFile) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The bytes of a text, decompressed if its name ends in .gz; and a function that tells the share read so far.

    Raises
    ------
    InputFileError
        If it is no text, or UTF-16.
    """
    with file.open() as raw:
        size = max(1, raw.size())
        buffered = io.BufferedReader(raw, _BUFFER_BYTES)
        stream = _BoundedGzip(buffered, size, str(file)) if file.is_gzipped else buffered
        head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        refuse_binary(head, str(file))
        if head.startswith(UTF16_MARKS):
            raise InputFileError("it is UTF-16 text", str(file), "save it as UTF-8")
        yield cast(BinaryIO, stream), lambda: raw.tell() / size


@contextmanager
def readable(file: SourceFile, remedy: str) -> Iterator[None]:
    """Turn the errors of readers and decompressors into InputFileError."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputFileError(f"cannot be read: {reason[0]}", str(file), remedy) from error


_TEXT_REMEDY = "check that the file is complete, is text in UTF-8, and that its quotes are balanced"


class CsvSource(Source):
    """Delimited text with a header line, optionally gzipped.

    What separates the fields is seen in the header, best by the columns that are asked for
    (`isd_ray.delimited.header_delimiter`). A record with the wrong number of fields, or with bytes that are not UTF-8,
    is reported as a problem of that record.
    """

    def __init__(self, file: SourceFile, delimiter: str, columns: Collection[str] = ()) -> None:
        super().__init__(file)
        self._delimiter, self._columns = delimiter, columns

    @cached_property
    def _header(self) -> tuple[list[str], int, str]:
        """Column names, how many lines they take, and what separates them."""
        with readable(self.file, _TEXT_REMEDY), opened(self.file) as (stream, _):
            head = stream.read(CSV_BLOCK_BYTES)
            if len(head) == CSV_BLOCK_BYTES and b"\n" not in head and b"\r" not in head:
                raise InputFileError(f"the first line is longer than {len(head):,} bytes", str(self.file), _TEXT_REMEDY)
            text = head.decode("utf-8-sig", errors="replace")
            delimiter = header_delimiter(text, self._columns, self._delimiter)
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            return next(rows, []), rows.line_num, delimiter

    @property
    def column_names(self) -> list[str]:  # noqa: D102
        return self._header[0]

    def read(self, columns: Sequence[str]) -> Iterator[Records]:  # noqa: D102
        names, header_lines, delimiter = self._header
        wanted = [names.index(column) for column in columns]
        bad: list[tuple[int, str, int]] = []

        def skip(row: Any) -> str:
            reason = f"wrong number of fields: {row.actual_columns} instead of {row.expected_columns}"
            bad.append((row.number - 1, reason, row.text.count("\n")))  # the header is row 1
            return "skip"

        first, line, held = 1, header_lines + 1, None
        n_parsed = 0
        with readable(self.file, _TEXT_REMEDY), opened(self.file) as (stream, share_fetched):
            for batch in self._batches(stream, names, delimiter, skip):
                if held is not None:
                    yield held
                inserted, total = [], len(batch)
                while bad and bad[0][0] < first + total:
                    inserted.append(bad.pop(0))
                    total += 1
                # pyarrow reads many blocks ahead, so that the position alone would promise too much: what was parsed is
                # counted, and the text of a compressed file is as long as its head suggests.
                n_parsed += _text_bytes(batch)
                share = min(1.0, n_parsed / max(1, stream.tell()) * share_fetched())
                held, line = _with_gaps(batch, wanted, columns, inserted, first, line, share)
                first += total
            if held is not None:
                yield held if bad else replace(held, share=1.0)
            if bad:
                empty = pa.RecordBatch.from_arrays([pa.array([], pa.binary())] * len(names), names=names)
                yield _with_gaps(empty, wanted, columns, bad, first, line, 1.0)[0]

    def _batches(self, stream: BinaryIO, names: list[str], delimiter: str, skip: Any) -> Iterable[pa.RecordBatch]:
        # One thread: only then does pyarrow number the rows that it refuses. Bytes instead of strings: one field in
        # another encoding must not end the file. Empty lines are kept so that line numbers stay true.
        return pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.binary() for name in names}, strings_can_be_null=False
            ),
        )


def _text_bytes(batch: pa.RecordBatch) -> int:
    """About the bytes that the records took in the file: fields, and a separator or line end behind each."""
    n_offsets = _OFFSET_BYTES * (len(batch) + 1)
    return sum(column.nbytes - n_offsets + len(batch) for column in batch.columns)


def _heights(batch: pa.RecordBatch, inserted: list[tuple[int, str, int]], first: int) -> NDArray[np.int64]:
    """Lines that each record takes: one, and one more for every newline inside quotes."""
    good = np.ones(len(batch), dtype=np.int64)
    for column in batch.columns:
        good += pc.count_substring(column, "\n").to_numpy(zero_copy_only=False).astype(np.int64)
    heights = np.zeros(len(batch) + len(inserted), dtype=np.int64)
    is_bad = np.zeros(len(heights), dtype=bool)
    for record, _, newlines in inserted:
        is_bad[record - first] = True
        heights[record - first] = 1 + newlines
    heights[~is_bad] = good
    return heights


def _with_gaps(
    batch: pa.RecordBatch,
    wanted: list[int],
    columns: Sequence[str],
    inserted: list[tuple[int, str, int]],
    first: int,
    line: int,
    share: float,
) -> tuple[Records, int]:
    """The good rows with the refused ones put back, as nulls, in their places; and the line after them."""
    heights = _heights(batch, inserted, first)
    problems = {record - first: reason for record, reason, _ in inserted}
    positions = np.flatnonzero(~np.isin(np.arange(len(heights)), list(problems)))
    blank = np.ones(len(batch), dtype=bool)
    for column in batch.columns:
        blank &= pc.binary_length(column).to_numpy(zero_copy_only=False) == 0
    problems.update(dict.fromkeys(positions[blank].tolist(), _BLANK))
    arrays = []
    for index, name in zip(wanted, columns, strict=True):
        array, undecodable = _decoded(batch.column(index))
        problems.update({int(positions[i]): f"column {name!r} is not UTF-8 text" for i in undecodable})
        arrays.append(array)
    table = pa.Table.from_arrays(arrays, names=list(columns))
    if inserted and columns:
        indices = np.full(len(heights), -1, dtype=np.int64)
        indices[positions] = np.arange(len(positions))
        table = table.take(pa.array(indices, mask=indices < 0))
    ends = line + np.cumsum(heights)
    return Records(table, first, ends - heights, share, problems), int(ends[-1]) if len(ends) else line


def _decoded(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Bytes as strings, and the indices that are not UTF-8 (null there)."""
    try:
        return pc.cast(values, pa.string()), []
    except pa.ArrowInvalid:
        texts = [_text_or_none(value) for value in values.to_pylist()]
        return pa.array(texts, pa.string()), [index for index, text in enumerate(texts) if text is None]


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
    def column_names(self) -> list[str]:  # noqa: D102
        return list(_SMI_COLUMNS)

    def structure_column(self, smiles_column: str | None) -> str | None:  # noqa: D102
        return smiles_column and "smiles"

    def read(self, columns: Sequence[str]) -> Iterator[Records]:  # noqa: D102
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
                if number == 1 and fields and fields[0].casefold() in _SMI_HEADERS:
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
        return [], _BLANK
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


class ParquetSource(Source):
    """A Parquet file; columns keep their types."""

    typed = True

    @cached_property
    def _schema(self) -> pa.Schema:
        with readable(self.file, "check that it is a complete Parquet file, or set format"), self.file.open() as raw:
            return pq.read_schema(raw)

    @property
    def column_names(self) -> list[str]:  # noqa: D102
        return list(self._schema.names)

    def column_type(self, name: str) -> pa.DataType:  # noqa: D102
        return self._schema.field(name).type

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """What the writer noted beside the columns."""
        return self._schema.metadata or {}

    def read(self, columns: Sequence[str]) -> Iterator[Records]:  # noqa: D102
        first = 1
        with (
            readable(self.file, "check that the file is complete"),
            self.file.open() as raw,
            pq.ParquetFile(raw, buffer_size=_BUFFER_BYTES) as file,
        ):
            n_rows = max(1, file.metadata.num_rows)
            # Without a column asked for there is still the number of records.
            wanted = list(columns) or self.column_names[:1]
            # One row group at a time: an iterator over all of them keeps the buffers of each until its end. One thread:
            # each thread that decodes keeps freed memory to itself, many megabytes in all, and more with time.
            for group in range(file.num_row_groups):
                self._refuse_absurd(file.metadata.row_group(group), set(wanted))
                batches = file.iter_batches(READ_ROWS, row_groups=[group], columns=wanted, use_threads=False)
                for batch in batches:
                    lines = np.arange(first, first + len(batch), dtype=np.int64)
                    first += len(batch)
                    table = pa.Table.from_batches([batch]).select(list(columns))
                    yield Records(table, first - len(batch), lines, (first - 1) / n_rows)

    def _refuse_absurd(self, group: pq.RowGroupMetaData, wanted: set[str]) -> None:
        columns = (group.column(i) for i in range(group.num_columns))
        n_bytes = sum(c.total_uncompressed_size for c in columns if c.path_in_schema.split(".", 1)[0] in wanted)
        if group.num_rows > MAX_GROUP_ROWS or n_bytes > MAX_GROUP_BYTES:
            raise InputFileError(
                f"a row group of {group.num_rows:,} rows and {n_bytes:,} bytes is too large",
                str(self.file),
                "check where the file comes from; if it is right, write it again with smaller row groups",
            )
