"""Campaigns that claim one mean error over all outputs of a panel of numbers, in tolerances."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import ConfigError
from isd_ray.ops.courses import courses_of
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.unit.test_number_panel_campaign import matrix
from tests.unit.test_panel_campaign import StopAt

WIDTHS = np.array([6.0, 3.5e-3, 5.0])
CLIP = 4.0


@pytest.fixture(scope="module")
def settings(numbers, numbers_file, tmp_path_factory):
    """The three outputs of the file that are numbers, of compounds with no readout one."""
    table = pa.csv.read_csv(numbers_file).select(["name", "n_atoms", "n_hetero", "n_aromatic"])
    none = np.all([table[name].is_null().to_numpy() for name in table.column_names[1:]], axis=0)
    table = table.set_column(
        1, "n_atoms", pa.array(np.where(none, 12.0, table["n_atoms"].to_numpy()), from_pandas=True)
    )
    file = tmp_path_factory.mktemp("all-numbers") / "numbers.csv"
    pa.csv.write_csv(table, file)
    tolerances = dict(zip(table.column_names[1:], WIDTHS.tolist(), strict=True))
    claim = {"quantity": "mae", "max_loss": 0.5, "loss_clip": CLIP, "delta": 0.2}
    return {
        "task": "panel",
        "labels": {"column": None, "columns": ["n_*"], "numbers": ["*"], "source": str(file)},
        "model": {"members": 3},
        "stopping": {"rule": "certify", "tolerances": tolerances, **claim},
    }


@pytest.fixture(scope="module")
def screen(make_config, settings, tmp_path_factory):
    return simulate(make_config(**settings), tmp_path_factory.mktemp("mean") / "run")


def test_the_mean_error_in_tolerances_is_certified(screen, settings):
    table = pa.csv.read_csv(settings["labels"]["source"])
    truth = np.array([table[name].to_numpy() for name in table.column_names[1:]], float).T
    measured = np.array(screen.hybrid["source"].to_pylist()) == "measured"
    errors = np.minimum(np.abs(matrix(screen.hybrid["labels"]) - truth) / WIDTHS, CLIP)
    of_compounds = np.where(measured, 0.0, np.nanmean(errors, axis=1))
    assert screen.summary["certified"]
    assert screen.summary["n_predicted"] > 0
    assert screen.summary["system_value"] == pytest.approx(of_compounds.mean())
    assert screen.summary["system_value"] <= 0.5
    low, high = screen.summary["constant_range"]
    assert 0.5 < low == high
    assert "the value of each output that errs least for every compound" in screen.summary["constant"]
    assert verify(CampaignStore.open(screen.path)).is_sound


def test_what_is_shown_names_tolerances(screen):
    certificate = json.loads((screen.path / "certificate.json").read_text())
    words = "mean absolute error over all outputs, in tolerances is at most 0.5 (errors above 4 counted as 4)"
    said = "\n".join(certificate_lines(certificate))
    assert words in said
    assert "each in tolerances of its output (" in said
    assert "n_hetero 0.0035" in said
    assert "an entry without one has none, and no weight" in said
    assert "that are right" not in said, "nothing is claimed of what is within a tolerance"
    assert words in (screen.path / "report.html").read_text()
    assert screen.summary["acquisition"] == "standard_deviation"


def test_its_course_is_planned_by_itself(screen, make_config, settings, tmp_path):
    config = make_config(**settings)
    assert courses_of(config, 900, [screen.path]).likely.n_acquired > 0
    assert plan_campaign(config, out=tmp_path / "plan").outlay.total_s > 0


def test_a_screen_that_was_cut_off_continues_to_the_same(screen, make_config, settings, tmp_path):
    look = next(row["round"] for row in screen.rounds.to_pylist() if row["n_audit"])
    for at in ((look, "measure"), (screen.rounds.num_rows - 1, "deliver")):
        with pytest.raises(KeyboardInterrupt):
            simulate(make_config(**settings), tmp_path / "run", StopAt(*at))
    again = simulate(make_config(**settings), tmp_path / "run")
    assert again.hybrid.equals(screen.hybrid)
    assert (again.path / "certificate.json").read_bytes() == (screen.path / "certificate.json").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": {"numbers": ["n_a*"], "transform": "median"}, "stopping": {"tolerances": {"n_a*": 1.0}}},
            "mean error over all outputs, and 'n_hetero' is of two classes",
        ),
        ({"labels": {"numbers": []}}, "is of numbers, and outputs are of two classes"),
        ({"stopping": {"tolerances": {"n_atoms": 1.0}}}, "'n_hetero' is a number and has no tolerance"),
        ({"stopping": {"panel": {"gamma": {"n_atoms": 0.9}}}}, "is not claimed of each output"),
        ({"stopping": {"max_loss": 4.0}}, "is not below the largest loss, 4"),
        ({"stopping": {"rule": "reserved"}}, "use 'certify' or 'pac'"),
        ({"stopping": {"rule": "paper"}}, "use 'certify' or 'pac'"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message, make_config, settings, tmp_path):
    changed = {**settings}
    for section, values in changes.items():
        changed[section] = {**settings[section], **values}
    with pytest.raises(ConfigError, match=message):
        prepare(make_config(**changed), tmp_path, Watcher())
