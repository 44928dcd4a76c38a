"""The same screen by several agents and seeds, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from threading import get_ident
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.watcher import Named, Watcher
from isd_ray.card import card, paragraphs, rows
from isd_ray.config import CampaignConfig
from isd_ray.config_file import as_config
from isd_ray.core.trips import trips_until
from isd_ray.errors import ConfigError
from isd_ray.ops.connect import ray_session, work_for
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import (
    SimulationResult,
    TrueColumn,
    fraction_reaching,
    simulate,
    trips_reaching,
    true_curve,
    with_settings,
)
from isd_ray.report.comparison import render_comparison
from isd_ray.report.notebook import default_watcher
from isd_ray.report.words import ACCURACY, comparison_note, comparison_table, ended_words
from isd_ray.storage.addresses import address_of, is_uri, within
from isd_ray.storage.copies import fetched, local_path, sent
from isd_ray.storage.files import replace_text
from isd_ray.storage.output_files import refuse_file_as_folder

AGENTS = ("active", "random", "in-order")
GOALS = (0.90, 0.95, 0.98, 0.99)
"""System accuracies for which the comparison tells what each agent had to acquire."""
SHARE_GOALS = (0.80, 0.90, 0.95)
"""The same of another claimed share, as a recall, beside the configured one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finished comparison: its folder, of a URI the copy here, and the content of its ``summary.json``."""

    path: Path
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Comparison({str(self.path)!r}, agents={list(self.summary['agents'])})"

    def _repr_html_(self) -> str:
        measure = self.summary.get("measure", ACCURACY)  # comparisons of earlier versions went by it
        table = rows(*comparison_table(self.summary["agents"], measure))
        notes = paragraphs(
            [f"Means over the seeds. {comparison_note(measure)}.", f"Its report: {self.path / 'report.html'}"]
        )
        return card(f"Comparison {self.summary['name']}", table, notes)


def variant(config: CampaignConfig, agent: str, seed: int, order_column: str | None, root: str) -> CampaignConfig:
    """The configuration of one agent and seed.

    Raises
    ------
    ConfigError
        If there is no such agent.
    """
    if agent not in AGENTS:
        raise ConfigError(f"there is no agent {agent!r}", "--agents", f"choose among {', '.join(AGENTS)}")
    settings: dict[str, Any] = {
        "seed": seed,
        "library": {"path": config.library.path or within(root, "library")},
        "simulation": {"random_baseline": False},
    }
    audited = config.stopping.in_force.is_audited
    if agent == "random":
        # Drawn uniformly, all its rows are evidence for the forecast of an audited rule.
        share = 1.0 if audited else 0.0
        settings["acquisition"] = {"function": "random", "random_share": share, "pick": "best", "column": None}
    elif agent == "in-order":
        drawn = config.acquisition.random_share if audited else 0.0
        settings["acquisition"] = {
            "function": "in_order",
            "random_share": drawn,
            "pick": "best",
            "column": order_column,
        }
    return with_settings(config, settings)


def compare(
    config: CampaignConfig | str | Path,
    out: str | Path,
    agents: Sequence[str] = AGENTS,
    n_seeds: int = 1,
    order_column: str | None = None,
    watcher: Watcher | None = None,
    n_parallel: int = 1,
) -> Comparison:
    """Run every agent with every seed into ``out/<agent>/<seed>/`` and put the results side by side.

    The configuration is that of `simulate`: the campaign, or the path of its file.

    Variants that are finished already are not run again, so a comparison that was cut off continues.

    Parameters
    ----------
    out:
        A path or a URI of an object store.
    n_parallel:
        So many variants run at the same time, each with its own trainers and scorers; on Ray only. What the cluster has
        no room for waits (`compute.room_timeout_s`).

    Raises
    ------
    ConfigError
        If more than one is to run at a time without Ray, or there is no such agent.
    IsdError
        As `simulate`.
    StoreError
        If a finished variant was run with another configuration.
    OutputFileError
        If a file lies in the way of `out`.
    """
    config, address = as_config(config), address_of(out)
    root = address if is_uri(address) else str(Path(address))
    on_ray = config.compute.backend == "ray"
    if n_parallel > 1 and not on_ray:
        raise ConfigError("variants run at the same time on Ray only", "--parallel", 'set compute.backend = "ray"')
    if not is_uri(address):
        refuse_file_as_folder(Path(root))
    watcher = watcher or default_watcher(config.stopping, config.task)
    seeds = range(config.seed, config.seed + n_seeds)
    variants = {(agent, seed): variant(config, agent, seed, order_column, root) for agent in agents for seed in seeds}

    def run(agent: str, seed: int) -> SimulationResult:
        watcher.message(f"{agent}, seed {seed}")
        named = watcher if n_parallel == 1 else Named(watcher, f"{agent}, seed {seed}")
        found = simulate(variants[agent, seed], within(root, f"{agent}/{seed}"), named)
        measured = f"measured {found.summary['n_acquired']:,} of {found.summary['n_target']:,}"
        watcher.message(f"{agent}, seed {seed}: {ended_words(found.summary)}, {measured}")
        return found

    pool = ThreadPoolExecutor(n_parallel, initializer=work_for, initargs=(get_ident(),))
    with ray_session(config.compute) if on_ray else nullcontext(), pool:
        if n_parallel > 1:
            _build_once(variants, root, watcher)
        found = dict(zip(variants, pool.map(lambda each: run(*each), variants), strict=True))
    results = {agent: {seed: found[agent, seed] for seed in seeds} for agent in agents}
    rounds = {
        agent: {seed: result.rounds.to_pylist() for seed, result in by_seed.items()}
        for agent, by_seed in results.items()
    }
    with sent(within(root, "comparison.parquet")) as path:
        _write_rounds(results, path)
    column = _told_column(config, rounds)
    is_told = config.stopping.in_force.judges and (config.stopping.claim.is_share_right or column == "system_value")
    gamma = config.stopping.gamma if is_told else None
    goals = GOALS if column == "system_accuracy" else sorted({*SHARE_GOALS, config.stopping.gamma})
    summary = {
        "name": config.name,
        "task": config.task,
        "measure": ACCURACY if column == "system_accuracy" else config.goal_class.noun,
        "agents": _agent_summaries(results, rounds, goals, column),
    }
    n_target = max(result.summary["n_target"] for by_seed in results.values() for result in by_seed.values())
    texts = {
        "report.html": render_comparison(summary, rounds, gamma, n_target),
        "summary.json": json.dumps(summary, indent=1) + "\n",
    }
    for name, text in texts.items():
        with sent(within(root, name)) as path:
            replace_text(path, text)
    return Comparison(local_path(root), summary)


def _build_once(variants: Mapping[tuple[str, int], CampaignConfig], root: str, watcher: Watcher) -> None:
    """Build the library that all variants share before they begin."""
    for (agent, seed), settings in variants.items():
        folder = within(root, f"{agent}/{seed}")
        if not fetched(within(folder, "summary.json"), again=True).is_file():
            prepare(settings, folder, watcher)
            return


def _write_rounds(results: Mapping[str, Mapping[int, SimulationResult]], path: Path) -> None:
    tables = []
    for agent, by_seed in results.items():
        for seed, result in by_seed.items():
            rounds = result.rounds
            rounds = rounds.add_column(0, "seed", pa.array([seed] * rounds.num_rows))
            tables.append(rounds.add_column(0, "agent", pa.array([agent] * rounds.num_rows)))
    pq.write_table(pa.concat_tables(tables), path)


def _mean_range(ranges: Sequence[Sequence[float] | None]) -> list[float] | None:
    known = [found for found in ranges if found is not None]
    return [mean(ends) for ends in zip(*known, strict=True)] if known else None


def _told_column(config: CampaignConfig, rounds: Mapping[str, Mapping[int, list[dict[str, Any]]]]) -> TrueColumn:
    """What agents are compared by: the claimed quantity where it is a share of something else than right labels.

    Where hits are rare an accuracy tells nothing: it is reached before anything is measured.
    """
    if config.stopping.claim.is_share_right or config.stopping.claim.is_error or not config.stopping.claims:
        return "system_accuracy"
    every = (row for by_seed in rounds.values() for curve in by_seed.values() for row in curve)
    return "system_value" if any(row.get("system_value") is not None for row in every) else "system_accuracy"


def _agent_summaries(
    results: Mapping[str, Mapping[int, SimulationResult]],
    rounds: Mapping[str, Mapping[int, list[dict[str, Any]]]],
    goals: Sequence[float],
    column: TrueColumn,
) -> dict[str, Any]:
    """Means over the seeds for each agent, and what it had to acquire, in how many trips, for each goal."""
    summaries = {}
    for agent, by_seed in results.items():
        finals = [result.summary for result in by_seed.values()]
        curves = rounds[agent].values()
        reached = [
            goal
            for goal in goals
            if all(max((y for _, y in true_curve(curve, column)), default=0.0) >= goal for curve in curves)
        ]
        summaries[agent] = {
            "seeds": list(by_seed),
            "fraction_acquired": mean(final["fraction_acquired"] for final in finals),
            "n_trips": mean(
                trips_until(rounds[agent][seed], result.summary["stopped_at_round"]) for seed, result in by_seed.items()
            ),
            "stopped_at_round": [final["stopped_at_round"] for final in finals],
            **{
                name: mean(final[name] for final in finals)
                for name in ("system_accuracy", "test_accuracy", "system_mse", "system_value")
                if all(final[name] is not None for final in finals)
            },
            "constant_range": _mean_range([final["constant_range"] for final in finals]),
            "fraction_to_reach": {
                f"{goal:g}": mean(fraction_reaching(c, goal, column) for c in curves) for goal in reached
            },
            "trips_to_reach": {f"{goal:g}": mean(trips_reaching(c, goal, column) for c in curves) for goal in reached},
        }
    return summaries
