"""Screens as they would have gone with other random rows and other audits, from the models of finished simulations.

    python -m tests.benchmarks.redrawn runs/qm9/* --gamma 0.95 0.97 --draws 40

Each round's model predicts the whole inference set once more, and the truth is known. Then the random rows of every
batch, and the audits, are drawn anew many times: forecasts are made and looks planned and judged as in a screen, while
models and the acquired top stay those of the run. (A real screen would learn from other random rows, and from its
audits: wells are for comparisons on the same run.) A run ends at its first look, so one with a goal that is hardly ever
met, as `--set stopping.gamma=0.9999 --set stopping.max_fraction=0.6`, tells most.

For every claim but those about each output of a panel.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.core.goals import HITS, Goal, goal_for
from isd_ray.core.growth import batches_worth
from isd_ray.core.hits_left import RandomHits
from isd_ray.core.look_evidence import Audit, LookEvidence, LookOutlook, ScreenCounts
from isd_ray.core.looks import LookPlan, look_risk
from isd_ray.core.scored import N_BINS, ScoredBatch, ranks_from_histogram, uncertainty_bins
from isd_ray.core.stopping import decide_look, forecast_look, look_by
from isd_ray.core.trigger import Forecast
from isd_ray.data.predictions import read_predictions
from isd_ray.messages import LabelArray, PredictRequest, StopDecision
from isd_ray.models.device import configure_threads, resolve_placement
from isd_ray.ops.prepare import prepare

_Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """What a model says of the inference set, by group of predictions, the most uncertain rows of each first.

    Attributes
    ----------
    measured:
        int64: rows that it was fitted on.
    rows, uncertainty, loss:
        int64, float32 and float64 (n,).
    ends:
        int64 (groups,): where each group ends.
    top:
        int64 (k,): places of the acquired rows.
    n_random:
        Random rows of the batch.
    """

    measured: _Rows
    rows: _Rows
    uncertainty: NDArray[np.float32]
    loss: NDArray[np.float64]
    ends: _Rows
    top: _Rows
    n_random: int

    def group(self, group: int) -> slice:
        """Places of a group."""
        return slice(int(self.ends[group - 1]) if group else 0, int(self.ends[group]))

    @property
    def groups(self) -> range:
        """All groups."""
        return range(len(self.ends))

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """Of uncertainties, (groups, bins)."""
        bins = uncertainty_bins(self.uncertainty)
        return np.stack([np.bincount(bins[self.group(group)], minlength=N_BINS) for group in self.groups])

    def after(self, audited: _Rows) -> Round:
        """Where these rows are measured as well."""
        gone = np.isin(self.rows, audited)
        if not gone.any():
            return self
        n_before = np.concatenate([[0], np.cumsum(~gone)])
        top = self.top[~gone[self.top]]
        measured = np.concatenate([self.measured, self.rows[gone]])
        kept = (self.rows[~gone], self.uncertainty[~gone], self.loss[~gone])
        return Round(measured, *kept, n_before[self.ends], n_before[top], self.n_random)

    def batches(self, drawn: _Rows, *, is_audit: bool = False) -> list[ScoredBatch | None]:
        """Of each group the drawn places, and, but for an audit, the top; None where there are none."""
        places = drawn if is_audit else np.concatenate([self.top, drawn])
        is_random = np.arange(len(places)) >= len(places) - len(drawn)
        made: list[ScoredBatch | None] = []
        for within, counts in zip(map(self.group, self.groups), self.histogram, strict=True):
            inside = (places >= within.start) & (places < within.stop)
            at, n = places[inside], within.stop - within.start
            rank = ranks_from_histogram(counts, self.uncertainty[at])
            seen = (self.uncertainty[at], rank, self.loss[at], is_random[inside])
            batch = ScoredBatch(n, len(self.measured), *seen, is_audit=is_audit)
            made.append(batch if len(at) else None)
        return made


@dataclass(frozen=True)
class Run:
    """A finished simulation.

    Attributes
    ----------
    labels:
        Of every row of the library.
    n_first:
        Rows of the first batch.
    """

    config: CampaignConfig
    goal: Goal
    labels: LabelArray
    rounds: tuple[Round, ...]
    n_first: int

    @classmethod
    def of(cls, folder: Path) -> Run:
        """The rounds that have a model and a batch of its choice, predicted anew; up to the first look."""
        store = CampaignStore.open(folder)
        config = CampaignConfig.from_stored(store.config)
        configure_threads(config.compute.threads)
        with TemporaryDirectory() as scratch:
            setup = prepare(config, Path(scratch) / "run", Watcher())
            labels, spec = setup.truth["target"], setup.spec
            goal = goal_for(config.stopping, config.task, spec.classes, spec.outputs, config.labels.numbers)
            compute = config.compute
            scorer = ShardScorer(spec, resolve_placement(compute.device, compute.precision, compute.threads))
            rounds = tuple(_rounds(store, goal, labels, scorer, scratch))
        n_first = len(store.rounds()[0].read_batch())
        return cls(config, goal, labels, rounds, n_first)

    def asking(self, level: float) -> Run:
        """The same, with another level to certify."""
        stopping = self.config.stopping.model_copy(update={"rule": "certify", "gamma": level})
        config = self.config.model_copy(update={"stopping": stopping})
        return replace(self, config=config, goal=replace(self.goal, level=level))

    @property
    def true_from(self) -> float:
        """Share of the rows from which the claim is true; 1 if it is not before the end."""
        for present in self.rounds:
            losses = tuple(float(present.loss[present.group(group)].sum()) for group in present.groups)
            if self.goal.is_met(self.counts(present), losses):
                return len(present.measured) / len(self.labels)
        return 1.0

    def counts(self, present: Round) -> ScreenCounts:
        """Sizes that the claim depends on."""
        hits, left = self.n_hits(present.measured), tuple(np.diff(present.ends, prepend=0).tolist())
        return ScreenCounts(len(self.labels), sum(hits), len(present.measured) - sum(hits), left, hits=hits)

    def n_hits(self, rows: _Rows) -> tuple[int, ...]:
        """Hits among rows (`Goal.count_hits`)."""
        return self.goal.count_hits(self.labels[rows])


def _rounds(store: CampaignStore, goal: Goal, labels: LabelArray, scorer: ShardScorer, scratch: str) -> Iterator[Round]:
    is_left = np.ones(len(labels), np.bool_)
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
            losses = np.concatenate([goal.losses(part.prediction, labels[part.rows]) for part in frozen])
            groups = np.concatenate([goal.groups(part.prediction) for part in frozen])
            order = np.lexsort((-uncertainty, groups))
            ends = np.cumsum(np.bincount(groups, minlength=goal.n_groups))
            is_top = np.array([role == "top" for role in roles])
            top = np.flatnonzero(np.isin(left[order], rows[is_top]))
            n_random = sum(role == "random" for role in roles)
            yield Round(np.flatnonzero(~is_left), left[order], uncertainty[order], losses[order], ends, top, n_random)
        is_left[rows] = False


@dataclass(frozen=True)
class Drawn:
    """How one screen went: wells (None if uncertified), failed looks, and by round the log of forecast to truth."""

    wells: int | None
    failed: int
    logs: list[float]


def screen(run: Run, rng: np.random.Generator, *, is_known: bool) -> Drawn:
    """A screen with random rows and audits of its own, by forecasts, or as if the losses were known.

    Predicted hits that a failed look measures stay where they are: the next batches of the run take them.
    """
    goal = run.goal
    scored: tuple[list[ScoredBatch], ...] = tuple([] for _ in range(goal.n_groups))
    logs: list[float] = []
    audited = np.empty(0, np.int64)
    n_failed, risk, since = 0, 0.0, 1
    first_drawn = rng.choice(len(run.labels), run.n_first, replace=False)
    for of_run in run.rounds:
        present = of_run.after(audited)
        seen = evidence(run, present, first_drawn, scored, (n_failed, risk, since))
        found = outlook(run, present, seen, is_known=is_known)
        if found.errors is not None:
            true = sum(present.loss[present.group(group)].sum() for group in goal.audited)
            logs.append(math.log(max(found.errors, 1.0) / max(true, 1.0)))
        if found.plans:
            drawn = [_draw(present, plan, rng) for plan in found.plans]
            decision, n_new = judged(run, present, found.plans, drawn)
            if decision.action != "continue":
                return Drawn(len(present.measured) + n_new, n_failed, logs)
            for places in drawn:
                learn(scored, present.batches(places, is_audit=True))
            audited = np.concatenate([audited, present.rows[np.concatenate(drawn)]])
            n_failed, risk, since = n_failed + 1, risk + look_risk([asdict(plan) for plan in found.plans]), 0
            present = of_run.after(audited)
        learn(scored, present.batches(rng.choice(len(present.rows), present.n_random, replace=False)))
        since += 1
    return Drawn(None, n_failed, logs)


def evidence(
    run: Run,
    present: Round,
    first_drawn: _Rows,
    scored: tuple[list[ScoredBatch], ...],
    looks: tuple[int, float, int],
) -> LookEvidence:
    """What a look is planned by; `looks` are the failed ones, their risk, and the batches since."""
    n_batch, growth = len(present.top) + present.n_random, run.config.acquisition.growth
    n_failed, risk, since = looks
    counts = run.counts(present)
    drawn = RandomHits(len(first_drawn), sum(run.n_hits(first_drawn)), len(present.measured), counts.n_hits)
    return LookEvidence(
        counts=counts,
        n_observed=len(present.measured),
        batch_size=n_batch,
        n_batch=n_batch,
        n_random=present.n_random,
        n_affordable=len(present.rows),
        rule_counts=True,
        histogram=present.histogram,
        scored=tuple(map(tuple, scored)),
        failed_looks=n_failed,
        risk_spent=risk,
        batches_since_look=batches_worth(since, growth, since),
        first_batch=None if growth == 1.0 else run.n_first,
        first_draw=drawn if run.goal.knows_hits else None,
    )


def outlook(run: Run, present: Round, seen: LookEvidence, *, is_known: bool = False) -> LookOutlook:
    """Whether to look, by forecasts, or, once there is one, as if the losses were known."""
    if not is_known or not any(seen.scored):
        return forecast_look(seen, run.config.stopping, run.goal)
    known = []
    for within in map(present.group, present.groups):
        losses, top = present.loss[within], present.top[(present.top >= within.start) & (present.top < within.stop)]
        random = losses.sum() * present.n_random / len(present.rows)
        known.append(Forecast(float(losses.sum()), float(present.loss[top].sum() + random)))
    return look_by(known, seen, run.config.stopping, run.goal)


def _draw(present: Round, plan: LookPlan, rng: np.random.Generator) -> _Rows:
    within = present.group(plan.group)
    return within.start + rng.choice(within.stop - within.start, plan.size, replace=False)


def judged(run: Run, present: Round, plans: tuple[LookPlan, ...], drawn: list[_Rows]) -> tuple[StopDecision, int]:
    """What a look decides, and the rows that it and its finish measure."""
    taken = present.rows[present.group(HITS)] if run.goal.takes_hits else np.empty(0, np.int64)
    outside = np.concatenate([present.measured, taken])
    hits = run.n_hits(outside)
    plans = run.goal.settle(plans, hits, len(outside) - sum(hits))
    audits = [
        Audit(places - present.group(plan.group).start, present.loss[places], np.ones(len(places), np.bool_))
        for plan, places in zip(plans, drawn, strict=True)
    ]
    decision = decide_look(plans, audits, run.goal, hits, len(present.rows))
    n_finish = decision.n_finish or 0
    n_new = sum(
        min(n_finish, plan.n_inference) - audit.n_known(n_finish) for plan, audit in zip(plans, audits, strict=True)
    )
    return decision, len(taken) + sum(map(len, drawn)) + n_new


def learn(scored: tuple[list[ScoredBatch], ...], batches: list[ScoredBatch | None]) -> None:
    """Take in the batches of each group."""
    for of_group, batch in zip(scored, batches, strict=True):
        if batch is not None:
            of_group.append(batch)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of simulations.")
    parser.add_argument("--gamma", nargs="+", type=float, required=True, help="Levels to certify.")
    parser.add_argument("--draws", type=int, default=40, help="Screens of each run and level.")
    parser.add_argument("--known", action="store_true", help="Plan looks by the true losses: what forecasts may save.")
    options = parser.parse_args()
    print(
        "| run | level | wells, mean | median | failed looks | not certified | forecast, mean log | deviation |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for folder in options.runs:
        run = Run.of(folder)
        if not run.rounds or run.goal.outputs:
            sys.exit(f"{folder}: no round with a model before its first look, or a claim about each output")
        for gamma in options.gamma:
            asked = run.asking(gamma)
            generators = map(np.random.default_rng, range(options.draws))
            drawn = [screen(asked, rng, is_known=options.known) for rng in generators]
            wells = np.array([found.wells / len(run.labels) for found in drawn if found.wells is not None])
            logs = np.concatenate([found.logs for found in drawn])
            error = wells.std() / math.sqrt(max(len(wells), 1))
            print(
                f"| {folder.name} | {gamma:g} | {wells.mean():.2%} ± {error:.2%} | {np.median(wells):.2%} "
                f"| {np.mean([found.failed for found in drawn]):.2f} | {len(drawn) - len(wells)} "
                f"| {logs.mean():+.2f} | {logs.std():.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
