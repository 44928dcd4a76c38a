"""The share of hits that a screen has found is estimated by what chance drew, never by what is predicted."""

from __future__ import annotations

import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.core.bounds import plausible_range
from isd_ray.ops.results import summary_of
from isd_ray.ops.simulate import simulate
from isd_ray.report.digest import Digest, Histogram
from isd_ray.report.record import Record
from isd_ray.report.sections.hits import Sample, hits, sample_of

CLASSES = ("BBB+", "BBB-")


def record_of(result) -> Record:
    store = CampaignStore.open(result.path)
    return Record.read(store, summary_of(store))


def true_shares(record, labels):
    return {name: record.digest.labels["measured", name] / labels.count(name) for name in CLASSES}


@pytest.fixture(scope="module")
def labels(compounds) -> list[str]:
    import pyarrow.csv

    return pyarrow.csv.read_csv(compounds)["bbb"].to_pylist()


STOPS = {
    "looks": {"rule": "certify", "gamma": 0.75},
    "portions": {"rule": "certify", "gamma": 0.75, "portions": 3},
    "recall": {"rule": "certify", "quantity": "recall", "gamma": 0.7, "positive": "BBB-"},
    "no look": {"rule": "none", "max_rounds": 2},
}


@pytest.mark.parametrize("stop", sorted(STOPS))
@pytest.mark.parametrize("lost_share", [0.0, 0.1])
def test_the_interval_holds_the_true_share(stop, lost_share, make_config, labels, tmp_path):
    losing = {"simulation": {"lost_share": lost_share}} if lost_share else {}
    covered = 0
    for seed in range(3):
        config = make_config(
            seed=seed, stopping=STOPS[stop], model={"families": ["linear"]}, acquisition={"batch_size": 90}, **losing
        )
        record = record_of(simulate(config, tmp_path / str(seed)))
        sample = sample_of(record)
        assert sample.role == ("initial" if stop == "no look" else "audit")
        for name, share in true_shares(record, labels).items():
            low, high = sample.share_found(record.digest, name)
            assert 0.0 < low <= high <= 1.0
            covered += low <= share <= high
    assert covered >= 5


def test_a_model_that_sees_no_hit_does_not_pretend_to_have_found_all(make_config, labels, tmp_path):
    """Predictions alone would say that what is measured is all there is."""
    config = make_config(
        stopping={"rule": "none", "max_rounds": 1}, model={"families": ["linear"]}, acquisition={"batch_size": 90}
    )
    record = record_of(simulate(config, tmp_path / "run"))
    low, high = sample_of(record).share_found(record.digest, "BBB-")
    assert low < true_shares(record, labels)["BBB-"] < high < 0.6
    [_, table, _] = hits(record).blocks
    assert any("95% interval" in name for name in table.headings)


def test_what_was_measured_outside_the_population_counts_beside_what_the_sample_says():
    """30 hits before the audit, 20 predicted ones with it, and 4 of 10 audited compounds of 50."""
    digest = Digest(Histogram(0.0, 1.0), {})
    digest.found.update(
        {(0, "initial", "hit"): 30, (1, "hit", "hit"): 20, (1, "audit", "hit"): 4, (2, "top", "hit"): 6}
    )
    digest.found.update({(1, "audit", "other"): 5})
    digest.labels["measured", "hit"] = 54
    low, high = Sample("the audit", 50, 10, (1,), "audit", 1, "hit").share_found(digest, "hit")
    least, _ = plausible_range(4, 50, 10, 0.05)
    _, most = plausible_range(5, 50, 10, 0.05)  # one of the audit is lost, and may be a hit
    assert (low, high) == (54 / (50 + most), 54 / (50 + least))
    assert 0.5 < low < high < 1.0
