"""Hit calling: how raw readouts become labels, and which plates count."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from isd_ray.config.section import Section


class HitCallingConfig(Section):
    """How raw readouts become labels; fixed for a campaign, since labels that drift break its bound."""

    name: str = Field(default="hit", min_length=1)
    """Of this rule, in records."""
    version: int = Field(default=1, ge=1)
    """Names, with `name`, this table in records; a campaign refuses any other table than the one it began with."""
    method: Literal["threshold", "robust_z", "percent_inhibition", "b_score"] = "threshold"
    """What the cut is held against. `threshold`: the raw readout. `robust_z`: its distance from the median of the
    `reference` wells in MADs. `percent_inhibition`: where it lies between the medians of the negative (0) and positive
    (100) controls of its plate. `b_score`: what a two-way median polish of its plate leaves, in MADs; only where most
    wells of every plate are inactive, which batches full of hits are not."""
    cut: float = Field(allow_inf_nan=False)
    """In the unit of the readout, in MADs (times 1.4826, as standard deviations), or in percent."""
    direction: Literal[">=", "<="] = ">="
    """Hits are at least, or at most, the cut."""
    reference: Literal["negative", "reference", "samples"] = "negative"
    """robust_z: wells whose median and MAD count. The MAD is that of the first round. The median is that of the plate;
    for `samples`, which differ from round to round, that of the first round."""
    min_reference: int = Field(default=16, ge=2)
    """robust_z, b_score: fewest wells to estimate the MAD of the first round from."""
    min_controls: int = Field(default=3, ge=2)
    """Fewest wells of a kind of control from which a plate is judged or normalised."""
    min_z_prime: float | None = Field(default=None, lt=1.0)
    """Plates below this Z' give no labels."""
    min_ssmd: float | None = None
    """Plates below this SSMD of positive against negative controls give no labels (positive above negative)."""
    max_ssmd: float | None = None
    """Plates above this SSMD give no labels (positive below negative: -3 is good, -5 excellent)."""

    @property
    def has_limits(self) -> bool:
        """Whether plates are judged at all."""
        return any(limit is not None for limit in (self.min_z_prime, self.min_ssmd, self.max_ssmd))

    @model_validator(mode="after")
    def _limits_leave_room(self) -> HitCallingConfig:
        if self.min_ssmd is not None and self.max_ssmd is not None and self.min_ssmd > self.max_ssmd:
            raise ValueError(
                f"min_ssmd={self.min_ssmd:g} is above max_ssmd={self.max_ssmd:g}, so no plate passes; lower it"
            )
        return self
