"""Files of readouts are read otherwise from some day on: on record, and nothing that was told changes."""

from __future__ import annotations

import pytest

from isd_ray.campaign.setup import begin_or_resume
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config_file import to_toml
from isd_ray.errors import ConfigError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.prepare import prepare
from isd_ray.ops.verify import verify
from isd_ray.report.record import Record
from isd_ray.report.sections.history import events
from isd_ray.serve.log import entry_of
from tests.unit.test_laboratory import LABORATORY, isd, truth, write

__all__ = ["truth"]

SMUDGE = {"readouts.bad_flags": ["Smudge"]}


@pytest.fixture
def config(make_config):
    return make_config(**LABORATORY)


@pytest.fixture
def campaign(config, tmp_path) -> Campaign:
    made = Campaign.create(tmp_path / "run", config)
    made.ask()
    return made


def flagged(campaign, truth, file, flags):
    """A file of the first compounds of the batch, with these flags."""
    lines = [(name, truth[name], flag) for name, flag in zip(campaign.batch().ids, flags, strict=False)]
    return write(file, ("name", "bbb", "flag"), lines)


def test_words_of_a_new_reader_are_declared_when_they_are_met(campaign, truth, tmp_path):
    file = flagged(campaign, truth, tmp_path / "week-3.csv", ("ok", "smudge", "crisp"))
    told = campaign.tell(file)
    assert (told.n_new, [line.line for line in told.refused]) == (1, [3, 4])
    assert "isd reconfigure" in told.refused[0].reason
    assert campaign.reconfigure({**SMUDGE, "readouts.good_flags": ["crisp"]}, "the new reader") == {
        "readouts.good_flags": ["crisp"],
        **SMUDGE,
    }
    told = campaign.tell(file)
    assert (told.n_new, told.n_unchanged, told.n_lost, told.refused) == (1, 1, 1, ())
    assert campaign.history(campaign.batch().ids[1])[-1]["reason"] == "flagged 'smudge'"


def test_columns_may_be_called_otherwise(campaign, truth, tmp_path):
    name = campaign.batch().ids[0]
    file = write(tmp_path / "day.csv", ("Compound", "Call"), [(name, truth[name])])
    assert campaign.reconfigure({"readouts.id": "Compound", "readouts.value": "Call"}, "another export")
    assert campaign.tell(file).n_new == 1
    assert campaign.tell({campaign.batch().ids[1]: "BBB+"}).n_new == 1


def test_it_is_on_record_with_who_and_why_and_twice_changes_nothing(campaign):
    before = to_toml(campaign.config)
    assert campaign.reconfigure(SMUDGE, "the new reader") == SMUDGE
    event = campaign.store.events()[-1]
    assert (event["kind"], event["settings"], event["reason"]) == ("reconfigure", SMUDGE, "the new reader")
    assert campaign.reconfigure(SMUDGE, "once more") == {}
    assert campaign.store.events()[-1] == event
    assert Campaign.open(campaign.path).config.readouts.bad_flags == ("Smudge",)
    assert (campaign.path / "config.toml").read_text() == to_toml(campaign.config) != before
    [*_, table] = events(Record.read(campaign.store, None)).blocks
    assert 'readouts.bad_flags = [ "Smudge", ]: the new reader' in table.rows[-1]
    assert entry_of("reconfigure") in table.rows[-1]
    assert verify(campaign.store).is_sound


