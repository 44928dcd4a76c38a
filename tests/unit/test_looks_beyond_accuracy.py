"""Looks at other quantities, and reserved audits, in whole campaigns.

What is claimed follows from the stored files by plain code, and is true.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.core.certify import LookVerdict, reserve_size
from isd_ray.core.goals import ScreenCounts, accuracy, goal_for
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.core.stopping import RandomSample, random_bound
from isd_ray.models import fit
from isd_ray.ops.simulate import SimulationResult, simulate
from isd_ray.storage.files import sha256_file

TIMES = ["fit_seconds", "score_seconds", "round_seconds"]
N = 900
LONGER = {"epochs": 12}
VALUES = {
    "task": "regression",
    "labels": {"column": "size"},
    "acquisition": {"function": "variance", "random_share": 0.1},
}
HALVES = {"first_look_share": 0.5}
"""The first look of five spends 0.025."""
CASES = {
    "recall": {
        "model": LONGER,
        "acquisition": {"batch_size": 90, "function": "least_confidence"},
        "stopping": {**HALVES, "rule": "certify", "quantity": "recall", "gamma": 0.8, "positive": "BBB-"},
    },
    "precision": {
        "model": LONGER,
        "stopping": {**HALVES, "rule": "certify", "quantity": "precision", "gamma": 0.8, "positive": "BBB+"},
    },
    "balanced_accuracy": {
        "model": LONGER,
        "stopping": {**HALVES, "rule": "certify", "quantity": "balanced_accuracy", "gamma": 0.85, "positive": "BBB-"},
    },
    "mae": {**VALUES, "stopping": {**HALVES, "rule": "certify", "quantity": "mae", "max_loss": 5.0, "loss_clip": 20.0}},
    "mse": {
        **VALUES,
        "stopping": {**HALVES, "rule": "certify", "quantity": "mse", "max_loss": 80.0, "loss_clip": 20.0},
    },
    "reserved": {"stopping": {**HALVES, "rule": "reserved", "gamma": 0.8}},
    "reserved_finish": {"model": LONGER, "stopping": {**HALVES, "rule": "reserved", "gamma": 0.85}},
}
QUANTITIES = [name for name in CASES if not name.startswith("reserved")]
RESERVES = [name for name in CASES if name.startswith("reserved")]
POSITIVE = {"recall": "BBB-", "precision": "BBB+", "balanced_accuracy": "BBB-"}


class Snapshots(Watcher):
    """Copies the run's folder between two steps: what a process that is killed there leaves behind."""

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run.with_name("snapshots")

    def step(self, name, progress) -> None:
        shutil.copytree(self.run, self.folder / f"{progress.round}-{progress.state}", dirs_exist_ok=True)


@dataclass
class Screen:
    """A finished campaign and what plain code needs of it."""

    config: CampaignConfig
    result: SimulationResult
    truth: np.ndarray

    @property
    def path(self) -> Path:
        return self.result.path

    @property
    def certificate(self) -> dict:
        return json.loads((self.path / "certificate.json").read_text())

    @property
    def rounds(self) -> list[dict]:
        return self.result.rounds.to_pylist()

    @property
    def look(self) -> dict:
        """The round of the passed look."""
        return self.rounds[self.certificate["look"]["round"]]

    def attempt(self, number: int) -> Path:
        [folder] = self.path.glob(f"rounds/{number:05d}/attempt-*")
        return folder

    def released(self, number: int) -> dict:
        return json.loads((self.attempt(number).parent / "batch.json").read_text())

    def batch(self, number: int) -> pa.Table:
        return pq.read_table(self.attempt(number) / "batch.parquet")

    def rows(self, number: int, role: str) -> np.ndarray:
        batch = self.batch(number)
        return batch.filter(pa.compute.equal(batch["role"], role))["row"].to_numpy()

    def measured_before(self, number: int) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int64), *(self.batch(t)["row"].to_numpy() for t in range(number))])

    def frozen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, predictions and uncertainties written before the look's batch was released."""
        files = sorted((self.attempt(self.look["round"]) / "predictions").iterdir())
        assert {file.name: sha256_file(file) for file in files} == self.released(self.look["round"])["predictions"]
        table = pa.concat_tables([pq.read_table(file) for file in files])
        return table["row"].to_numpy(), table["prediction"].to_numpy(), table["uncertainty"].to_numpy()

    def order(self, rows, uncertainty) -> np.ndarray:
        """Positions by decreasing uncertainty, ties by the seeded key of the look's round."""
        return np.lexsort([tie_keys(derive_seed(0, "tie", self.look["round"]), rows), -uncertainty])


