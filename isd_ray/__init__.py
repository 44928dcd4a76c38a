"""Hybrid screens by inference set design: measure the hardest compounds, predict the rest, stop with a bound.

The public names are loaded on first use, so that ``import isd_ray`` imports none of ray, torch and rdkit (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isd_ray.config import CampaignConfig
    from isd_ray.data.library import Library
    from isd_ray.errors import IsdError
    from isd_ray.ops.additions import add_compounds
    from isd_ray.ops.advise import advise
    from isd_ray.ops.blocks import add_table
    from isd_ray.ops.build import build_library
    from isd_ray.ops.campaign import Campaign
    from isd_ray.ops.compare import Comparison, compare
    from isd_ray.ops.confirm import Confirmation, confirm
    from isd_ray.ops.follow import Notice, Webhook, follow
    from isd_ray.ops.goal_costs import Advice
    from isd_ray.ops.measuring import measured_on_ray
    from isd_ray.ops.predict import LoadedModel, load_model
    from isd_ray.ops.propose import Proposal, propose
    from isd_ray.ops.simulate import SimulationResult, simulate
    from isd_ray.remote.attach import attach
    from isd_ray.remote.attached import AttachedCampaign
    from isd_ray.remote.jobs import Job, job, jobs
    from isd_ray.remote.submit import resubmit, submit, submit_command
    from isd_ray.report.certificate import Certificate

_HOMES = {
    "Advice": "isd_ray.ops.goal_costs",
    "AttachedCampaign": "isd_ray.remote.attached",
    "Campaign": "isd_ray.ops.campaign",
    "CampaignConfig": "isd_ray.config",
    "Certificate": "isd_ray.report.certificate",
    "Comparison": "isd_ray.ops.compare",
    "Confirmation": "isd_ray.ops.confirm",
    "IsdError": "isd_ray.errors",
    "Job": "isd_ray.remote.jobs",
    "Library": "isd_ray.data.library",
    "LoadedModel": "isd_ray.ops.predict",
    "Notice": "isd_ray.ops.follow",
    "Proposal": "isd_ray.ops.propose",
    "SimulationResult": "isd_ray.ops.simulate",
    "Webhook": "isd_ray.ops.follow",
    "add_compounds": "isd_ray.ops.additions",
    "add_table": "isd_ray.ops.blocks",
    "advise": "isd_ray.ops.advise",
    "attach": "isd_ray.remote.attach",
    "build_library": "isd_ray.ops.build",
    "compare": "isd_ray.ops.compare",
    "confirm": "isd_ray.ops.confirm",
    "follow": "isd_ray.ops.follow",
    "job": "isd_ray.remote.jobs",
    "jobs": "isd_ray.remote.jobs",
    "load_model": "isd_ray.ops.predict",
    "measured_on_ray": "isd_ray.ops.measuring",
    "propose": "isd_ray.ops.propose",
    "resubmit": "isd_ray.remote.submit",
    "simulate": "isd_ray.ops.simulate",
    "submit": "isd_ray.remote.submit",
    "submit_command": "isd_ray.remote.submit",
}

_UNKNOWN_VERSION = "0+unknown"

__all__ = [
    "Advice",
    "AttachedCampaign",
    "Campaign",
    "CampaignConfig",
    "Certificate",
    "Comparison",
    "Confirmation",
    "IsdError",
    "Job",
    "Library",
    "LoadedModel",
    "Notice",
    "Proposal",
    "SimulationResult",
    "Webhook",
    "add_compounds",
    "add_table",
    "advise",
    "attach",
    "build_library",
    "compare",
    "confirm",
    "follow",
    "job",
    "jobs",
    "load_model",
    "measured_on_ray",
    "propose",
    "resubmit",
    "simulate",
    "submit",
    "submit_command",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("isd_ray")
        except PackageNotFoundError:  # run from a source folder that is not installed
            return _UNKNOWN_VERSION
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    # What this module itself imports is none of the reader's business.
    return sorted([*_HOMES, "__version__", *(name for name in globals() if name.startswith("__"))])
