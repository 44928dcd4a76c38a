"""The recall of hits beside accuracies and mean errors in one campaign: what is claimed follows by plain code."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, StoppingConfig
from isd_ray.config.claims import claim_named
from isd_ray.config_file import load_config
from isd_ray.errors import ConfigError
from isd_ray.ops.advise import advise
from isd_ray.ops.courses import courses_of
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.unit.qm9_helpers import qm9_sample
from tests.unit.test_laboratory import isd, write
from tests.unit.test_number_panel_campaign import matrix
from tests.unit.test_panel_campaign import StopAt

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUTS = ["has_n", "has_cl", "n_atoms", "n_hetero", "n_aromatic"]
HIT, CLIP = 1, 10.0
MIXED = {
    "quantity": {"has_cl": "recall", "n_atoms": "mae"},
    "gamma": {"has_cl": 0.6, "n_hetero": 0.6, "n_aromatic": 0.6},
    "max_loss": {"n_atoms": 3.0},
    "loss_clip": {"n_atoms": CLIP},
}


@pytest.fixture(scope="module")
def truth(numbers_file) -> np.ndarray:
    """Readouts in the order of the library, NaN where there are none."""
    table = pa.csv.read_csv(numbers_file)
    return np.array([table[name].to_numpy() for name in OUTPUTS], float).T


@pytest.fixture(scope="module")
def mixed(numbers):
    return {**numbers, "stopping": {**numbers["stopping"], "gamma": 0.7, "panel": MIXED, "delta": 0.2}}


@pytest.fixture(scope="module")
def screen(make_config, mixed, tmp_path_factory):
    return simulate(make_config(**mixed), tmp_path_factory.mktemp("mixed") / "run")


def test_recall_accuracies_and_a_mean_error_hold_together(screen, truth):
    assert screen.summary["certified"]
    assert screen.summary["n_predicted"] > 0
    measured = np.array(screen.hybrid["source"].to_pylist()) == "measured"
    said = matrix(screen.hybrid["labels"])
    assert not (said[~measured][:, HIT] == 1).any(), "every predicted hit is measured"
    hits = truth[:, HIT] == 1
    off = np.abs(said - truth) * ~measured[:, None]
    true = {
        "has_n": 1 - np.nanmean(np.where(np.isnan(truth[:, 0]), np.nan, off[:, 0] > 0.5)),
        "has_cl": (hits & measured).sum() / hits.sum(),
        "n_atoms": np.nanmean(np.minimum(off[:, 2], CLIP)),
    }
    found = {line["name"]: line for line in screen.summary["outputs"]}
    assert {name: found[name]["accuracy"] for name in true} == pytest.approx(true)
    assert found["n_atoms"]["accuracy"] <= found["n_atoms"]["bound"] <= found["n_atoms"]["gamma"] == 3.0
    for name in {*OUTPUTS} - {"n_atoms"}:
        assert found[name]["gamma"] <= found[name]["bound"] <= found[name]["accuracy"]
    assert sum(line["delta"] for line in found.values()) == pytest.approx(0.2)
    assert verify(CampaignStore.open(screen.path)).is_sound


def test_certificate_report_and_summary_say_each_claim(screen):
    certificate = json.loads((screen.path / "certificate.json").read_text())
    words = "\n".join(certificate_lines(certificate))
    assert "compounds without a predicted hit of has_cl, drawn at random" in words
    assert "has_cl: recall of hits at least 0.6 asked for, at least" in words
    assert "n_atoms: mean absolute error at most 3 (errors above 10 counted as 10) asked for, at most" in words
    assert "has_n: accuracy above 0.7 asked for" in words
    assert f"A hit is 1; {certificate['n_hits_measured']:,} are measured." in words
    shown = {line["name"]: line.get("constant") for line in screen.summary["outputs"]}
    share = screen.summary["fraction_acquired"]
    assert shown["has_cl"] == pytest.approx((share, share)), "a recall is held against random picking"
    assert shown["n_atoms"][0] > 3.0, "and a mean error against one value for all"
    assert f"picked at random hold on average {share:.4g} of the hits of 'has_cl'" in screen.summary["constant"]
    report = (screen.path / "report.html").read_text()
    assert "recall of hits at least 0.6" in report
    assert "mean absolute error at most 3" in report


def test_the_audit_is_of_compounds_that_are_no_predicted_hit_of_that_output(screen, truth):
    certificate = json.loads((screen.path / "certificate.json").read_text())
    [file] = screen.path.glob(f"rounds/{certificate['look']['round']:05d}/attempt-*/batch.parquet")
    batch = pq.read_table(file)
    roles, said = np.array(batch["role"].to_pylist()), matrix(batch["prediction"])
    assert ((said[:, HIT] == 1) == (roles == "hit")).all()
    missed = int((truth[batch["row"].to_numpy()[roles == "audit"], HIT] == 1).sum())
    [of_hits] = [line for line in certificate["audit"]["outputs"] if line["name"] == "has_cl"]
    assert of_hits["n_errors"] == missed


def test_its_course_is_planned_by_itself_and_rounds_tell_no_other(screen, make_config, mixed, tmp_path):
    config = make_config(**mixed)
    assert courses_of(config, 900, [screen.path]).likely.n_acquired == screen.summary["n_acquired"]
    assert plan_campaign(config, out=tmp_path / "plan").outlay.total_s > 0
    with pytest.raises(ConfigError, match="rounds do not say what claims about outputs"):
        advise(screen.path)


def test_a_certificate_falls_with_its_audit(screen, tmp_path):
    run = shutil.copytree(screen.path, tmp_path / "run")
    hybrid = screen.hybrid.to_pylist()

    def amend(lines) -> str:
        file = write(
            tmp_path / "fix.csv", ["name", "has_cl"], [[line["id"], 1 - int(line["labels"][1])] for line in lines]
        )
        return isd("amend", run, file, "--reason", "swapped")

    read = [line for line in hybrid if line["labels"][1] is not None]
    assert "WITHDRAWN" not in amend([line for line in read if line["role"] == "initial"][:3])
    assert "WITHDRAWN" in amend([line for line in read if line["role"] == "audit"])


def test_a_screen_that_was_cut_off_continues_to_the_same(screen, make_config, mixed, tmp_path):
    look = next(row["round"] for row in screen.rounds.to_pylist() if row["n_audit"])
    for at in ((2, "measure"), (look, "measure"), (screen.rounds.num_rows - 1, "deliver")):
        with pytest.raises(KeyboardInterrupt):
            simulate(make_config(**mixed), tmp_path / "run", StopAt(*at))
    again = simulate(make_config(**mixed), tmp_path / "run")
    assert again.hybrid.equals(screen.hybrid)
    assert (again.path / "certificate.json").read_bytes() == (screen.path / "certificate.json").read_bytes()


def test_of_a_panel_of_classes_some_may_be_found_and_others_right(make_config, panel, panel_file, tmp_path):
    """Packed predictions: `stopping.quantity` is claimed of the outputs that are not named."""
    claims = {"quantity": {"has_0[1-4]": "accuracy"}, "gamma": {"has_*": 0.6}}
    labels = {**panel["labels"], "columns": ["has_00", "has_01", "has_02"]}
    table = pa.csv.read_csv(panel_file).select(["name", *labels["columns"]])
    whole = [table[name].fill_null(0) for name in labels["columns"]]
    pa.csv.write_csv(pa.table([table["name"], *whole], table.column_names), tmp_path / "panel.csv")
    stopping = {"rule": "certify", "quantity": "recall", "gamma": 0.6, "delta": 0.2, "panel": claims}
    labels["source"] = str(tmp_path / "panel.csv")
    acquisition = {"function": "least_confidence"}  # which leaves hits for the look
    config = make_config(**{**panel, "labels": labels, "stopping": stopping, "acquisition": acquisition})
    run = simulate(config, tmp_path / "run")
    assert run.summary["certified"]
    measured = np.array(run.hybrid["source"].to_pylist()) == "measured"
    known = np.array([column.to_numpy() for column in whole]).T
    said = np.array([[int(bit) for bit in f"{value[0]:08b}"][:3] for value in run.hybrid["labels"].to_pylist()])
    recall = known[measured, 0].sum() / known[:, 0].sum()
    right = 1 - ((said != known) & ~measured[:, None]).mean(axis=0)
    found = [line["accuracy"] for line in run.summary["outputs"]]
    assert found == pytest.approx([recall, *right[1:]])
    assert [line["is_recall"] for line in run.summary["outputs"]] == [True, False, False]
    look = json.loads((run.path / "certificate.json").read_text())["look"]["round"]
    [file] = run.path.glob(f"rounds/{look:05d}/attempt-*/batch.parquet")
    roles = pq.read_table(file)["role"].to_pylist()
    predicted = [value[0] >> 7 for value in pq.read_table(file)["prediction"].to_pylist()]
    assert {*roles} == {"audit", "hit"}
    assert predicted == [int(role == "hit") for role in roles]
    assert verify(CampaignStore.open(run.path)).is_sound


@pytest.mark.parametrize(
    ("stopping", "message"),
    [
        ({"quantity": "recall"}, "numbers .*have none of; claim accuracy, mae or mse of these in stopping.panel"),
        ({"panel": {"quantity": {"n_atoms": "recall"}}}, "a recall is claimed of 'n_atoms', which is a number"),
        ({"panel": {"quantity": {"has_n": "precision"}}}, "accuracy"),
        ({"rule": "reserved", "panel": {"quantity": {"has_n": "recall"}}}, "needs rule = 'certify' or 'pac'"),
        ({"rule": "paper", "panel": {"quantity": {"has_n": "recall"}}}, "needs rule = 'certify' or 'pac'"),
        ({"reserve_audit": True, "panel": {"quantity": {"has_n": "recall"}}}, "no `reserve_audit`"),
        ({"panel": {"quantity": {"has": "recall"}}}, "'has' is none of the outputs"),
        ({"quantity": "recall", "panel": {"quantity": {"*": "accuracy"}}}, "'recall' is claimed of no output"),
    ],
)
def test_what_cannot_be_meant_is_refused(stopping, message, make_config, numbers, tmp_path):
    settings = {**numbers, "stopping": {**numbers["stopping"], **stopping}}
    with pytest.raises(ConfigError, match=message):
        prepare(make_config(**settings), tmp_path, Watcher())


@pytest.mark.parametrize("quantity", ["accuracy", "precision"])
def test_claims_about_outputs_of_a_single_label_are_refused(quantity, make_config, tmp_path):
    stopping = {"rule": "certify", "quantity": quantity, "positive": "BBB-", "panel": {"gamma": {"bbb": 0.9}}}
    with pytest.raises(ConfigError, match=r"\[stopping.panel\] is for task = 'panel'"):
        prepare(make_config(stopping=stopping), tmp_path, Watcher())


def test_a_claim_that_knows_no_other_beside_it_is_refused(make_config, numbers, tmp_path, monkeypatch):
    alone = replace(claim_named("recall"), by_output_hits=None)
    monkeypatch.setattr(StoppingConfig, "claim", alone)
    stopping = {**numbers["stopping"], "quantity": "recall", "panel": {"quantity": {"n_*": "accuracy"}}}
    with pytest.raises(ConfigError, match=r"'recall' is not claimed beside what stopping\.panel\.quantity names"):
        prepare(make_config(**{**numbers, "stopping": stopping}), tmp_path, Watcher())


@pytest.fixture(scope="module")
def molecules(isd_data, tmp_path_factory):
    """Molecules of QM9, and cheap settings for the examples."""
    truth, settings = qm9_sample(isd_data, tmp_path_factory.mktemp("qm9"), ["mu", "gap", "alpha"], seed=1)
    return truth, [*settings, "stopping.delta=0.2"]


def told(molecules, hybrid, name) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the file says of a column, what the screen does, and which are measured; of molecules that have it."""
    lines = [(molecules[line["id"]][name], line) for line in hybrid.to_pylist()]
    kept = [(value, line) for value, line in lines if value is not None and not np.isnan(value)]
    place = json.loads(hybrid.schema.metadata[b"outputs"]).index(name)
    said = [np.nan if line["labels"][place] is None else line["labels"][place] for _, line in kept]
    return np.array([v for v, _ in kept]), np.array(said), np.array([line["source"] == "measured" for _, line in kept])