@pytest.fixture(scope="module")
def screens(make_config, compounds, tmp_path_factory):
    """Runs each campaign when it is first asked for, with snapshots of every step."""
    done: dict[str, Screen] = {}
    table = pa.csv.read_csv(compounds)
    is_minus = (np.array(table["bbb"].to_pylist()) == "BBB-").astype(float)

    def screen(name: str) -> Screen:
        if name not in done:
            config, out = make_config(**CASES[name]), tmp_path_factory.mktemp(name) / "run"
            truth = table["size"].to_numpy() if config.task == "regression" else is_minus
            done[name] = Screen(config, simulate(config, out, Snapshots(out)), truth)
        return done[name]

    return screen


def pvalue(errors, n, bad, m):
    """P(at most `errors` bad rows among m of n) if `bad` of the n rows are."""
    if bad > n:
        return 0.0
    if bad <= errors:
        return 1.0
    return sum(math.comb(bad, e) * math.comb(n - bad, m - e) for e in range(errors + 1)) / math.comb(n, m)


def true_value(screen: Screen) -> float:
    """The claimed quantity of the delivered hybrid screen, from its lines."""
    quantity, hybrid = screen.config.stopping.quantity, screen.result.hybrid
    if screen.config.task == "regression":
        error = np.minimum(np.abs(hybrid["value"].to_numpy() - screen.truth), 20.0)
        return float(np.square(error).mean() if quantity == "mse" else error.mean())
    delivered, truth = np.array(hybrid["label"].to_pylist()), np.array(["BBB+", "BBB-"])[screen.truth.astype(int)]
    if quantity == "accuracy":
        return float((delivered == truth).mean())
    hit, other = POSITIVE[quantity], {"BBB-": "BBB+", "BBB+": "BBB-"}[POSITIVE[quantity]]
    recall = (delivered[truth == hit] == hit).mean()
    if quantity == "balanced_accuracy":
        return float(recall + (delivered[truth == other] == other).mean()) / 2
    return float(recall if quantity == "recall" else (truth[delivered == hit] == hit).mean())


def least_loss(screen: Screen) -> float:
    """Smallest mean clipped error of any value for every compound, by trying many."""
    error = np.minimum(np.abs(np.arange(0, 120, 0.01)[:, None] - screen.truth), 20.0)
    return float((np.square(error) if screen.config.stopping.quantity == "mse" else error).mean(axis=1).min())


# --- what is claimed, and that it is true ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_certificate_claims_what_the_configuration_asked_for(name, screens):
    screen = screens(name)
    certificate, asked = screen.certificate, screen.config.stopping
    constant, (low, high) = certificate["claim"].pop("constant"), certificate["claim"].pop("constant_range")
    assert "without any model" in constant
    assert low == high, "a simulation knows all labels"
    if name == "recall":
        assert low == pytest.approx(certificate["n_measured"] / N)
    elif name == "balanced_accuracy":
        assert low == 0.5
    elif asked.max_loss is not None:
        assert low == pytest.approx(least_loss(screen))
    else:
        assert low == pytest.approx((screen.truth == 0.0).mean())
    assert certificate["claim"] == {
        "quantity": asked.quantity,
        "level": asked.gamma if asked.max_loss is None else asked.max_loss,
        "words": goal_for(asked, screen.config.task, ("BBB+", "BBB-")).words,
        "tolerance": None,
        "clip": asked.loss_clip,
        "hit": POSITIVE.get(name),
        "n_outputs": None,
        "truth": None,
    }
    assert (certificate["delta"], certificate["rule"]) == (0.05, asked.rule)
    summary = screen.result.summary
    assert summary["claim"] == "certified by a random audit"
    assert summary["quantity"] == asked.quantity
    assert summary["accuracy_claimed"] == certificate["claim"]["level"]
    assert (summary["needed"], summary["accuracy_interval"]) == (None, None)
    assert set(screen.result.hybrid["certificate_id"].to_pylist()) == {certificate["certificate_id"]}
    assert f"With confidence 0.95 the {certificate['claim']['words']} in this" in " ".join(
        certificate_lines(certificate)
    )


