"""Which goal: what each would cost, by simulations of a past screen or by the first rounds of one under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Named, Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import as_config
from isd_ray.data.hit_class import recognised
from isd_ray.data.labels import classes_of, read_labels
from isd_ray.errors import ConfigError
from isd_ray.ops.advise_rounds import advise_by_rounds
from isd_ray.ops.goal_costs import LEVELS, Advice, GoalCost, cost_line, goal_name, range_of
from isd_ray.ops.short_screens import without_limits
from isd_ray.ops.simulate import simulate, with_settings
from isd_ray.report.notebook import default_watcher
from isd_ray.report.numbers import counted
from isd_ray.storage.addresses import working_folder


def advise(
    source: CampaignConfig | str | Path,
    *,
    seeds: int = 3,
    out: str | Path | None = None,
    watcher: Watcher | None = None,
) -> Advice:
    """Say what goals would cost.

    Parameters
    ----------
    source:
        The folder of a campaign or simulation, also under way: its claim at several levels, by its rounds so far. Or a
        campaign file, or configuration, of a past screen whose labels are known: every goal that fits its task, each
        simulated as often as there are seeds.
    seeds:
        Of a past screen.
    out:
        Folder of its simulations; those that are there are not repeated. Default ``runs/NAME-advice``.

    Raises
    ------
    ConfigError
        If nothing can be said of the claim, or by so few rounds.
    """
    if not isinstance(source, CampaignConfig) and CampaignStore.exists(source):
        return advise_by_rounds(CampaignStore.open(source))
    config = as_config(source)
    folder = Path(out or Path("runs") / f"{config.name}-advice")
    return _by_simulations(config, seeds, folder, watcher or default_watcher(config.stopping, config.task))


def _by_simulations(config: CampaignConfig, seeds: int, out: Path, watcher: Watcher) -> Advice:
    library = config.library
    if library.path is None:
        config = config.model_copy(update={"library": library.model_copy(update={"path": str(out / "library")})})
    positive, notes = _hit(config)
    costs: list[GoalCost] = []
    goals = list(_goals(config, positive))
    for number, (quantity, level) in enumerate(goals, 1):
        changed = _with_goal(config, quantity, level, positive)
        watcher.message(f"goal {number} of {len(goals)}: {goal_name(quantity, level)}, {counted(seeds, 'simulation')}")
        costs.append(_cost(changed, seeds, out, watcher))
        name, wells, trips, verdict = cost_line(costs[-1])
        watcher.message(f"{name}: wells {wells}, trips {trips}; {verdict}")
    interval = (
        f"from the least to the greatest of {seeds} simulation{'s' if seeds > 1 else ''} of this very screen, with "
        "other random draws: it says how much chance does, and not how unlike the next screen is"
    )
    return Advice(tuple(costs), interval, tuple(notes))


def _with_goal(config: CampaignConfig, quantity: str, level: float, positive: str | None) -> CampaignConfig:
    """The screen with another goal; whatever ends it otherwise is left out: the question is what the goal costs."""
    stopping: dict[str, Any] = {
        **without_limits(),
        "rule": "certify",
        "quantity": quantity,
        "gamma": level,
        "positive": positive if config.task == "classification" else None,
        "repeatability": None,
        "panel": None,
        "max_loss": None,
        "loss_clip": None,
    }
    return with_settings(config, {"stopping": stopping, "simulation": {"random_baseline": False}})


def _cost(config: CampaignConfig, seeds: int, out: Path, watcher: Watcher) -> GoalCost:
    """What the goal of a configuration costs, by a simulation for each seed: by one, if no model is needed for it."""
    quantity, level = config.stopping.quantity, config.stopping.gamma
    ends: list[Mapping[str, Any]] = []
    constant = None
    for seed in range(seeds):
        each = Named(watcher, f"{goal_name(quantity, level)}, {seed + 1} of {seeds}")
        each.begins(config.name, config.stopping, config.task)
        seeded = with_settings(config, {"seed": config.seed + seed})
        ends.append(simulate(seeded, out / f"{quantity}-{level:g}-seed-{seed}", each).summary)
        # For a recall it is the share that is measured: another one in each simulation.
        found = None if config.goal_class.takes_hits else ends[-1]["constant_range"]
        if found is not None and found[0] >= level:
            constant = found[0]
            break
    ended = [end for end in ends if end["n_predicted"]]
    return GoalCost(
        quantity,
        level,
        wells=range_of([end["n_acquired"] for end in ended]),
        trips=range_of([end["n_trips"] for end in ended]),
        n_target=ends[0]["n_target"],
        n_tried=len(ends),
        n_ended=len(ended),
        constant=constant,
    )


def _hit(config: CampaignConfig) -> tuple[str | None, list[str]]:
    """The class of hits, if there is one, and what is to be said without."""
    if config.task != "classification" or config.stopping.positive is not None:
        return config.stopping.positive, []
    classes = classes_of(read_labels(config.labels, config.library, working_folder()), config.task)
    found = recognised(classes)
    if found is not None:
        return found, []
    return None, [f"no goals about hits: which of the classes {', '.join(map(repr, classes))} is one, is not said"]


def _goals(config: CampaignConfig, positive: str | None) -> Iterator[tuple[str, float]]:
    """Goals that fit the task; the configured one is among them if it is a share."""
    if config.task == "regression" and config.stopping.tolerance is None:
        raise ConfigError(
            "goals of a regression are the share of values within a tolerance", "stopping.tolerance", "set it"
        )
    fitting = {
        "regression": ("accuracy",),
        "panel": ("accuracy",) if config.labels.numbers else ("accuracy", "recall"),
        "classification": tuple(LEVELS) if positive is not None else ("accuracy",),
    }[config.task]
    for quantity in fitting:
        own = {config.stopping.gamma} if quantity == config.stopping.quantity else set()
        for level in sorted({*LEVELS[quantity], *own}):
            yield quantity, level
