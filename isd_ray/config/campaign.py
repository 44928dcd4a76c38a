"""A whole campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from isd_ray.config.claims import BUILT_IN_CLAIMS, claim_named
from isd_ray.config.compute import ComputeConfig, LoggingConfig, SimulationConfig
from isd_ray.config.hits import HitCallingConfig
from isd_ray.config.labels import HeldOutConfig, LabelsConfig, ValidationConfig
from isd_ray.config.library import LibraryConfig
from isd_ray.config.model import (
    FAMILIES,
    REGRESSION_MEMBERS,
    RESMLP,
    AcquisitionConfig,
    ModelConfig,
    preset_of,
    resolved_families,
)
from isd_ray.config.picks import BatchPick, pick_named
from isd_ray.config.plates import PlatesConfig
from isd_ray.config.readouts import ReadoutsConfig
from isd_ray.config.section import Section, Task
from isd_ray.config.stopping import (
    DEFAULT_RANDOM_SHARE,
    EARLIER_DEFAULTS,
    StoppingConfig,
)
from isd_ray.credentials import cleaned


def _has_numbers(data: Mapping[str, Any]) -> bool:
    """Whether raw settings ask for numbers, which are measured first where the members of a committee differ."""
    labels = data.get("labels")
    numbers = labels.get("numbers") if isinstance(labels, Mapping) else getattr(labels, "numbers", ())
    return data.get("task") == "regression" or bool(numbers)


class CampaignConfig(Section):
    """A whole campaign: one TOML file."""

    name: str = Field(default="screen", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of letters, digits, dots, dashes and underscores; metrics and jobs are called by it."""
    task: Task = "classification"
    """Labels are one class of each compound, a number, or many outputs, each of two classes or a number."""
    seed: int = Field(default=0, ge=0)
    """Everything random follows from it: the same seed, the same screen."""
    library: LibraryConfig
    labels: LabelsConfig
    validation: ValidationConfig = ValidationConfig()
    test: HeldOutConfig = HeldOutConfig()
    model: ModelConfig = ModelConfig()
    acquisition: AcquisitionConfig
    stopping: StoppingConfig = Field(default_factory=StoppingConfig)
    compute: ComputeConfig = ComputeConfig()
    simulation: SimulationConfig = SimulationConfig()
    logging: LoggingConfig = LoggingConfig()
    readouts: ReadoutsConfig = ReadoutsConfig()
    plates: PlatesConfig | None = None
    """How batches are laid out on plates; without it batches are lists of compounds."""
    hits: HitCallingConfig | None = None
    """How labels follow from plates; without it readouts are labels, or numbers with a threshold."""

    @model_validator(mode="before")
    @classmethod
    def _name_columns_of_readouts(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not all(isinstance(data.get(name), dict) for name in ("labels", "library")):
            return data
        known = {
            "value": data["labels"].get("column"),
            "id": data["labels"].get("id_column") or data["library"].get("id_column"),
        }
        readouts = {name: column for name, column in known.items() if column} | data.get("readouts", {})
        return {**data, "readouts": readouts}

    @model_validator(mode="before")
    @classmethod
    def _give_a_regression_its_committee(cls, data: Any) -> Any:
        model = data.get("model", {}) if isinstance(data, dict) and _has_numbers(data) else None
        if isinstance(model, ModelConfig):
            model = model.model_dump(exclude_unset=True)
        if not isinstance(model, dict):
            return data
        return {**data, "model": {"members": REGRESSION_MEMBERS, **preset_of(model), **model}}

    @model_validator(mode="before")
    @classmethod
    def _resolve_families(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("task", "classification") not in FAMILIES:
            return data
        model = data.get("model", {})
        if isinstance(model, ModelConfig):
            model = model.model_dump(exclude_unset=True)
        if not isinstance(model, dict):
            return data
        has_numbers = data.get("task") == "panel" and _has_numbers(data)
        return {**data, "model": resolved_families(model, data.get("task", "classification"), has_numbers=has_numbers)}

    @classmethod
    def from_stored(cls, data: Mapping[str, Any]) -> CampaignConfig:
        """The configuration that a campaign's folder holds, also one of a version that knew fewer keys.

        What has become a choice since is what it was: the only family of models, the only default acquisition, when and
        at what risk to look.
        Credentials, which earlier versions stored, are dropped: the campaign opens, and `isd relocate` names places.
        """
        data = cleaned(data)
        model, acquisition = data.get("model", {}), data.get("acquisition", {})
        if "families" not in model:
            model = {**model, "families": [RESMLP]}
            if data.get("stopping", {}).get("quantity") == "recall" and not acquisition.get("function"):
                acquisition = {**acquisition, "function": "least_confidence"}
        stopping = {**EARLIER_DEFAULTS, **data.get("stopping", {})}
        return cls.model_validate({**data, "model": model, "acquisition": acquisition, "stopping": stopping})

    @classmethod
    def from_toml(cls, path: str | Path, overrides: str | Sequence[str] = ()) -> CampaignConfig:
        """Read a campaign file; see `isd_ray.config_file.load_config`."""
        from isd_ray.config_file import load_config

        return load_config(path, overrides)

    @property
    def acquisition_name(self) -> str:
        """The acquisition function in force."""
        if self.acquisition.function is not None:
            return self.acquisition.function
        usual = "variance" if self.task == "regression" else "least_confidence"
        return str(self.goal_class.acquisition or usual)

    @property
    def batch_pick(self) -> BatchPick:
        """How a batch is made of the best-scored rows."""
        return pick_named(self.acquisition.pick)

    @property
    def takes_last_look(self) -> bool:
        """Whether a screen that a person stops may be judged by one last look, as with `stopping.reserve_audit`."""
        stopping = self.stopping
        return stopping.in_force.takes_last_look and stopping.claim.is_share_right and stopping.panel is None

    @property
    def goal_class(self) -> type[Any]:
        """The class of the claim (`isd_ray.core.goals.base.Goal`)."""
        return self.stopping.goal_class(self.task)

    @property
    def random_share(self) -> float:
        """The random share in force."""
        if self.acquisition.random_share is None:
            return DEFAULT_RANDOM_SHARE if self.stopping.in_force.is_audited else 0.0
        return self.acquisition.random_share

    @property
    def counts_errors(self) -> bool:
        """Whether predictions are right or wrong: always for classes, for values if there is a tolerance."""
        return self.task != "regression" or self.stopping.tolerance is not None

    def tolerances(self, outputs: Sequence[str]) -> tuple[float | None, ...]:
        """Of a panel with numbers: by output the error that counts as none; see `StoppingConfig.tolerances_of`."""
        return self.stopping.tolerances_of(outputs, self.labels.numbers)

    @property
    def known(self) -> str | None:
        """The file with the readouts of before that start the screen, which no limit then counts; None without one."""
        return self.simulation.known or self.labels.known

    @property
    def replicates(self) -> int:
        """Wells of each compound."""
        return self.plates.replicates if self.plates else 1

    @model_validator(mode="after")
    def _columns_are_kept(self) -> CampaignConfig:
        used = {
            "acquisition.stock_column": self.acquisition.stock_column,
            "stopping.cost_column": self.stopping.cost_column,
        }
        kept = (*self.library.columns, *self.library.descriptor_columns)
        for key, column in used.items():
            if column is not None and self.library.source is not None and column not in kept:
                raise ValueError(f"{key}={column!r} is no column that the library keeps; add it to `library.columns`")
        if self.acquisition.n_plates is not None and self.plates is None:
            raise ValueError("acquisition.n_plates needs [plates]; describe them, or give acquisition.batch_size")
        return self

    @model_validator(mode="after")
    def _claim_is_of_the_task(self) -> CampaignConfig:
        quantity, goals = self.stopping.quantity, self.stopping.claim.goals
        if self.task not in goals:
            others = [name for name in BUILT_IN_CLAIMS if self.task in claim_named(name).goals]
            is_of_hits = self.task == "regression" and any(goal.knows_hits for goal in goals.values())
            raise ValueError(
                f"stopping.quantity={quantity!r} is a claim for task={' or '.join(map(repr, goals))}, not for "
                f"{self.task!r}; claim {' or '.join(others)}{', or label values by a threshold' * is_of_hits}"
            )
        if self.stopping.panel is not None:
            self._claims_of_outputs_are_known()
        if self.goal_class.is_of_numbers and not self.labels.numbers:
            raise ValueError(
                f"stopping.quantity={quantity!r} is of numbers, and outputs are of two classes; name them in "
                "labels.numbers, or claim accuracy or recall"
            )
        if self.stopping.panel is not None and self.stopping.panel.has_errors and not self.labels.numbers:
            raise ValueError(
                "stopping.panel.quantity claims mean errors, which are of outputs that are numbers; name them in "
                "labels.numbers"
            )
        return self

    def _claims_of_outputs_are_known(self) -> None:
        quantity, claim = self.stopping.quantity, self.stopping.claim
        if self.task != "panel":
            raise ValueError("[stopping.panel] is for task = 'panel'; remove it")
        if claim.by_output is None:
            raise ValueError(
                f"stopping.quantity={quantity!r} is not claimed of each output; remove [stopping.panel], or name it of "
                "outputs in stopping.panel.quantity"
            )
        if self.stopping.kind_by_output is None:
            raise ValueError(
                f"stopping.quantity={quantity!r} is not claimed beside what stopping.panel.quantity names; use "
                "stopping.quantity = 'accuracy' or 'recall'"
            )

    @model_validator(mode="after")
    def _labels_fit_the_task(self) -> CampaignConfig:
        labels, is_panel = self.labels, self.task == "panel"
        if (labels.column is None) != is_panel or bool(labels.columns) != is_panel:
            wanted, other = ("columns", "column") if is_panel else ("column", "columns")
            raise ValueError(
                f"task={self.task!r} takes its labels from `labels.{wanted}`; give that, and no `labels.{other}`"
            )
        if labels.numbers and not is_panel:
            raise ValueError("labels.numbers are outputs of a panel; remove it, or use task = 'regression'")
        if labels.numbers and self.goal_class.knows_hits and not self.stopping.mixes_hits:
            raise ValueError(
                f"stopping.quantity={self.stopping.quantity!r} is of hits, which outputs that are numbers "
                "(labels.numbers) have none of; claim accuracy, mae or mse of these in stopping.panel.quantity, or cut "
                "them by labels.transform"
            )
        if self.stopping.positive is not None and self.task != "classification":
            raise ValueError(f"`stopping.positive` names a class, and task={self.task!r} has none; remove it")
        if not is_panel:
            if self.model.head != "outputs":
                raise ValueError(f"model.head={self.model.head!r} is for task='panel'; remove it")
            return self
        if len(labels.classes) not in (0, 2):
            raise ValueError(f"outputs of a panel have two classes; labels.classes={list(labels.classes)}: give two")
        if self.stopping.repeatability is not None:
            raise ValueError("stopping.repeatability is of a single label, and a panel has many; remove it")
        if self.replicates > 1:
            raise ValueError("plates.replicates: entries of a panel come from one well each; remove it, tell medians")
        return self

    @model_validator(mode="after")
    def _sections_fit_together(self) -> CampaignConfig:
        if self.task == "regression":
            if self.labels.transform != "none" or self.labels.classes:
                raise ValueError(
                    "labels.transform and labels.classes make classes; remove them or use task='classification'"
                )
            stopping = self.stopping
            if stopping.repeatability is not None:
                raise ValueError("stopping.repeatability is of classes; remove it, or label values by a threshold")
            if stopping.claims and stopping.tolerance is None and stopping.max_loss is None:
                raise ValueError(
                    f"stopping.rule={stopping.rule!r} on a regression needs stopping.tolerance (unit of the label), or "
                    "quantity = 'mae' or 'mse'"
                )
            if self.simulation.random_baseline and stopping.tolerance is None:
                raise ValueError(
                    "simulation.random_baseline on a regression needs stopping.tolerance; give both or none"
                )
        elif self.stopping.tolerance is not None and not self.labels.numbers:
            raise ValueError("stopping.tolerance is for task='regression', and labels.numbers of a panel; remove it")
        if self.stopping.tolerances and not self.labels.numbers:
            raise ValueError("stopping.tolerances are of a panel's outputs in labels.numbers; remove them")
        if self.hits is not None and (self.plates is None or self.task != "classification"):
            raise ValueError("[hits] calls classes plate by plate; it needs [plates] and task = 'classification'")
        if self.hits is not None and self.labels.transform != "none":
            raise ValueError("[hits] and labels.transform both make classes; use one of them")
        if self.batch_pick.choose is not None and self.stopping.in_force.counts_right:
            raise ValueError(
                f"acquisition.pick={self.acquisition.pick!r}: stopping.rule={self.stopping.rule!r} counts on the "
                "best-scored rows; use pick = 'best', or the rule 'certify' or 'pac'"
            )
        if self.simulation.random_baseline and not self.stopping.claim.is_share_right:
            raise ValueError("simulation.random_baseline compares accuracies; remove it, or use quantity = 'accuracy'")
        if self.validation.source == "external" and not (self.validation.file or self.library.split):
            raise ValueError("validation.source='external' needs validation.file or [library.split]")
        on_gpu = bool(self.compute.trainer_gpus or self.compute.scorer_gpus)
        if self.compute.device == "cuda" and self.compute.backend == "ray" and not on_gpu:
            raise ValueError("compute.device='cuda' on Ray needs trainer_gpus or scorer_gpus above 0")
        if self.compute.device == "cpu" and on_gpu:
            raise ValueError("compute.device='cpu' contradicts trainer_gpus or scorer_gpus above 0; set both to 0")
        return self
