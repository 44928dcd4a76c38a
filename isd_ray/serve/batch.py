"""The batch that is out as people see it: what lies where and what came back; not why, nor what is predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import FAILED, IN_PART, MISSING, TOLD
from isd_ray.plates.layout import EMPTY, SAMPLE
from isd_ray.plates.wells import SHAPES, row_letters

STATES = (MISSING, IN_PART, TOLD, FAILED)
WORDS = {
    MISSING: "readout missing",
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
    """

    name: str
    row: int
    column: int
    holds: str
    compound: str | None

    @property
    def words(self) -> str:
        """The well in words."""
        return f"{self.name}: {self.compound + ', ' if self.compound else ''}{WORDS[self.holds]}"


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


def plates_of(batch: Batch, states: Mapping[str, str]) -> list[Plate]:
    """The plates of a batch; none where the campaign has no plates.

    Parameters
    ----------
    states:
        Of its compounds (`isd_ray.campaign.status.awaited_of`).
    """
    if batch.plate_map is None or batch.plates is None:
        return []
    n_rows, n_columns = SHAPES[batch.plates.format]
    letters = [row_letters(row) for row in range(n_rows)]
    plates: dict[str, list[Well]] = {}
    columns = (batch.plate_map[name].to_pylist() for name in ("plate", "well", "content", "id"))
    for barcode, name, content, compound in zip(*columns, strict=True):
        wells = plates.setdefault(barcode, [])
        row, column = divmod(len(wells), n_columns)
        wells.append(Well(name, row, column, states[compound] if content == SAMPLE else content, compound))
    return [Plate(barcode, letters, n_columns, wells) for barcode, wells in plates.items()]
