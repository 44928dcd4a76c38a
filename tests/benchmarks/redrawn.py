"""Screens as they would have gone with other random rows and other audits, from the models of finished simulations.

    python -m tests.benchmarks.redrawn runs/qm9/* --gamma 0.95 0.97 --draws 40

Each round's model predicts the whole inference set once more, and the truth is known. Then the random rows of every
batch, and the audits, are drawn anew many times: forecasts are made and looks planned and judged as in a screen, while
models and the acquired top stay those of the run. (A real screen would learn from other random rows, and from its
audits: wells are for the comparison of forecasts on the same run.) A run ends at its first look, so one with a goal
that is never met, as `--set stopping.gamma=0.9999 --set stopping.max_fraction=0.2`, tells most.

For claims of an accuracy of one class: losses are right or wrong.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.core.bounds import allowed_errors
from isd_ray.core.certify import LookState, judge_look, plan_look
from isd_ray.core.goals import goal_for
from isd_ray.core.scored import N_BINS, ScoredBatch, UncertaintyHistogram, bin_centres, uncertainty_bins
from isd_ray.core.stopping import rule_of
from isd_ray.core.trigger import Forecast, forecast_blend
from isd_ray.data.predictions import read_predictions
from isd_ray.messages import PredictRequest
from isd_ray.models.device import configure_threads, resolve_placement
from isd_ray.ops.prepare import prepare

_NEVER = 99
"""Batches since a failed look where there was none."""


@dataclass(frozen=True)
class Round:
    """What a model says of the inference set, most uncertain rows first.

    Attributes
    ----------
    n_observed:
        Rows that it was fitted on.
    uncertainty, loss:
        float32 and float64 (n,).
    top:
        int64 (k,): places of the acquired rows.
    n_random:
        Random rows of the batch.
    """

    n_observed: int
    uncertainty: NDArray[np.float32]
    loss: NDArray[np.float64]
    top: NDArray[np.int64]
    n_random: int

    @property
    def histogram(self) -> UncertaintyHistogram:
        """Of the inference set."""
        return UncertaintyHistogram(bin_centres(), np.bincount(uncertainty_bins(self.uncertainty), minlength=N_BINS))

    def batch(self, places: NDArray[np.int64], n_more: int, *, is_audit: bool = False) -> ScoredBatch:
        """Random rows, and, but for an audit, the top; after audits of so many rows that the run did not have."""
        rank = places if is_audit else np.concatenate([self.top, places])
        is_random = np.arange(len(rank)) >= len(rank) - len(places)
        uncertainty, loss = self.uncertainty[rank], self.loss[rank]
        n_observed = self.n_observed + n_more
        return ScoredBatch(len(self.loss), n_observed, uncertainty, rank, loss, is_random, is_audit=is_audit)


def rounds_of(run: Path) -> Iterator[Round]:
    """The rounds of a run that have a model and a batch of its choice, predicted anew; up to its first look."""
    store = CampaignStore.open(run)
    config = CampaignConfig.from_stored(store.config)
    compute = config.compute
    configure_threads(compute.threads)
    with TemporaryDirectory() as scratch:
        setup = prepare(config, Path(scratch) / "run", Watcher())
        truth = setup.truth["target"]
        goal = goal_for(config.stopping, config.task, setup.spec.classes, setup.spec.outputs, config.labels.numbers)
        scorer = ShardScorer(setup.spec, resolve_placement(compute.device, compute.precision, compute.threads))
        is_left = np.ones(len(truth), np.bool_)
        for files in store.rounds():
            batch = files.read_batch()
            rows, roles = batch["row"].to_numpy(), batch["role"].to_pylist()
            if "audit" in roles:
                return
            if files.released["committee_hash"] and "top" in roles:
                model = DeliveredModel.open(store, files.round)
                request = PredictRequest(files.round, np.packbits(is_left), f"{scratch}/{files.round}", np.zeros(1))
                frozen = []
                for part in range(model.library.n_parts):
                    scorer.freeze(request, part, model.committee)
                    [file] = Path(request.directory).glob(f"part-{part:05d}*")
                    frozen.append(read_predictions(file))
                    file.unlink()
                uncertainty = np.concatenate([part.uncertainty for part in frozen])
                left = np.concatenate([part.rows for part in frozen])
                losses = np.concatenate([goal.losses(part.prediction, truth[part.rows]) for part in frozen])
                order = np.argsort(-uncertainty, kind="stable")
                is_top = np.array([role == "top" for role in roles])
                top = np.flatnonzero(np.isin(left[order], rows[is_top]))
                n_random = sum(role == "random" for role in roles)
                yield Round(int((~is_left).sum()), uncertainty[order], losses[order], top, n_random)
            is_left[rows] = False


@dataclass(frozen=True)
class Drawn:
    """How one screen went: wells (None if uncertified), failed looks, and by round the log of forecast to truth."""

    wells: int | None
    failed: int
    logs: list[float]


def screen(rounds: list[Round], config: CampaignConfig, rng: np.random.Generator, *, is_known: bool) -> Drawn:
    """A screen with random rows and audits of its own, by forecasts, or as if the errors were known."""
    first, stopping = rounds[0], config.stopping
    n_batch = len(first.top) + first.n_random
    allowed = allowed_errors(first.n_observed + len(first.loss), stopping.gamma)
    rule = rule_of(stopping).looks(stopping, n_batch)
    scored: list[ScoredBatch] = []
    logs: list[float] = []
    n_audited, n_failed, since = 0, 0, _NEVER
    for present in rounds:
        n_left, n_observed = len(present.loss), present.n_observed + n_audited
        forecast = forecast_blend(scored, present.histogram, n_observed, n_batch, present.n_random)
        if forecast and is_known:
            errors = float(present.loss.sum())
            forecast = Forecast(errors, float(present.loss[present.top].sum()) + errors * present.n_random / n_left)
        if forecast:
            logs.append(math.log(max(forecast.errors, 1.0) / max(present.loss.sum(), 1.0)))
        plan = plan_look(rule, LookState(n_left, allowed, forecast, n_failed, since)).plan
        if plan:
            places = np.sort(rng.choice(n_left, plan.size, replace=False))
            verdict = judge_look(plan, places, present.loss[places] > 0.5)
            if verdict.stop:
                finish = verdict.n_finish - int((places < verdict.n_finish).sum())
                return Drawn(n_observed + plan.size + finish, n_failed, logs)
            scored.append(present.batch(places, n_audited, is_audit=True))
            n_audited, n_failed, since = n_audited + plan.size, n_failed + 1, 0
        scored.append(present.batch(rng.choice(n_left, present.n_random, replace=False), n_audited))
        since += 1
    return Drawn(None, n_failed, logs)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of simulations.")
    parser.add_argument("--gamma", nargs="+", type=float, required=True, help="Accuracies to certify.")
    parser.add_argument("--draws", type=int, default=40, help="Screens of each run and accuracy.")
    parser.add_argument("--known", action="store_true", help="Plan looks by the true errors: what forecasts may save.")
    options = parser.parse_args()
    print(
        "| run | accuracy | wells, mean | median | failed looks | not certified | forecast, mean log | deviation |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for run in options.runs:
        config = CampaignConfig.from_stored(CampaignStore.open(run).config)
        rounds = list(rounds_of(run))
        if not rounds or not all(np.isin(present.loss, (0.0, 1.0)).all() for present in rounds):
            sys.exit(f"{run}: no round with a model before its first look, or losses that are not right or wrong")
        n_target = rounds[0].n_observed + len(rounds[0].loss)
        for gamma in options.gamma:
            stopping = config.stopping.model_copy(update={"rule": "certify", "gamma": gamma})
            changed = config.model_copy(update={"stopping": stopping})
            generators = map(np.random.default_rng, range(options.draws))
            drawn = [screen(rounds, changed, rng, is_known=options.known) for rng in generators]
            wells = np.array([found.wells / n_target for found in drawn if found.wells is not None])
            logs = np.concatenate([found.logs for found in drawn])
            error = wells.std() / math.sqrt(max(len(wells), 1))
            print(
                f"| {run.name} | {gamma:g} | {wells.mean():.2%} ± {error:.2%} | {np.median(wells):.2%} "
                f"| {np.mean([found.failed for found in drawn]):.2f} | {len(drawn) - len(wells)} "
                f"| {logs.mean():+.2f} | {logs.std():.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
