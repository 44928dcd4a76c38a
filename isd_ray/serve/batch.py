"""The plates of a batch as people see them: what lies where and what came back; not why, nor what is predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from isd_ray.campaign.status import FAILED, IN_PART, MISSING, TOLD
from isd_ray.config import PlateFormat
from isd_ray.plates.layout import EMPTY, SAMPLE
from isd_ray.plates.wells import SHAPES, row_letters
from isd_ray.serve.lines import REFUSED, BatchLine
from isd_ray.serve.shades import Shade, Shading

STATES = (MISSING, REFUSED, IN_PART, TOLD, FAILED)
WORDS = {
    MISSING: "readout missing",
    REFUSED: "readout refused",
    IN_PART: "told in part",
    TOLD: "readout told",
    FAILED: "failed",
    "positive": "positive control",
    "negative": "negative control",
    "reference": "reference compound",
    EMPTY: "empty",
}
"""What a well holds, or what is known of its compound."""


@dataclass(frozen=True, slots=True)
class Well:
    """A well of a plate.

    Attributes
    ----------
    row, column:
        From 0.
    holds:
        A key of `WORDS`.
    compound:
        Its id; None unless it holds a sample.
    shade:
        Its colour by class or number; None where it has none.
    """

    name: str
    row: int
    column: int
    holds: str
    compound: str | None
    shade: Shade | None = None

    @property
    def words(self) -> str:
        """The well in words."""
        shade = f": {self.shade.words}" if self.shade else ""
        return f"{self.name}: {self.compound + ', ' if self.compound else ''}{WORDS[self.holds]}{shade}"


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate of the batch, all its wells row by row."""

    barcode: str
    rows: Sequence[str]
    n_columns: int
    wells: Sequence[Well]

    @property
    def counts(self) -> Mapping[str, int]:
        """Wells by what they hold, in the order of `WORDS`; those that no well holds are left out."""
        found = Counter(well.holds for well in self.wells)
        return {holds: found[holds] for holds in WORDS if found[holds]}

    @property
    def words(self) -> str:
        """The plate in words, for those who do not see the picture."""
        return ", ".join(f"{n:,} {WORDS[holds]}" for holds, n in self.counts.items())


def plates_of(plate_map: pa.Table, n_wells: PlateFormat, lines: Sequence[BatchLine], shading: Shading) -> list[Plate]:
    """The plates of a batch.

    Parameters
    ----------
    plate_map:
        All their wells, row by row (`isd_ray.plates.assign.PLATE_MAP`).
    n_wells:
        Of each.
    lines:
        The compounds of the batch.
    """
    n_rows, n_columns = SHAPES[n_wells]
    letters = [row_letters(row) for row in range(n_rows)]
    line_of = {line.id: line for line in lines}
    plates: dict[str, list[Well]] = {}
    columns = (plate_map[name].to_pylist() for name in ("plate", "well", "content", "id"))
    for barcode, name, content, compound in zip(*columns, strict=True):
        wells = plates.setdefault(barcode, [])
        row, column = divmod(len(wells), n_columns)
        line = line_of[compound] if content == SAMPLE else None
        shade = shading.of_well(barcode, name, line)
        wells.append(Well(name, row, column, line.state if line else content, compound, shade))
    return [Plate(barcode, letters, n_columns, wells) for barcode, wells in plates.items()]
