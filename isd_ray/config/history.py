"""Earlier readouts of a library's compounds."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from isd_ray.config.formats import AUTO, HistoryFormat
from isd_ray.config.patterns import named
from isd_ray.config.section import Day, Section, Strings


class HistoryConfig(Section):
    """What earlier screens of the same compounds found, as features: wide (a column an assay) or long (a line a value).

    Of each assay with numbers the block has a robust z score and a hit (beyond 3), of one with two values a 0/1; what
    was not measured is missing. Take no assay that measured the wells of this screen, or that is younger.
    """

    source: str | Strings | None = None
    """File or files with the readouts; default: the library's own source."""
    format: HistoryFormat = AUTO
    """Of the files, as `library.format`."""
    id_column: str | None = None
    """Column of compound ids; default: the library's."""
    smiles_column: str | None = None
    """Column of structures, to match compounds by instead of ids; they are prepared as those of the library."""
    columns: Strings = ()
    """Wide: a column for each assay, with wildcards (`["score_*", "active_*"]`)."""
    assay_column: str | None = None
    """Long: the column that names the assay."""
    value_column: str | None = None
    """Long: the column of the readout."""
    exclude: Strings = ()
    """Assays to leave out, with wildcards; one that means none of them is refused."""
    dates: dict[str, Day] = Field(default_factory=dict)
    """Day on which an assay was measured, as { kinase_a = "2019-05-31" }, with wildcards: a screen warns of those that
    are younger than itself, whose readouts nobody would have had (`simulation.date`)."""

    def day_of(self, assay: str) -> str | None:
        """The day of an assay, by its name, or by the first wildcard that matches; None if nobody gave one."""
        if assay in self.dates:
            return self.dates[assay]
        return next((day for pattern, day in self.dates.items() if named(pattern, [assay])), None)

    @field_validator("source")
    @classmethod
    def _sources_are_named(cls, source: str | Strings | None) -> str | Strings | None:
        if source is not None and not source:
            raise ValueError("name a file, or leave `source` out for the library's own")
        return source

    @model_validator(mode="after")
    def _wide_or_long(self) -> HistoryConfig:
        is_long = self.assay_column is not None and self.value_column is not None
        if bool(self.columns) == is_long or (self.assay_column is None) != (self.value_column is None):
            raise ValueError("give `columns` (an assay each), or both `assay_column` and `value_column`")
        if self.id_column is not None and self.smiles_column is not None:
            raise ValueError(
                f"id_column={self.id_column!r} and smiles_column={self.smiles_column!r}: match compounds by one of them"
            )
        return self
