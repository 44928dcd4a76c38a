"""The hybrid screen as one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from isd_ray.card import Carded
from isd_ray.chem.sdf import write_sdf
from isd_ray.data.long import long_tables, tables_of
from isd_ray.errors import InputFileError
from isd_ray.formulas import escaped
from isd_ray.storage.output_files import replacing

SUFFIXES = (".parquet", ".csv", ".sdf")
_LINES = 1 << 16
"""Lines held at a time."""


@dataclass(frozen=True, slots=True)
class Exported(Carded):
    """What was written.

    Attributes
    ----------
    n_lines:
        Lines of a table, records of an SDF.
    n_empty:
        Records of an SDF whose compound has no structure that RDKit reads: they have no atoms, but their data.
    """

    n_lines: int
    n_empty: int = 0


def export_hybrid(
    hybrid: Path, out: Path, *, long: bool = False, raw: bool = False, marks: Mapping[str, str] | None = None
) -> Exported:
    """Stream a hybrid screen to one file, by its ending Parquet, CSV or SDF.

    Parameters
    ----------
    long:
        Of a panel: a line for each compound and output.
    raw:
        Texts of a CSV file that spreadsheets take for formulas stay as they are (`isd_ray.formulas`).
    marks:
        Columns that every line has behind the others, with the one value of each.

    Raises
    ------
    InputFileError
        If there is no hybrid screen, or it does not fit the kind of file.
    OutputFileError
        If the file cannot be written.
    """
    if out.suffix not in SUFFIXES:
        raise InputFileError(
            f"{out.suffix!r} is no kind of file to export to", str(out), f"choose one of {', '.join(SUFFIXES)}"
        )
    files = sorted(hybrid.glob("part-*.parquet"))
    if not files:
        raise InputFileError("there is no hybrid screen here", str(hybrid), "let the campaign come to its end")
    schema = pq.read_schema(files[0])
    if "labels" in schema.names and not long and out.suffix != ".parquet":
        raise InputFileError(
            "a panel has many labels a compound, which only Parquet holds",
            str(out),
            "use --long, or the ending .parquet",
        )
    if long and out.suffix == ".sdf":
        raise InputFileError("a long table has no structures", str(out), "choose the ending .csv or .parquet")
    tables = long_tables(files) if long else _tables(files)
    if marks:
        tables = (_marked(table, marks) for table in tables)
    with replacing(out) as partial:
        if out.suffix == ".sdf":
            return Exported(*write_sdf(partial, (line for table in tables for line in table.to_pylist())))
        if out.suffix == ".csv" and not raw:
            tables = map(escaped, tables)
        return Exported(_write(tables, partial, pyarrow.csv.CSVWriter if out.suffix == ".csv" else pq.ParquetWriter))


def _tables(files: Iterable[Path]) -> Iterator[pa.Table]:
    for path in files:
        yield from tables_of(pq.ParquetFile(path), _LINES)


def _marked(table: pa.Table, marks: Mapping[str, str]) -> pa.Table:
    for name, text in marks.items():
        table = table.append_column(name, pa.array([text] * table.num_rows, pa.string()))
    return table


def _write(tables: Iterator[pa.Table], path: Path, kind: type[pq.ParquetWriter] | type[pa.csv.CSVWriter]) -> int:
    first = next(tables)
    with kind(path, first.schema) as writer:
        writer.write_table(first)
        n_lines = int(first.num_rows)
        for table in tables:
            writer.write_table(table)
            n_lines += table.num_rows
    return n_lines
