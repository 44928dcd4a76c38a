"""Campaigns that claim the recall of a panel's hits, over all outputs and of each."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import ConfigError
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.report.certificate import Certificate

OUTPUTS = ("a", "b", "c")


@pytest.fixture(scope="module")
def rare(panel_file, tmp_path_factory):
    """A panel of three outputs with few hits, and a few entries that were not measured."""
    table = pa.csv.read_csv(panel_file)
    names = table.column_names
    there = np.random.default_rng(0).random((table.num_rows, len(OUTPUTS))) > 0.03
    columns = {names[0]: table[names[0]]}
    for place, name in enumerate(OUTPUTS):
        hits = np.nan_to_num(table[names[3 + place]].to_numpy().astype(float))
        columns[name] = pa.array(hits.astype(np.int8), mask=~there[:, place])
    file = tmp_path_factory.mktemp("rare") / "panel.csv"
    pa.csv.write_csv(pa.table(columns), file)
    truth = np.array([pa.table(columns)[name].to_numpy(zero_copy_only=False) for name in OUTPUTS], float).T
    return file, np.nan_to_num(truth)


def settings_of(file, **stopping):
    return {
        "task": "panel",
        "labels": {"column": None, "columns": list(OUTPUTS), "source": str(file)},
        "stopping": {"rule": "certify", "quantity": "recall", "gamma": 0.6, "delta": 0.2, **stopping},
    }


def found_and_missed(run, truth):
    """Hits of each output that were measured, and that were not, by plain code."""
    measured = np.array(run.hybrid["source"].to_pylist()) == "measured"
    return truth[measured].sum(axis=0), truth[~measured].sum(axis=0)


def test_the_recall_over_all_outputs_is_certified(make_config, rare, tmp_path):
    file, truth = rare
    assert 0.02 < truth.mean() < 0.25
    run = simulate(make_config(**settings_of(file)), tmp_path / "run")
    found, missed = found_and_missed(run, truth)
    assert run.summary["certified"]
    assert run.summary["system_value"] == pytest.approx(found.sum() / (found.sum() + missed.sum()))
    assert run.summary["system_value"] >= 0.6
    assert not verify(CampaignStore.open(run.path)).problems
    certificate = json.loads((run.path / "certificate.json").read_text())
    [group] = certificate["audit"]["groups"]
    assert group["predicted"] == "other"
    assert certificate["n_hits_measured"] == found.sum()
    assert "recall of hits over all outputs" in certificate["claim"]["words"]
    assert "A hit is a compound and one of its 3 outputs" in str(Certificate.of(CampaignStore.open(run.path)))
    predicted = np.array([[int(bit) for bit in f"{value[0]:08b}"][:3] for value in run.hybrid["labels"].to_pylist()])
    assert not predicted[np.array(run.hybrid["source"].to_pylist()) == "predicted"].any(), "predicted hits are measured"


def test_the_recall_of_each_output_is_certified(make_config, rare, tmp_path):
    file, truth = rare
    panel = {"gamma": {"a": 0.5}, "delta_weight": {"b": 2.0}}
    run = simulate(make_config(**settings_of(file, panel=panel)), tmp_path / "run")
    found, missed = found_and_missed(run, truth)
    assert run.summary["certified"]
    outputs = run.summary["outputs"]
    assert [output["gamma"] for output in outputs] == [0.5, 0.6, 0.6]
    assert [output["accuracy"] for output in outputs] == pytest.approx(found / (found + missed))
    words = str(Certificate.of(CampaignStore.open(run.path)))
    assert "a: recall of hits at least 0.5 asked for" in words
    assert "compounds without a predicted hit, drawn at random" in words
    # That a bound is above the truth one time in 20 is its promise (tests/statistics/test_panel_recall.py).
    assert all(output["gamma"] <= min(output["bound"], output["accuracy"]) for output in outputs)
    assert not verify(CampaignStore.open(run.path)).problems


@pytest.mark.parametrize(
    ("stopping", "message"),
    [
        ({"quantity": "precision"}, "not for 'panel'"),
        ({"positive": "1"}, "names a class, and task='panel' has none"),
        ({"rule": "reserved"}, "is for quantity = 'accuracy'"),
    ],
)
def test_other_claims_about_hits_of_a_panel_are_refused(stopping, message, make_config, rare):
    with pytest.raises(ConfigError, match=message):
        make_config(**settings_of(rare[0], **stopping))