@pytest.mark.parametrize("name", CASES)
def test_the_claim_is_true_of_the_delivered_screen(name, screens):
    screen = screens(name)
    value, level = true_value(screen), screen.certificate["claim"]["level"]
    assert screen.result.summary["system_value"] == pytest.approx(value, rel=1e-9)
    assert value <= level if screen.config.task == "regression" else value >= level
    hybrid = screen.result.hybrid
    sources = np.array(hybrid["source"].to_pylist())
    assert (sources == "measured").sum() == screen.certificate["n_measured"] == screen.result.summary["n_acquired"]
    if name in POSITIVE:
        hits = np.array(hybrid["label"].to_pylist()) == POSITIVE[name]
        assert screen.certificate["n_hits_measured"] == (hits & (sources == "measured")).sum()


def test_the_cases_are_no_easy_ones(screens):
    """Each look was at more rows than could be wrong at will, and found errors."""
    for name in CASES:
        groups = screens(name).certificate["audit"]["groups"]
        assert any(look["n_errors"] > 2 for look in screens(name).certificate["looks_spent"]), name
        share = 0.6 if name in ("mae", "mse") else 0.5
        # The last of a balanced accuracy comes where few rows are left.
        is_late = name == "balanced_accuracy"
        assert is_late or all(group["allowed"] < share * group["n_inference"] for group in groups), name
    assert screens("recall").look["n_finish"] > 0
    assert screens("reserved_finish").look["n_finish"] > 0


# --- the audit, drawn as promised -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUANTITIES)
def test_the_audit_is_a_seeded_draw_from_the_right_predictions(name, screens):
    screen = screens(name)
    number, (rows, prediction, _) = screen.look["round"], screen.frozen()
    assert rows.tolist() == np.setdiff1d(np.arange(N), screen.measured_before(number)).tolist()
    hit = {"recall": 1.0, "precision": 0.0, "balanced_accuracy": 1.0}.get(name, math.nan)
    is_hit = prediction == hit
    sources = {"recall": [~is_hit], "precision": [is_hit], "balanced_accuracy": [~is_hit, is_hit]}
    seed, expected = screen.certificate["audit"]["seed"], []
    assert seed == derive_seed(0, "audit", number)
    plan = json.loads((screen.attempt(number) / "plan.json").read_text())
    assert plan["audit_seed"] == seed
    groups = screen.certificate["audit"]["groups"]
    for inside, group, declared in zip(sources.get(name, [~is_hit]), groups, plan["look"], strict=True):
        assert (group["n_inference"], group["n"]) == (inside.sum(), declared["size"])
        expected += rows[inside][np.argsort(tie_keys(seed, rows[inside]))][: group["n"]].tolist()
    assert screen.rows(number, "audit").tolist() == expected
    hits = rows[is_hit].tolist() if name == "recall" else []
    assert sorted(screen.rows(number, "hit").tolist()) == hits
    assert set(screen.batch(number)["role"].to_pylist()) == ({"audit", "hit"} if hits else {"audit"})
    assert screen.look["n_batch"] == len(expected) + len(hits)


def test_all_predicted_hits_left_are_measured_with_a_look_at_the_recall(screens):
    screen = screens("recall")
    hybrid = screen.result.hybrid
    assert len(screen.rows(screen.look["round"], "hit")) > 20
    predicted = hybrid.filter(pa.compute.equal(hybrid["source"], "predicted"))
    assert set(predicted["label"].to_pylist()) == {"BBB+"}


# --- the decision, by plain code ------------------------------------------------------------------------------------


def check_finish(screen: Screen, order, audited, wrong, n, allowed, delta) -> None:
    """The cut that the look named is the one at which tests from the safe end first fail, and it was measured."""

    def passes(cut: int) -> bool:
        behind = audited[cut:]
        return n - cut <= allowed or pvalue(int(wrong[cut:][behind].sum()), n - cut, allowed + 1, behind.sum()) <= delta

    cut = screen.look["n_finish"]
    assert all(passes(later) for later in range(cut, n, 7))
    assert not cut or not all(passes(lower) for lower in range(cut - 3, cut))
    finish = screen.rows(screen.look["round"] + 1, "finish") if screen.look["decision"] == "finish" else []
    assert sorted(finish) == sorted(order[:cut][~audited[:cut]])
    assert not cut or f"passed with a finish of {len(finish)}" in screen.look["reason"]
    assert wrong[cut:].sum() - wrong[cut:][audited[cut:]].sum() <= allowed


