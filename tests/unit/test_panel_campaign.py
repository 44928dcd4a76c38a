"""A panel through the whole loop: what is certified, delivered and counted follows from the files by plain code."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.setup import campaign_id
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.core import certify
from isd_ray.core.betting import betting_test
from isd_ray.core.bounds import kl_lower_bound
from isd_ray.core.goals import PanelAccuracy
from isd_ray.data.predictions import part_name
from isd_ray.errors import ConfigError, InputFileError, ResourceError, StoreError
from isd_ray.models import fit
from isd_ray.ops.amend import amend_from_file
from isd_ray.ops.compare import compare
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate

K, N = 11, 900
TIMES = ["fit_seconds", "score_seconds", "round_seconds"]


def bits_of(column) -> np.ndarray:
    """Binary values as a matrix of K bits."""
    return np.array([[int(bit) for byte in value for bit in f"{byte:08b}"][:K] for value in column.to_pylist()])


def share_wrong(predicted, truth) -> np.ndarray:
    """Of each compound's readouts."""
    there = ~np.isnan(truth)
    return ((predicted != truth) & there).sum(axis=1) / there.sum(axis=1)


@pytest.fixture(scope="module")
def truth(panel_file) -> np.ndarray:
    """Readouts of the compounds in the order of the library, NaN where there are none."""
    table = pa.csv.read_csv(panel_file)
    return np.array([table[name].to_numpy() for name in table.column_names[1:]], float).T


@pytest.fixture(scope="module")
def settings(panel_file):
    return {
        "task": "panel",
        "labels": {"column": None, "columns": ["has_*"], "source": str(panel_file)},
        "stopping": {"rule": "certify", "gamma": 0.85},
    }


@pytest.fixture(scope="module")
def screen(make_config, settings, tmp_path_factory):
    return simulate(make_config(**settings), tmp_path_factory.mktemp("panel") / "run")


def batch_of(screen, number: int) -> pa.Table:
    [file] = screen.path.glob(f"rounds/{number:05d}/attempt-*/batch.parquet")
    return pq.read_table(file)


def test_the_certificate_follows_from_the_frozen_predictions_and_the_readouts(screen, truth):
    certificate = json.loads((screen.path / "certificate.json").read_text())
    [group] = certificate["audit"]["groups"]
    batch = batch_of(screen, certificate["look"]["round"])
    assert set(batch["role"].to_pylist()) == {"audit"}
    rows, predicted = batch["row"].to_numpy(), bits_of(batch["prediction"])
    frozen = pq.read_table(next(screen.path.glob(f"rounds/{certificate['look']['round']:05d}/*/predictions")))
    of_row = dict(zip(frozen["row"].to_pylist(), bits_of(frozen["prediction"]).tolist(), strict=True))
    assert [of_row[row] for row in rows.tolist()] == predicted.tolist()
    losses = share_wrong(predicted, truth[rows])
    assert group["n_errors"] == pytest.approx(losses.sum())
    assert not np.isin(losses, (0, 1)).all()
    assert group["allowed"] == pytest.approx(float(N * (1 - Fraction("0.85"))))
    record = json.loads((screen.path / f"rounds/{certificate['look']['round']:05d}/round.json").read_text())
    expected = record["look"][0]["expected_loss"]
    test = betting_test(losses, group["n_inference"], group["allowed"], certificate["look"]["delta"], *expected)
    assert test.passed
    lines = "\n".join(certificate_lines(certificate))
    assert "share of right outputs by compound is at least 0.85" in lines
    assert "11 in all" in lines


