"""The scripts of examples/hts count what they say."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray.core.targets import recall_allowance

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
