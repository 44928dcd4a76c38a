"""A library that has moved is named again, if it is the same one; and that is on record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.errors import ConfigError, CorruptFileError, IsdError, LibraryChangedError, LibraryError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.relocate import relocate
from isd_ray.ops.resume import resume
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from tests.unit.test_laboratory import LABORATORY, truth

__all__ = ["truth"]

OWN = {"path": None}
"""Of a library that is built in the folder of the campaign."""


@pytest.fixture
def moved(make_config, tmp_path):
    """A campaign whose library has moved, and where that is now."""
    source = tmp_path / "library"
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY, library={"path": str(source)}))
    campaign.ask()
    there = tmp_path / "elsewhere" / "library"
    there.parent.mkdir()
    source.rename(there)
    return campaign.path, there


def test_what_has_moved_is_read_at_its_new_place_and_the_move_is_on_record(moved, truth, make_config):
    path, there = moved
    with pytest.raises(IsdError):
        Campaign.open(path).tell({Campaign.open(path).batch().ids[0]: "BBB+"})
    assert relocate(path, {"library.path": str(there)}) == str(there)
    event = CampaignStore.open(path).events()[-1]
    assert (event["kind"], event["library"], event["paths"]) == ("relocate", str(there), {"library.path": str(there)})
    campaign = Campaign.open(path)
    ids = campaign.batch().ids
    assert campaign.tell({name: truth[name] for name in ids}).n_new == len(ids)
    assert campaign.config.library.path == str(there)
    assert str(there) in (path / "config.toml").read_text()
    assert campaign.ask() is not None
    assert verify(campaign.store).is_sound
    campaign.report(path / "report.html")
    assert "library or other files have moved" in (path / "report.html").read_text()


def test_a_campaign_that_was_moved_as_a_whole_has_its_library_with_it(make_config, truth, tmp_path):
    begun = Campaign.create(tmp_path / "run", make_config(**LABORATORY, library=OWN))
    begun.ask()
    shutil.copytree(begun.path, tmp_path / "backup")
    assert CampaignStore.open(tmp_path / "backup").library == str(tmp_path / "run" / "library")
    begun.path.rename(tmp_path / "moved")
    for place in (tmp_path / "moved", tmp_path / "backup"):
        campaign = Campaign.open(place)
        assert CampaignStore.open(place).library == str(place / "library")
        campaign.tell({name: truth[name] for name in campaign.batch().ids})
        assert campaign.ask() is not None
        assert verify(campaign.store).is_sound
        Campaign.create(place, make_config(**LABORATORY, library=OWN))  # given again


def test_a_library_of_another_campaign_in_the_place_of_its_own_is_refused(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY, library=OWN))
    campaign.ask()
    other = Campaign.create(tmp_path / "other", make_config(**LABORATORY, library={**OWN, "max_heavy_atoms": 25}))
    moved = campaign.path.rename(tmp_path / "moved")
    shutil.rmtree(moved / "library")
    with pytest.raises(LibraryError, match="isd relocate RUN --library PLACE"):
        Campaign.open(moved).tell({Campaign.open(moved).batch().ids[0]: "BBB+"})
    shutil.copytree(other.path / "library", moved / "library")
    with pytest.raises(LibraryChangedError):
        Campaign.open(moved).tell({Campaign.open(moved).batch().ids[0]: "BBB+"})


def test_a_finished_simulation_that_was_moved_is_sound_and_reported(make_config, tmp_path):
    begun = simulate(make_config(library=OWN), tmp_path / "run").path
    moved = begun.rename(tmp_path / "moved")
    assert verify(CampaignStore.open(moved)).is_sound
    assert resume(moved)["n_acquired"]


def test_another_library_or_a_damaged_one_is_refused_and_nothing_is_noted(moved, make_config, tmp_path):
    path, there = moved
    before = CampaignStore.open(path).events()
    other = tmp_path / "other"
    Campaign.create(tmp_path / "run-2", make_config(**LABORATORY, library={"path": str(other), "max_heavy_atoms": 25}))
    with pytest.raises(LibraryChangedError):
        relocate(path, {"library.path": str(other)})
    part = next((there / "parts").glob("part-*"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(CorruptFileError):
        relocate(path, {"library.path": str(there)})
    with pytest.raises(IsdError):
        relocate(path, {"library.path": str(tmp_path / "nowhere")})
    assert CampaignStore.open(path).events() == before


def test_a_configuration_with_another_place_changes_nothing_and_says_what_to_do(moved, make_config):
    path, there = moved
    before = (path / "config.toml").read_bytes()
    with pytest.raises(StoreError, match="isd relocate"):
        Campaign.create(path, make_config(**LABORATORY, library={"path": str(there)}))
    assert (path / "config.toml").read_bytes() == before


def test_a_simulation_goes_on_with_labels_that_have_moved_if_they_are_the_same(make_config, compounds, tmp_path):
    labels = tmp_path / "labels.csv"
    shutil.copy(compounds, labels)
    config = make_config(labels={"source": str(labels)}, library={"path": str(tmp_path / "library")})
    path = simulate(config, tmp_path / "run").path
    there = tmp_path / "moved.csv"
    labels.rename(there)
    lines = there.read_text().splitlines()
    wrong = tmp_path / "wrong.csv"
    swapped = [line.replace("BBB+", "X").replace("BBB-", "BBB+").replace("X", "BBB-") for line in lines]
    wrong.write_text("\n".join(swapped) + "\n")
    with pytest.raises(StoreError, match="differs in"):
        relocate(path, {"labels.source": str(wrong)})
    relocate(path, {"labels.source": str(there)})
    assert resume(path)["n_acquired"]


@pytest.mark.parametrize("key", ["library", "stopping.gamma", "labels.column", "", "library.path.x"])
def test_nothing_else_of_a_configuration_can_be_changed(moved, key):
    with pytest.raises(ConfigError, match="no key of a file or folder"):
        relocate(moved[0], {key: "x"})


def test_the_command(moved, monkeypatch):
    path, there = moved
    monkeypatch.chdir(there.parent)
    result = CliRunner().invoke(app, ["relocate", str(path), "--library", "library"])
    assert result.exit_code == 0, result.output
    assert str(there) in result.output
    assert json.loads((path / "campaign.json").read_text())["library"] != CampaignStore.open(path).library
    assert Path(CampaignStore.open(path).library) == there
    with pytest.raises(ConfigError, match="nothing is said"):
        CliRunner().invoke(app, ["relocate", str(path)], catch_exceptions=False)
