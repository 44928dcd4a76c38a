"""Batches that grow: their sizes, what is weighed in them, and the same screen after a kill."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.setup import earliest_stop
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.core import stopping
from isd_ray.core.certify import LONGEST_SKIP
from isd_ray.core.growth import batches_worth, grown
from isd_ray.core.scored import ScoredBatch
from isd_ray.core.trigger import forecast_trend
from isd_ray.errors import ConfigError
from isd_ray.ops.simulate import simulate
from isd_ray.plates.layout import batch_size, plate_layout

N = 900
TIMES = ["fit_seconds", "score_seconds", "round_seconds"]
PLATED = {
    "acquisition": {"batch_size": None, "n_plates": 2, "growth": 1.5},
    "plates": {"format": 96, "edge": 1, "negative": {"columns": [2]}, "replicates": 2},
}


def test_a_batch_is_the_first_one_times_the_growth_to_the_number_of_its_round():
    assert [grown(400, 1.6, number) for number in range(5)] == [400, 640, 1024, 1638, 2621]
    assert [grown(10, 1.0, number) for number in (0, 7, 10**6)] == [10, 10, 10]
    assert grown(3, 1.1, 1) == 3
    assert grown(5, 1.1, 1) == 6, "5.5 is rounded up"


@pytest.mark.parametrize("growth", [1.0, 1.3, 10.0])
def test_a_batch_never_falls_below_the_first_nor_beyond_the_share_of_what_is_left(growth):
    sizes = [grown(50, growth, number, most) for number in (0, 1, 5, 10**6) for most in (10.0, 50.0, 99.9, 1e4)]
    assert min(sizes) == 50
    assert all(grown(50, growth, number, 120.7) <= 120 for number in (0, 3, 10**6))


def test_the_first_batch_is_as_configured_and_a_grown_one_takes_a_quarter_of_what_is_left(make_config):
    config = make_config(acquisition={"batch_size": 40, "growth": 2.0})
    sections = config.acquisition, config.plates
    assert [batch_size(*sections, number, 1000) for number in range(5)] == [40, 80, 160, 250, 250]
    assert batch_size(*sections, 4, 100) == 40, "at the end batches are as large as the first again"


def test_a_batch_of_plates_grows_by_whole_plates(make_config):
    config = make_config(**PLATED)
    sections = config.acquisition, config.plates
    on_a_plate = plate_layout(config.plates, 0, 0).capacity // 2
    assert [batch_size(*sections, number) / on_a_plate for number in range(5)] == [2, 3, 5, 7, 10]
    assert batch_size(*sections, 4, 4 * 6 * on_a_plate + 3) == 6 * on_a_plate


@pytest.mark.parametrize("growth", [0.9, 11.0, math.inf, math.nan])
def test_a_growth_that_makes_no_sense_is_refused(growth, make_config):
    with pytest.raises(ConfigError, match=r"acquisition\.growth"):
        make_config(acquisition={"growth": growth})


def test_a_configuration_of_before_grows_not_at_all(make_config):
    stored = make_config().model_dump(mode="json")
    del stored["acquisition"]["growth"]
    assert CampaignConfig.from_stored(stored).acquisition.growth == 1.0


def test_later_batches_count_as_so_many_of_the_size_at_the_look():
    assert [batches_worth(n, 1.0, LONGEST_SKIP) for n in range(12)] == [*range(9), 8, 8, 8]
    assert [batches_worth(n, 1.6, LONGEST_SKIP) for n in range(4)] == [0, 1, 4, 8]
    assert batches_worth(10**6, 10.0, LONGEST_SKIP) >= LONGEST_SKIP


def test_the_age_of_batches_is_told_by_the_first_size_however_large_the_next_one_is():
    def batch(n_observed: int, n: int) -> ScoredBatch:
        rank = np.arange(n, dtype=np.float64)
        wrong = (rank % 3 == 0).astype(np.float64)
        return ScoredBatch(2000 - n_observed, n_observed, rank / n, rank, wrong, np.arange(n) % 10 == 0)

    batches, common = [batch(100, 160), batch(260, 256)], (516, 1484)
    first, second = (forecast_trend(batches, *common, n_batch, 40, 100) for n_batch in (410, 800))
    assert first is not None and second is not None  # noqa: PT018
    assert first.errors == second.errors
    assert forecast_trend(batches, *common, 410, 40).errors != first.errors
    assert forecast_trend(batches, *common, 90, 40, 100).errors == forecast_trend(batches, *common, 90, 40).errors


# --- a whole screen -------------------------------------------------------------------------------------------------


def growing(make_config, rule: str = "certify", **stopping) -> CampaignConfig:
    acquisition = {"batch_size": 60, "growth": 1.4, "random_share": 0.2}
    return make_config(
        acquisition=acquisition, stopping={"rule": rule, "gamma": 0.87, **stopping}, model={"members": 1}
    )


def sizes_until(rounds: list[dict], n_rounds: int) -> list[int]:
    """By plain code: a quarter of what is left, or 60 * 1.4^r, whichever is less, and 60 at least."""
    return [
        max(60, min(math.floor(60 * 1.4 ** row["round"] + 0.5), math.floor(row["n_inference"] / 4)))
        for row in rounds[:n_rounds]
    ]


def test_a_screen_measures_batches_that_grow_and_as_large_a_share_of_them_at_random(make_config, tmp_path):
    config = growing(make_config, "none", max_compounds=700)
    rounds = simulate(config, tmp_path / "run").rounds.to_pylist()
    n_full = len(rounds) - 2  # the last batch is what the budget leaves, and after it there is none
    assert n_full >= 4
    assert [row["n_batch"] for row in rounds[:n_full]] == sizes_until(rounds, n_full)
    assert [row["n_random"] for row in rounds[1:n_full]] == [round(0.2 * row["n_batch"]) for row in rounds[1:n_full]]
    assert rounds[-1]["n_acquired"] == 700


def test_an_audit_is_weighed_in_batches_of_its_round(make_config, tmp_path, monkeypatch):
    seen, ages = [], set()
    forecast, blend = Backend.forecast_look, stopping.forecast_blend

    def watch(self, evidence):
        seen.append((evidence.batch_size, evidence.batches_since_look))
        return forecast(self, evidence)

    def watch_blend(scored, histogram, n_observed, n_batch, n_random, n_first, **options):
        ages.add(n_first)
        return blend(scored, histogram, n_observed, n_batch, n_random, n_first, **options)

    monkeypatch.setattr(Backend, "forecast_look", watch)
    monkeypatch.setattr(stopping, "forecast_blend", watch_blend)
    rounds = simulate(growing(make_config), tmp_path / "run").rounds.to_pylist()
    sizes = sizes_until(rounds, len(seen) + 1)[1:]
    assert seen == [(size, batches_worth(number, 1.4, LONGEST_SKIP)) for number, size in enumerate(sizes, 1)]
    assert len({size for size, _ in seen}) > 2
    assert ages == {60}


def test_a_growing_screen_killed_at_any_step_ends_in_the_same_rounds(make_config, tmp_path):
    class Keep(Watcher):
        n = 0

        def step(self, name, progress):
            self.n += 1
            shutil.copytree(tmp_path / "run", tmp_path / f"at-{self.n}")

    config, keep = growing(make_config), Keep()
    finished = simulate(config, tmp_path / "run", keep)
    assert finished.rounds.num_rows >= 4
    for number in range(1, keep.n, 3):
        resumed = simulate(config, tmp_path / f"at-{number}")
        assert resumed.rounds.drop(TIMES).equals(finished.rounds.drop(TIMES)), number
        assert resumed.hybrid.equals(finished.hybrid)


def test_random_selection_that_a_screen_is_held_against_does_not_grow(make_config, tmp_path):
    config = growing(make_config, "none", max_compounds=300)
    config = config.model_copy(update={"simulation": config.simulation.model_copy(update={"random_baseline": True})})
    result = simulate(config, tmp_path / "run")
    rounds = pq.read_table(tmp_path / "run" / "random-baseline" / "rounds.parquet")
    assert len(set(rounds["n_batch"].to_pylist()[:-1])) == 1
    assert result.summary["random_baseline"]["fraction_at_equal_accuracy"] > 0


# --- the paper's rule -----------------------------------------------------------------------------------------------


def test_with_growing_batches_the_paper_rule_can_stop_earlier(make_config):
    def earliest(config):
        return earliest_stop(config.stopping, config.acquisition, config.plates, 100_000)

    stopping = {"rule": "paper", "gamma": 0.99}
    flat, grows = (
        make_config(acquisition={"batch_size": 50, "growth": growth}, stopping=stopping) for growth in (1.0, 1.5)
    )
    assert earliest(flat) == pytest.approx(0.83, abs=0.01)
    # Of 1.5^r: the batch of round 5 has 380, from which on 0.99 can be shown of nothing measured.
    assert earliest(grows) == pytest.approx(sum(50 * 1.5**r for r in range(5)) / 100_000, abs=0.001)
