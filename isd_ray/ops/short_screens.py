"""A past screen simulated in short: a random part of its compounds, with the goal that is asked for now."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import to_come
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, SplitConfig
from isd_ray.config_file import as_config
from isd_ray.data.hit_class import hit_class
from isd_ray.data.library import Library
from isd_ray.data.split import split_library
from isd_ray.errors import ConfigError
from isd_ray.ops.curves import is_like, unsaid
from isd_ray.ops.prepare import known_labels, library_address, open_or_build
from isd_ray.ops.simulate import simulate, with_settings
from isd_ray.plates.layout import batch_size, initial_size
from isd_ray.storage.files import identity_of

SHORT = 4000
"""Compounds of a short screen."""
FEWEST_HITS = 200
"""Hits that it should have where the claim is about hits: it has more compounds where they are rare."""
SMALLER = 4
"""What the size of a library does is seen by one in so many of these compounds."""
MOST_BATCHES = 25
"""A batch is at least one of so many parts of the compounds."""
_LIMITS = ("max_compounds", "max_rounds", "max_cost", "cost_per_compound", "cost_column", "any_of", "all_of")
_OTHERS = {"max_fraction": 1.0, "reserve_audit": False, "reserve_size": None, "continue_after_stop": False}


def without_limits() -> dict[str, Any]:
    """Keys of `stopping` that leave the rule alone to end a screen: the question is what its goal costs."""
    return {**dict.fromkeys(_LIMITS), **_OTHERS}


def past_run(
    like: str | Path, config: CampaignConfig, n_target: int, watcher: Watcher | None = None, part: int = 1
) -> str | Path:
    """The folder of a past screen: the one that is named, or that of a short simulation of the campaign file named.

    Parameters
    ----------
    config, n_target:
        The campaign that is planned, whose goal and share of a batch the simulation has, and its size.
    part:
        The simulation is of one in so many of the compounds of a short one.

    Raises
    ------
    ConfigError
        If it is neither a folder of a screen nor a campaign file.
    IsdError
        As `simulate`.
    """
    if CampaignStore.exists(like):
        return like
    if not Path(like).is_file():
        raise ConfigError(
            "this is neither the folder of a screen nor a campaign file",
            f"--like {like}",
            "name the folder of a past screen, or the campaign file of one whose labels are known",
        )
    past, watcher = as_config(like), watcher or Watcher()
    folder = Path("runs") / f"{past.name}-short"
    changed = _shortened(past, config, n_target, folder, watcher, part)
    run = folder / identity_of(changed.model_dump(mode="json"), "")
    simulate(changed, run, watcher)
    return run


def smaller_run(
    like: str | Path, run: str | Path, config: CampaignConfig, n_target: int, watcher: Watcher | None = None
) -> str | Path | None:
    """The folder of a simulation of a quarter of a past screen; None where its size is near or it is not simulated.

    Parameters
    ----------
    run:
        The past screen, by `past_run`.
    config, n_target:
        As of `past_run`.
    """
    n_past = to_come(CampaignStore.open(run)).n_rows
    if CampaignStore.exists(like) or unsaid(config) is not None or is_like(n_past, n_target):
        return None
    smaller = past_run(like, config, n_target, watcher, SMALLER)
    return smaller if to_come(CampaignStore.open(smaller)).n_rows < n_past else None


def _shortened(
    past: CampaignConfig, config: CampaignConfig, n_target: int, folder: Path, watcher: Watcher, part: int
) -> CampaignConfig:
    """The past screen with the goal of another one, in this process, on a part of its library if that is large."""
    settings: dict[str, Any] = {
        "stopping": {
            **config.stopping.model_dump(mode="json"),
            **without_limits(),
            "positive": past.stopping.positive or config.stopping.positive,
        },
        "simulation": {"random_baseline": False},
        "compute": {"backend": "local", "address": None},
    }
    if past.library.split is None:
        # A division of one's own is kept: nobody knows what it keeps apart.
        whole = open_or_build(past.library, past.compute, library_address(past.library, folder), watcher)
        n_short = _enough(past, config, whole) // part
        taken = whole
        if n_short < whole.n_rows:
            parts = folder / f"part-{whole.hash[:8]}-{n_short}-{past.seed}"
            share = n_short / whole.n_rows
            split = SplitConfig(fractions=(share, 1.0 - share, 0.0), seed=past.seed)
            taken = (
                Library.open(parts / "target")
                if Library.exists(parts / "target")
                else split_library(whole, split, parts)["target"]
            )
        settings["library"] = {"path": taken.address}
        n = taken.n_rows
        least = math.ceil(n / MOST_BATCHES)
        settings["acquisition"] = {
            "n_plates": None,
            "batch_size": max(least, round(batch_size(config.acquisition, config.plates) / n_target * n)),
            "initial_size": max(least, round(initial_size(config.acquisition, config.plates) / n_target * n)),
            "growth": config.acquisition.growth,
        }
    return with_settings(past, settings)


def _enough(past: CampaignConfig, config: CampaignConfig, library: Library) -> int:
    """Compounds of the short screen."""
    if config.task != "classification" or not config.goal_class.knows_hits:
        return min(SHORT, library.n_rows)
    labels = known_labels(past, library)
    positive = past.stopping.positive or config.stopping.positive
    stopping = config.stopping.model_copy(update={"positive": positive})
    hit = str(hit_class(stopping, past.task, past.acquisition_name, labels.classes))
    n_hits = int((labels.labels == labels.classes.index(hit)).sum())
    return min(library.n_rows, max(SHORT, math.ceil(FEWEST_HITS * library.n_rows / max(1, n_hits))))
