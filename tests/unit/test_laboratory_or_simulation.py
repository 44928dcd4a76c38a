"""A laboratory's campaign is no simulation, and a simulation takes no readouts."""

from __future__ import annotations

import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.errors import StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from tests.unit.test_laboratory import LABORATORY, campaign, truth

__all__ = ["campaign", "truth"]

SIMULATION = {
    "model": {"hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 60},
    "stopping": {"rule": "certify", "gamma": 0.7},
}


@pytest.fixture(scope="module")
def begun_simulation(make_config, tmp_path_factory):
    """A simulation that was cut off while its second batch was out."""
    path = tmp_path_factory.mktemp("simulation") / "run"

    class CutOff(Watcher):
        def step(self, name, progress) -> None:
            if (progress.round, progress.state) == (1, "measure"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(make_config(**SIMULATION), path, CutOff())
    return path


VERBS = {
    "ask": lambda campaign, ids, folder: campaign.ask(),
    "dispatch": lambda campaign, ids, folder: campaign.dispatch(folder),
    "tell": lambda campaign, ids, folder: campaign.tell(dict.fromkeys(ids, "BBB+")),
    "preview": lambda campaign, ids, folder: campaign.preview(dict.fromkeys(ids, "BBB+")),
    "fail": lambda campaign, ids, folder: campaign.fail(ids, "spilt"),
    "exclude": lambda campaign, ids, folder: campaign.exclude(ids, "out of stock"),
    "include": lambda campaign, ids, folder: campaign.include(ids, "wanted"),
    "close": lambda campaign, ids, folder: campaign.close("the reader broke"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_laboratory_says_does_not_go_into_a_simulation(verb, begun_simulation, tmp_path):
    campaign = Campaign.open(begun_simulation)
    before = [*campaign.store.events()], sorted(begun_simulation.rglob("*"))
    with pytest.raises(StoreError, match="this is a simulation") as error:
        VERBS[verb](campaign, campaign.batch().ids[:3], tmp_path / "out")
    assert "isd resume" in error.value.remedy
    assert (campaign.store.events(), sorted(begun_simulation.rglob("*"))) == before
    assert not (tmp_path / "out").exists()


def test_a_simulation_does_not_go_into_a_campaign_of_a_laboratory(make_config, truth, campaign):
    """Neither while it goes on nor once it has ended, when there is a summary that could be shown."""
    config = make_config(**LABORATORY)
    for _ in range(2):
        with pytest.raises(StoreError, match="this is a campaign of a laboratory"):
            simulate(config, campaign.path)
        campaign.run(lambda batch: {name: truth[name] for name in batch.ids})