def test_a_recall_follows_from_the_frozen_predictions_and_the_readouts(screens):
    screen = screens("recall")
    rows, prediction, uncertainty = screen.frozen()
    rows, uncertainty = rows[prediction != 1.0], uncertainty[prediction != 1.0]
    order = rows[screen.order(rows, uncertainty)]
    audit, number = screen.rows(screen.look["round"], "audit"), screen.look["round"]
    known = np.concatenate([screen.measured_before(number), screen.rows(number, "hit")])
    n_hits = int(screen.truth[known].sum())
    allowed = math.floor(Fraction(n_hits) * Fraction("0.2") / Fraction("0.8"))
    [group] = screen.certificate["audit"]["groups"]
    assert group["allowed"] == allowed
    assert group["n_errors"] == screen.truth[audit].sum()
    check_finish(screen, order, np.isin(order, audit), screen.truth[order] == 1.0, len(rows), allowed, 0.025)


def test_a_precision_follows_from_the_frozen_predictions_and_the_readouts(screens):
    screen = screens("precision")
    _, prediction, _ = screen.frozen()
    number = screen.look["round"]
    audit, n = screen.rows(number, "audit"), int((prediction == 0.0).sum())
    n_hits = int((screen.truth[screen.measured_before(number)] == 0.0).sum())
    errors = int((screen.truth[audit] != 0.0).sum())
    assert screen.look["n_errors_audit"] == errors
    allowed = math.floor(Fraction(n_hits + n - errors) * Fraction("0.2"))
    assert pvalue(errors, n, allowed + 1 + errors, len(audit)) <= 0.025
    assert screen.look["decision"] == "stop"


def test_a_balanced_accuracy_follows_from_the_frozen_predictions_and_the_readouts(screens):
    screen = screens("balanced_accuracy")
    rows, prediction, _ = screen.frozen()
    number = screen.look["round"]
    audit, known = screen.rows(number, "audit"), screen.truth[screen.measured_before(number)]
    n_hits, n_others = int(known.sum()), int((1 - known).sum())
    allowed = []
    for hit, group in zip((0.0, 1.0), screen.certificate["audit"]["groups"], strict=True):
        drawn = audit[prediction[np.searchsorted(rows, audit)] == hit]
        errors = int((screen.truth[drawn] != hit).sum())
        assert (group["n_errors"], group["n"]) == (errors, len(drawn))
        assert pvalue(errors, int((prediction == hit).sum()), group["allowed"] + 1, len(drawn)) <= 0.025
        allowed.append(group["allowed"])
    missed, false_hits = allowed
    true_hits = n_hits + int((prediction == 1.0).sum()) - false_hits
    true_others = n_others + int((prediction == 0.0).sum()) - missed
    proven = Fraction(true_hits, true_hits + missed) + Fraction(true_others, true_others + false_hits)
    assert proven / 2 >= Fraction("0.85")


@pytest.mark.parametrize(("name", "unit", "power", "level"), [("mae", 20.0, 1, 5.0), ("mse", 400.0, 2, 80.0)])
def test_a_mean_loss_follows_from_the_frozen_predictions_and_the_readouts(name, unit, power, level, screens):
    """Betting by plain code, in the order of drawing."""
    screen = screens(name)
    rows, prediction, _ = screen.frozen()
    audit, number = screen.rows(screen.look["round"], "audit"), screen.look["round"]
    error = np.abs(prediction[np.searchsorted(rows, audit)] - screen.truth[audit])
    losses = np.minimum(error**power / unit, 1.0)
    [group] = screen.certificate["audit"]["groups"]
    assert group["n_errors"] == pytest.approx(losses.sum())
    allowance = N * level / unit
    assert group["allowed"] == pytest.approx(allowance)
    [plan] = screen.released(number)["look"]
    mean, variance = plan["expected_loss"]
    wealth, best, spent, squares = 1.0, 1.0, 0.0, 0.0
    for seen, loss in enumerate(losses):
        # What the audit has put right is not held against the screen.
        mu = allowance / (len(rows) - seen)
        expected = (30 * mean + spent) / (30 + seen)
        edge = mu - expected
        spread = (30 * variance + squares) / (30 + seen)
        bet = min(edge / (spread + edge**2), 0.9 / (1 - mu)) if edge > 0 else 0.0
        wealth *= 1 + bet * (mu - loss)
        best = max(best, wealth)
        spent += loss
        squares += (loss - expected) ** 2
    assert best >= 1 / 0.025
    assert screen.look["decision"] == "stop"


