"""Campaigns of versions with other defaults go on under the configuration that they began with."""

from __future__ import annotations

import shutil

import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import EARLIER_DEFAULTS, CampaignConfig
from isd_ray.errors import StoreError
from isd_ray.ops.simulate import simulate

STOPPING = {"rule": "certify", "gamma": 0.7}


class Keep(Watcher):
    """Copies the folder at the third step: what a process that is killed there leaves."""

    def __init__(self, run) -> None:
        self.run, self.n = run, 0

    def step(self, name, progress) -> None:
        self.n += 1
        if self.n == 3:
            shutil.copytree(self.run, self.run.with_name("half"))


@pytest.fixture
def folders(make_config, tmp_path):
    """A finished and a half-finished campaign that began with the defaults of earlier versions."""
    simulate(make_config(stopping={**STOPPING, **EARLIER_DEFAULTS}), tmp_path / "done", Keep(tmp_path / "done"))
    return tmp_path


@pytest.mark.parametrize("name", ["done", "half"])
def test_a_configuration_that_does_not_name_them_goes_on_as_it_began(name, folders, make_config):
    stopping = CampaignConfig.from_stored(CampaignStore.open(folders / name).config).stopping
    expected = simulate(make_config(stopping={**STOPPING, **EARLIER_DEFAULTS}), folders / "done").summary
    found = simulate(make_config(stopping=STOPPING), folders / name)
    assert {key: getattr(stopping, key) for key in EARLIER_DEFAULTS} == EARLIER_DEFAULTS
    assert (found.summary["campaign_id"], found.summary["n_acquired"]) == (
        expected["campaign_id"],
        expected["n_acquired"],
    )


@pytest.mark.parametrize("name", ["done", "half"])
def test_what_is_said_and_differs_is_still_refused(name, folders, make_config):
    for key, other in (("trigger", "platt"), ("first_look_share", 0.6), ("gamma", 0.72)):
        with pytest.raises(StoreError, match=f"stopping.{key}"):
            simulate(make_config(stopping={**STOPPING, key: other}), folders / name)


def test_a_stored_configuration_without_them_has_what_they_were(make_config):
    stored = make_config(stopping=STOPPING).model_dump(mode="json")
    stored["stopping"] = {key: value for key, value in stored["stopping"].items() if key not in EARLIER_DEFAULTS}
    stopping = CampaignConfig.from_stored(stored).stopping
    assert {key: getattr(stopping, key) for key in EARLIER_DEFAULTS} == EARLIER_DEFAULTS


def test_a_campaign_that_begins_now_has_the_defaults_of_now(make_config, tmp_path):
    result = simulate(make_config(stopping={**STOPPING, "max_rounds": 1}), tmp_path / "run")
    stopping = CampaignStore.open(result.path).config["stopping"]
    assert not {key for key, value in EARLIER_DEFAULTS.items() if stopping[key] == value}
