"""The scripts of examples/hts count what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import isd_ray as isd
from isd_ray.core.goals.recall import recall_allowance

SMILES = ["C", "CC", "CCC", "CCCC", "CCCCC", "CCCCCC"]
NOT_MEASURED = float("nan")


@pytest.fixture(scope="module")
def script(paper_script):
    return paper_script("label_noise", "hts")


@pytest.fixture(scope="module")
def screen(script):
    primary = pa.table(
        {
            "smiles": SMILES,
            "active_a": [1.0, 1.0, 1.0, 0.0, 0.0, 1.0],
            "active_b": [0.0, 1.0, 0.0, 0.0, 1.0, NOT_MEASURED],
        }
    )
    tests = [("C", "a", 1), ("CC", "a", 0), ("CCCC", "a", 1), ("CCC", "b", 1), ("CCCCCC", "a", 1)]
    confirmatory = pa.table(dict(zip(("smiles", "assay", "confirmed"), zip(*tests, strict=True), strict=True)))
    return script.screens(primary, confirmatory, ["a", "b"])["a"]


def test_only_compounds_that_all_assays_measured_count(screen):
    assert screen.record.tolist() == [1, 2, 3, 4, 5]


def test_the_confirmed_share_is_of_the_retested_primary_hits_of_the_same_assay(screen):
    """The third hit was not tested again in assay a, the fourth compound is no hit though it was active later."""
    assert (screen.n_retested, screen.n_confirmed) == (2, 1)
    assert screen.confirmed_share() == pytest.approx((0.5, 0.0126, 0.9874), abs=1e-4)


def test_repeatability_is_that_of_two_readouts_of_the_same_kind(script):
    """True hits at rate t, each read right with probability r: pairs agree in r² + (1 - r)² of cases."""
    t, r = 0.02, 0.99
    hit_rate = t * r + (1 - t) * (1 - r)
    both = t * r**2 + (1 - t) * (1 - r) ** 2
    assert script.repeatability(hit_rate, both / hit_rate) == pytest.approx(r**2 + (1 - r) ** 2)


def test_in_the_worst_case_all_that_was_missed_would_have_confirmed(script):
    n_hits, n_real = 1000, 400
    n_missed = n_hits - 800
    assert recall_allowance(800, 0.8) == n_missed
    assert script.least_recall_of_confirmed(0.8, n_real / n_hits) == pytest.approx((n_real - n_missed) / n_real)
    assert script.least_recall_of_confirmed(0.8, 0.1) == 0.0


def test_hits_that_a_run_measured_are_counted_by_record_number(script, screen, tmp_path):
    hybrid = pa.table({"id": ["2", "1", "3", "4"], "source": ["measured", "measured", "predicted", "measured"]})
    (tmp_path / "hybrid").mkdir()
    pq.write_table(hybrid, tmp_path / "hybrid" / "part-00000.parquet")
    assert script.found_by(tmp_path, screen) == (2, 1)


def test_a_share_reached_between_two_rounds_is_interpolated(paper_script):
    rounds = [
        {"fraction_acquired": share, "system_value": value} for share, value in ((0.0, None), (0.2, 0.5), (0.4, 0.9))
    ]
    true_from = paper_script("table", "hts").true_from
    assert true_from(rounds, 0.8) == pytest.approx(0.35)
    assert true_from(rounds, 0.5) == pytest.approx(0.2)
    assert true_from(rounds, 0.95) is None


@pytest.fixture(scope="module")
def all_screens(paper_script):
    return paper_script("screens", "hts")


@pytest.fixture(scope="module")
def little_data(tmp_path_factory, compounds):
    """Three screens of real compounds, each of other rows; the second and third as if they read the same wells."""
    folder = tmp_path_factory.mktemp("hts25")
    smiles = csv.read_csv(compounds)["smiles"].to_pylist()[:400]
    table = {"smiles": smiles}
    for place, name in enumerate(("old", "hsf1", "transcription2")):
        measured = [(row + place) % 5 > 0 for row in range(len(smiles))]
        hits = [int("N" in text) for text in smiles]
        table[f"score_{name}"] = [
            4.0 * hit + row % 3 if there else None for row, (hit, there) in enumerate(zip(hits, measured, strict=True))
        ]
        table[f"active_{name}"] = [hit if there else None for hit, there in zip(hits, measured, strict=True)]
    pq.write_table(pa.table(table), folder / "hts25_primary.parquet")
    (folder / "hts25_assays.csv").write_text("Codename,Primary HTS AID\ntranscription2,30\nOld,10\nhsf1,20\n")
    return folder


def test_screens_are_in_order_of_time_and_none_sees_itself_or_its_own_wells(all_screens, little_data):
    screens = all_screens.screens_of(little_data)
    assert list(screens.items()) == [("old", 10), ("hsf1", 20), ("transcription2", 30)]
    both = {f"{kind}_{name}" for name in ("hsf1", "transcription2") for kind in ("active", "score")}
    assert both <= set(all_screens.unseen_by("hsf1", screens, "all"))
    assert not any("old" in column for column in all_screens.unseen_by("hsf1", screens, "older"))
    assert "active_hsf1" in all_screens.unseen_by("transcription2", screens, "older"), "older, but the same wells"
    assert {"active_old", "active_transcription2"} <= set(all_screens.unseen_by("old", screens, "older"))
    for without in ("none", "random"):
        assert all_screens.unseen_by("old", screens, without) == ["score_*", "active_*"]


def test_a_screen_has_its_own_compounds_and_what_is_finished_stays(
    all_screens, little_data, tmp_path, monkeypatch, capsys
):
    command = ["screens.py", str(little_data), "--out", str(tmp_path), "--screens", "hsf1"]
    monkeypatch.setattr(sys, "argv", command)
    all_screens.main()
    told = capsys.readouterr().out
    assert "hsf1-all-seed0: " in told
    whole, part = (isd.Library.open(tmp_path / place) for place in ("library", "libraries/hsf1/target"))
    assert whole.block_names == part.block_names == ("fingerprints", "rdkit2d", "history")
    measured = pq.read_table(little_data / "hts25_primary.parquet")["active_hsf1"]
    assert len(part) <= len(measured) - measured.null_count < len(whole)
    all_screens.main()
    assert capsys.readouterr().out == told
    monkeypatch.setattr(sys, "argv", [*command, "--history", "random"])
    all_screens.main()
    assert "hsf1-random-seed0: " in capsys.readouterr().out
    drawn = isd.Campaign.open(tmp_path / "hsf1-random-seed0").config
    assert (drawn.acquisition.function, drawn.model.families) == ("random", ("linear",))


@pytest.fixture
def many_runs(paper_script, monkeypatch):
    """The script, and runs: share measured, share from which the claim is true, and what it is worth."""
    table = paper_script("table", "hts")
    runs = {
        "dear-all-seed0": (0.6, 0.5, 0.81),
        "cheap-random-seed0": (0.8, 0.7, 0.79),
        "cheap-all-seed0": (0.3, 0.2, 0.85),
        "cheap-none-seed0": (0.45, 0.3, 0.83),
        "at-once-all-seed0": (0.4, None, 0.9),
        "open-all-seed0": (0.9, 0.4, None),
    }
    facts = {Path(name): ends for name, ends in runs.items()}
    monkeypatch.setattr(table, "rounds_of", lambda run: [{"run": run, "delivered_value": facts[run][2]}])
    monkeypatch.setattr(table, "true_from", lambda rounds, level: facts[rounds[0]["run"]][1])
    monkeypatch.setattr(
        table,
        "summary_of",
        lambda run: {"fraction_acquired": facts[run][0], "certified": facts[run][2] is not None, "rounds": 7},
    )
    monkeypatch.setattr(table, "config_of", lambda run: {"stopping": {"gamma": 0.8}})
    return table, list(facts)


def test_the_ends_are_drawn_the_cheapest_on_top(many_runs):
    table, runs = many_runs
    [axes] = table.draw_ends(runs).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cheap", "at-once", "dear"]
    lines = [line.get_xdata().tolist() for line in axes.lines if len(line.get_xdata()) == 2]
    assert lines == [pytest.approx(ends) for ends in ([20, 30], [40, 40], [50, 60])]
    points = {line.get_label(): line.get_xdata().tolist() for line in axes.lines if line.get_ydata()[0] == 0}
    assert {name: points[f"certified, {name}"] for name in ("random", "none", "all")} == {
        "random": pytest.approx([80]),
        "none": pytest.approx([45]),
        "all": pytest.approx([30]),
    }


def test_a_screen_is_one_line_of_the_table_and_false_claims_are_counted(many_runs):
    table, runs = many_runs
    head, _, *rows, last = table.rows_by_screen(runs)
    assert head == ("screen", "random", "none", "older", "all")
    assert rows[0] == ("`cheap`", "80.0%, 0.790, 7", "45.0%, 0.830, 7", "–", "30.0%, 0.850, 7")
    assert rows[-1] == ("`open`", "–", "–", "–", "90.0%, not certified, 7")
    medians = ("80.0%, 0 of 1 claims true", "45.0%, 1 of 1 claims true", "–", "50.0%, 3 of 3 claims true")
    assert last == ("median", *medians)


def test_runs_of_two_seeds_or_of_other_names_are_refused_in_words(many_runs):
    table, runs = many_runs
    with pytest.raises(SystemExit, match="another seed"):
        table.by_screen([*runs, Path("dear-all-seed1")])
    with pytest.raises(SystemExit, match="not named"):
        table.by_screen([Path("hts-splicing-history")])
