"""The configuration of a campaign: pydantic models of the TOML file. Every default of isd_ray lives here, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator

Task = Literal["classification", "regression"]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]


class Section(BaseModel):
    """A table of the TOML file: immutable, unknown keys and silent type conversions refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Fingerprint(Section):
    """One RDKit fingerprint of a stack."""

    kind: Literal["morgan", "atom_pair", "torsion", "rdkit_path"]
    size: int = Field(default=2048, ge=64, le=1 << 20)
    """Bits before counts are unfolded (fpSize)."""
    radius: int = Field(default=2, ge=0, le=10)
    """Morgan radius; 2 is ECFP4."""
    max_path: int = Field(default=4, ge=1, le=10)
    """Longest path in bonds of `rdkit_path`."""
    count_levels: int = Field(default=1, ge=1, le=16)
    """Morgan only: a bit seen n times also sets min(n, count_levels) thermometer bits. 1 means presence only."""

    @property
    def width(self) -> int:
        """Columns this fingerprint takes in the vocabulary."""
        return self.size * self.count_levels

    @model_validator(mode="after")
    def _counts_are_morgan(self) -> Fingerprint:
        if self.count_levels > 1 and self.kind != "morgan":
            raise ValueError(f"count_levels={self.count_levels} is only for kind = 'morgan'; remove it here")
        return self


class OnBitFeatures(Section):
    """Stacked fingerprints in one vocabulary, stored as lists of set bits."""

    kind: Literal["on_bits"] = "on_bits"
    fingerprints: Annotated[tuple[Fingerprint, ...], Field(strict=False, min_length=1)]

    @property
    def width(self) -> int:
        """Size of the vocabulary."""
        return sum(fingerprint.width for fingerprint in self.fingerprints)


class DenseFeatures(Section):
    """Ready-made vectors in one column of a Parquet source: embeddings or flattened images."""

    kind: Literal["dense"] = "dense"
    column: str
    """A binary (uint8) column, a list column or a fixed-size list column."""
    width: int = Field(ge=1)
    dtype: Literal["uint8", "float16", "float32"] = "float32"
    scale: float = Field(default=1.0, gt=0.0)
    """Values are multiplied by this before the first layer (1/255 for grey images)."""


FeatureSpec = Annotated[OnBitFeatures | DenseFeatures, Field(discriminator="kind")]

_MORGAN = {"kind": "morgan"}
_MORGAN_COUNTS = {"kind": "morgan", "count_levels": 4}
_TORSION = {"kind": "torsion"}
_ATOM_PAIR = {"kind": "atom_pair"}
_PATHS = {"kind": "rdkit_path"}
FEATURE_PRESETS: dict[str, list[dict[str, Any]]] = {
    "ecfp4": [_MORGAN],
    "light": [_MORGAN_COUNTS, _TORSION],
    "standard": [_MORGAN_COUNTS, _TORSION, _ATOM_PAIR],
    "rich": [_MORGAN_COUNTS, _TORSION, _ATOM_PAIR, _PATHS],
}
"""Fingerprint stacks by name; `ecfp4` is the paper's."""


class SplitConfig(Section):
    """How the library is divided into the target set and held-out parts."""

    column: str | None = None
    """A column of the source that says which part a record belongs to; without it the split is random."""
    target: Any = 0
    """Value of `column` for the target set, or a list of values."""
    validation: Any = 1
    test: Any = 2
    fractions: Annotated[tuple[float, ...], Field(strict=False, min_length=3, max_length=3)] = (0.80, 0.05, 0.15)
    """Target, validation and test shares of a random split."""
    seed: int = 0

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> SplitConfig:
        if min(self.fractions) < 0 or self.fractions[0] == 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(f"fractions={list(self.fractions)} must be three shares that sum to 1, the first above 0")
        return self


