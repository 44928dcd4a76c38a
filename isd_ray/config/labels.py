"""Known labels and held-out sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from isd_ray.config.formats import AUTO, LabelsFormat
from isd_ray.config.section import Fraction, Section, Strings, by_output


class LabelsConfig(Section):
    """The label of each compound in a simulation, where all are known."""

    column: str | None = None
    """Column with the labels; for a panel give `columns` instead."""
    columns: Strings = ()
    """Panel: the columns of its outputs, each 0 or 1, or cut by `transform`; wildcards, and names to leave out behind
    an exclamation mark, as in ["NR-*", "!NR-ER"]."""
    numbers: Strings = ()
    """Panel: outputs that are predicted as numbers, by name or wildcard; the others are of two classes."""
    source: str | None = None
    """File with the labels; default: the library's source."""
    format: LabelsFormat = AUTO
    """Of `source`; `auto` goes by the ending of its name."""
    id_column: str | None = None
    """Default: the library's `id_column`."""
    known: str | None = None
    """File of readouts of before, by id, with the label columns; of hits that are called plate by plate with classes.
    They start the screen: they are measured, no limit counts them, and with as many as a first batch has, of two
    classes, no batch is drawn at random (but for a reserve). In a simulation its ids say whose labels are known."""
    transform: Literal["none", "median", "threshold"] = "none"
    """`median` and `threshold` turn a number into class 1 when it is above the cut, else 0; of a panel each output of
    classes on its own."""
    threshold: float | None = None
    """The cut of transform = "threshold", in the unit of the label."""
    censored: Literal["refuse", "bound"] = "refuse"
    """What becomes of a bound, as `>10`, `<0.01` or `~5`, that the cut leaves in doubt, and of every one for a
    regression. `refuse`: it is no label, and the file is refused. `bound`: the number counts as if it were exact. Where
    the cut decides the class a bound always counts; `qc` of the hybrid screen has it as it came. In a laboratory
    `readouts.censored` says it of readouts."""
    median_rows: Literal["all", "target"] = "all"
    """Rows whose median is the cut: every labelled row, or those of the target set only."""
    classes: Strings = ()
    """Names of the classes in the order of their index; default: the sorted distinct values, of a panel 0 and 1."""

    def are_numbers(self, outputs: Sequence[str]) -> tuple[bool, ...]:
        """Which outputs of a panel are numbers; empty where none is.

        Raises
        ------
        ValueError
            If a name of `numbers` means no output.
        """
        if not self.numbers:
            return ()
        return tuple(by_output(dict.fromkeys(self.numbers, True), outputs, default=False))

    def numbers_among(self, outputs: Sequence[str]) -> tuple[str, ...]:
        """Names of the outputs of a panel that are numbers; raises as `are_numbers`."""
        return tuple(name for name, is_number in zip(outputs, self.are_numbers(outputs), strict=False) if is_number)

    @model_validator(mode="after")
    def _threshold_goes_with_transform(self) -> LabelsConfig:
        if (self.transform == "threshold") != (self.threshold is not None):
            raise ValueError('`threshold` and transform = "threshold" go together; give both or neither')
        return self


class HeldOutConfig(Section):
    """A labelled set outside the target set."""

    file: str | None = None
    """A separate labelled file with the columns of the library's source; default: the split's part, if there is one."""


class ValidationConfig(HeldOutConfig):
    """Rows that early stopping looks at."""

    source: Literal["observed", "external"] = "observed"
    """`observed`: taken out of the measured rows, so nothing is free. `external`: a labelled set as in the paper."""
    fraction: Fraction = 0.1
    """Share of the observed compounds that is held out."""
    min_rows: int = Field(default=50, ge=1)
    """Fewest compounds that are held out."""
    fixed_epochs_below: int = Field(default=200, ge=2)
    """With fewer observed rows nothing is held out and training runs all its epochs."""
