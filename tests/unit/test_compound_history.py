"""The history of a compound: nothing that is on record is left out, and classes are named."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.errors import LabelError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate


@pytest.fixture(scope="module")
def screen(make_config, tmp_path_factory):
    """A finished simulation of a library with a duplicate and a record that is no molecule."""
    folder = tmp_path_factory.mktemp("history")
    source = folder / "compounds.csv"
    molecules = [("C" * n + atom, answer) for n in range(1, 121) for atom, answer in (("O", "yes"), ("N", "no"))]
    lines = [f"c{n},{smiles},{answer}" for n, (smiles, answer) in enumerate(molecules)]
    source.write_text("\n".join(["name,smiles,label", *lines, "twin,CCO,yes", "broken,C1CC,yes"]))
    config = make_config(
        library={"source": str(source), "path": str(folder / "library"), "columns": [], "duplicates": "merge"},
        labels={"column": "label"},
        acquisition={"batch_size": 20},
        stopping={"rule": "none", "max_rounds": 2},
    )
    return simulate(config, folder / "run")


@pytest.fixture(scope="module")
def campaign(screen):
    return Campaign.open(screen.path)


def test_of_a_measured_compound_of_a_simulation_the_readout_is_known(screen, campaign):
    measured = next(line for line in screen.hybrid.to_pylist() if line["source"] == "measured" and line["round"] == 1)
    chosen, decided, delivered = campaign.history(measured["id"])
    assert (chosen["kind"], chosen["role"], chosen["prediction"]) == ("release", measured["role"], chosen["prediction"])
    assert chosen["prediction"] in {"yes", "no"}
    assert (decided["kind"], decided["decision"], decided["label"]) == ("decision", "continue", measured["label"])
    assert (delivered["kind"], delivered["source"], delivered["label"]) == ("deliver", "measured", measured["label"])


def test_a_predicted_compound_was_delivered(screen, campaign):
    predicted = next(line for line in screen.hybrid.to_pylist() if line["source"] == "predicted")
    [delivered] = campaign.history(predicted["id"])
    assert (delivered["kind"], delivered["source"], delivered["label"]) == ("deliver", "predicted", predicted["label"])
    assert delivered["confidence"] == pytest.approx(predicted["confidence"])
    printed = CliRunner().invoke(app, ["history", str(screen.path), predicted["id"]]).output
    assert f"source predicted, label {predicted['label']}, confidence {predicted['confidence']:.4g}" in printed


def test_a_simulation_that_is_gone_on_with_ends_with_its_summary(screen):
    printed = CliRunner().invoke(app, ["resume", str(screen.path)]).output
    assert "Saved against measuring all" in printed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("twin", r"'twin' is one compound with 'c\d+', which stands for both\n.*Remedy: ask for 'c\d+'"),
        ("broken", "'broken' was left out of the library: does not parse"),
        ("nobody", "the library has no compound 'nobody'"),
    ],
)
def test_of_one_that_is_not_in_the_library_it_is_said_why(name, words, campaign):
    with pytest.raises(LabelError, match=words):
        campaign.history(name)


def test_the_report_says_what_became_of_the_records(screen):
    page = (screen.path / "report.html").read_text("utf-8")
    assert "1 merged with equal ones; 1 left out: does not parse" in page