def test_what_is_delivered_is_as_right_as_the_summary_says(screen, truth):
    hybrid = screen.hybrid
    metadata = {name: json.loads(hybrid.schema.metadata[name]) for name in (b"outputs", b"classes")}
    assert metadata == {b"outputs": [f"has_{j:02d}" for j in range(K)], b"classes": ["0", "1"]}
    is_measured = np.array(hybrid["source"].to_pylist()) == "measured"
    labels, measured = bits_of(hybrid["labels"]), bits_of(hybrid["measured"])
    assert np.array_equal(measured[is_measured] == 1, ~np.isnan(truth[is_measured]))
    assert np.array_equal(labels[measured == 1], truth[measured == 1])
    assert not measured[~is_measured].any()
    wrong = np.where(is_measured, 0, share_wrong(labels, truth))
    assert screen.summary["system_accuracy"] == pytest.approx(1 - wrong.mean())
    assert screen.summary["system_value"] == pytest.approx(1 - wrong.mean())
    assert screen.summary["system_accuracy"] >= 0.85
    assert hybrid["confidence"].null_count == is_measured.sum()
    assert "label" not in hybrid.column_names


def test_rounds_count_shares_of_rows(screen, truth):
    rounds = screen.rounds.to_pylist()
    for number in (2, 3):
        batch = batch_of(screen, number)
        top = np.array(batch["role"].to_pylist()) == "top"
        losses = share_wrong(bits_of(batch["prediction"]), truth[batch["row"].to_numpy()])
        assert rounds[number]["batch_accuracy"] == pytest.approx(1 - losses[top].mean())
        assert rounds[number]["n_random_errors"] == pytest.approx(losses[~top].sum())
        n_inference = rounds[number]["n_inference"]
        assert rounds[number]["inference_accuracy"] == pytest.approx(
            1 - rounds[number]["inference_errors"] / n_inference
        )
        assert 0 <= rounds[number]["interval_low"] <= rounds[number]["interval_high"] <= 1
    assert batch_of(screen, 0)["prediction"].null_count == 120


def test_readouts_are_kept_as_bits(screen, truth):
    tables = [pq.read_table(file) for file in screen.path.glob("readouts/*.parquet")]
    readouts = [table for table in tables if "audit" not in table.column_names]  # the others are audits of looks
    assert readouts
    for told in readouts:
        assert told.column_names[:3] == ["row", "labels", "measured"]
        expected = truth[told["row"].to_numpy()]
        assert np.array_equal(bits_of(told["measured"]) == 1, ~np.isnan(expected))
        assert np.array_equal(bits_of(told["labels"]), np.nan_to_num(expected))


def test_the_long_table_has_a_line_for_each_compound_and_output(screen, truth, tmp_path):
    runner = CliRunner()
    for name in ("long.parquet", "long.csv"):
        assert runner.invoke(app, ["export", str(screen.path), "--long", "--out", str(tmp_path / name)]).exit_code == 0
    lines = pq.read_table(tmp_path / "long.parquet")
    assert lines.num_rows == N * K
    assert pa.csv.read_csv(tmp_path / "long.csv")["source"].to_pylist() == lines["source"].to_pylist()
    source = np.array(lines["source"].to_pylist()).reshape(N, K)
    label = np.array([np.nan if value is None else float(value) for value in lines["label"].to_pylist()]).reshape(N, K)
    of_measured = np.array(screen.hybrid["source"].to_pylist()) == "measured"
    assert (source[~of_measured] == "predicted").all()
    assert np.array_equal(source[of_measured] == "missing", np.isnan(truth[of_measured]))
    assert np.array_equal(label[of_measured], truth[of_measured], equal_nan=True)
    assert np.array_equal(label[~of_measured], bits_of(screen.hybrid["labels"])[~of_measured])
    assert lines["output"].to_pylist()[:K] == [f"has_{j:02d}" for j in range(K)]


def test_a_long_table_is_for_panels(make_config, tmp_path):
    run = simulate(make_config(stopping={"rule": "none", "max_fraction": 0.2}), tmp_path / "run")
    for path, kind, message in (
        (run.path, InputFileError, "one label a compound"),
        (tmp_path, StoreError, "there is no campaign here"),
    ):
        raised = CliRunner().invoke(app, ["export", str(path), "--long", "--out", str(tmp_path / "x.csv")]).exception
        assert isinstance(raised, kind)
        assert message in str(raised)


