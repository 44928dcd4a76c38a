"""A simulated screen: every label is known, so the answer can be checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.round_files import n_target_of
from isd_ray.campaign.setup import CampaignSetup, as_begun, begin_or_resume, check
from isd_ray.campaign.states import LoopState
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import target_of
from isd_ray.campaign.watcher import Watcher
from isd_ray.card import card, pairs, paragraphs
from isd_ray.config import AcquisitionConfig, CampaignConfig, SimulationConfig, StoppingConfig
from isd_ray.config_file import as_config, differences, parse_config, to_toml
from isd_ray.core.trips import trips_made
from isd_ray.errors import StoreError
from isd_ray.ops.beforehand import say_beforehand
from isd_ray.ops.connect import ray_session
from isd_ray.ops.prepare import prepare
from isd_ray.ops.results import read_rounds, summary_of, write_results
from isd_ray.ops.run import run
from isd_ray.report.certificate import Certificate
from isd_ray.report.notebook import default_watcher
from isd_ray.report.record import BASELINE
from isd_ray.report.words import ended_words, summary_lines
from isd_ray.storage.addresses import address_of, within
from isd_ray.storage.copies import fetched


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """A finished simulation.

    Attributes
    ----------
    path:
        The campaign directory.
    summary:
        The content of ``summary.json``.
    """

    path: Path
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        summary = self.summary
        counts = f"measured={summary['n_acquired']:,}, predicted={summary['n_predicted']:,}"
        return f"SimulationResult({str(self.path)!r}, {counts}, certified={summary['certified']})"

    def _repr_html_(self) -> str:
        files = paragraphs([f"Its report: {self.path / 'report.html'}"])
        return card(f"Hybrid screen {self.summary['name']}", pairs(summary_lines(self.summary)), files)

    @property
    def certificate(self) -> Certificate | None:
        """What is guaranteed; None without a certificate."""
        return Certificate.of(CampaignStore.open(self.path))

    @property
    def rounds(self) -> pa.Table:
        """``rounds.parquet``: one row a round."""
        return pq.read_table(self.path / "rounds.parquet")

    @property
    def hybrid(self) -> pa.Table:
        """The hybrid screen: one row for each line of the library."""
        return pq.read_table(self.path / "hybrid")


def simulate(config: CampaignConfig | str | Path, out: str | Path, watcher: Watcher | None = None) -> SimulationResult:
    """Run a campaign against known labels, from its library to its report.

    A run that was cut off continues from where its directory says; of one that is finished the result is read. Its
    results are written before random selection is compared with it, which may take longer than the screen itself.

    Parameters
    ----------
    config:
        The campaign, or the path of its file.
    out:
        Its directory, a path or a URI of an object store; new, empty, or begun by the same configuration.
    watcher:
        Told about progress; default: in a notebook it is shown below the cell, elsewhere nowhere.

    Raises
    ------
    IsdError
        If the configuration, the data or the machine do not allow it; see `isd_ray.errors`.
    """
    config = as_config(config)
    watcher = watcher or default_watcher(config.stopping, config.task)
    if CampaignStore.exists(out) and CampaignStore.open(out).manifest["in_laboratory"]:
        raise StoreError(
            "this is a campaign of a laboratory, and no simulation",
            address_of(out),
            "choose another folder; `isd ask` goes on with the campaign",
        )
    finished = None
    if (summary_file := fetched(within(out, "summary.json"), again=True)).is_file():
        finished = _read_finished(config, out, json.loads(summary_file.read_bytes()))
        if not _owes_baseline(config.simulation, finished.summary):
            return finished
    setup = prepare(config, out, watcher)
    for warning in check(config, target_of(setup.spec)):
        watcher.message(f"warning: {warning}")
    say_beforehand(setup, watcher)
    store = begin_or_resume(setup)
    store.write_text("config.toml", to_toml(setup.config))
    with ray_session(config.compute) if config.compute.backend == "ray" else nullcontext():
        for progress in run(setup, watcher.message):
            watcher.step(config.name, progress)
        summary = dict(finished.summary) if finished else summary_of(store)
        if not finished:
            write_results(summary, store)
        if _owes_baseline(config.simulation, summary):
            watcher.result(summary)
            watcher.message(f"{ended_words(summary)}; the results are written. Now the random baseline, for comparison")
            summary["random_baseline"] = _random_baseline(setup, summary, watcher)
            write_results(summary, store)
    return SimulationResult(store.path, summary)


def _owes_baseline(simulation: SimulationConfig, summary: Mapping[str, Any]) -> bool:
    """Whether a comparison with random selection is asked for, and not there yet.

    Where no model ever predicted, there is nothing to compare it with.
    """
    return simulation.random_baseline and summary["system_accuracy"] is not None and "random_baseline" not in summary


def _read_finished(config: CampaignConfig, out: str | Path, summary: Mapping[str, Any]) -> SimulationResult:
    store = CampaignStore.open(out)
    # A version that knows more keys has begun with their defaults as well.
    begun = CampaignConfig.from_stored(store.config).model_dump(mode="json")
    changed = differences(begun, as_begun(config, store).model_dump(mode="json"))
    if changed := [key for key in changed if not key.startswith("compute.")]:
        raise StoreError(
            f"a run with another configuration is finished here; it differs in {', '.join(changed)}",
            store.address,
            "choose another folder",
        )
    store.bring_hybrid()
    store.latest("rounds.parquet")
    return SimulationResult(store.path, summary)


def with_settings(config: CampaignConfig, settings: Mapping[str, Mapping[str, Any] | Any]) -> CampaignConfig:
    """The configuration with some keys replaced, checked again."""
    data = config.model_dump(mode="json")
    for section, values in settings.items():
        if isinstance(values, Mapping):
            data[section].update(values)
        else:
            data[section] = values
    return parse_config(data)


def random_screen(config: CampaignConfig, n_target: int) -> CampaignConfig:
    """The same screen by random selection in coarse batches, until everything is measured.

    How it selects and ends is told afresh. Of the screen's own settings it keeps which compounds are there, and what
    makes a prediction right.
    """
    acquisition = AcquisitionConfig(
        function="random",
        batch_size=math.ceil(config.simulation.baseline_fraction * n_target),
        random_share=0.0,
        **config.acquisition.model_dump(include={"stock_column", "min_stock", "unknown_stock"}),
    )
    right = config.stopping.model_dump(include={"tolerance", "tolerances", "positive"})
    stopping = StoppingConfig(rule="none", **right)
    return with_settings(
        config,
        {
            "name": BASELINE,
            "acquisition": acquisition.model_dump(mode="json"),
            "stopping": stopping.model_dump(mode="json"),
        },
    )


def _random_baseline(setup: CampaignSetup, summary: Mapping[str, Any], watcher: Watcher) -> dict[str, Any]:
    """How much random selection must measure for the accuracy that the hybrid screen has.

    Runs random acquisition in coarse batches until it is as accurate, and interpolates linearly between its rounds.
    Each of its points has a model fitted on all that is measured there, which is generous to random selection: the
    hybrid screen's own accuracy is that of a model which has not seen its last batch.
    """
    n_target, goal = summary["n_target"], summary["system_accuracy"]
    baseline = random_screen(setup.config, n_target)
    out = within(setup.out, BASELINE)
    steps, last = run(setup.with_config(baseline, out), watcher.message), None
    for progress in steps:
        last = progress
        watcher.step(BASELINE, progress)
        round_ended = progress.state == LoopState.FIT.value
        if round_ended and (read_rounds(out)[-1]["system_accuracy"] or 0.0) >= goal:
            break
    steps.close()
    if last is not None and not last.done:  # it ends here, as accurate as the screen
        watcher.step(BASELINE, replace(last, state=LoopState.DONE.value, done=True, warnings=()))
    fraction = fraction_reaching(read_rounds(out), goal)
    return {
        "fraction_at_equal_accuracy": fraction,
        "n_saved": round(fraction * n_target) - summary["n_acquired"],
    }


TrueColumn = Literal["system_accuracy", "system_value"]
"""Column of ``rounds.parquet`` with the true accuracy, or the true value of the claimed quantity where that is another
share."""


def true_curve(
    rounds: Sequence[Mapping[str, Any]], column: TrueColumn = "system_accuracy"
) -> list[tuple[float, float]]:
    """Share acquired and a true value of the screen, round by round, and what the last round delivers."""
    points = [(row["fraction_acquired"], row[column]) for row in rounds if row[column] is not None]
    last = rounds[-1]
    if (delivered := last.get(column.replace("system", "delivered"))) is not None:
        points.append((last["n_acquired"] / n_target_of(last), delivered))
    return points


def fraction_reaching(
    rounds: Sequence[Mapping[str, Any]], level: float, column: TrueColumn = "system_accuracy"
) -> float:
    """Least share acquired at which a true value reaches a level, interpolated linearly between rounds.

    Measuring everything gives 1, which is the last point of the curve.
    """
    points = [*true_curve(rounds, column), (1.0, 1.0)]
    before: tuple[float, float] | None = None
    for x, y in points:
        if y >= level:
            return x if before is None or y == before[1] else float(np.interp(level, (before[1], y), (before[0], x)))
        before = (x, y)
    return 1.0


def trips_reaching(rounds: Sequence[Mapping[str, Any]], level: float, column: TrueColumn = "system_accuracy") -> int:
    """Trips to the laboratory made when a model first reaches a level; all where only the end does."""
    before = 0
    for row, made in zip(rounds, trips_made(rounds), strict=True):
        if (row[column] or 0.0) >= level:
            return before
        before = made
    return before
