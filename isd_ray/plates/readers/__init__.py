"""Readouts from files: tidy tables, cellHTS2 style, and plates as they lie on the table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from isd_ray.config import PlateFormat, ReadoutsConfig
from isd_ray.config.readouts import check_shape
from isd_ray.errors import InputFileError
from isd_ray.plates.cells import NO_VALUE
from isd_ray.plates.collect import Collector, ReadoutFile
from isd_ray.plates.readers.cellhts2 import read_cellhts2
from isd_ray.plates.readers.echo import is_transfer_report, read_transfers
from isd_ray.plates.readers.export import read_export
from isd_ray.plates.readers.matrix import read_matrix
from isd_ray.plates.readers.registry import plate_readers, reader_of
from isd_ray.plates.readers.tidy import BATCH_ID, has_header, read_tidy
from isd_ray.plates.text import read_text

__all__ = ["BATCH_ID", "read_readouts"]


def read_readouts(
    path: str | Path,
    config: ReadoutsConfig,
    plate_format: PlateFormat,
    *,
    plate: str | None = None,
    classes: Sequence[str] = (),
    outputs: Sequence[str] = (),
    output: str | None = None,
    numbers: Collection[str] = (),
    whole_plates: bool = False,
    known_plates: Collection[str] = (),
    read: str | None = None,
    is_exported: bool = True,
) -> ReadoutFile:
    """Read a file of readouts.

    Bad lines are set aside with a reason and never spoil good ones. Of several lines of one well (and replicate) equal
    ones count once, of lines with different times the latest; contradictions are set aside, all of them.

    Parameters
    ----------
    path:
        ``.parquet``, or text of any other ending: commas, tabs or semicolons; UTF-8 or UTF-16. Exports of plate readers
        (`isd_ray.plates.readers.registry`) are known by their content, whatever the shape is.
    plate_format:
        Wells of a plate; names outside it are refused.
    plate:
        Barcode of the plate that the file is of; titles and names in the file do not matter, but for another plate that
        is known.
    classes:
        Names of the classes where values are such; empty for numbers.
    outputs:
        Names of a panel's outputs. A tidy file has a column of assays, or a column for each output or some of them, in
        which a blank is nothing told.
    output:
        The output that a file speaks of which has neither.
    numbers:
        Outputs whose values are numbers, where those of the others are classes; then values are kept as texts.
    whole_plates:
        Plates are told whole: a well without a value is a lost one.
    known_plates:
        Barcodes that there are.
    read:
        Which of several reads of an export counts (`isd_ray.plates.readers.export.read_export`).
    is_exported:
        Exports of plate readers are known by their content; otherwise the shape counts.

    Raises
    ------
    ConfigError
        If there is no such shape.
    InputFileError
        If the file is missing or empty, lacks a column, or holds nothing that can be used.
    """
    path = Path(path)
    # Tables written by R or pandas say NA where there is no flag; in cellHTS2 the flag NA takes a well out.
    good_flags = {word.lower() for word in config.good_flags} | (NO_VALUE if config.shape == "tidy" else set())
    bad_flags = frozenset(word.lower() for word in config.bad_flags)
    collector = Collector(
        plate_format,
        classes,
        frozenset(good_flags - bad_flags),
        outputs,
        output,
        bad_flags=bad_flags,
        whole_plates=whole_plates,
        known_plates=frozenset(known_plates),
        numbers=frozenset(numbers),
    )
    is_parquet = path.suffix == ".parquet"
    text = None if is_parquet else read_text(path)
    check_shape(config.shape)
    if text is not None and is_exported and is_transfer_report(text):
        n_made = read_transfers(text, collector, plate)
        return collector.finish(str(path), n_made)
    exporter = None
    if text is not None and is_exported and not (config.shape == "tidy" and has_header(text, config, outputs)):
        exporter = plate_readers().get(config.shape) or reader_of(text)
    if exporter is not None and text is not None:
        read_export(text, exporter, collector, plate=plate, read=read, where=str(path))
    elif read is not None:
        raise InputFileError(
            f"read={read!r} is given, but this is no export of a plate reader that is known", str(path), "leave it out"
        )
    elif config.shape == "tidy":
        read_tidy(path, text, config, collector, plate)
    elif text is None:
        raise InputFileError(
            f"a Parquet file is a tidy table, and the shape is {config.shape!r}",
            str(path),
            "set readouts.shape = 'tidy'",
        )
    elif config.shape == "matrix":
        read_matrix(text, collector, plate)
    else:
        read_cellhts2(text, collector)
    return collector.finish(str(path))
