"""The reader of Parquet sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

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
)
from isd_ray.data.ingest.columns import is_text, is_texts
from isd_ray.data.ingest.records import Format, Records, Source
from isd_ray.data.ingest.texts import BUFFER_BYTES, READ_ROWS, decoded, readable
from isd_ray.errors import InputFileError

_FEW_ROWS = 64
_UNKNOWN_BYTES = 1 << 30
"""Of texts that are decoded at once before their size is known, at most; 64 rows at a time cost no time."""


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
            pq.ParquetFile(raw, buffer_size=BUFFER_BYTES) as file,
        ):
            n_rows = max(1, file.metadata.num_rows)
            # Without a column asked for there is still the number of records.
            wanted = list(columns) or self.column_names[:1]
            # One row group at a time: an iterator over all of them keeps the buffers of each until its end.
            for group in range(file.num_row_groups):
                self._refuse_absurd(file, group, (), raw.size())
                # A row is read before the columns are looked at: where what is said of them is damaged, reading raises
                # an error, while asking for it ends the process.
                next(self._batches(file, group, wanted, 1), None)
                self._refuse_absurd(file, group, wanted, raw.size())
                for batch in self._pieces(file, raw, group, wanted):
                    lines = np.arange(first, first + len(batch), dtype=np.int64)
                    first += len(batch)
                    table, problems = self._decoded(batch.select(list(columns)), first)
                    yield Records(table, first - len(batch), lines, (first - 1) / n_rows, problems)

    def _pieces(
        self, file: pq.ParquetFile, raw: pa.NativeFile, group: int, wanted: Sequence[str]
    ) -> Iterator[pa.Table]:
        """The records of a row group, a few thousand at a time, or fewer where their texts are long."""
        texts = self._texts(wanted)
        if n_bytes := self._of_unknown_size(file, group, texts):
            held: list[pa.RecordBatch] = []
            for batch in self._batches(file, group, wanted, max(1, min(_FEW_ROWS, _UNKNOWN_BYTES // n_bytes))):
                held.append(batch)
                if sum(map(len, held)) >= READ_ROWS or sum(each.nbytes for each in held) > MAX_BATCH_BYTES:
                    yield pa.Table.from_batches(held)
                    held = []
            if held:
                yield pa.Table.from_batches(held)
            return
        reader = pq.ParquetFile(raw, metadata=file.metadata, read_dictionary=texts) if texts else file
        if not self._has_long_texts(reader, group, wanted):
            reader = file
        for batch in self._batches(reader, group, wanted, READ_ROWS):
            yield pa.Table.from_batches([batch])

    @staticmethod
    def _batches(file: pq.ParquetFile, group: int, wanted: Sequence[str], n_rows: int) -> Iterator[pa.RecordBatch]:
        # One thread: each that decodes keeps freed memory to itself, many megabytes in all, and more with time.
        yield from file.iter_batches(n_rows, row_groups=[group], columns=list(wanted), use_threads=False)

    @staticmethod
    def _of_unknown_size(file: pq.ParquetFile, group: int, texts: Sequence[str]) -> int:
        """If texts of a row group are stored as what each differs by from the one before: the largest that one can be.

        There is no dictionary to look at then. No text is longer than what is stored of its column, but each may be as
        long; 0 otherwise.
        """
        about = file.metadata.row_group(group)
        places = [place for place in range(about.num_columns) if file.schema.column(place).path in texts]
        columns = [about.column(place) for place in places]
        if not any("DELTA" in encoding for column in columns for encoding in column.encodings):
            return 0
        return max(1, *(column.total_uncompressed_size for column in columns))

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
            elif is_texts(values.type) and not pa.types.is_null(kind) and not _is_view_or_fixed(kind):
                is_long = pc.greater(pc.binary_length(values), MAX_CELL_BYTES).fill_null(False)
                if pc.any(is_long).as_py():
                    for index in np.flatnonzero(is_long.to_numpy(zero_copy_only=False)).tolist():
                        problems.setdefault(index, f"column {name!r} is longer than {MAX_CELL_BYTES >> 20} MiB")
                    values = pc.if_else(is_long, pa.scalar(None, values.type), values)
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


PARQUET = Format(lambda file, columns: ParquetSource(file), (".parquet", ".pq"))
