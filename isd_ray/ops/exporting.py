"""A hybrid screen as one file: of all compounds, or of its hits alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.core.panels import count_bits
from isd_ray.data.export import Exported, export_hybrid
from isd_ray.data.hit_class import shown_hit
from isd_ray.data.hybrid import is_source
from isd_ray.data.packed import from_arrow
from isd_ray.data.predictions import part_name
from isd_ray.errors import ConfigError


def export_screen(
    store: CampaignStore,
    config: CampaignConfig,
    out: Path,
    *,
    hits: bool = False,
    long: bool = False,
    raw: bool = False,
) -> Exported:
    """Write the hybrid screen of a campaign that has ended to one file, whose hashes are checked before.

    Parameters
    ----------
    out, long, raw:
        As of `isd_ray.data.export.export_hybrid`.
    hits:
        Only hits: measured ones, then predicted ones, the surest first. Of a panel compounds with any.

    Raises
    ------
    ConfigError
        If hits are asked for and there are none by the configuration.
    IsdError
        As `export_hybrid`, or if the hybrid screen or its certificate is not as it was written.
    """
    hit = hit_to_list(config, store.manifest["classes"]) if hits else None
    store.bring_hybrid()
    store.check_hybrid()
    store.certificate()
    if not hits:
        return export_hybrid(store.hybrid_dir, out, long=long, raw=raw)
    with tempfile.TemporaryDirectory() as folder:
        keep_hits(store.hybrid_dir, Path(folder), hit)
        return export_hybrid(Path(folder), out, long=long, raw=raw)


def hit_to_list(config: CampaignConfig, classes: Sequence[str]) -> str | None:
    """The class whose compounds are hits; of a panel None, where any 1 is one.

    Raises
    ------
    ConfigError
        If there is none: of numbers alone, or of classes of which nobody said which one is a hit.
    """
    if config.task != "classification" and classes:
        return None
    hit = shown_hit(config.stopping, tuple(classes), by_plates=config.hits is not None)
    if hit is None:
        raise ConfigError(
            "no class of this campaign is a hit", "stopping.positive", "export all compounds, without --hits"
        )
    return hit


def keep_hits(hybrid: Path, out: Path, positive: str | None) -> None:
    """Write the hits of a hybrid screen to `out` as one file: measured ones as they lie, then the surest predicted."""
    tables = (pq.read_table(file) for file in sorted(hybrid.glob("part-*.parquet")))
    every = pa.concat_tables([table.filter(_is_hit(table, positive)) for table in tables])
    is_measured = pc.equal(every["source"], "measured")
    predicted = every.filter(pc.invert(is_measured)).sort_by([("confidence", "descending"), ("row", "ascending")])
    pq.write_table(pa.concat_tables([every.filter(is_measured), predicted]), out / part_name(0))


def _is_hit(table: pa.Table, positive: str | None) -> pa.Array:
    """Of a panel lines with a 1 of any output of classes, measured or predicted."""
    if "labels" not in table.column_names:
        return pc.fill_null(pc.equal(table["label"], positive), fill_value=False)
    if "measured" not in table.column_names:
        outputs, numbers = (json.loads(table.schema.metadata[name]) for name in (b"outputs", b"numbers"))
        entries = from_arrow(table["labels"])[:, ~np.isin(outputs, numbers)]
        return pa.array((entries == 1).any(axis=1))
    nothing = bytes(table["labels"].type.byte_width)
    ones, measured = (from_arrow(table[name].fill_null(nothing)) for name in ("labels", "measured"))
    told = np.where(is_source(table, "measured")[:, None], measured, np.uint8(0xFF))
    return pa.array(count_bits(ones & told) > 0)