class StopAt(Watcher):
    """Breaks off at a state of the loop, like a process that is killed there."""

    def __init__(self, number: int, state: str) -> None:
        self.at = (number, state)

    def step(self, name, progress) -> None:
        if (progress.round, progress.state) == self.at:
            raise KeyboardInterrupt


def test_a_panel_that_was_cut_off_continues_to_the_same_screen(screen, make_config, settings, tmp_path):
    look = next(row["round"] for row in screen.rounds.to_pylist() if row["n_audit"])
    for at in ((2, "measure"), (look, "measure"), (look, "deliver")):
        with pytest.raises(KeyboardInterrupt):
            simulate(make_config(**settings), tmp_path / "run", StopAt(*at))
    again = simulate(make_config(**settings), tmp_path / "run")
    assert again.rounds.drop(TIMES).equals(screen.rounds.drop(TIMES))
    assert again.hybrid.equals(screen.hybrid)
    assert (again.path / "certificate.json").read_bytes() == (screen.path / "certificate.json").read_bytes()


@pytest.mark.parametrize(
    ("stopping", "certified"),
    [
        ({"rule": "pac", "trigger": "platt"}, True),
        ({"rule": "reserved"}, True),
        ({"rule": "certify", "max_compounds": 560, "reserve_audit": True, "gamma": 0.8}, True),
        ({"rule": "certify", "max_rounds": 3}, False),
    ],
)
def test_other_rules_and_budgets_end_a_panel_honestly(stopping, certified, make_config, settings, truth, tmp_path):
    asked = {**settings["stopping"], **stopping}
    run = simulate(make_config(**{**settings, "stopping": asked}), tmp_path / "run")
    assert run.summary["certified"] is certified
    assert (run.path / "certificate.json").is_file() is certified
    assert run.summary["system_accuracy"] >= asked["gamma"] or not certified
    wrong = share_wrong(bits_of(run.hybrid["labels"]), truth)
    of_measured = np.array(run.hybrid["source"].to_pylist()) == "measured"
    assert run.summary["system_accuracy"] == pytest.approx(1 - wrong[~of_measured].sum() / N)
    assert PanelAccuracy.noun.capitalize() in (run.path / "report.html").read_text()


def test_a_reserve_of_panels_is_never_trained_on_and_judged_in_random_order(
    make_config, settings, truth, tmp_path, monkeypatch
):
    n_fitted, judged = [], []

    def fit_spy(features, labels, **options):
        n_fitted.append(len(labels))
        return fit.fit_member(features, labels, **options)

    def judge_spy(plan, losses, kept):
        judged.append(losses)
        return certify.judge_losses(plan, losses, kept)

    monkeypatch.setattr("isd_ray.models.resmlp_family.fit_member", fit_spy)
    monkeypatch.setattr("isd_ray.core.goals.base.judge_losses", judge_spy)
    stopping = {**settings["stopping"], "rule": "reserved", "reserve_size": 90}
    run = simulate(make_config(**{**settings, "stopping": stopping}), tmp_path / "run")
    rounds = run.rounds.to_pylist()
    measured = {row["n_observed"] for row in rounds if row["round"]}
    assert set(n_fitted) <= {n - 90 for n in measured}
    assert run.summary["certified"]
    initial = batch_of(run, 0)
    reserve = initial["row"].to_numpy()[np.array(initial["role"].to_pylist()) == "reserve"]
    frozen = pq.read_table(next(run.path.glob(f"rounds/{rounds[-1]['round']:05d}/*/predictions")))
    left = np.isin(frozen["row"].to_numpy(), reserve)
    by_row = share_wrong(bits_of(frozen["prediction"])[left], truth[frozen["row"].to_numpy()[left]])
    assert len(by_row) > 20
    assert sorted(judged[-1]) == pytest.approx(sorted(by_row))
    assert not np.allclose(judged[-1], by_row), "betting needs a random order, not that of the file"


