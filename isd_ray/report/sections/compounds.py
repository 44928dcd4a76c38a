"""Compounds that the delivered model is least and most sure of, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isd_ray.campaign.versions import open_library
from isd_ray.chem.draw import draw_svg
from isd_ray.errors import IsdError
from isd_ray.report.blocks import Block, Card, Cards, Drawing, ReportSection, Text
from isd_ray.report.digest import Digest, lines_of, nearest_measured
from isd_ray.report.record import Record

N_COMPARED = 4
"""Compounds of each kind that are shown with their nearest measured neighbour."""
Line = Mapping[str, Any]


def compounds(record: Record) -> ReportSection | None:
    """Hardest and most confident predictions, and what was measured near some of them."""
    digest = record.digest
    if digest is None or not digest.hardest:
        return None
    neighbours, words = _neighbours(record, digest)
    blocks: list[Block] = [Text(words)]
    for title, lines in (("Hardest: the model is least sure", digest.hardest), ("Most confident", digest.surest)):
        cards = []
        for line in lines:
            drawings = [_drawing(line, _said(record, line))]
            if line["row"] in neighbours:
                near, similarity = neighbours[line["row"]]
                said = (*_found(near), f"similarity {similarity:.2f}")
                drawings.append(_drawing(near, ("nearest measured", *said)))
            cards.append(Card(tuple(drawings)))
        blocks.append(Cards(title, tuple(cards)))
    return ReportSection("Hardest and most confident compounds", "compounds", tuple(blocks))


def _neighbours(record: Record, digest: Digest) -> tuple[dict[int, tuple[Line, float]], str]:
    """Nearest measured neighbour and similarity of some rows, and the words that introduce them."""
    rows = [line["row"] for line in (*digest.hardest[:N_COMPARED], *digest.surest[:N_COMPARED])]
    words = "Predicted compounds only. "
    try:
        library = open_library(record.store)
        found = nearest_measured(library, np.array(rows, np.int64), digest.measured_rows)
    except IsdError:
        return {}, words + "The library is not at hand, so their nearest measured neighbours are not shown."
    if found is None:
        return {}, words + "The library has no fingerprints, so no neighbours are shown."
    lines = lines_of(record.store.hybrid_dir, [row for row, _ in found])
    words += (
        "Beside the first of each kind stands the measured compound that is most similar to it, by the share of "
        "fingerprint bits that the two have in common (Tanimoto similarity, 0 to 1)."
    )
    return {row: (lines[near], similarity) for row, (near, similarity) in zip(rows, found, strict=True)}, words


def _said(record: Record, line: Line) -> tuple[str, ...]:
    """What is predicted of a compound, and how surely."""
    if record.goal.is_regression:
        return (f"predicted {line['value']:.4g}", f"± {line['uncertainty']:.3g}")
    sure = f"confidence {1 - line['uncertainty']:.4f}"
    return (sure,) if record.goal.is_panel else (f"predicted {line['label']}", sure)


def _found(line: Line) -> tuple[str, ...]:
    """What was measured of a compound; of a panel there are too many readouts to say."""
    if line.get("label") is not None:
        return (f"measured {line['label']}",)
    return (f"measured {line['value']:.4g}",) if line.get("value") is not None else ()


def _drawing(line: Line, said: tuple[str, ...]) -> Drawing:
    name = f"Structure of compound {line['id']}: {line['smiles'] or 'unknown'}"
    return Drawing(draw_svg(line["smiles"]), name, (str(line["id"]), *said))
