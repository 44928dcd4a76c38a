"""The network, its fit, and the acquisition function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from isd_ray.config.section import Section

MODEL_PRESETS: dict[str, dict[str, Any]] = {
    "mnist": {"residual_blocks": 2, "epochs": 1000, "batch_size": 1024, "patience": 50},
    "qm9": {"residual_blocks": 3, "epochs": 1000, "batch_size": 1024, "patience": 50},
    "molecules3d": {"residual_blocks": 2, "epochs": 30, "batch_size": 32768, "patience": 15, "members": 5},
    "rxrx3": {"residual_blocks": 2, "epochs": 30, "batch_size": 1024, "patience": 25},
    "proprietary": {"hidden_size": 1024, "residual_blocks": 2, "epochs": 1000, "batch_size": 1024, "patience": 25},
}
"""Hyperparameters of Table 1 of the paper; keys given beside `preset` win."""
REGRESSION_MEMBERS = 5
"""Members of a regression that names none, as in the paper: its acquisition is by how much they differ."""


def preset_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys that the preset of a [model] table sets; none without one, or where there is none of that name."""
    return MODEL_PRESETS.get(str(model.get("preset")), {})


class ModelConfig(Section):
    """The ResMLP and how each member of the committee is fitted."""

    preset: Literal["mnist", "qm9", "molecules3d", "rxrx3", "proprietary"] | None = None
    """Hyperparameters of Table 1 of the paper; keys given beside it win."""
    hidden_size: int = Field(default=512, ge=1)
    """Width of the layers."""
    residual_blocks: int = Field(default=2, ge=0)
    """Depth: residual blocks between first and last layer."""
    leaky_slope: float = Field(default=0.01, ge=0.0)
    """Slope of the leaky ReLU for negative values."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of units that are dropped in training."""
    learning_rate: float = Field(default=0.001, gt=0.0)
    """Of AdamW."""
    weight_decay: float = Field(default=0.01, ge=0.0)
    """Of AdamW."""
    gradient_clip: float = Field(default=1.0, gt=0.0)
    """Largest Euclidean norm of the gradient."""
    epochs: int = Field(default=25, ge=1)
    """Most passes over the observed compounds."""
    batch_size: int = Field(default=256, ge=1)
    """Compounds of one step of training."""
    patience: int = Field(default=4, ge=1)
    """Epochs without a lower validation loss before training stops; the best weights are restored."""
    members: int = Field(default=1, ge=1, le=1000)
    """Size of the committee. A regression has 5 where neither this nor a preset says otherwise: it measures first where
    the members differ."""
    diversity: Literal["split", "bootstrap", "seed"] = "split"
    """How members differ beyond initial weights and order: own validation split, bootstrap sample, or no more."""
    head: Literal["outputs", "two-tower"] = "outputs"
    """`two-tower`, for panels: the weights of an output are a function of its given embedding."""
    output_embeddings: str | None = None
    """Parquet file with the embedding of every output, as `isd phenomics` makes of genes: columns `output` and
    `embedding`."""

    @model_validator(mode="after")
    def _towers_need_embeddings(self) -> ModelConfig:
        if (self.head == "two-tower") != (self.output_embeddings is not None):
            raise ValueError('head = "two-tower" and `output_embeddings` go together; give both or neither')
        return self

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:
        return {**preset_of(data), **data} if isinstance(data, dict) else data


class AcquisitionConfig(Section):
    """Which compounds are measured next."""

    function: str | None = None
    """Name of the acquisition function; default: least_confidence, for regression variance. A function of classes
    scores a panel by its mean over the outputs."""
    batch_size: int | None = Field(default=None, ge=1)
    """Compounds of a batch; or give `n_plates`."""
    n_plates: int | None = Field(default=None, ge=1)
    """Plates of a batch in the place of `batch_size`: it has as many compounds as their layout leaves wells for, each
    in `plates.replicates` of them. Audits, finishes and the last batch of a budget have their own size."""
    initial_size: int | None = Field(default=None, ge=1)
    """Compounds of the first, random batch; default: those of a batch."""
    random_share: float | None = Field(default=None, ge=0.0, le=1.0)
    """Share of each batch drawn uniformly from the inference set; default 0.1 where an audit decides, else 0."""
    column: str | None = None
    """Column of the library that `in_order` sorts by; default: file order."""
    descending: bool = False
    """`in_order`: largest first."""
    dropout_samples: int = Field(default=10, ge=2)
    """Stochastic passes of each member for `bald`."""
    stock_column: str | None = None
    """Column of the library with the amount of each compound that is there. Compounds with too little leave the target
    set before the first batch, with the reason on record: they are not measured, not predicted, and no claim is made
    of them."""
    min_stock: float | None = Field(default=None, gt=0.0)
    """Least amount that will do; default: anything above 0."""
    unknown_stock: Literal["none", "enough"] = "none"
    """What a missing amount means."""

    @model_validator(mode="after")
    def _has_one_size(self) -> AcquisitionConfig:
        if (self.batch_size is None) == (self.n_plates is None):
            raise ValueError("a batch has a `batch_size` (compounds) or `n_plates`; give one of them")
        return self

    @model_validator(mode="after")
    def _stock_has_a_column(self) -> AcquisitionConfig:
        if self.stock_column is None and (self.min_stock is not None or self.unknown_stock != "none"):
            raise ValueError("`min_stock` and `unknown_stock` go with `stock_column`; name it, or remove them")
        return self
