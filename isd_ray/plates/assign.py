"""Placing a batch on plates so that nobody can tell from a position why a compound is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from isd_ray.config import PlatesConfig
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.errors import ConfigError
from isd_ray.messages import Rows
from isd_ray.plates.layout import SAMPLE, plate_layout, plates_for
from isd_ray.plates.wells import names_of

PLATE_MAP = pa.schema(
    {
        "plate": pa.string(),
        "well": pa.string(),
        "content": pa.string(),
        "row": pa.int64(),
        "id": pa.string(),
        "smiles": pa.string(),
        "volume_nl": pa.float64(),
    }
)
"""One line for each well of each plate; `row`, `id`, `smiles` and `volume_nl` are null unless it holds a sample."""


def barcode(config: PlatesConfig, plate: int) -> str:
    """Barcode of the plate with a running number.

    Raises
    ------
    ConfigError
        If the number has more digits than barcodes have.
    """
    number = f"{plate:0{config.barcode_digits}d}"
    if len(number) > config.barcode_digits:
        raise ConfigError(
            f"plate number {plate} does not fit into {config.barcode_digits} digits",
            "plates.barcode_digits",
            "give barcodes more digits, or another prefix",
        )
    return config.barcode_prefix + number


def plate_map(
    rows: Rows,
    ids: Sequence[str],
    config: PlatesConfig,
    *,
    seed: int,
    first_plate: int,
    smiles: Sequence[str | None] | None = None,
    least: int = 1,
) -> pa.Table:
    """Place a batch on as few plates as hold it: all of them are equally full, and samples are spread evenly on each.

    Compounds are dealt out like cards, each with as many wells as there are replicates, so that these are on different
    plates where there are as many. Order and places follow from a seeded hash of the row: audit, random and top rows
    are mixed, whatever their order in the batch. Roles do not come in here, so that they cannot come out.

    Parameters
    ----------
    rows, ids:
        Distinct library rows of the batch, shape (n,), and their ids, in any order: it does not matter.
    seed:
        Of the campaign.
    first_plate:
        Running number of the first plate: 1, or one more than the plates made before.
    smiles:
        Structures, n of them; None leaves them out.
    least:
        Plates to spread the batch over at least, where it has a compound for each.

    Returns
    -------
    Table with the schema `PLATE_MAP`, plate by plate and row by row of each plate.

    Raises
    ------
    ConfigError
        If a layout is impossible (`plate_layout`) or barcodes are too short.
    """
    order = np.argsort(tie_keys(derive_seed(seed, "plates", first_plate), rows), kind="stable")
    cards = np.repeat(order, config.replicates)
    copies = np.tile(np.arange(config.replicates), len(order))
    n_plates = max(plates_for(config, len(rows)), min(least, len(rows)))
    samples = {
        "row": pa.array(rows, pa.int64()),
        "id": pa.array(ids, pa.string()),
        "smiles": pa.nulls(len(rows), pa.string()) if smiles is None else pa.array(smiles, pa.string()),
        "volume_nl": pa.array([config.volume_nl] * len(rows), pa.float64()),
    }
    names = names_of(config.format)
    tables = []
    for plate in range(first_plate, first_plate + n_plates):
        layout = plate_layout(config, seed, plate)
        dealt = slice(plate - first_plate, None, n_plates)
        # By places of their own on each plate, so that no effect of a place meets all replicates of a compound.
        keys = tie_keys(
            derive_seed(seed, "plate positions", plate), rows[cards[dealt]] * config.replicates + copies[dealt]
        )
        placed = cards[dealt][np.argsort(keys, kind="stable")]
        wells = layout.spread(len(placed))
        # Index into the batch of each well; null where there is no sample.
        at = np.zeros(config.format, np.int64)
        at[wells] = placed
        contents = layout.contents(wells)
        sources = pa.array(at, mask=contents != SAMPLE)
        tables.append(
            pa.table(
                {
                    "plate": [barcode(config, plate)] * config.format,
                    "well": names,
                    "content": contents.tolist(),
                    **{name: column.take(sources) for name, column in samples.items()},
                },
                schema=PLATE_MAP,
            )
        )
    return pa.concat_tables(tables) if tables else PLATE_MAP.empty_table()
