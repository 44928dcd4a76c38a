"""Files for the laboratory: plate maps and pick lists."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.config import PlateFormat, PlatesConfig
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.formulas import escaped
from isd_ray.plates.layout import SAMPLE
from isd_ray.plates.wells import NO_WELL, names_of, no_such_well, well_indices

ECHO_COLUMNS = (
    "Source Plate Barcode",
    "Source Well",
    "Destination Plate Barcode",
    "Destination Well",
    "Transfer Volume",
)
"""Header of a pick list for an Echo acoustic dispenser; volumes are in nL."""
_N_SHOWN = 5


def write_plate_map(plate_map: pa.Table, path: str | Path, *, raw: bool = False) -> None:
    """Write a plate map for the laboratory: Parquet for the ending ``.parquet``, else CSV with a header.

    Columns as in `isd_ray.plates.assign.PLATE_MAP` but for `row`, which is a number of the library and would be taken
    for the row of a plate; one line a well, empty wells included. With a column for the readouts filled in, the file is
    one that `isd_ray.plates.readers.read_readouts` takes. Unless `raw`, no text of a CSV file is a formula
    (`isd_ray.formulas`).
    """
    path, plate_map = Path(path), plate_map.drop(["row"])
    if path.suffix == ".parquet":
        pq.write_table(plate_map, path)
    else:
        _write_csv(path, plate_map, raw=raw)


def write_pick_list(
    plate_map: pa.Table, sources: pa.Table, config: PlatesConfig, path: str | Path, *, raw: bool = False
) -> None:
    """Write the transfers from source plates to the samples of a plate map as CSV with the columns `ECHO_COLUMNS`.

    One line for each sample, plate by plate; controls are not on it. Wells are written without zero padding (``A1``),
    volumes in nL.

    Parameters
    ----------
    sources:
        Columns ``id``, ``plate`` and ``well`` (strings, null or blank where there is none): where compounds are.

    Raises
    ------
    ConfigError
        If the plate map has no volumes (`plates.transfer_volume`), or they are no multiples of `plates.echo_increment`.
    LibraryError
        If compounds have no source, or one that is no well of `plates.source_format`.
    """
    samples = plate_map.filter(pc.equal(plate_map["content"], SAMPLE))
    volumes = [_echo_volume(volume, config) for volume in samples["volume_nl"].to_pylist()]
    ids = samples["id"].to_pylist()
    known = {
        compound: (str(plate).strip(), str(well).strip())
        for compound, plate, well in zip(*(sources[name].to_pylist() for name in ("id", "plate", "well")), strict=True)
        if plate is not None and well is not None
    }
    lost = [compound for compound in ids if not all(known.get(compound, ("",)))]
    if lost:
        raise _no_source(lost, "have no source plate and well", config)
    plates, wells = zip(*(known[compound] for compound in ids), strict=True) if ids else ((), ())
    indices = well_indices(wells, config.source_format).tolist()
    if NO_WELL in indices:
        wrong = indices.index(NO_WELL)
        outside = [compound for compound, index in zip(ids, indices, strict=True) if index == NO_WELL]
        raise _no_source(outside, f"have no source well: {no_such_well(wells[wrong], config.source_format)}", config)
    source_names, names = names_of(config.source_format, padded=False), names_of(config.format, padded=False)
    targets = well_indices(samples["well"].to_pylist(), config.format).tolist()
    columns = (
        list(plates),
        [source_names[index] for index in indices],
        samples["plate"],
        [names[index] for index in targets],
        volumes,
    )
    _write_csv(Path(path), pa.table(dict(zip(ECHO_COLUMNS, columns, strict=True))), raw=raw)


def has_source(sources: pa.Table, source_format: PlateFormat) -> NDArray[np.bool_]:
    """Which lines of `sources` (as `write_pick_list` takes them) name a plate, and a well of such a plate; (n,)."""
    named = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(sources["plate"]), ""), fill_value=False)
    wells = sources["well"].fill_null("").combine_chunks().dictionary_encode()
    is_well = well_indices(wells.dictionary.to_pylist(), source_format) != NO_WELL
    return named.to_numpy() & is_well[wells.indices.to_numpy()]


def _echo_volume(volume: float | None, config: PlatesConfig) -> str:
    if volume is None:
        raise ConfigError(
            "a pick list needs the volume to transfer, and none was set when the plates were made",
            "plates.transfer_volume",
            'set it with its unit, as "25 nL"',
        )
    step = config.increment_nl
    if volume <= 0 or volume % step:
        raise ConfigError(
            f"{volume:g} nL is not a multiple of {step:g} nL above 0",
            "plates.transfer_volume",
            "change the volume, or plates.echo_increment",
        )
    return f"{volume:.1f}".removesuffix(".0")


def _no_source(ids: Sequence[str], what: str, config: PlatesConfig) -> LibraryError:
    shown = ", ".join(map(repr, ids[:_N_SHOWN])) + (" …" if len(ids) > _N_SHOWN else "")
    columns = f"{config.source_plate_column!r} and {config.source_well_column!r}"
    return LibraryError(
        f"{len(ids)} compounds {what}; ids {shown}",
        "pick list",
        f"complete the columns {columns} of the library (plates.source_plate_column, plates.source_well_column)"
        if config.source_plate_column
        else "name the library's columns in plates.source_plate_column and plates.source_well_column",
    )


def _write_csv(path: Path, table: pa.Table, *, raw: bool) -> None:
    table = table if raw else escaped(table)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
