"""The example package with a claim, installed from an empty folder, passes our tests and screens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tomli_w

from tests.docs.samples import CAMPAIGN, Samples, install_plugin
from tests.docs.test_model_plugins import run

QUANTITY = "negative_predictive_value"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return install_plugin(tmp_path_factory.mktemp("negatives"), "claim_plugin")


def test_the_example_is_found_by_its_entry_point_and_passes_the_suite(site):
    code = f"from isd_ray.config.claims import claim_named as c; print(c('{QUANTITY}').goals)"
    assert "isd_negatives.NegativePredictiveValue" in run(site, "-c", code)
    folder = site.parent / "claim_plugin"
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder))
    assert "8 passed" in run(site, "-m", "pytest", *options, str(folder / "test_isd_negatives.py"))


def test_a_screen_with_it_has_a_certificate_that_names_the_package_and_is_verified(site, compounds):
    folder = site.parent
    Samples(compounds, folder).make("campaign.toml")
    stopping = {"gamma": 0.7, "quantity": QUANTITY}
    config = {**CAMPAIGN, "model": {"families": ["linear"]}, "stopping": stopping, "compute": {"backend": "local"}}
    (folder / "own.toml").write_text(tomli_w.dumps(config))
    run(site, "-c", "from isd_ray.cli import main; main()", "simulate", "own.toml", "--out", "run")
    [check] = json.loads((folder / "run" / "certificate.json").read_text())["claim"]["checks"]
    assert (check["package"], check["version"], check["problems"]) == ("isd-negatives", "0.1.0", [])
    assert "unverified" not in (folder / "run" / "report.html").read_text().lower()