def test_the_papers_bound_is_of_the_mean_of_the_rows(make_config, settings, tmp_path):
    stopping = {**settings["stopping"], "rule": "paper"}
    run = simulate(make_config(**{**settings, "stopping": stopping}), tmp_path / "run")
    record = run.rounds.to_pylist()[2]
    assert record["alpha"] == pytest.approx(kl_lower_bound(record["batch_accuracy"], 120, 0.05), abs=1e-9)
    assert run.summary["certified"] is False or run.summary["n_predicted"] == 0


def test_an_entry_of_a_simulation_is_amended(make_config, settings, panel_file, tmp_path):
    run = simulate(make_config(**{**settings, "stopping": {"rule": "none", "max_rounds": 2}}), tmp_path / "run")
    line = next(line for line in run.hybrid.to_pylist() if line["source"] == "measured")
    was, there = (line[name][0] >> 7 for name in ("labels", "measured"))
    file = tmp_path / "fix.csv"
    file.write_text(f"name,assay,value\n{line['id']},has_00,{1 - was}\n")
    amended = amend_from_file(run.path, file, "mixed up")
    assert (amended.n_changed, amended.withdrawn) == (1, False)
    after = next(found for found in run.hybrid.to_pylist() if found["id"] == line["id"])
    assert (after["labels"][0] ^ line["labels"][0], after["qc"]) == (0b10000000, "amended")
    assert after["measured"][0] >> 7 == 1
    assert there in (0, 1)


def test_each_output_is_certified_by_itself(make_config, settings, truth, tmp_path):
    """Entries are missing at random; true accuracies follow from the hybrid screen by plain code."""
    claims = {"gamma": {"has_00": 0.8, "has_0[1-9]": 0.85}, "delta_weight": {"has_00": 3}}
    stopping = {"rule": "certify", "gamma": 0.7, "panel": claims}
    run = simulate(make_config(**{**settings, "stopping": stopping}), tmp_path / "run")
    assert run.summary["certified"]
    found = run.summary["outputs"]
    assert [line["gamma"] for line in found] == [0.8, *[0.85] * 9, 0.7]
    assert [line["delta"] for line in found] == pytest.approx([3 * 0.05 / 13, *[0.05 / 13] * 10])
    labels, of_measured = bits_of(run.hybrid["labels"]), np.array(run.hybrid["source"].to_pylist()) == "measured"
    wrong = (labels != truth) & ~np.isnan(truth) & ~of_measured[:, None]
    true = 1 - wrong.sum(axis=0) / (~np.isnan(truth)).sum(axis=0)
    assert [line["accuracy"] for line in found] == pytest.approx(true)
    assert all(line["gamma"] <= line["bound"] <= line["accuracy"] for line in found)
    certificate = json.loads((run.path / "certificate.json").read_text())
    audit = batch_of(run, certificate["look"]["round"])
    rows, predicted = audit["row"].to_numpy(), bits_of(audit["prediction"])
    errors = ((predicted != truth[rows]) & ~np.isnan(truth[rows])).sum(axis=0)
    assert [line["n_errors"] for line in certificate["audit"]["outputs"]] == errors.tolist()
    assert [line["n"] for line in certificate["audit"]["outputs"]] == (~np.isnan(truth[rows])).sum(axis=0).tolist()
    assert sum(look["delta"] for look in certificate["looks_spent"]) <= 0.05
    met = [row["goal_met"] for row in run.rounds.to_pylist()]
    assert met[-1] is True
    assert met[1] is False
    page = (run.path / "report.html").read_text()
    assert "has_10" in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "paper"}, "needs rule = 'certify' or 'pac'"),
        ({"rule": "certify", "reserve_audit": True}, "needs rule = 'certify' or 'pac'"),
        ({"panel": {"gamma": {"has_99": 0.9}}}, "'has_99' is none of the outputs"),
        ({"panel": {"delta_weight": {"has_*": 2.0, "*_01": 1.0}}}, "both match 'has_01'"),
    ],
)
def test_claims_that_cannot_be_meant_are_refused(changes, message, make_config, settings, tmp_path):
    stopping = {"rule": "certify", "panel": {}, **changes}
    with pytest.raises(ConfigError, match=message):
        prepare(make_config(**{**settings, "stopping": stopping}), tmp_path, Watcher())


