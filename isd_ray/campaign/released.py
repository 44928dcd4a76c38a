"""A released batch as the laboratory sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from isd_ray.card import card, pairs, rows
from isd_ray.config import PlatesConfig
from isd_ray.formulas import escaped
from isd_ray.plates.exports import has_source, write_pick_list, write_plate_map
from isd_ray.storage.output_files import replacing, written

SHOWN = 5
"""Compounds that a notebook shows of a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Compounds to be measured.

    Attributes
    ----------
    round:
        Number of the round, from 0.
    table:
        id, smiles, and plate and well where the campaign has plates; ordered by place. Neither a prediction nor the
        reason why a compound was chosen: the laboratory must not know them.
    plate_map:
        All wells of its plates, controls included (`isd_ray.plates.assign.PLATE_MAP`); None without plates.
    sources:
        id, plate and well that each compound is taken from, null where the library does not say it; None where the
        campaign names no columns of them.
    repeats:
        The round in which the wells of these compounds gave no readout, so that they are measured once more; None of
        other batches.
    """

    round: int
    table: pa.Table
    plate_map: pa.Table | None
    sources: pa.Table | None
    plates: PlatesConfig | None
    repeats: int | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        plates = "" if self.plate_map is None else f", plates={len(self.plate_map['plate'].unique())}"
        return f"Batch(round={self.round}, n={len(self)}{plates})"

    def _repr_html_(self) -> str:
        lines = [("Compounds to measure", f"{len(self):,}")]
        if self.repeats is not None:
            lines.append(("Once more", f"their wells in round {self.repeats} gave no readout"))
        if self.plate_map is not None:
            lines.append(("Plates", ", ".join(self.plate_map["plate"].unique().to_pylist())))
        if self.by_hand:
            lines.append(("By hand, as no source well is known", f"{len(self.by_hand):,}"))
        if len(self) > SHOWN:
            lines.append(("Shown below", f"the first {SHOWN}; `to_csv` writes all"))
        table = self.table.slice(0, SHOWN)
        cells = rows(table.column_names, zip(*(column.to_pylist() for column in table.columns), strict=True))
        return card(f"Batch of round {self.round}", pairs(lines), cells)

    @property
    def ids(self) -> list[str]:
        """Ids of its compounds."""
        ids: list[str] = self.table["id"].to_pylist()
        return ids

    def to_csv(self, file: str | Path, *, raw: bool = False) -> None:
        """Write the list of compounds (`raw` and what is raised as of `write`)."""
        with replacing(Path(file)) as partial:
            pyarrow.csv.write_csv(self.table if raw else escaped(self.table), partial)

    def to_parquet(self, file: str | Path) -> None:
        """Write the list of compounds (raises as `write`)."""
        with replacing(Path(file)) as partial:
            pq.write_table(self.table, partial)

    @property
    def by_hand(self) -> list[str]:
        """Ids of compounds that no pick list can name: the library does not say in which well they lie."""
        if self.sources is None or self.plates is None:
            return []
        is_lost = pa.array(~has_source(self.sources, self.plates.source_format))
        ids: list[str] = self.sources["id"].filter(is_lost).to_pylist()
        return ids

    @property
    def file_names(self) -> list[str]:
        """Names of the files that `write` writes."""
        kinds = ["batch"]
        if self.plate_map is not None and self.plates is not None:
            kinds += ["plates"] if self.sources is None else ["plates", "picks"]
            kinds += ["by-hand"] if self.by_hand else []
        return [f"round-{self.round:05d}-{kind}.csv" for kind in kinds]

    def write(self, folder: str | Path, *, raw: bool = False) -> list[Path]:
        """Write everything that the laboratory needs: list, plate map, and pick list where sources are known.

        Wells of compounds `by_hand` are not on the pick list, but in a file of their own.

        Parameters
        ----------
        raw:
            Texts that spreadsheets take for formulas stay as they are (`isd_ray.formulas`).

        Raises
        ------
        OutputFileError
            If the folder or a file in it cannot be written.
        """
        folder = Path(folder)
        with written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            files = [folder / name for name in self.file_names]
            self.to_csv(files[0], raw=raw)
            if self.plate_map is not None and self.plates is not None:
                write_plate_map(self.plate_map, files[1], raw=raw)
                if self.sources is not None:
                    is_by_hand = pc.is_in(self.plate_map["id"], pa.array(self.by_hand, pa.string()))
                    picked = self.plate_map.filter(pc.invert(is_by_hand))
                    write_pick_list(picked, self.sources, self.plates, files[2], raw=raw)
                    for file in files[3:]:
                        write_plate_map(self.plate_map.filter(is_by_hand), file, raw=raw)
        return files
