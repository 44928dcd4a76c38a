"""A panel of classes and numbers through the whole loop: what is claimed follows from the files by plain code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.config_file import load_config
from isd_ray.errors import ConfigError, LabelError
from isd_ray.ops.courses import courses_of
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.predict import load_model
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.unit.qm9_helpers import qm9_sample
from tests.unit.test_panel_campaign import StopAt

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUTS = ["has_n", "has_cl", "n_atoms", "n_hetero", "n_aromatic"]
WIDTHS = np.array([0.5, 0.5, 6.0, 3.5e-3, 5.0])
GAMMA = [0.8, 0.8, 0.7, 0.7, 0.7]


def matrix(column) -> np.ndarray:
    """Lists as a matrix, NaN for null."""
    return np.array([[np.nan if cell is None else cell for cell in line] for line in column.to_pylist()])


@pytest.fixture(scope="module")
def truth(numbers_file) -> np.ndarray:
    """Readouts in the order of the library, NaN where there are none."""
    table = pa.csv.read_csv(numbers_file)
    return np.array([table[name].to_numpy() for name in OUTPUTS], float).T


@pytest.fixture(scope="module")
def screen(make_config, numbers, tmp_path_factory):
    return simulate(make_config(**numbers), tmp_path_factory.mktemp("numbers") / "run")


def test_each_output_is_certified_by_its_own_claim(screen, truth):
    assert screen.summary["certified"]
    found = screen.summary["outputs"]
    assert [line["name"] for line in found] == OUTPUTS
    assert [line["gamma"] for line in found] == GAMMA
    assert [line["delta"] for line in found] == pytest.approx([0.05 * share / 6 for share in (1, 1, 2, 1, 1)])
    of_measured = np.array(screen.hybrid["source"].to_pylist()) == "measured"
    wrong = (np.abs(matrix(screen.hybrid["labels"]) - truth) > WIDTHS) & ~of_measured[:, None]
    true = 1 - wrong.sum(axis=0) / (~np.isnan(truth)).sum(axis=0)
    assert [line["accuracy"] for line in found] == pytest.approx(true)
    assert all(line["gamma"] <= line["bound"] <= line["accuracy"] for line in found)
    certificate = json.loads((screen.path / "certificate.json").read_text())
    [file] = screen.path.glob(f"rounds/{certificate['look']['round']:05d}/attempt-*/batch.parquet")
    audit = pq.read_table(file)
    rows = audit["row"].to_numpy()
    errors = (np.abs(matrix(audit["prediction"]) - truth[rows]) > WIDTHS).sum(axis=0)
    assert [line["n_errors"] for line in certificate["audit"]["outputs"]] == errors.tolist()
    assert "n_atoms" in "\n".join(certificate_lines(certificate))
    assert verify(CampaignStore.open(screen.path)).is_sound


def test_a_screen_is_planned_by_one_with_the_same_tolerances_alone(screen, make_config, numbers):
    assert courses_of(make_config(**numbers), 900, [screen.path]).likely.n_acquired == screen.summary["n_acquired"]
    tolerances = {**numbers["stopping"]["tolerances"], "n_atoms": 1.0}
    strict = make_config(**{**numbers, "stopping": {**numbers["stopping"], "tolerances": tolerances}})
    with pytest.raises(ConfigError, match=r"differs in stopping.tolerances"):
        courses_of(strict, 900, [screen.path])


def test_what_is_delivered_is_what_was_measured_or_predicted(screen, truth):
    hybrid = screen.hybrid
    of_measured = np.array(hybrid["source"].to_pylist()) == "measured"
    labels = matrix(hybrid["labels"])
    assert np.array_equal(labels[of_measured], truth[of_measured], equal_nan=True)
    assert not np.isnan(labels[~of_measured]).any()
    assert set(np.unique(labels[~of_measured][:, :2])) == {0.0, 1.0}
    assert json.loads(hybrid.schema.metadata[b"numbers"]) == OUTPUTS[2:]
    assert "measured" not in hybrid.column_names


def test_hits_are_those_of_the_outputs_that_are_classes(screen, tmp_path):
    command = ["export", str(screen.path), "--hits", "--out", str(tmp_path / "hits.parquet")]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    every = screen.hybrid.to_pylist()
    hits = [line for line in every if 1.0 in line["labels"][:2]]
    measured = [line["id"] for line in hits if line["source"] == "measured"]
    predicted = [line for line in hits if line["source"] == "predicted"]
    predicted.sort(key=lambda line: (-line["confidence"], line["row"]))
    assert 0 < len(measured) < len(hits) < len(every)
    found = pq.read_table(tmp_path / "hits.parquet")
    assert found["id"].to_pylist() == measured + [line["id"] for line in predicted]
    assert set(found["labels"].to_pylist()[0][2:]) - {0.0, 1.0}, "numbers are there, and make no hits"


def test_mean_errors_are_certified_beside_accuracies(make_config, numbers, truth, tmp_path):
    """By plain code: errors above the clip count as the clip, measured compounds as none."""
    claims = {
        "quantity": {"n_atoms": "mae", "n_hetero": "mse"},
        "max_loss": {"n_atoms": 2.5, "n_hetero": 6e-6},
        "loss_clip": {"n_atoms": 10.0, "n_hetero": 5e-3},
    }
    stopping = {**numbers["stopping"], "panel": {**claims, "gamma": {"n_aromatic": 0.7}}}
    run = simulate(make_config(**{**numbers, "stopping": stopping}), tmp_path / "run")
    assert run.summary["certified"]
    of_measured = np.array(run.hybrid["source"].to_pylist()) == "measured"
    errors = np.where(of_measured[:, None], 0.0, np.abs(matrix(run.hybrid["labels"]) - truth))
    mae = np.nanmean(np.where(np.isnan(truth[:, 2]), np.nan, np.minimum(errors[:, 2], 10.0)))
    mse = np.nanmean(np.where(np.isnan(truth[:, 3]), np.nan, np.minimum(errors[:, 3], 5e-3) ** 2))
    found = {line["name"]: line for line in run.summary["outputs"]}
    assert found["n_atoms"]["accuracy"] == pytest.approx(mae)
    assert found["n_hetero"]["accuracy"] == pytest.approx(mse)
    assert [found[name]["gamma"] for name in ("n_atoms", "n_hetero")] == [2.5, 6e-6]
    for name, true in (("n_atoms", mae), ("n_hetero", mse)):
        assert true <= found[name]["bound"] <= found[name]["gamma"]
    assert verify(CampaignStore.open(run.path)).is_sound
    words = "\n".join(certificate_lines(json.loads((run.path / "certificate.json").read_text())))
    assert "n_atoms: mean absolute error at most 2.5 (errors above 10 counted as 10) asked for, at most" in words
    assert "mean squared error at most 6e-06" in (run.path / "report.html").read_text()


def test_a_claim_about_all_outputs_counts_numbers_within_their_tolerance(make_config, numbers, truth, tmp_path):
    stopping = {"rule": "certify", "gamma": 0.75, "tolerances": numbers["stopping"]["tolerances"]}
    run = simulate(make_config(**{**numbers, "stopping": stopping}), tmp_path / "run")
    of_measured = np.array(run.hybrid["source"].to_pylist()) == "measured"
    wrong = (np.abs(matrix(run.hybrid["labels"]) - truth) > WIDTHS) & ~of_measured[:, None]
    share = wrong.sum(axis=1) / (~np.isnan(truth)).sum(axis=1)
    assert run.summary["certified"]
    assert run.summary["system_accuracy"] == pytest.approx(1 - share.mean())
    assert run.summary["system_accuracy"] >= 0.75


def test_a_screen_that_was_cut_off_continues_to_the_same(screen, make_config, numbers, tmp_path):
    look = next(row["round"] for row in screen.rounds.to_pylist() if row["n_audit"])
    for at in ((2, "measure"), (look, "measure"), (screen.rounds.num_rows - 1, "deliver")):
        with pytest.raises(KeyboardInterrupt):
            simulate(make_config(**numbers), tmp_path / "run", StopAt(*at))
    again = simulate(make_config(**numbers), tmp_path / "run")
    times = ["fit_seconds", "score_seconds", "round_seconds"]
    assert again.rounds.drop(times).equals(screen.rounds.drop(times))
    assert again.hybrid.equals(screen.hybrid)
    assert (again.path / "certificate.json").read_bytes() == (screen.path / "certificate.json").read_bytes()


def test_all_families_learn_it_in_a_race_and_any_order_may_be_asked_for(make_config, numbers, tmp_path):
    model = {"families": ["boosted", "linear"], "members": 2, "boosted": {"trees": 20}}
    for function in ("least_confidence", "variance", "standard_deviation", "random"):
        stopping = {**numbers["stopping"], "rule": "none", "panel": None, "max_rounds": 3}
        acquisition = {"function": function}
        config = make_config(**{**numbers, "model": model, "stopping": stopping, "acquisition": acquisition})
        run = simulate(config, tmp_path / function)
        [batch] = run.path.glob("rounds/00002/attempt-*/batch.parquet")
        assert (len(set(pq.read_table(batch)["score"].to_pylist())) > 5) is (function != "random")
        assert {line["family"] for line in run.summary["race"]} == {"boosted", "linear"}


def test_a_panel_of_numbers_alone_has_no_classes(make_config, numbers, truth, tmp_path):
    labels = {**numbers["labels"], "columns": ["n_*"], "numbers": ["*"]}
    stopping = {"rule": "certify", "gamma": 0.6, "tolerances": numbers["stopping"]["tolerances"], "max_rounds": 4}
    config = make_config(
        **{**numbers, "labels": {**labels, "source": str(_whole(numbers, tmp_path))}, "stopping": stopping}
    )
    run = simulate(config, tmp_path / "run")
    assert json.loads(run.hybrid.schema.metadata[b"classes"]) == []
    assert json.loads((run.path / "campaign.json").read_text())["classes"] == []
    assert run.hybrid["labels"].type.list_size == 3
    assert "mean predicted" in (run.path / "report.html").read_text()
    assert CliRunner().invoke(app, ["export", str(run.path), "--long", "--out", str(tmp_path / "l.csv")]).exit_code == 0
    lines = pa.csv.read_csv(tmp_path / "l.csv")
    assert lines["label"].null_count == len(lines)
    assert CliRunner().invoke(app, ["export", str(run.path), "--hits", "--out", str(tmp_path / "h.csv")]).exit_code
    assert plan_campaign(config, out=tmp_path / "plan").outlay.total_s > 0


def _whole(numbers, folder) -> Path:
    """The file with an entry of each compound in the numbers alone."""
    table = pa.csv.read_csv(numbers["labels"]["source"])
    kept = table.set_column(3, "n_atoms", pc.fill_null(table["n_atoms"], 12.0))
    pa.csv.write_csv(kept, folder / "whole.csv")
    return folder / "whole.csv"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"numbers": ["n_atom"]}}, "'n_atom' is none of the outputs"),
        ({"stopping": {"tolerances": {"n_atoms": 1.0}}}, "'n_hetero' is a number and has no tolerance"),
        ({"stopping": {"tolerance": 1.0, "tolerances": {"has_n": 1.0}}}, "'has_n' in stopping.tolerances is no number"),
        ({"stopping": {"quantity": "recall", "tolerance": 1.0}}, "is of hits, which outputs that are numbers"),
        ({"acquisition": {"function": "entropy"}}, "'entropy' is not for task = 'panel' with numbers"),
        ({"model": {"members": 1}}, "needs a committee"),
        ({"labels": {"numbers": []}}, "are of a panel's outputs in labels.numbers"),
        ({"stopping": {"panel": {"quantity": {"has_n": "mae"}}}}, "of 'has_n' go with quantity"),
        (
            {
                "stopping": {
                    "panel": {"quantity": {"has_n": "mae"}, "max_loss": {"has_n": 0.1}, "loss_clip": {"has_n": 1.0}}
                }
            },
            "a mean error is claimed of 'has_n', which is no number",
        ),
        (
            {
                "stopping": {
                    "panel": {
                        "quantity": {"n_atoms": "mse"},
                        "max_loss": {"n_atoms": 9.0},
                        "loss_clip": {"n_atoms": 3.0},
                    }
                }
            },
            "max_loss=9 of 'n_atoms' is not below the largest loss, 9",
        ),
        ({"labels": {"columns": ["has_*", "n_*"], "source": "words"}}, "are not numbers|is no number|not a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message, make_config, numbers, tmp_path):
    words = tmp_path / "words.csv"
    words.write_text(Path(numbers["labels"]["source"]).read_text().replace(",12,", ",many,"))
    settings = {**numbers, "acquisition": {}}
    for section, values in changes.items():
        settings[section] = {**settings[section], **values}
    if settings["labels"]["source"] == "words":
        settings["labels"]["source"] = str(words)
    with pytest.raises((ConfigError, LabelError), match=message):
        prepare(make_config(**settings), tmp_path, Watcher())


def test_a_family_that_knows_classes_only_is_refused(make_config, numbers, monkeypatch):
    monkeypatch.delattr("isd_ray.models.linear.Linear.learns_numbers")
    with pytest.raises(ConfigError, match="'linear' learns panels of classes only"):
        make_config(**{**numbers, "model": {"families": ["linear", "boosted"]}})


def test_what_models_say_of_other_compounds_is_by_output(screen):
    table = load_model(screen.path).predict(["CCO", "c1ccncc1"])
    assert [name for name in table.column_names if name.startswith(("p_", "value_"))] == [
        "p_has_n",
        "p_has_cl",
        "value_n_atoms",
        "value_n_hetero",
        "value_n_aromatic",
    ]
    assert table["value_n_atoms"].to_pylist()[0] > 1.0


def test_four_properties_of_qm9_keep_their_claims(isd_data, tmp_path):
    """`examples/panel-numbers.toml` on a sample, by cheaper trees: against the file, molecule by molecule."""
    columns = ["lumo", "gap", "mu", "alpha"]
    truth, settings = qm9_sample(isd_data, tmp_path, columns, seed=0)
    changes = [
        *settings,
        "stopping.panel.gamma={ lumo = 0.75, gap = 0.7, mu = 0.5 }",
        "stopping.panel.max_loss={ alpha = 2.5 }",
    ]
    run = simulate(load_config(EXAMPLES / "panel-numbers.toml", changes), tmp_path / "run")
    assert run.summary["certified"]
    assert run.summary["n_predicted"] > 0
    hybrid = run.hybrid.to_pylist()
    errors = {name: [] for name in columns}
    for line in hybrid:
        for name, said in zip(columns, line["labels"], strict=True):
            known = truth[line["id"]][name]
            if known is not None and not np.isnan(known):
                expected = float(known > 0.0) if name == "lumo" else known
                errors[name].append(abs(said - expected))
    levels = {"lumo": (0.5, 0.75), "gap": (0.02, 0.7), "mu": (1.0, 0.5)}
    for name, (tolerance, gamma) in levels.items():
        assert np.mean(np.array(errors[name]) <= tolerance) > gamma
    assert np.minimum(errors["alpha"], 10.0).mean() <= 2.5