class LibraryConfig(Section):
    """Where the target library is, or how it is built."""

    path: str | None = None
    """Directory of the library; built there from `source` if absent. Default: `library/` in the run's folder. Or the
    URI of a library that is there already: every node copies the parts it needs to its cache (`ISD_CACHE`)."""
    source: str | Strings | None = None
    """File or files to build from, with wildcards or as URI (s3://, gs:// …). `${VAR}` is expanded;
    `package:NAME/FILE` is a file of an installed package."""
    format: Literal["auto", "csv", "tsv", "smi", "sdf", "parquet"] = "auto"
    smiles_column: str | None = "smiles"
    id_column: str | None = None
    """Column of unique compound ids; without it record numbers, from 1, are ids (of several files: ``stem:number``)."""
    columns: Strings = ()
    """Further columns of the source to keep: stock, cost, ordering."""
    required: Strings = ()
    """Kept columns that must hold a value: records without one are rejected, as compounds that are out of stock, or, in
    a simulation, never measured."""
    features: FeatureSpec = Field(default="standard", validate_default=True)
    """A preset (ecfp4, light, standard, rich), a stack of fingerprints, or a dense column."""
    standardise: bool = True
    """Keep the largest fragment and neutralise charges before the canonical SMILES is taken."""
    duplicates: Literal["merge", "refuse", "keep"] = "merge"
    duplicates_by: Literal["smiles", "features"] = "smiles"
    drop_single_atoms: bool = False
    block_rows: int = Field(default=8192, ge=8, le=1 << 20, multiple_of=8)
    """Rows of one block of the fixed scoring grid; a multiple of 8, so that packed masks split at bytes."""
    part_blocks: int = Field(default=16, ge=1)
    """Blocks of one part file."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that build, where no Ray cluster does it; default: all cores."""
    split: SplitConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, data: Any) -> Any:
        name = data.get("features", "standard") if isinstance(data, dict) else None
        if isinstance(name, str):
            if name not in FEATURE_PRESETS:
                raise ValueError(f"features={name!r} is no preset; choose one of {', '.join(FEATURE_PRESETS)}")
            data = {**data, "features": {"kind": "on_bits", "fingerprints": FEATURE_PRESETS[name]}}
        return data

    @model_validator(mode="after")
    def _required_columns_are_kept(self) -> LibraryConfig:
        if lost := sorted(set(self.required) - set(self.columns)):
            raise ValueError(f"required={list(self.required)}: {lost[0]!r} is not kept; add it to `columns`")
        return self

    @model_validator(mode="after")
    def _molecules_need_smiles(self) -> LibraryConfig:
        if self.path is None and self.source is None:
            raise ValueError("give `source` (a file to build from), or `path` (a library already built)")
        if self.smiles_column is None and (self.features.kind == "on_bits" or self.duplicates_by == "smiles"):
            if self.features.kind == "on_bits":
                raise ValueError("fingerprints need `smiles_column`; without SMILES use dense features")
            if self.duplicates != "keep":
                raise ValueError('without `smiles_column` set duplicates = "keep" or duplicates_by = "features"')
        return self


class LabelsConfig(Section):
    """The label of each compound in a simulation, where all are known."""

    column: str
    source: str | None = None
    """File with the labels; default: the library's source."""
    format: Literal["auto", "csv", "tsv", "smi", "sdf", "parquet"] = "auto"
    id_column: str | None = None
    """Default: the library's `id_column`."""
    transform: Literal["none", "median", "threshold"] = "none"
    """`median` and `threshold` turn a number into class 1 when it is above the cut, else 0."""
    threshold: float | None = None
    median_rows: Literal["all", "target"] = "all"
    """Rows whose median is the cut: every labelled row, or those of the target set only."""
    classes: Strings = ()
    """Names of the classes in the order of their index; default: the sorted distinct values."""

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
    min_rows: int = Field(default=50, ge=1)
    fixed_epochs_below: int = Field(default=200, ge=2)
    """With fewer observed rows nothing is held out and training runs all its epochs."""


