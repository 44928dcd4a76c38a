"""The network, its fit, and the acquisition function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from isd_ray import plugins
from isd_ray.config.section import Section, Strings, Task
from isd_ray.errors import ConfigError

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

FAMILIES: dict[Task, tuple[str, ...]] = {
    "classification": ("boosted", "linear"),
    "regression": ("boosted", "linear"),
    "panel": ("boosted", "linear"),
}
"""What ``families = "auto"`` means for each task; the first is believed in until readouts tell otherwise.

By the few runs there are (`tests/benchmarks/RESULTS.md`): boosted trees alone measured about as many wells as the best
committee or fewer, and committees that believed in all families from the start up to a fifth more. Networks take most
of the time of a round and gained nothing on fingerprints; name them where features are images or embeddings.
"""
RESMLP = "resmlp"
"""The family whose keys stand in [model] itself; that of all campaigns begun before there were others."""
BUILT_IN_FAMILIES = {
    "boosted": "isd_ray.models.boosted:Boosted",
    "linear": "isd_ray.models.linear:Linear",
    RESMLP: "isd_ray.models.resmlp_family:ResMLPFamily",
}
MODELS = "isd_ray.models"
"""Entry points of families of models."""


def family_class(name: str) -> Any:
    """The class of a family (`isd_ray.models.base.Model`).

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    return plugins.load(MODELS, BUILT_IN_FAMILIES, name, "family of models", "model.families", type)


def family_sections() -> dict[str, type[FamilyConfig]]:
    """The tables of the shipped families that have one of their own, by name."""
    return {name: family_class(name).Config for name in BUILT_IN_FAMILIES if name != RESMLP}


def resolved_families(model: Mapping[str, Any], task: Task, *, has_numbers: bool = False) -> dict[str, Any]:
    """A [model] table in which ``auto`` is a list, and the table of each family is there with its defaults.

    So the stored configuration of a campaign says all, and does not change its meaning with a later version.

    Parameters
    ----------
    has_numbers:
        Of a panel: some outputs are numbers.

    Raises
    ------
    ConfigError
        If a family or a table is of no family, a family does not learn the task, or a table has a wrong key or value.
    """
    asked = model.get("families", "auto")
    families = list(FAMILIES[task]) if asked == "auto" else asked
    if not isinstance(families, list | tuple) or not all(isinstance(name, str) for name in families):
        return dict(model)  # refused by its type
    tables = {name: table for name, table in model.items() if isinstance(table, dict) and name != "options"}
    options = {**model.get("options", {}), **tables}
    for name in dict.fromkeys((*families, *options)):
        if name == RESMLP:
            if name in options:
                raise ConfigError("the keys of resmlp stand in [model] itself", "model.resmlp", "move them there")
            continue
        found = family_class(name)
        if name in families and task not in found.tasks:
            raise ConfigError(
                f"{name!r} does not learn a {task}", "model.families", f"leave it out; it learns {sorted(found.tasks)}"
            )
        if name in families and has_numbers and not getattr(found, "learns_numbers", False):
            raise ConfigError(
                f"{name!r} learns panels of classes only, and labels.numbers names outputs that are numbers",
                "model.families",
                "leave it out",
            )
        options[name] = _family_table(name, found.Config, options.get(name, {}))
    rest = {key: value for key, value in model.items() if key not in tables}
    return {**rest, "families": list(families), "options": options}


def _family_table(name: str, section: type[Section], table: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a family with its defaults.

    Raises
    ------
    ConfigError
        With the path of the key, as of any other table.
    """
    from isd_ray.config_file import translated  # above this module: it knows the whole campaign

    try:
        return section.model_validate(table).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise translated(error, section, f"model.{name}") from error


def preset_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys that the preset of a [model] table sets; none without one, or where there is none of that name."""
    return MODEL_PRESETS.get(str(model.get("preset")), {})


class FamilyConfig(Section):
    """What the table of every family has; a family's own keys come on top."""

    members: int | None = Field(default=None, ge=1, le=1000)
    """Members of this family in the committee; default: `model.members`."""
    blocks: Strings = ()
    """Feature blocks that this family sees; default: all that the campaign uses."""


class ModelConfig(Section):
    """The committee: which families of models, how they are mixed, and the keys of the ResMLP.

    Every other family has a table of its own, as [model.boosted].
    """

    families: Strings | Literal["auto"] = "auto"
    """Families of models in the committee: `resmlp`, `boosted`, `linear`, or those of installed packages. `auto`:
    what measured best for the task, in a race."""
    mixing: Literal["race", "equal"] = "race"
    """How much each family counts. `race`: the first alone, until the random rows of the latest batches, which all had
    forecast before their readouts came, speak for another. `equal`: all the same."""
    blocks: Strings = ()
    """Feature blocks of the library that models see; default: all that it has when the campaign begins."""
    exclude: Strings = ()
    """Columns of blocks that no model sees, with wildcards: the assay itself, where the library's history has it. The
    name of an earlier assay leaves out all columns made of it (`inhibition` also its hits, `inhibition:hit`), which the
    stored configuration then names; that of one of its columns leaves out that one. A pattern that means no column of
    the library is refused."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Tables of families other than `resmlp`, by name: [model.NAME] for short."""
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
    """Members of each family. A regression, or a panel with numbers, has 5 where neither this nor a preset says
    otherwise: it measures first where the members differ."""
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

    def members_of(self, family: str) -> int:
        """Members of a family."""
        own = self.options.get(family, {}).get("members")
        return self.members if own is None else int(own)

    @property
    def n_members(self) -> int:
        """Members of all families together."""
        return sum(map(self.members_of, self.families))

    @model_validator(mode="after")
    def _families_are_distinct(self) -> ModelConfig:
        if self.families != "auto" and len(set(self.families)) != max(1, len(self.families)):
            raise ValueError(f"families={list(self.families)}: name at least one, and each once")
        return self


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
    growth: float = Field(default=1.0, ge=1.0, le=10.0)
    """How many times as large as the batch of a round that of the next one is: round r has `batch_size` * growth^r
    compounds, or `n_plates` * growth^r plates, rounded, but not more than a quarter of what is left to measure. Above 1
    there are fewer trips to the laboratory and somewhat more wells; `isd plan --rounds` weighs the two."""
    initial_size: int | None = Field(default=None, ge=1)
    """Compounds of the first, random batch; default: those of a batch."""
    random_share: float | None = Field(default=None, ge=0.0, le=1.0)
    """Share of each batch drawn uniformly from the inference set; default 0.1 where an audit decides, else 0."""
    pick: str = "best"
    """Which of the best-scored make the batch. `diverse`: of three batches of them those least alike by their
    fingerprints (MaxMin by Tanimoto), so that a batch does not ask the same question many times; or one that an
    installed package adds."""
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
