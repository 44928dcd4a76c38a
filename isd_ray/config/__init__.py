"""The configuration of a campaign: pydantic models of the TOML file. Every default of isd_ray lives here, once."""

from isd_ray.config.campaign import CampaignConfig
from isd_ray.config.compute import ComputeConfig, LoggingConfig, SimulationConfig
from isd_ray.config.features import Descriptor
from isd_ray.config.history import HistoryConfig
from isd_ray.config.hits import HitCallingConfig
from isd_ray.config.labels import HeldOutConfig, LabelsConfig, ValidationConfig
from isd_ray.config.library import (
    FEATURE_PRESETS,
    Context,
    DenseFeatures,
    FeatureSpec,
    Fingerprint,
    LibraryConfig,
    OnBitFeatures,
    SplitConfig,
)
from isd_ray.config.model import MODEL_PRESETS, RESMLP, AcquisitionConfig, FamilyConfig, ModelConfig
from isd_ray.config.phenomics import PhenomicsConfig
from isd_ray.config.plates import CONTROL_KINDS, ControlKind, ControlWells, PlateFormat, PlatesConfig, nanolitres
from isd_ray.config.readouts import ReadoutsConfig
from isd_ray.config.reference_energy import ReferenceEnergyConfig
from isd_ray.config.section import Fraction, Section, Strings, Task
from isd_ray.config.stopping import (
    DEFAULT_RANDOM_SHARE,
    EARLIER_DEFAULTS,
    Condition,
    PanelStoppingConfig,
    StoppingConfig,
)

__all__ = [
    "CONTROL_KINDS",
    "DEFAULT_RANDOM_SHARE",
    "EARLIER_DEFAULTS",
    "FEATURE_PRESETS",
    "MODEL_PRESETS",
    "RESMLP",
    "AcquisitionConfig",
    "CampaignConfig",
    "ComputeConfig",
    "Condition",
    "Context",
    "ControlKind",
    "ControlWells",
    "DenseFeatures",
    "Descriptor",
    "FamilyConfig",
    "FeatureSpec",
    "Fingerprint",
    "Fraction",
    "HeldOutConfig",
    "HistoryConfig",
    "HitCallingConfig",
    "LabelsConfig",
    "LibraryConfig",
    "LoggingConfig",
    "ModelConfig",
    "OnBitFeatures",
    "PanelStoppingConfig",
    "PhenomicsConfig",
    "PlateFormat",
    "PlatesConfig",
    "ReadoutsConfig",
    "ReferenceEnergyConfig",
    "Section",
    "SimulationConfig",
    "SplitConfig",
    "StoppingConfig",
    "Strings",
    "Task",
    "ValidationConfig",
    "nanolitres",
]
