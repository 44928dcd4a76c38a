"""Screens with other random rows, from the models of a finished one: with its own rows they forecast what it did."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.core.looks import LookPlan
from isd_ray.ops.simulate import simulate
from tests.benchmarks import redrawn

NEVER = {"rule": "certify", "gamma": 0.999, "max_fraction": 0.7}
RECALL = {**NEVER, "quantity": "recall", "positive": "BBB-"}


@pytest.fixture(scope="module", params=["accuracy", "recall", "panel"])
def finished(request, make_config, panel_file, tmp_path_factory):
    """A screen that hardly looks, and what its models say."""
    changes = {"stopping": RECALL if request.param == "recall" else NEVER, "acquisition": {"batch_size": 50}}
    if request.param == "panel":
        changes |= {"task": "panel", "labels": {"column": None, "columns": ["has_*"], "source": str(panel_file)}}
    folder = tmp_path_factory.mktemp(request.param) / "run"
    simulate(make_config(**changes), folder)
    return folder, redrawn.Run.of(folder)


def test_with_its_own_random_rows_a_screen_forecasts_the_errors_that_it_did(finished):
    folder, run = finished
    batches = [files.read_batch() for files in CampaignStore.open(folder).rounds()]
    rows = pq.read_table(folder / "rounds.parquet").to_pylist()
    recorded = [row["forecast_errors"] for row in rows]
    first = batches[0]["row"].to_numpy()
    scored = tuple([] for _ in range(run.goal.n_groups))
    assert len(run.rounds) > 3
    for number, present in enumerate(run.rounds, 1):
        found = redrawn.outlook(run, present, redrawn.evidence(run, present, first, scored, (0, 0.0, number)))
        assert found.errors == (recorded[number] and pytest.approx(recorded[number], rel=1e-6))
        roles = np.array(batches[number]["role"].to_pylist())
        own = np.flatnonzero(np.isin(present.rows, batches[number]["row"].to_numpy()[roles == "random"]))
        redrawn.learn(scored, present.batches(own))
    true_from = [row["fraction_acquired"] for row in rows if row["system_value"] and row["system_value"] > 0.85]
    assert run.asking(0.85).true_from == true_from[0]


def test_rows_that_its_audits_measured_leave_the_order_of_a_screen(finished):
    _, run = finished
    before = run.rounds[2]
    audited = np.concatenate([before.rows[::7], before.measured[:3]])
    after = before.after(audited)
    assert set(after.rows) == set(before.rows) - set(audited)
    assert set(after.measured) == set(before.measured) | set(audited)
    assert len(after.measured) + len(after.rows) == len(run.labels)
    assert set(after.rows[after.top]) == set(before.rows[before.top]) - set(audited)
    losses = dict(zip(before.rows.tolist(), before.loss.tolist(), strict=True))
    assert after.loss.tolist() == [losses[row] for row in after.rows.tolist()]
    for group in after.groups:
        was, now = before.rows[before.group(group)], after.rows[after.group(group)]
        assert now.tolist() == [row for row in was.tolist() if row not in set(audited.tolist())]


def test_a_look_costs_the_rows_that_it_measures_each_once(finished):
    _, run = finished
    asked, rng = run.asking(0.9), np.random.default_rng(0)
    finishes = []
    for present in run.rounds[2:]:
        within = present.group(0)
        n = within.stop - within.start
        sampled = min(30, n)
        allowed = asked.goal.allowances(asked.counts(present), (0.0,) * asked.goal.n_groups)[0]
        drawn = within.start + rng.choice(n, sampled, replace=False)
        plan = LookPlan(1, 0.04, sampled, n, allowed, "any", n, expected_loss=(0.1, 0.1), credit=True)
        hits = present.rows[present.group(1)] if asked.goal.takes_hits else np.empty(0, np.int64)
        decision, n_new = redrawn.judged(asked, present, (plan,), [drawn])
        finish = present.rows[within][: decision.n_finish or 0]
        finishes.append(len(finish))
        assert n_new == len(np.unique(np.concatenate([hits, present.rows[drawn], finish])))
    assert not asked.goal.is_exact or max(finishes) > 0


def test_screens_are_certified_by_looks_of_their_own(finished):
    _, run = finished
    asked = run.asking(0.85)
    found = [redrawn.screen(asked, np.random.default_rng(seed), is_known=True) for seed in range(8)]
    wells = [drawn.wells for drawn in found if drawn.wells is not None]
    assert len(wells) > 4
    assert all(len(run.rounds[0].measured) < n <= len(run.labels) for n in wells)
    harder = [redrawn.screen(run.asking(0.95), np.random.default_rng(seed), is_known=True) for seed in range(8)]
    assert np.mean([drawn.wells or len(run.labels) for drawn in harder]) > np.mean(
        [drawn.wells or len(run.labels) for drawn in found]
    )
