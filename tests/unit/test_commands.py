"""What the commands say, word by word: counts, options, hints."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import isd_ray
from isd_ray.cli import app, serve
from isd_ray.config_file import load_config, parse_config, template, to_toml
from isd_ray.core.courses import Courses
from isd_ray.core.outlay import CampaignPlan
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, InputFileError
from isd_ray.ops.campaign import Campaign
from isd_ray.report.library import library_lines
from isd_ray.report.numbers import counted, size
from isd_ray.report.plan import MANY_ROUNDS, plan_lines
from tests.unit.test_plan import DEMAND, RATES, outlay

LABORATORY = {
    "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
    "model": {"hidden_size": 8, "epochs": 1, "members": 1},
    "acquisition": {"batch_size": 60},
    "stopping": {"rule": "none", "max_rounds": 2},
}


@pytest.fixture
def campaign(make_config, tmp_path) -> Campaign:
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    made.ask()
    return made


def isd(*arguments, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "300"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_the_version_is_told():
    assert isd("--version").strip() == isd_ray.__version__


def test_one_thing_is_one_and_not_several(campaign):
    assert (counted(1, "compound"), counted(2000, "compound")) == ("1 compound", "2,000 compounds")
    first, second, *_ = campaign.batch().ids
    assert "1 compound failed" in isd("fail", campaign.path, first, "--reason", "spilt")
    assert "1 compound excluded" in isd("exclude", campaign.path, second, "--reason", "gone")
    outside = next(str(name) for name in campaign.library.ids() if name not in campaign.batch().ids)
    assert "1 compound to be measured" in isd("include", campaign.path, outside, "--reason", "wanted")
    [features] = campaign.path.glob("rounds/00000/attempt-*/features.arrow")
    features.write_bytes(b"altered")
    assert isd("verify", campaign.path, code=1).rstrip().endswith(": 1 PROBLEM")


@pytest.mark.parametrize("command", ["fail", "exclude", "include", "close", "amend"])
def test_a_reason_is_shown_as_required_and_is(campaign, command):
    described = isd(command, "--help")
    assert "[required]" in next(line for line in described.splitlines() if "--reason" in line)
    file = () if command == "close" else ("C0000",)
    assert "Missing option '--reason'" in isd(command, campaign.path, *file, code=2)


def test_a_second_close_says_that_nothing_is_missing(campaign):
    assert "closed without 60 readouts; now: isd ask" in isd("close", campaign.path, "--reason", "robot")
    assert "no readout is missing; now: isd ask" in isd("close", campaign.path, "--reason", "robot")


def test_a_library_is_described_in_words_and_its_verification_confirmed(make_config, campaign):
    path = campaign.library.path
    said = isd("library", "info", path, "--verify")
    assert "every file is as it was written" in said
    assert "every file" not in isd("library", "info", path)
    for raw in ("mean_on_bits", "nbytes", "{", "["):
        assert raw not in said
    lines = dict(library_lines(Library.open(path).info()))
    assert lines["Compounds"] == "900, in 15 blocks of 64 rows"
    assert lines["Records read"] == "900: 900 kept, 0 duplicates merged, 0 refused"
    assert lines["Features"] == "morgan (2,048 bits): 2,048 columns"
    assert lines["Columns kept"] == "size (int64)"
    assert [size(n) for n in (51, 2048, 5 << 20, 3 << 29)] == ["51 B", "2 KiB", "5 MiB", "1.5 GiB"]


def test_a_percentage_in_place_of_a_share_is_recognised():
    data = {"library": {"source": "x.csv"}, "labels": {"column": "y"}, "acquisition": {"batch_size": 10}}
    with pytest.raises(ConfigError, match=r"stopping\.gamma: .*less than 1 \(given: 95\)\n.*did you mean 0\.95\?"):
        parse_config({**data, "stopping": {"gamma": 95}})
    with pytest.raises(ConfigError, match=r"max_fraction.*\n.*did you mean 0\.3\?"):
        parse_config({**data, "stopping": {"max_fraction": 30.0}})
    with pytest.raises(ConfigError, match=r"given: 950.0\)\n.*correct the value"):
        parse_config({**data, "stopping": {"gamma": 950.0}})


@pytest.mark.parametrize(
    ("name", "words"), [("Kinase bench", "name: ' ' may"), ("Kinase/A (2)", r"'/', ' ', '\(', '\)'")]
)
def test_letters_that_a_name_may_not_have_are_named(name, words):
    data = {"library": {"source": "x.csv"}, "labels": {"column": "y"}, "acquisition": {"batch_size": 10}}
    with pytest.raises(ConfigError, match=rf"{words}(?s:.*)write letters, digits or underscores"):
        parse_config({**data, "name": name})


def test_one_name_in_place_of_a_list_is_told_in_words():
    data = {"labels": {"column": "y"}, "acquisition": {"batch_size": 10}}
    with pytest.raises(ConfigError, match=r"library\.columns: .*a list \(given: 'a'\)\n.*\['a'\]"):
        parse_config({**data, "library": {"source": "x.csv", "columns": "a"}})


def test_an_untouched_template_asks_for_the_reader_s_file(tmp_path):
    (tmp_path / "bom.csv").write_text("id,smiles\n")
    (tmp_path / "campaign.toml").write_text(template())
    with pytest.raises(InputFileError, match=r"compounds\.csv: no such file\n.*check the path \(library\.source\)"):
        isd_ray.simulate(load_config(tmp_path / "campaign.toml"), tmp_path / "run")


def test_the_page_says_that_no_campaign_lies_there(monkeypatch, tmp_path, campaign):
    ports = []

    def at_once(places, settings, host, port, started):
        ports.append(port)
        started("http://localhost")

    monkeypatch.setattr("isd_ray.serve.app.serve", at_once)
    (tmp_path / "empty").mkdir()
    assert "no campaign lies there yet" in isd("serve", tmp_path / "empty")
    assert "no campaign" not in isd("serve", tmp_path, "--port", 0)
    assert ports == [serve.PORT, 0]


def test_very_many_rounds_point_to_the_size_of_a_batch():
    many = dataclasses.replace(DEMAND, n_batch=1)
    for demand, is_pointed_at in ((DEMAND, False), (many, True)):
        forecast = outlay(demand, RATES)
        assert (forecast.rounds > MANY_ROUNDS) == is_pointed_at
        words = dict(plan_lines(CampaignPlan(demand, forecast, Courses.one(30_000), (), ())))
        assert ("acquisition.batch_size" in words.get("Many rounds", "")) == is_pointed_at


def test_where_nothing_answers_no_door_is_called_sound(monkeypatch):
    monkeypatch.setattr("isd_ray.ops.security.PROBE_TIMEOUT_S", 2.0)
    address = "http://127.0.0.1:9"
    said = isd("doctor", "--address", address, "--gcs-port", 9, "--client-port", 9, code=1)
    assert "does not answer" not in said
    assert said.count("closed to this machine") == 2
    assert "no cluster answers here" in said


def test_a_job_that_was_submitted_is_said_with_the_folder_of_its_results(monkeypatch, make_config, tmp_path):
    """A relative one was meant as one of the cluster's, and begins here."""
    given = SimpleNamespace(name="kinase", out="/here/runs/kinase", attempt=1)
    monkeypatch.setattr("isd_ray.remote.submit.submit", lambda *given_to, **settings: given)
    (tmp_path / "kinase.toml").write_text(to_toml(make_config()))
    words = ("jobs", "submit", tmp_path / "kinase.toml", "--out", "runs/kinase", "--address", "http://head:8265")
    assert "job kinase, in /here/runs/kinase of the cluster; follow it with: isd jobs logs kinase" in isd(*words)


def test_coordinators_are_listed_of_a_cluster_that_is_named():
    assert "stays warm" not in isd("coordinators", "list", "--help")
    assert "Missing option '--address'" in isd("coordinators", "list", code=2)
