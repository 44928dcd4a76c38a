"""From wells with embeddings to a panel of pheno-similarities."""

from __future__ import annotations

from pydantic import Field

from isd_ray.config.section import Section, Strings


class PhenomicsConfig(Section):
    """Columns of the well table, by default those of RxRx3, and how similarity becomes a label."""

    embedding: Strings = ("feature_*",)
    """Columns of the embedding: one with vectors, or one for each number; wildcards."""
    well: str = "well_id"
    """Column that joins embeddings to metadata, where these are two files."""
    experiment: str = "experiment_name"
    """Column of the experiment, whose controls its wells are centred and scaled by."""
    plate: str = "plate"
    """Plates are told apart within an experiment."""
    kind: str = "perturbation_type"
    """Column that says what a well's perturbation is."""
    gene_kinds: Strings = ("CRISPR",)
    """Kinds that are knock-outs of genes."""
    compound_kinds: Strings = ("COMPOUND",)
    """Kinds that are compounds."""
    gene: str = "gene"
    """Column of the gene."""
    guide: str = "treatment"
    """Column that tells the guides of a gene apart; "" if there is none."""
    compound: str = "treatment"
    """Column of the compound."""
    concentration: str = "concentration"
    """Column that tells the concentrations of a compound apart; "" if there is none."""
    control: str = "treatment"
    """Column that tells controls."""
    controls: Strings = ("EMPTY_control",)
    """Values of `control` in wells of unperturbed cells."""
    siqr_steps: float = Field(default=2.5, gt=0.0)
    """A gene's threshold lies this many upper semi-interquartile ranges above the median of its similarities."""
    min_activity: float = Field(default=0.25, ge=0.0, le=1.0)
    """Genes that are similar to a smaller share of the compounds are left out."""