MODEL_PRESETS: dict[str, dict[str, Any]] = {
    "mnist": {"residual_blocks": 2, "epochs": 1000, "batch_size": 1024, "patience": 50},
    "qm9": {"residual_blocks": 3, "epochs": 1000, "batch_size": 1024, "patience": 50},
    "molecules3d": {"residual_blocks": 2, "epochs": 30, "batch_size": 32768, "patience": 15, "members": 5},
    "rxrx3": {"residual_blocks": 2, "epochs": 30, "batch_size": 1024, "patience": 25},
    "proprietary": {"hidden_size": 1024, "residual_blocks": 2, "epochs": 1000, "batch_size": 1024, "patience": 25},
}
"""Hyperparameters of Table 1 of the paper; keys given beside `preset` win."""


class ModelConfig(Section):
    """The ResMLP and how each member of the committee is fitted."""

    preset: Literal["mnist", "qm9", "molecules3d", "rxrx3", "proprietary"] | None = None
    hidden_size: int = Field(default=512, ge=1)
    residual_blocks: int = Field(default=2, ge=0)
    leaky_slope: float = Field(default=0.01, ge=0.0)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    learning_rate: float = Field(default=0.001, gt=0.0)
    weight_decay: float = Field(default=0.01, ge=0.0)
    gradient_clip: float = Field(default=1.0, gt=0.0)
    """Largest Euclidean norm of the gradient."""
    epochs: int = Field(default=25, ge=1)
    batch_size: int = Field(default=256, ge=1)
    patience: int = Field(default=4, ge=1)
    """Epochs without a lower validation loss before training stops; the best weights are restored."""
    members: int = Field(default=1, ge=1, le=1000)
    """Size of the committee."""
    diversity: Literal["split", "bootstrap", "seed"] = "split"
    """How members differ beyond initial weights and order: own validation split, bootstrap sample, or no more."""

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:
        preset = MODEL_PRESETS.get(str(data.get("preset"))) if isinstance(data, dict) else None
        return {**preset, **data} if preset else data


class AcquisitionConfig(Section):
    """Which compounds are measured next."""

    function: str | None = None
    """Name of the acquisition function; default: least_confidence, for regression variance."""
    batch_size: int = Field(ge=1)
    initial_size: int | None = Field(default=None, ge=1)
    """Size of the first, random batch; default: `batch_size`."""
    random_share: float | None = Field(default=None, ge=0.0, le=1.0)
    """Share of each batch drawn uniformly from the inference set; default 0.1 where an audit decides, else 0."""
    column: str | None = None
    """Column of the library that `in_order` sorts by; default: file order."""
    descending: bool = False
    dropout_samples: int = Field(default=10, ge=2)
    """Stochastic passes of each member for `bald`."""


AUDITED_RULES = ("certify", "pac", "reserved")
"""Rules whose stop rests on a random audit."""
Quantity = Literal["accuracy", "recall", "precision", "balanced_accuracy", "mae", "mse"]
HIT_QUANTITIES = ("recall", "precision", "balanced_accuracy")
LOSS_QUANTITIES = ("mae", "mse")
DEFAULT_RANDOM_SHARE = 0.1
"""Random share of a batch under an audited rule, which forecasts from it."""


class Condition(Section):
    """A condition of the end, with exactly one key: a leaf, or conditions joined by `any_of` or `all_of`."""

    rule: Literal[True] | None = None
    """The stopping rule says stop."""
    compounds: int | None = Field(default=None, ge=1)
    """So many compounds are acquired."""
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    """So large a share of the target set is acquired."""
    rounds: int | None = Field(default=None, ge=1)
    """So many rounds are done."""
    cost: float | None = Field(default=None, gt=0.0)
    """So much money is spent, in the unit of `cost_per_compound`."""
    any_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    all_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_one_key(self) -> Condition:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            raise ValueError("a condition has exactly one key, as { compounds = 5000 } or { rule = true }")
        return self

    def leaves(self) -> tuple[Condition, ...]:
        """The leaves of the condition."""
        parts = self.any_of or self.all_of
        return tuple(leaf for part in parts for leaf in part.leaves()) if parts else (self,)


