"""Plates: their format and layout, their barcodes, and what is transferred to them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from isd_ray.config.section import Section, Strings

PlateFormat = Literal[96, 384, 1536]
ControlKind = Literal["positive", "negative", "reference"]
CONTROL_KINDS: tuple[ControlKind, ...] = ("positive", "negative", "reference")

_NANOLITRES = {"nL": Decimal(1), "uL": Decimal(1000), "mL": Decimal(1_000_000)}
_VOLUME = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([num\u00b5\u03bc][lL])\s*", re.ASCII)


def nanolitres(text: str) -> Decimal:
    """A volume such as "25 nL", "2.5 nL" or "0.5 µL" in nanolitres, exactly.

    Raises
    ------
    ValueError
        If there is no unit, or another one than nL, uL (µL) and mL.
    """
    found = _VOLUME.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is no volume; write a number and its unit (nL, uL or mL), as "25 nL"')
    number, unit = found.groups()
    return Decimal(number) * _NANOLITRES[unit[0].replace("\u00b5", "u").replace("\u03bc", "u") + "L"]


class ControlWells(Section):
    """Where the controls of one kind are on a plate: exactly one of the keys."""

    columns: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] | None = None
    """Numbers of whole columns, from 1; where they cross an empty edge they stay empty."""
    wells: Annotated[Strings, Field(min_length=1)] | None = None
    """Names of wells, as "A01"."""
    scattered: int | None = Field(default=None, ge=1)
    """So many wells at random, the same on each plate."""
    shifted: int | None = Field(default=None, ge=1)
    """So many wells at random, moved on by one row and one column from plate to plate, so that no effect of a place
    always meets the controls."""

    @model_validator(mode="after")
    def _has_one_key(self) -> ControlWells:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            raise ValueError("controls have exactly one key, as { columns = [23, 24] } or { scattered = 16 }")
        return self


class PlatesConfig(Section):
    """How a batch is laid out on plates."""

    format: PlateFormat = 384
    """Wells of a plate."""
    edge: int = Field(default=0, ge=0, le=4)
    """Rings of outer wells that stay empty."""
    positive: ControlWells | None = None
    """Wells of the control with the full effect (100 % inhibition)."""
    negative: ControlWells | None = None
    """Wells of the control without effect (0 % inhibition)."""
    reference: ControlWells | None = None
    """Wells of a reference compound."""
    replicates: int = Field(default=1, ge=1)
    """Wells of each compound, on different plates where there are as many; its readout is the median of those that gave
    one."""
    barcode_prefix: str = Field(default="P", pattern=r"^[A-Za-z0-9._-]*$")
    """Barcodes are this and the running number of the plate in the campaign."""
    barcode_digits: int = Field(default=5, ge=1, le=12)
    """Digits of the running number, filled up with zeros."""
    transfer_volume: str | None = None
    """Volume of compound solution for each sample well, with its unit: "25 nL", "0.5 uL"; pick lists need it."""
    echo_increment: Literal["2.5 nL", "25 nL"] = "2.5 nL"
    """Smallest step of the acoustic dispenser; the volume is a multiple of it."""
    source_plate_column: str | None = None
    """Column of the library with the barcode of the plate that a compound is taken from; pick lists need it."""
    source_well_column: str | None = None
    """Column of the library with the well of that plate."""
    source_format: PlateFormat = 384
    """Wells of a source plate."""

    @property
    def volume_nl(self) -> float | None:
        """`transfer_volume` in nanolitres."""
        return None if self.transfer_volume is None else float(nanolitres(self.transfer_volume))

    @property
    def increment_nl(self) -> float:
        """`echo_increment` in nanolitres."""
        return float(nanolitres(self.echo_increment))

    @model_validator(mode="after")
    def _volume_can_be_dispensed(self) -> PlatesConfig:
        if self.transfer_volume is not None:
            volume, step = nanolitres(self.transfer_volume), nanolitres(self.echo_increment)
            if volume <= 0 or volume % step:
                raise ValueError(
                    f"transfer_volume={self.transfer_volume!r} is not a multiple of echo_increment="
                    f"{self.echo_increment!r} above 0; change one of them"
                )
        return self

    @model_validator(mode="after")
    def _sources_have_plate_and_well(self) -> PlatesConfig:
        if (self.source_plate_column is None) != (self.source_well_column is None):
            raise ValueError("`source_plate_column` and `source_well_column` go together; give both or neither")
        return self
