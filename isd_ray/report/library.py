"""A target library in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isd_ray.data.info import BlockInfo, LibraryInfo
from isd_ray.data.versions import LibraryVersion
from isd_ray.report.numbers import counted, size

_SHOWN = 5
"""Sources, and assays, that are named."""
_SOURCES = {
    "descriptors": "computed",
    "columns": "from the source",
    "table": "from another table",
    "history": "earlier readouts",
}
"""Where the values of a block come from, in words."""


def library_lines(info: LibraryInfo) -> list[tuple[str, str]]:
    """What a library holds as (what, answer) pairs."""
    counts = info.counts
    refused = sum(counts["rejected"].values())
    lines = [
        ("Compounds", f"{info.n_rows:,}, in {counted(info.n_blocks, 'block')} of {info.block_rows:,} rows"),
        (
            "Records read",
            f"{counts['read']:,}: {counts['kept']:,} kept, {counted(counts['duplicates'], 'duplicate')} merged, "
            f"{refused:,} refused",
        ),
    ]
    if refused:
        lines.append(("Refused as", "; ".join(f"{reason} ({n:,})" for reason, n in counts["rejected"].items())))
    if counts.get("changed"):
        lines.append(("Standardised", "; ".join(f"{what} ({n:,})" for what, n in counts["changed"].items())))
    lines.append(("Features", f"{_features(info.features)}: {info.width:,} columns"))
    if info.mean_on_bits is not None:
        lines.append(("Bits set in a molecule", f"{info.mean_on_bits:,.1f} on average, by the first block"))
    lines += [(f"Block {block.name}", _block(block)) for block in info.blocks]
    sources = [f"{source['name']} ({size(source['bytes'])})" for source in info.sources]
    more = [f"… and {len(sources) - _SHOWN:,} more"] if len(sources) > _SHOWN else []
    kept = [f"{name} ({kind})" for name, kind in info.columns.items()]
    lines += [
        ("Columns kept", ", ".join(kept) or "none but id and structure"),
        ("Size", size(info.nbytes)),
        ("Built from", ", ".join([*sources[:_SHOWN], *more])),
        ("SHA-256", info.hash),
    ]
    if len(info.versions) > 1:
        lines += [(f"Version {version.number}", _version(version)) for version in info.versions]
    return lines


def _version(version: LibraryVersion) -> str:
    """What came with a version of a library."""
    counts, files = version.counts, list(version.sources)
    more = f" and {len(files) - _SHOWN:,} more" if len(files) > _SHOWN else ""
    merged = f", {counted(counts['duplicates'], 'duplicate')} merged" if counts["duplicates"] else ""
    refused = f", {sum(counts['rejected'].values()):,} refused" if counts["rejected"] else ""
    return (
        f"{version.n_rows:,} compounds, SHA-256 {version.hash[:12]}: {version.n_added:,} from "
        f"{', '.join(files[:_SHOWN])}{more}{merged}{refused}"
    )


def _block(block: BlockInfo) -> str:
    """A block of features in short."""
    text = f"{_SOURCES[block.source]}: {block.width:,} columns as {block.dtype}, {size(block.nbytes)}"
    text += f", {block.missing:.1%} missing" if block.missing else ", none missing"
    if not block.assays:
        return text
    shown = [f"{assay['name']} ({assay['n_hits']:,} hits of {assay['n']:,})" for assay in block.assays[:_SHOWN]]
    more = [f"… and {len(block.assays) - _SHOWN:,} more"] if len(block.assays) > _SHOWN else []
    return f"{text}; {', '.join([*shown, *more])}"


def _features(features: Mapping[str, Any]) -> str:
    """Features in short; the whole description is in library.json."""
    if features["kind"] == "dense":
        return f"vectors of column {features['column']} as {features['dtype']}"
    parts = []
    for one in features["fingerprints"]:
        levels = f", counts up to {one['count_levels']}" if one["count_levels"] > 1 else ""
        parts.append(f"{one['kind']} ({one['size']:,} bits{levels})")
    parts += [f"context {one['column']} ({counted(one['n_values'], 'value')})" for one in features.get("contexts", ())]
    return ", ".join(parts)