@pytest.mark.parametrize("name", ["recall", "mae"])
def test_between_looks_the_random_rows_of_each_group_bound_the_claim(name, screens):
    screen = screens(name)
    goal = goal_for(screen.config.stopping, screen.config.task, ("BBB+", "BBB-") if name == "recall" else ())
    row = screen.rounds[1]
    batch, sizes = screen.batch(1), screen.released(1)["group_sizes"]
    batch = batch.filter(pa.compute.equal(batch["role"], "random")).to_pylist()
    batch.sort(key=lambda line: tie_keys(derive_seed(0, "order", 1), np.array([line["row"]]))[0])
    assert (len(batch), sum(sizes)) == (screen.config.acquisition.batch_size / 10, row["n_inference"])
    samples = []
    for group, n in enumerate(sizes):
        inside = [line for line in batch if name == "mae" or (line["prediction"] == 1.0) == group]
        error = np.array([abs(line["prediction"] - screen.truth[line["row"]]) for line in inside])
        samples.append(RandomSample(n, np.minimum(error / (20.0 if name == "mae" else 1.0), 1.0)))
    n_hits = int(screen.truth[screen.measured_before(1)].sum()) if name == "recall" else 0
    counts = ScreenCounts(N, n_hits, row["n_observed"] - n_hits, tuple(sizes))
    at_most, (low, high) = random_bound(goal, counts, samples, 0.05)
    assert (row["system_bound"], row["interval_low"], row["interval_high"]) == (at_most, low, high)
    assert low <= row["system_value"] <= high


# --- continuing after a kill ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["recall", "balanced_accuracy", "mae", "reserved_finish"])
def test_a_campaign_killed_at_any_step_of_a_look_ends_in_the_same_bytes(name, screens, tmp_path):
    screen = screens(name)
    snapshots = sorted((screen.path.parent / "snapshots").iterdir())
    late = [folder for folder in snapshots if int(folder.name.split("-")[0]) >= screen.look["round"]]
    states = {folder.name.split("-")[1] for folder in late}
    assert states >= {"release", "measure", "decide", "deliver"}
    for folder in late:
        if folder.name.endswith(("done", "score", "fit")):
            continue
        resumed = simulate(screen.config, shutil.copytree(folder, tmp_path / folder.name))
        check_equal(resumed, screen.result)


def check_equal(resumed: SimulationResult, finished: SimulationResult) -> None:
    assert resumed.rounds.drop(TIMES).equals(finished.rounds.drop(TIMES))
    assert {**resumed.summary, "seconds": 0} == {**finished.summary, "seconds": 0}
    for name in ("certificate.json", *(f"hybrid/{file.name}" for file in (finished.path / "hybrid").iterdir())):
        assert (resumed.path / name).read_bytes() == (finished.path / name).read_bytes(), name


# --- reserved audits ------------------------------------------------------------------------------------------------


def reserve_left(screen: Screen) -> np.ndarray:
    released = [screen.released(number) for number in range(1, screen.look["round"])]
    passed = [row for batch in released for row in batch.get("passed", ())]
    assert len(set(passed)) == len(passed) > 0
    reserve = screen.rows(0, "reserve")
    assert np.isin(passed, reserve).all()
    return np.setdiff1d(reserve, passed)


@pytest.mark.parametrize("name", RESERVES)
def test_the_reserve_is_drawn_in_the_first_round_by_its_seed(name, screens):
    screen = screens(name)
    batch, reserve = screen.batch(0), screen.rows(0, "reserve")
    gamma = screen.config.stopping.gamma
    assert len(reserve) == reserve_size(N, {0.8: 179, 0.85: 134}[gamma], 0.025)
    assert len(screen.rows(0, "initial")) == 120
    rows, seed = batch["row"].to_numpy(), screen.released(0)["reserve_seed"]
    assert seed == screen.certificate["audit"]["seed"] == derive_seed(0, "reserve", 0)
    assert reserve.tolist() == rows[np.argsort(tie_keys(seed, rows))][: len(reserve)].tolist()
    for number in range(1, len(screen.rounds)):
        assert not np.isin(screen.batch(number)["row"].to_numpy(), reserve).any()


