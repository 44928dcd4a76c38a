"""Total energies without what is merely a matter of how many atoms there are."""

from __future__ import annotations

from pydantic import Field

from isd_ray.config.section import Section


class ReferenceEnergyConfig(Section):
    """The reference correction of the paper's Appendix C."""

    column: str
    """Column of total energies."""
    smiles_column: str = "smiles"
    """Column of the structures."""
    id_column: str | None = None
    """Default: record numbers, from 1."""
    n_sample: int = Field(default=100_000, ge=1)
    """Molecules drawn to fit the energies of atoms; they are left out of the result, so that no label leaks."""
    max_deviations: float = Field(default=10.0, gt=0.0)
    """Molecules whose corrected energy is further from the mean, in standard deviations, are left out."""
    seed: int = Field(default=0, ge=0)
    """Of the sample."""