def test_other_outputs_are_another_campaign(make_config, settings, panel_file, tmp_path):
    names = set()
    for columns in (["has_*"], ["has_*", "!has_03"], ["has_03", "has_*"]):
        labels = {**settings["labels"], "columns": columns}
        setup = prepare(make_config(**{**settings, "labels": labels}), tmp_path, Watcher())
        assert setup.spec.n_outputs == K - (columns[-1] == "!has_03")
        names.add(campaign_id(setup.config.model_dump(mode="json"), "library", setup.labels_hash))
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(panel_file.read_text().replace("has_03", "has_cl"))
    labels = {**settings["labels"], "source": str(renamed)}
    setup = prepare(make_config(**{**settings, "labels": labels}), tmp_path, Watcher())
    names.add(campaign_id(setup.config.model_dump(mode="json"), "library", setup.labels_hash))
    assert len(names) == 4


def test_held_out_compounds_are_a_panel_too(make_config, settings, compounds, panel_file, tmp_path):
    config = make_config(
        **{**settings, "stopping": {"rule": "none", "max_rounds": 3}},
        library={"path": str(tmp_path / "library"), "split": {"fractions": [0.7, 0.15, 0.15]}},
        validation={"source": "external"},
    )
    run = simulate(config, tmp_path / "run")
    last = run.rounds.to_pylist()[-1]
    assert 0.6 < last["test_accuracy"] < 1
    assert run.summary["n_target"] == 630
    assert (tmp_path / "run" / "hybrid" / part_name(0)).is_file()


def test_a_panel_that_is_measured_throughout_has_nothing_predicted(make_config, settings, truth, tmp_path):
    config = make_config(**{**settings, "stopping": {"rule": "none"}}, acquisition={"batch_size": 450})
    run = simulate(config, tmp_path / "run")
    assert set(run.hybrid["source"].to_pylist()) == {"measured"}
    assert np.array_equal(bits_of(run.hybrid["labels"]), np.nan_to_num(truth))
    assert run.summary["system_accuracy"] == 1


def test_agents_are_compared_on_a_panel_and_random_selection_needs_more(make_config, settings, tmp_path):
    stopping = {"rule": "certify", "gamma": 0.85}
    config = make_config(**{**settings, "stopping": stopping}, simulation={"random_baseline": True})
    run = simulate(config, tmp_path / "run")
    assert 0 < run.summary["random_baseline"]["fraction_at_equal_accuracy"] <= 1
    made = compare(config, tmp_path / "compare", ("active", "random"))
    assert PanelAccuracy.noun in (tmp_path / "compare" / "active" / "0" / "report.html").read_text().lower()
    assert set(made.summary["agents"]) == {"active", "random"}
    assert made.summary["agents"]["active"]["system_accuracy"] > 0.85


def test_a_panel_too_large_for_memory_is_refused(make_config, settings, tmp_path, monkeypatch):
    config = make_config(**settings, compute={"memory": "500 MiB"})
    prepare(config, tmp_path, Watcher())
    for name, n_bytes in (("CELL_BYTES", 9_700), ("PROBABILITY_BYTES", 200_000)):
        with monkeypatch.context() as patch:
            patch.setattr(f"isd_ray.core.memory.{name}", n_bytes)
            with pytest.raises(ResourceError, match=r"0\.6 GiB of memory"):
                prepare(config, tmp_path, Watcher())


def test_a_panel_can_be_planned(make_config, settings, tmp_path):
    plan = plan_campaign(make_config(**settings), out=tmp_path)
    assert plan.outlay.total_s > 0