@pytest.mark.parametrize("name", RESERVES)
def test_the_audit_is_what_acquisition_has_left_of_the_reserve(name, screens):
    screen = screens(name)
    left, number = reserve_left(screen), screen.look["round"]
    rows, prediction, uncertainty = screen.frozen()
    acquired = np.setdiff1d(screen.measured_before(number), screen.rows(0, "reserve"))
    passed = np.setdiff1d(screen.rows(0, "reserve"), left)
    assert rows.tolist() == np.setdiff1d(np.arange(N), np.concatenate([acquired, passed])).tolist()
    [group] = screen.certificate["audit"]["groups"]
    assert (group["n"], group["n_inference"]) == (len(left), len(rows))
    assert screen.look["n_batch"] == 0, "a look at a reserve releases no well"
    first = CampaignStore.open(screen.path).rounds()[0].committed
    assert screen.certificate["audit"]["readouts_sha256"] == first["readouts_sha256"]
    at = screen.order(rows, uncertainty)
    wrong, audited = prediction[at] != screen.truth[rows[at]], np.isin(rows[at], left)
    assert group["n_errors"] == wrong[audited].sum()
    check_finish(screen, rows[at], audited, wrong, len(rows), group["allowed"], 0.025)


@pytest.mark.parametrize("name", RESERVES)
def test_the_hybrid_screen_has_the_whole_reserve_as_measured(name, screens):
    screen = screens(name)
    lines = {line["row"]: line for line in screen.result.hybrid.to_pylist()}
    for row in screen.rows(0, "reserve"):
        line = lines[row]
        assert (line["source"], line["role"], line["round"]) == ("measured", "reserve", 0)
        assert line["label"] == ["BBB+", "BBB-"][int(screen.truth[row])]


def test_a_campaign_killed_after_rows_were_passed_over_ends_in_the_same_bytes(screens, tmp_path):
    screen = screens("reserved")
    assert screen.released(1)["passed"]
    end = screen.look["round"]
    at_the_end = (f"{end - 1}-measure", f"{end}-measure", f"{end}-decide", f"{end}-deliver")
    for name in ("0-measure", "1-decide", "2-score", *at_the_end):
        resumed = simulate(screen.config, shutil.copytree(screen.path.parent / "snapshots" / name, tmp_path / name))
        check_equal(resumed, screen.result)


def spy_on_fits(monkeypatch) -> list[np.ndarray]:
    """Labels that each fit of a member receives."""
    received: list[np.ndarray] = []
    original = fit.fit_member

    def spy(features, labels, **arguments):
        assert len(features) == len(labels)
        received.append(np.array(labels))
        return original(features, labels, **arguments)

    monkeypatch.setattr("isd_ray.models.resmlp_family.fit_member", spy)
    return received


def test_no_model_receives_a_reserved_label_even_after_a_look_that_failed(make_config, screens, tmp_path, monkeypatch):
    """The path up to the failed look is that of the campaign that stopped there, and nothing feeds back after it."""
    received, judge = spy_on_fits(monkeypatch), accuracy.judge_look

    def fail_first(plan, ranks, errors, n_lost):
        return LookVerdict(False, plan.n_inference, 0, 1.0) if plan.number == 1 else judge(plan, ranks, errors, n_lost)

    monkeypatch.setattr(accuracy, "judge_look", fail_first)
    passing = screens("reserved")
    config = make_config(**CASES["reserved"], model={"members": 1})
    result = simulate(config, tmp_path / "run")
    failed = Screen(config, result, passing.truth)
    records = failed.rounds
    looks = [row["round"] for row in records if row["n_audit"]]
    assert len(looks) == 2
    assert [look["passed"] for look in failed.certificate["looks_spent"]] == [False, True]
    assert failed.certificate["look"]["delta"] == 0.0125
    for row, labels in zip(records[1:], received, strict=True):
        batches = [failed.batch(number) for number in range(row["round"])]
        trained = np.concatenate(
            [batch.filter(pa.compute.not_equal(batch["role"], "reserve"))["row"].to_numpy() for batch in batches]
        )
        assert labels.tolist() == failed.truth[trained].tolist()
        assert row["n_observed"] == len(labels) + 98
    assert failed.certificate["audit"]["groups"][0]["n"] == len(reserve_left(failed))
    assert len(reserve_left(failed)) < records[looks[0]]["n_audit"]
