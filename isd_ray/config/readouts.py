"""Files of readouts: their shape and the names of their columns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from isd_ray import plugins
from isd_ray.config.section import Section, Strings

SHAPES = ("tidy", "cellhts2", "matrix")
"""Shapes of files of no make of readers."""
OF_LABELS = ("censored",)
"""Keys of `ReadoutsConfig` that say what a readout means, not how a file is read: a campaign keeps them to its end."""
PLATE_READERS = "isd_ray.plate_readers"
"""Entry points of makes of plate readers (`isd_ray.plates.readers.export.PlateReader`)."""
BUILT_IN_READERS = {
    "envision": "isd_ray.plates.readers.envision:READER",
    "mars": "isd_ray.plates.readers.mars:READER",
    "softmax": "isd_ray.plates.readers.softmax:READER",
    "gen5": "isd_ray.plates.readers.gen5:READER",
    "tecan": "isd_ray.plates.readers.tecan:READER",
    "skanit": "isd_ray.plates.readers.skanit:READER",
}


def check_shape(name: str) -> None:
    """Refuse a shape that is none, and no plate reader.

    Raises
    ------
    ConfigError
        With the name that was probably meant.
    """
    plugins.check(PLATE_READERS, BUILT_IN_READERS, name, "shape", "readouts.shape", *SHAPES)


class ReadoutsConfig(Section):
    """How files of readouts are read.

    A column other than that of ids that is given another name than its default must be in the file. In a campaign the
    defaults of `value` and `id` are `labels.column`, and `labels.id_column` or `library.id_column`.
    """

    shape: str = Field(default="tidy", pattern=r"^[a-z0-9_]+$")
    """`tidy`: one line a reading, with a header (CSV, TSV, Parquet). `cellhts2`: plate, well, value, flag, with or
    without a header. `matrix`: the plate as it lies on the table, 8 x 12, 16 x 24 or 32 x 48, one block a plate.
    Exports of plate readers are known by their content; `envision`, `mars`, `softmax`, `gen5`, `tecan`, `skanit`, or a
    reader that a package registers, take a file for one whatever it looks like."""
    id: str = Field(default="id", min_length=1)
    """Tidy: column of compound ids. A file has ids, or plates and wells, or all three. Where it has neither, a column
    `id`, as of the list of a batch, is taken."""
    plate: str = Field(default="plate", min_length=1)
    """Tidy: column of plate barcodes."""
    well: str = Field(default="well", min_length=1)
    """Tidy: column of wells."""
    value: str = Field(default="value", min_length=1)
    """Tidy: column of readouts; a panel may have a column for each of its outputs, called as they are, instead."""
    assay: str = Field(default="assay", min_length=1)
    """Tidy, panel: column that names the output which a readout is of."""
    flag: str = Field(default="flag", min_length=1)
    """Tidy: column of remarks on a well. "ok", "no", 0 and their likes mean nothing is wrong; "yes", 1, and remarks as
    "bubble" or "clog" (`isd_ray.plates.cells`) mark a bad well, whose value is not used; a word that is none of these
    refuses its line."""
    good_flags: Strings = ()
    """Words in the column of flags that mean nothing is wrong, in any case."""
    bad_flags: Strings = ()
    """Words in the column of flags that mark a bad well, in any case."""
    censored: Literal["refuse", "bound"] = "refuse"
    """What becomes of a bound, as `>10`, `<0.01` or `~5`, where it decides no class: of every one for a regression.
    `refuse`: the well counts as lost, a line without a well is refused. `bound`: the number counts as if it were
    exact. Where the bound decides the class it always counts; `qc` of the hybrid screen has it as it came."""
    replicate: str = Field(default="replicate", min_length=1)
    """Tidy: column that tells several readings of one well apart."""
    timestamp: str = Field(default="timestamp", min_length=1)
    """Tidy: column of times (ISO 8601); of several readings of one well the latest counts."""

    @field_validator("shape")
    @classmethod
    def _is_known(cls, name: str) -> str:
        check_shape(name)
        return name
