"""A panel of classes and numbers through the whole loop: what is claimed follows from the files by plain code."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify

OUTPUTS = ["has_n", "has_cl", "n_atoms", "n_hetero", "n_aromatic"]
WIDTHS = np.array([0.5, 0.5, 4.0, 2.5e-3, 3.5])
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


def test_what_is_delivered_is_what_was_measured_or_predicted(screen, truth):
    hybrid = screen.hybrid
    of_measured = np.array(hybrid["source"].to_pylist()) == "measured"
    labels = matrix(hybrid["labels"])
    assert np.array_equal(labels[of_measured], truth[of_measured], equal_nan=True)
    assert not np.isnan(labels[~of_measured]).any()
    assert set(np.unique(labels[~of_measured][:, :2])) == {0.0, 1.0}
    assert json.loads(hybrid.schema.metadata[b"numbers"]) == OUTPUTS[2:]
    assert "measured" not in hybrid.column_names


def test_mean_errors_are_certified_beside_accuracies(make_config, numbers, truth, tmp_path):
    """By plain code: errors above the clip count as the clip, measured compounds as none."""
    claims = {
        "quantity": {"n_atoms": "mae", "n_hetero": "mse"},
        "max_loss": {"n_atoms": 2.0, "n_hetero": 4e-6},
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
    assert [found[name]["gamma"] for name in ("n_atoms", "n_hetero")] == [2.0, 4e-6]
    for name, true in (("n_atoms", mae), ("n_hetero", mse)):
        assert true <= found[name]["bound"] <= found[name]["gamma"]
    assert verify(CampaignStore.open(run.path)).is_sound
    words = "\n".join(certificate_lines(json.loads((run.path / "certificate.json").read_text())))
    assert "n_atoms: mean absolute error at most 2 (errors above 10 counted as 10) asked for, at most" in words
    assert "mean squared error at most 4e-06" in (run.path / "report.html").read_text()