class StoppingConfig(Section):
    """When the screen ends."""

    rule: Literal["certify", "pac", "reserved", "paper", "none"] = "certify"
    """`certify`: looks at random audits, a guarantee. `pac`: one look at the full risk, a guarantee. `reserved`: looks
    at an audit that is measured before the first model and never trained on, a guarantee. `paper`: Eq. 5 and 6, a
    heuristic. `none`: run until `max_fraction` is acquired."""
    quantity: Quantity = "accuracy"
    """What is claimed of the whole screen. Of classes: accuracy, or, where one class is a hit, recall of hits,
    precision of the delivered hits, or balanced accuracy. Of values: accuracy (share within `tolerance`), mae or mse
    (at most `max_loss`)."""
    gamma: Fraction = 0.95
    """Accuracy to exceed; recall, precision or balanced accuracy to reach."""
    positive: str | None = None
    """Name of the class that is a hit; default: the last class."""
    max_loss: float | None = Field(default=None, gt=0.0)
    """mae, mse: largest mean error of the whole screen, measured compounds counting as 0; unit of the label, for mse
    its square."""
    loss_clip: float | None = Field(default=None, gt=0.0)
    """mae, mse: larger errors count as this one (unit of the label); without a limit an audit can bound nothing."""
    repeatability: float | None = Field(default=None, ge=0.5, le=1.0)
    """Share of replicates of a binary readout that agree; turns agreement with readouts into a claim on the truth."""
    delta: Fraction = 0.05
    """Risk of a stop below gamma."""
    max_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the target set after which acquisition ends in any case."""
    max_compounds: int | None = Field(default=None, ge=1)
    """Compounds after which acquisition ends in any case."""
    max_rounds: int | None = Field(default=None, ge=1)
    """Rounds after which acquisition ends in any case."""
    max_cost: float | None = Field(default=None, gt=0.0)
    """Money after which acquisition ends in any case, in the unit of `cost_per_compound`."""
    cost_per_compound: float | None = Field(default=None, gt=0.0)
    any_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    """The screen ends when any of these holds; default: when the rule says so. The limits above come on top."""
    all_of: Annotated[tuple[Condition, ...], Field(strict=False, min_length=1)] | None = None
    """The screen ends when all of these hold; the rule is asked only where its yes would end the screen."""
    tolerance: float | None = Field(default=None, gt=0.0)
    """Regression: a prediction within this distance of the readout counts as right (unit of the label)."""
    max_looks: int = Field(default=5, ge=1, le=50)
    """Most looks of `certify` and `reserved`; the risk of look j is delta / 2^j."""
    reserve_size: int | None = Field(default=None, ge=1)
    """`reserved`: compounds of the audit; default: enough to certify a model with half the allowed errors."""
    reserve_audit: bool = False
    """Keep wells of the budget for one last audit, judged at all the risk that is left, when the budget ends first."""
    trigger: Literal["trend", "platt"] = "trend"
    """Forecast that decides when a look is worth its audit; never touches the guarantee."""
    continue_after_stop: bool = False
    """Simulation only: note the stop and go on to the end of the budget."""

    @property
    def level(self) -> float:
        """What the claimed quantity is held against: `gamma`, or `max_loss`."""
        return self.gamma if self.max_loss is None else self.max_loss

    @property
    def condition(self) -> Condition:
        """What ends the screen: `any_of` or `all_of`, or the rule, and the limits."""
        limits: dict[str, Any] = {
            "fraction": self.max_fraction,
            "compounds": self.max_compounds,
            "rounds": self.max_rounds,
            "cost": self.max_cost,
        }
        asked = Condition(rule=True)
        if self.any_of or self.all_of:
            asked = Condition(any_of=self.any_of, all_of=self.all_of)
        return Condition(any_of=(asked, *(Condition(**{k: v}) for k, v in limits.items() if v is not None)))

    @model_validator(mode="after")
    def _conditions_are_complete(self) -> StoppingConfig:
        if self.any_of and self.all_of:
            raise ValueError("`any_of` and `all_of` exclude each other here; put one into the other")
        leaves = self.condition.leaves()
        if self.rule != "none" and not any(leaf.rule for leaf in leaves):
            raise ValueError(f"rule={self.rule!r} is in no condition; add {{ rule = true }}, or set rule = 'none'")
        if any(leaf.cost is not None for leaf in leaves) != (self.cost_per_compound is not None):
            raise ValueError("`max_cost` or a `cost` and `cost_per_compound` go together; give both or neither")
        return self

    @model_validator(mode="after")
    def _quantity_has_its_keys(self) -> StoppingConfig:
        is_loss = self.quantity in LOSS_QUANTITIES
        if {self.max_loss is not None, self.loss_clip is not None} != {is_loss}:
            raise ValueError("`max_loss` and `loss_clip` go with quantity = 'mae' or 'mse'; give both or neither")
        if is_loss and self.max_loss is not None and self.loss_clip is not None:
            largest = self.loss_clip**2 if self.quantity == "mse" else self.loss_clip
            if self.max_loss >= largest:
                raise ValueError(f"max_loss={self.max_loss:g} is not below the largest possible loss, {largest:g}")
        if self.positive is not None and self.quantity not in HIT_QUANTITIES:
            raise ValueError(f"`positive` goes with quantity = {', '.join(HIT_QUANTITIES)}; remove it")
        if self.quantity != "accuracy":
            if self.rule in ("paper", "reserved"):
                raise ValueError(f"rule={self.rule!r} is for quantity = 'accuracy'; use 'certify' or 'pac'")
            if self.reserve_audit:
                raise ValueError("`reserve_audit` is for quantity = 'accuracy', whose audit is sized beforehand")
            if self.repeatability is not None:
                raise ValueError("`repeatability` is for quantity = 'accuracy'; remove it")
        if self.reserve_size is not None and self.rule != "reserved":
            raise ValueError("`reserve_size` is for rule = 'reserved'; remove it")
        if self.reserve_audit and self.rule in ("reserved", "pac"):
            raise ValueError(f"`reserve_audit` is for the rules certify, paper and none, not {self.rule!r}")
        return self


class ComputeConfig(Section):
    """Where and with what the computation runs."""

    backend: Literal["ray", "local"] = "ray"
    address: str | None = None
    """Address of a running Ray cluster, which also builds the library; default: an embedded Ray of its own. Never
    attached to by accident."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = Field(default=1, ge=1)
    """Torch threads of each actor; part of what makes a run repeatable, so stored with it."""
    trainers: int = Field(default=1, ge=1)
    scorers: int = Field(default=1, ge=1)
    trainer_cpus: float = Field(default=1.0, ge=0.0)
    trainer_gpus: float = Field(default=0.0, ge=0.0)
    """GPUs of one trainer; a fraction shares a card."""
    scorer_cpus: float = Field(default=1.0, ge=0.0)
    scorer_gpus: float = Field(default=0.0, ge=0.0)
    memory: ByteSize | None = None
    """Memory the run may use on this machine, such as "8 GiB"; default: what is free at the start."""
    object_store_memory: ByteSize = Field(default=ByteSize(512 << 20), ge=80 << 20)
    """Object store of an embedded Ray."""
    resident: ByteSize = ByteSize(0)
    """Memory of each scorer for copies of the library's parts, such as "4 GiB"; the others are memory-mapped, which is
    as fast where the library is on a local disk and fits into the page cache."""
    start_timeout_s: float = Field(default=300.0, gt=0.0)
    """Longest wait for an actor to be placed and started."""
    call_timeout_s: float = Field(default=7200.0, gt=0.0)
    """Longest wait for one fit or one shard."""
    lost_actor_retries: int = Field(default=8, ge=0)
    """Replacements of dead actors (lost nodes, preemption) in one phase before the run gives up."""