def test_who_has_the_campaign_open_reads_by_it(campaign, truth, tmp_path):
    """A page, or a coordinator, keeps a campaign open for weeks."""
    other = Campaign.open(campaign.path)
    file = flagged(campaign, truth, tmp_path / "day.csv", ("smudge", "ok"))
    assert other.preview(file).n_lost == 0
    campaign.reconfigure(SMUDGE, "the new reader")
    assert other.preview(file).n_lost == 1


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [
        ("stopping.gamma", 0.5, ConfigError, "no key of how files of readouts are read"),
        ("readouts.censored", "bound", ConfigError, "no key of how files of readouts are read"),
        ("readouts.smudges", ["x"], ConfigError, "no key of how files of readouts are read"),
        ("readouts.bad_flags", "smudge", ConfigError, r"readouts.bad_flags.*should be a list"),
        ("readouts.shape", "cube", ConfigError, "cube"),
    ],
)
def test_nothing_else_can_be_changed_and_what_is_wrong_is_named(campaign, key, value, error, words):
    before = campaign.store.events()
    with pytest.raises(error, match=words):
        campaign.reconfigure({key: value}, "why")
    assert campaign.store.events() == before


def test_a_reason_and_a_setting_are_needed_and_a_simulation_has_no_files(campaign, make_config, tmp_path):
    with pytest.raises(LabelError, match="reason"):
        campaign.reconfigure(SMUDGE, " ")
    with pytest.raises(ConfigError, match="no setting is named"):
        campaign.reconfigure({}, "why")
    store = begin_or_resume(prepare(make_config(), tmp_path / "simulated", Watcher()))
    with pytest.raises(StoreError, match="simulation"):
        Campaign(store).reconfigure(SMUDGE, "why")


def test_a_call_that_was_cut_off_before_the_file_for_people_is_finished_by_the_next(campaign, monkeypatch):
    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(CampaignStore, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            campaign.reconfigure(SMUDGE, "the new reader")
    assert campaign.reconfigure(SMUDGE, "the new reader") == {}
    assert "Smudge" in (campaign.path / "config.toml").read_text()


def test_a_campaign_begun_once_more_goes_by_what_was_changed_and_takes_no_other_settings(campaign, config, make_config):
    """A changed file of the configuration had no effect, in silence."""
    other = make_config(**{**LABORATORY, "readouts": {"good_flags": ["crisp"]}})
    with pytest.raises(StoreError, match=r"readouts.good_flags.*\n.*isd reconfigure"):
        Campaign.create(campaign.path, other)
    campaign.reconfigure(SMUDGE, "the new reader")
    for said in (config, campaign.config):
        assert Campaign.create(campaign.path, said).config == campaign.config
        assert "Smudge" in (campaign.path / "config.toml").read_text()


def test_the_command_says_what_goes_from_now_on(campaign):
    said = isd("reconfigure", campaign.path, "--set", 'readouts.bad_flags=["Smudge"]', "--reason", "the new reader")
    assert said == 'from now on readouts.bad_flags = [ "Smudge", ]\n'
    said = isd("reconfigure", campaign.path, "--set", 'readouts.bad_flags=["Smudge"]', "--reason", "the new reader")
    assert said == "the campaign goes by this already\n"
    with pytest.raises(ConfigError, match="cannot be read"):
        isd("reconfigure", campaign.path, "--set", "readouts.flag", "--reason", "why")


def test_what_readouts_mean_stays_and_no_command_is_named_that_would_refuse_it(campaign, make_config):
    other = make_config(**{**LABORATORY, "readouts": {"censored": "bound"}})
    with pytest.raises(StoreError, match=r"readouts.censored.*\n.*stays as it is to the end") as refused:
        Campaign.create(campaign.path, other)
    assert "isd reconfigure" not in str(refused.value)


def test_of_two_changes_at_once_the_file_for_people_says_the_last(campaign, monkeypatch):
    """The second is on record, and in the file, while the first writes its own."""
    write_text = CampaignStore.write_text

    def late(store, name, text):
        with monkeypatch.context() as once:
            once.setattr(CampaignStore, "write_text", write_text)
            Campaign.open(campaign.path).reconfigure({"readouts.good_flags": ["crisp"]}, "another reader")
        write_text(store, name, text)

    monkeypatch.setattr(CampaignStore, "write_text", late)
    campaign.reconfigure(SMUDGE, "the new reader")
    assert (campaign.path / "config.toml").read_text() == to_toml(campaign.config)
    assert campaign.config.readouts.good_flags == ("crisp",)
