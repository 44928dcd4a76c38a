"""Campaigns that the version before rounds were typed has written open, go on, report and verify.

`tests/data/earlier.tar.xz` was made with commit 9a16fc2: 240 made-up compounds, a simulation that ended with a
certificate, and a laboratory whose lost wells are being measured once more.
"""

from __future__ import annotations

import csv
import shutil
import tarfile
from pathlib import Path

import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.relocate import relocate
from isd_ray.ops.results import report_of
from isd_ray.ops.verify import verify
from isd_ray.report.certificate import Certificate

STORED = Path(__file__).parents[1] / "data" / "earlier.tar.xz"


@pytest.fixture
def earlier(tmp_path):
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(tmp_path)
    for name in ("simulated", "laboratory"):
        relocate(
            tmp_path / name,
            {"library.path": str(tmp_path / "library"), "library.source": str(tmp_path / "compounds.csv")},
        )
    return tmp_path


def test_a_finished_campaign_verifies_and_reports_with_its_certificate(earlier):
    store = CampaignStore.open(earlier / "simulated")
    assert verify(store).problems == ()
    assert store.certificate()["audit"].keys() >= {"repeated", "groups"}
    assert "accuracy is above 0.8" in " ".join(Certificate.of(store).lines)
    assert "<html" in report_of(store)
    assert verify(store).problems == ()


def test_a_laboratory_goes_on_where_it_was(earlier):
    with (earlier / "compounds.csv").open() as lines:
        truth = {line["name"]: line["activity"] for line in csv.DictReader(lines)}
    campaign = Campaign.open(earlier / "laboratory")
    assert "2 readouts of round 3" in campaign.status().next
    n = 0
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
        n += 1
    assert n > 0
    assert campaign.status().state == "ended"
    assert verify(campaign.store).problems == ()


def test_killed_and_restored_it_decides_as_undisturbed(earlier):
    """Each command in a process of its own, as the restored rounds of the version before are read again each time."""
    with (earlier / "compounds.csv").open() as lines:
        truth = {line["name"]: line["activity"] for line in csv.DictReader(lines)}
    asked = {}
    for again in (False, True):
        path = shutil.copytree(earlier / "laboratory", earlier / f"copy-{again}")
        campaign, batches = Campaign.open(path), []
        while (batch := campaign.ask()) is not None:
            batches.append(sorted(batch.ids))
            campaign.tell({name: truth[name] for name in batch.ids})
            if again:
                campaign = Campaign.open(path)
        asked[again] = batches
    assert asked[False] == asked[True]
