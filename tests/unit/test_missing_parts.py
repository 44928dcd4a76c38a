"""A folder of which a part is missing or broken: every command says which, and none goes on as if it had never been."""

from __future__ import annotations

import json
import shutil

import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import report_of
from isd_ray.ops.verify import verify
from isd_ray.storage.files import canonical_json
from tests.unit.test_amended_audits import truth
from tests.unit.test_laboratory import LABORATORY

__all__ = ["truth"]


@pytest.fixture(scope="module")
def under_way(make_config, truth, tmp_path_factory):
    """A campaign whose second batch is out, of which one compound was told from outside the plan."""
    campaign = Campaign.create(tmp_path_factory.mktemp("whole") / "run", make_config(**LABORATORY))
    first = campaign.ask().ids
    outside = next(name for name in sorted(truth) if name not in first)
    campaign.tell({outside: truth[outside]}, external=True)
    campaign.tell({name: truth[name] for name in first})
    campaign.ask()
    return campaign.path


@pytest.fixture
def run(under_way, tmp_path):
    return shutil.copytree(under_way, tmp_path / "run")


def edit(file, without):
    content = json.loads(file.read_bytes())
    del content[without]
    file.write_bytes(canonical_json(content))


BROKEN = {
    "all rounds": ("rounds/00000/batch.json", lambda run: shutil.rmtree(run / "rounds")),
    "a batch": ("rounds/00001/batch.json", lambda run: (run / "rounds/00001/batch.json").unlink()),
    "a decision": ("rounds/00000/round.json", lambda run: (run / "rounds/00000/round.json").unlink()),
    "the last entries of the log": (
        "events",
        lambda run: [file.unlink() for file in (run / "events").glob("*[1-9].json")],
    ),
    "the whole log": ("events", lambda run: shutil.rmtree(run / "events")),
    "a key of a batch": ("rounds/00000/batch.json", lambda run: edit(run / "rounds/00000/batch.json", "attempt")),
    "a key of a decision": (
        "rounds/00000/round.json",
        lambda run: edit(run / "rounds/00000/round.json", "readouts_sha256"),
    ),
    "anything but brackets": ("campaign.json", lambda run: (run / "campaign.json").write_text("[" * 100_000)),
}


@pytest.mark.parametrize("part", BROKEN)
def test_every_command_names_what_is_missing_and_writes_nothing(run, part, truth):
    where, remove = BROKEN[part]
    remove(run)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    name = next(iter(truth))
    commands = {
        "status": lambda: Campaign.open(run).status(),
        "ask": lambda: Campaign.open(run).ask(),
        "tell": lambda: Campaign.open(run).tell(truth),
        "fail": lambda: Campaign.open(run).fail([name], "spilt"),
        "history": lambda: Campaign.open(run).history(name),
        "report": lambda: report_of(CampaignStore.open(run)),
    }
    for command in commands.values():
        with pytest.raises((CorruptFileError, StoreError), match=where) as refused:
            command()
        assert "backup" in refused.value.remedy
    after = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert after == before
    if part != "anything but brackets":
        assert any(where in problem for problem in verify(CampaignStore.open(run)).problems)


def test_a_broken_table_of_the_rounds_hides_nothing_and_is_made_again(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    campaign.run(lambda batch: {name: truth[name] for name in batch.ids})
    table = campaign.path / "rounds.parquet"
    whole = table.read_bytes()
    table.write_bytes(b"PAR1")
    with pytest.raises(CorruptFileError, match="isd resume"):
        campaign.report(tmp_path / "report.html")
    table.unlink()
    campaign.ask()
    assert table.read_bytes() == whole


def test_a_note_of_the_end_that_says_nothing_is_no_end(run):
    (run / "delivered.json").write_text("{}")
    for work in (report_of, lambda store: Campaign(store).summary()):
        with pytest.raises(CorruptFileError, match=r"delivered\.json|round that ended"):
            work(CampaignStore.open(run))