def test_large_dipoles_of_qm9_are_found_and_its_numbers_predicted(molecules, tmp_path):
    """`examples/panel-hits.toml` on a sample: against the file, molecule by molecule."""
    truth, changes = molecules
    claims = ["stopping.panel.gamma={ mu = 0.6, gap = 0.7 }", "stopping.panel.max_loss={ alpha = 3.0 }"]
    run = simulate(load_config(EXAMPLES / "panel-hits.toml", [*changes, *claims]), tmp_path / "run")
    assert run.summary["certified"]
    assert run.summary["n_predicted"] > 0
    moments, said, measured = told(truth, run.hybrid, "mu")
    hits = moments > 5.0
    assert 0 < hits.mean() < 0.2
    assert (said[hits] == 1).mean() >= 0.6
    assert not (said[~measured] == 1).any()
    gaps, said, measured = told(truth, run.hybrid, "gap")
    assert (measured | (np.abs(said - gaps) <= 0.02)).mean() > 0.7
    values, said, measured = told(truth, run.hybrid, "alpha")
    assert np.where(measured, 0.0, np.minimum(np.abs(said - values), 10.0)).mean() <= 3.0


def test_one_mean_error_of_three_properties_of_qm9(molecules, tmp_path):
    """In tolerances, as units are debye, hartree and cubic bohr; a molecule counts by the properties that it has."""
    truth, changes = molecules
    data = load_config(EXAMPLES / "panel-hits.toml", changes).model_dump(exclude_unset=True)
    data["labels"] = {"columns": ["mu", "gap", "alpha"], "numbers": ["*"]}
    claim = {"quantity": "mae", "max_loss": 0.6, "loss_clip": 4.0, "tolerances": {"mu": 1.0, "gap": 0.02, "alpha": 2.0}}
    data["stopping"] = {"rule": "certify", "delta": 0.2, **claim}
    run = simulate(CampaignConfig.model_validate(data), tmp_path / "run")
    total, n = np.zeros(run.hybrid.num_rows), np.zeros(run.hybrid.num_rows)
    for place, (name, width) in enumerate((("mu", 1.0), ("gap", 0.02), ("alpha", 2.0))):
        for row, line in enumerate(run.hybrid.to_pylist()):
            known = truth[line["id"]][name]
            if known is not None and not np.isnan(known):
                n[row] += 1
                if line["source"] == "predicted":
                    total[row] += min(abs(line["labels"][place] - known) / width, 4.0)
    assert run.summary["certified"]
    assert run.summary["n_predicted"] > 0
    assert run.summary["system_value"] == pytest.approx((total / n).mean())
    assert run.summary["system_value"] <= 0.6
