"""Stock and prices: what cannot be had is never asked for, money is never exceeded, and no draw looks at a price."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.batch import Selection, unscored
from isd_ray.campaign.budget import Budget
from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.history import History
from isd_ray.campaign.oracle import Readouts, unplated
from isd_ray.campaign.round_files import Attempt
from isd_ray.campaign.setup import check
from isd_ray.campaign.steps.score import random_count
from isd_ray.campaign.stock import out_of_stock, prices_of
from isd_ray.core.goals import goal_for
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify

N = 900
FAST = {"hidden_size": 8, "epochs": 2, "members": 1}


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, str]:
    table = pyarrow.csv.read_csv(compounds)
    return dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def stocked(compounds, tmp_path_factory):
    """A library of the compounds with amounts and prices: every ninth has none, every tenth an unknown amount."""
    rng, table = np.random.default_rng(3), pyarrow.csv.read_csv(compounds)
    places = np.arange(N)
    columns = {
        "stock": pa.array(np.where(places % 9 == 0, 0.0, 5.0 + places % 7), mask=places % 10 == 0),
        "price": pa.array(np.round(rng.lognormal(0.0, 0.7, N), 2)),
        "quoted": pa.array(np.ones(N), mask=places % 9 == 0),
        "supplier": pa.array([f"S{place % 3}" for place in places]),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    folder = tmp_path_factory.mktemp("stocked")
    pyarrow.csv.write_csv(table, folder / "compounds.csv")
    return {
        "source": str(folder / "compounds.csv"),
        "path": str(folder / "library"),
        "columns": ["size", *columns],
    }


@pytest.fixture
def make(make_config, stocked):
    def config(**changes):
        return make_config(**{"library": stocked, "model": FAST, "labels": {"classes": ["BBB+", "BBB-"]}, **changes})

    return config


@pytest.fixture
def library(make, stocked, tmp_path) -> Library:
    Campaign.create(tmp_path / "built", make())
    return Library.open(stocked["path"])


def asked(store, library, column="price"):
    """Prices of the compounds of every batch, round by round."""
    return [library.column(column, files.read_batch()["row"].to_numpy()) for files in store.rounds()]


# --- stock ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, lambda n: n % 9 == 0 or n % 10 == 0),
        ({"unknown_stock": "enough"}, lambda n: n % 9 == 0 and n % 10 != 0),
        ({"min_stock": 8.0}, lambda n: n % 9 == 0 or n % 10 == 0 or n % 7 < 3),
    ],
)
def test_what_is_out_of_stock_follows_the_configuration(settings, expected, make, library):
    config = make(acquisition={"stock_column": "stock", **settings})
    places = np.array([int(name[1:]) for name in library.ids()])
    assert np.isin(np.arange(N), out_of_stock(config.acquisition, library)).tolist() == [
        expected(n) for n in places.tolist()
    ]


def test_out_of_stock_compounds_leave_the_target_set_before_the_first_batch(make, tmp_path):
    """With the reason on record; neither measured nor predicted, and the certificate says that it is not of them."""
    config = make(
        acquisition={"stock_column": "stock"},
        stopping={"rule": "certify", "gamma": 0.75},
        model={"hidden_size": 32, "epochs": 6},
    )
    result = simulate(config, tmp_path / "run")
    gone = {f"C{n:04d}" for n in range(N) if n % 9 == 0 or n % 10 == 0}
    hybrid = result.hybrid.to_pylist()
    assert {line["id"] for line in hybrid if line["source"] == "excluded"} == gone
    assert all(line["label"] is None for line in hybrid if line["id"] in gone)
    assert result.summary["n_target"] == N - len(gone)
    campaign = Campaign.open(tmp_path / "run")
    first = campaign.store.events()[0]
    assert (first["kind"], first["n"]) == ("exclude", len(gone))
    assert first["reason"] == "out of stock: stock is 0 or missing"
    assert first["sequence"] < next(
        event["sequence"] for event in campaign.store.events() if event["kind"] == "release"
    )
    certificate = campaign.store.certificate()
    assert (certificate["n_target"], certificate["n_excluded"]) == (N - len(gone), len(gone))
    assert any("nothing is claimed of them" in line for line in certificate_lines(certificate))
    assert verify(campaign.store).is_sound


def test_stock_is_noted_once_and_what_comes_back_is_asked_for(make, truth, tmp_path):
    config = make(acquisition={"stock_column": "stock", "batch_size": 60}, stopping={"rule": "certify"})
    campaign = Campaign.create(tmp_path / "run", config)
    n_gone, back = campaign.status().counts["EXCLUDED"], ["C0000", "C0009", "C0010"]
    assert campaign.include(back, "a new delivery") == 3
    Campaign.create(tmp_path / "run", config)
    first = campaign.ask().ids
    campaign.tell({name: truth[name] for name in first})
    assert [event["kind"] for event in campaign.store.events()].count("exclude") == 1
    assert set(back) <= {*first, *campaign.ask().ids}
    assert campaign.status().counts["EXCLUDED"] == n_gone - 3


# --- prices ---------------------------------------------------------------------------------------------------------

ENDS = [
    {"rule": "none", "max_cost": 300.0},
    {"rule": "certify", "gamma": 0.75, "max_cost": 400.0},
    {"rule": "certify", "gamma": 0.75, "max_cost": 900.0, "reserve_audit": True},
    {"rule": "reserved", "gamma": 0.85, "max_cost": 400.0, "reserve_size": 60},
]


@pytest.mark.parametrize("stopping", ENDS, ids=str)
def test_money_is_never_exceeded(stopping, make, tmp_path):
    settings = {**stopping, "cost_column": "price"}
    result = simulate(make(stopping=settings, acquisition={"batch_size": 60}), tmp_path / "run")
    campaign = Campaign.open(tmp_path / "run")
    prices = asked(campaign.store, campaign.library)
    spent = np.cumsum([batch.sum() for batch in prices])
    assert spent[-1] <= stopping["max_cost"]
    assert result.rounds["spent"].to_pylist() == pytest.approx(spent.tolist())
    assert result.summary["spent"] == pytest.approx(spent[-1])
    if stopping["rule"] == "none":
        dearest = campaign.library.column("price").max()
        assert spent[-1] > stopping["max_cost"] - 2 * dearest
    if stopping.get("reserve_audit"):
        # The wells kept were enough for the last look.
        assert any(files.released["look"] for files in campaign.store.rounds())


def test_wells_without_a_readout_are_paid(make, truth, tmp_path):
    stopping = {"rule": "none", "max_cost": 200.0, "cost_per_compound": 1.0}
    campaign = Campaign.create(tmp_path / "run", make(stopping=stopping, acquisition={"batch_size": 60}))
    n_asked = 0
    while n_asked <= 200 and (batch := campaign.ask()) is not None:
        n_asked += len(batch)
        campaign.fail(batch.ids[:20], "no signal")
        if len(batch) > 20:
            campaign.tell({name: truth[name] for name in batch.ids[20:]})
    assert n_asked == 200
    rounds = pq.read_table(campaign.path / "rounds.parquet").to_pylist()
    assert rounds[-1]["spent"] == 200.0
    assert rounds[-1]["n_acquired"] == 200 - 20 * 4


def test_random_rows_and_audits_are_the_same_whatever_they_cost(make, tmp_path):
    """Random rows of every round up to the first audit, and this, at one price and at prices of all sizes."""
    drawn = []
    for name, price in (("flat", {"cost_per_compound": 1.0}), ("uneven", {"cost_column": "price"})):
        stopping = {"rule": "certify", "gamma": 0.75, "max_cost": 5000.0, **price}
        config = make(stopping=stopping, model={"hidden_size": 32, "epochs": 6})
        simulate(config, tmp_path / name)
        batches = [files.read_batch() for files in Campaign.open(tmp_path / name).store.rounds()]
        lines = [line for batch in batches for line in batch.select(["row", "role"]).to_pylist()]
        drawn.append([(line["row"], line["role"]) for line in lines if line["role"] in ("initial", "random", "audit")])
    assert drawn[0] == drawn[1]
    assert {role for _, role in drawn[0]} == {"initial", "random", "audit"}


@pytest.mark.parametrize("seed", range(12))
def test_a_budget_is_never_exceeded_and_never_given_up_too_early(seed, make):
    """Adversaries choose the best-scored rows: the dearest, the cheapest, or any; some wells are lost."""
    rng = np.random.default_rng(seed)
    prices = rng.choice([0.0, 1.0, 1.5, 4.0, 30.0], N, p=[0.05, 0.5, 0.3, 0.13, 0.02])
    limit = float(rng.uniform(200.0, 900.0)) + 1000.0 * (seed % 2)
    kept = {"reserve_audit": True, "gamma": 0.8, "delta": 0.2, "rule": "none"} if seed % 2 else {"rule": "none"}
    config = make(stopping={"max_cost": limit, "cost_per_compound": 1.0, **kept}, acquisition={"batch_size": 50})
    history = History(goal_for(config.stopping, config.task, ("BBB+", "BBB-")), N)
    budget = Budget(config.stopping, config.acquisition, config.plates, history, prices)
    n_kept = budget.look(True, 0) - budget.look(False, 0)
    for number in range(200):
        n_batch, n_drawn = budget.batch(number), budget.draw(number)
        if n_batch == 0:
            break
        random = history.sets.draw(min(random_count(n_batch, 0.3), n_drawn), int(rng.integers(1 << 30)))
        left = np.setdiff1d(np.flatnonzero(history.sets.is_left(np.arange(N))), random)
        key = (prices[left], -prices[left], rng.random(len(left)))[seed % 3]
        rows = np.concatenate([random, left[np.argsort(key, kind="stable")][: n_batch - len(random)]])
        n_paid = budget.within(rows, number)
        assert n_paid >= max(1, len(random))
        rows = rows[:n_paid]
        labels = np.where(rng.random(n_paid) < 0.1, np.nan, 0.0)
        readouts = Readouts(labels, labels, unplated(n_paid))
        history.observe(Attempt(number, Path("unused")), Selection.of(unscored(rows), "top"), readouts, {}, number)
        assert budget.spent == pytest.approx(prices[history.asked].sum())
        dearest = np.sort(prices[np.flatnonzero(history.sets.is_left(np.arange(N)))])[::-1]
        assert budget.spent + dearest[:n_kept].sum() <= limit * (1 + 1e-9)
    else:
        pytest.fail("the budget never ends")
    if history.sets.n_inference > n_kept:
        assert budget.spent_on(number) == (f"{limit:,.10g} in money",)
    assert budget.spent + dearest[: n_kept + 1].sum() > limit or history.sets.n_inference <= n_kept
    # The audit that was kept can be paid, whatever is drawn.
    assert budget.look(True, 0) >= min(n_kept, history.sets.n_inference)


def test_missing_prices_are_filled_or_refused(make, library):
    def priced(**changes):
        return make(stopping={"rule": "none", "max_cost": 100.0, "cost_column": "quoted", **changes})

    def prices(config):
        return prices_of(config.stopping, config.acquisition, config.replicates, library)

    with pytest.raises(LibraryError, match="100 compounds have no price"):
        prices(priced())
    filled = prices(priced(cost_per_compound=3.0))
    assert np.bincount(filled.astype(int)).tolist() == [0, 800, 0, 100]
    in_stock = make(
        stopping={"rule": "none", "max_cost": 100.0, "cost_column": "quoted"},
        acquisition={"stock_column": "stock"},
    )
    assert prices(in_stock).max() == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stopping": {"rule": "none", "max_cost": 9.0, "cost_column": "supplier"}}, "holds text, not numbers"),
        ({"acquisition": {"stock_column": "supplier"}}, "holds text, not numbers"),
        ({"acquisition": {"stock_column": "size", "min_stock": 1e9}}, "no compound is in stock"),
    ],
)
def test_columns_that_do_not_say_it_are_refused(changes, message, make, library):
    with pytest.raises(LibraryError, match=message):
        check(make(**changes), library)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"acquisition": {"stock_column": "amount"}}, "add it to `library.columns`"),
        ({"stopping": {"max_cost": 9.0, "cost_column": "fee"}}, "add it to `library.columns`"),
        ({"acquisition": {"min_stock": 1.0}}, "go with `stock_column`"),
        ({"acquisition": {"n_plates": 2}}, "give one of them"),
        ({"acquisition": {"batch_size": None}}, "give one of them"),
        ({"acquisition": {"batch_size": None, "n_plates": 2}}, r"needs \[plates\]"),
        ({"stopping": {"cost_column": "price"}}, "give both or neither"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message, make):
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_uneven_prices_are_warned_about(make, library):
    settings = {"rule": "none", "max_cost": 60.0, "cost_column": "price"}
    assert any("prices are uneven" in warning for warning in check(make(stopping=settings), library))


# --- one library for all --------------------------------------------------------------------------------------------


def test_campaigns_share_a_library_and_write_nothing_into_it(make, library, truth, stocked, tmp_path):
    """Two campaigns, asked and told by turns, select what each selects alone, and no file of the library changes."""

    def content():
        files = [file for file in sorted(library.path.rglob("*")) if file.is_file()]
        return [(str(file), file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]

    def settings(seed):
        return make(seed=seed, stopping={"rule": "none", "max_compounds": 120}, acquisition={"batch_size": 40})

    before = content()
    alone = Campaign.create(tmp_path / "alone", settings(1))
    alone.run(lambda batch: {name: truth[name] for name in batch.ids})
    campaigns = [Campaign.create(tmp_path / str(seed), settings(seed)) for seed in (1, 2)]
    while batches := [(campaign, batch) for campaign in campaigns if (batch := campaign.ask()) is not None]:
        for campaign, batch in batches:
            campaign.tell({name: truth[name] for name in batch.ids})
    assert content() == before
    ids = [[files.read_batch()["id"].to_pylist() for files in one.store.rounds()] for one in (alone, *campaigns)]
    assert ids[0] == ids[1]
    assert ids[1] != ids[2]
    assert json.loads((campaigns[1].path / "summary.json").read_text())["n_acquired"] == 120