class SimulationConfig(Section):
    """Extras of a replay in which every label is known."""

    random_baseline: bool = False
    """Also run random acquisition until it is as accurate as the hybrid screen, to tell what was saved."""
    baseline_fraction: Fraction = 0.1
    """Batch of the random baseline, as a share of the target set."""


class CampaignConfig(Section):
    """A whole campaign: one TOML file."""

    name: str = Field(default="screen", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Task = "classification"
    seed: int = Field(default=0, ge=0)
    library: LibraryConfig
    labels: LabelsConfig
    validation: ValidationConfig = ValidationConfig()
    test: HeldOutConfig = HeldOutConfig()
    model: ModelConfig = ModelConfig()
    acquisition: AcquisitionConfig
    stopping: StoppingConfig = StoppingConfig()
    compute: ComputeConfig = ComputeConfig()
    simulation: SimulationConfig = SimulationConfig()

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Sequence[str] = ()) -> CampaignConfig:
        """Read a campaign file; see `isd_ray.config_file.load_config`."""
        from isd_ray.config_file import load_config

        return load_config(path, overrides)

    @property
    def acquisition_name(self) -> str:
        """The acquisition function in force."""
        default = "least_confidence" if self.task == "classification" else "variance"
        return self.acquisition.function or default

    @property
    def random_share(self) -> float:
        """The random share in force."""
        if self.acquisition.random_share is None:
            return DEFAULT_RANDOM_SHARE if self.stopping.rule in AUDITED_RULES else 0.0
        return self.acquisition.random_share

    @property
    def counts_errors(self) -> bool:
        """Whether a prediction is right or wrong: always for classes, for values if there is a tolerance."""
        return self.task == "classification" or self.stopping.tolerance is not None

    @property
    def initial_size(self) -> int:
        """The size of the first batch in force."""
        return self.acquisition.initial_size or self.acquisition.batch_size

    @model_validator(mode="after")
    def _sections_fit_together(self) -> CampaignConfig:
        if self.task == "regression":
            if self.labels.transform != "none" or self.labels.classes:
                raise ValueError(
                    "labels.transform and labels.classes make classes; remove them or use task='classification'"
                )
            stopping = self.stopping
            if stopping.quantity in HIT_QUANTITIES or stopping.repeatability is not None:
                raise ValueError("hits, their recall and repeatability are of classes; label values by a threshold")
            judges = stopping.rule != "none" or stopping.reserve_audit
            if judges and stopping.tolerance is None and stopping.max_loss is None:
                raise ValueError(
                    f"stopping.rule={stopping.rule!r} on a regression needs stopping.tolerance (unit of the label), or "
                    "quantity = 'mae' or 'mse'"
                )
            if self.simulation.random_baseline and stopping.tolerance is None:
                raise ValueError("simulation.random_baseline on a regression needs stopping.tolerance")
        elif self.stopping.tolerance is not None or self.stopping.quantity in LOSS_QUANTITIES:
            raise ValueError("stopping.tolerance, mae and mse are for task='regression'; remove them")
        if self.simulation.random_baseline and self.stopping.quantity != "accuracy":
            raise ValueError("simulation.random_baseline compares accuracies; remove it, or use quantity = 'accuracy'")
        if self.validation.source == "external" and not (self.validation.file or self.library.split):
            raise ValueError("validation.source='external' needs validation.file or [library.split]")
        on_gpu = bool(self.compute.trainer_gpus or self.compute.scorer_gpus)
        if self.compute.device == "cuda" and self.compute.backend == "ray" and not on_gpu:
            raise ValueError("compute.device='cuda' on Ray needs trainer_gpus or scorer_gpus above 0")
        if self.compute.device == "cpu" and on_gpu:
            raise ValueError("compute.device='cpu' contradicts trainer_gpus or scorer_gpus above 0")
        return self
