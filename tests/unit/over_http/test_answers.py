"""Campaigns attached over HTTP give the answers and errors that `Campaign` gives."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.campaign.telling import Refusal
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app as command
from isd_ray.data.export import Exported
from isd_ray.errors import ClusterError, ConfigError, InputFileError, LabelError, OutputFileError, StoreError
from isd_ray.messages import Progress, StepTaken
from isd_ray.ops.calls import CHANGES, LOOKS, TAKE_FILE, WRITES
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.interim import Interim
from isd_ray.ops.telling import FailedPlate, Told
from isd_ray.plates.quality import PlateQuality
from isd_ray.remote import wire
from isd_ray.remote.attach import stop
from isd_ray.report.certificate import Certificate
from isd_ray.serve.coordinators import campaigns
from tests.unit.attached_helpers import READOUT, Here, running, told_events


class Heard(Watcher):
    """The steps that were told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []

    def step(self, name, progress):
        self.steps.append((progress.round, progress.state))


def test_every_answer_is_that_of_the_campaign_itself(made, service, tmp_path):
    campaign = isd.attach(f"{service.url}/kinase")
    batch = campaign.ask()
    assert batch == made.batch()
    assert batch.table.schema == made.batch().table.schema
    names = [file.name for file in campaign.dispatch(tmp_path / "there")]
    assert names == [file.name for file in made.dispatch(tmp_path / "here")]
    for name in names:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    file = tmp_path / "day 1.csv"
    file.write_text("name,bbb\n" + "".join(f"{name},{READOUT}\n" for name in (*batch.ids[:3], "nobody")))
    assert campaign.preview(file) == made.preview(file)
    told = campaign.tell(file)
    assert (told.n_new, told.refused[0].line, told.head) == (3, 5, made.status().head)
    assert campaign.tell({batch.ids[3]: READOUT}).n_new == 1
    assert campaign.fail(batch.ids[4], "spilt") == 1
    file.write_text(f"name,bbb\n{batch.ids[0]},BBB-\n")
    assert campaign.amend(file, "a typing error") == 1
    for verb in ("status", "certificate", "told_files", "batch"):
        assert getattr(campaign, verb)() == getattr(made, verb)()
    assert campaign.history(batch.ids[0]) == made.history(batch.ids[0])
    assert (campaign.has_ended, campaign.is_dispatched(0), campaign.was_restarted) == (False, True, False)
    campaign.report(tmp_path / "there.html")
    made.report(tmp_path / "here.html")
    assert (tmp_path / "there.html").read_bytes() == (tmp_path / "here.html").read_bytes()
    with pytest.raises(OutputFileError) as refused:
        campaign.report(tmp_path / "report.pdf")
    assert refused.value.where == str(tmp_path / "report.pdf")


def test_a_screen_to_its_end_with_steps_and_exports(asked, made, service, tmp_path):
    def measured(batch):
        return {name: ("BBB+", "BBB-")[at % 2] for at, name in enumerate(batch.ids)}

    there, here = Heard(), Heard()
    campaign = isd.attach("kinase", service.url, there)
    assert campaign.run(measured) == made.summary()
    Campaign.open(shutil.copytree(asked, tmp_path / "alone"), here).run(measured)
    assert there.steps == here.steps
    assert there.steps[-1][1] == "done"
    assert campaign.export(tmp_path / "there.csv") == made.export(tmp_path / "here.csv")
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    with pytest.raises(ConfigError, match="no class of this campaign is a hit"):
        campaign.export(tmp_path / "hits.csv", hits=True)
    assert campaign.ask() is None
    with pytest.raises(StoreError, match="the screen has ended"):
        campaign.stop("enough")


def test_steps_are_told_while_they_are_taken_and_each_once(service, monkeypatch):
    is_heard = threading.Semaphore(0)

    class Hearing(Heard):
        def step(self, name, progress):
            super().step(name, progress)
            is_heard.release()

    class Stepping:
        def change(self, call, heard):
            for round_number in range(3):
                heard(Progress("fit", round_number, 900, 60, 840, 840, False, StepTaken("ask", 0, 1.0, 0)))
                assert is_heard.acquire(timeout=30)

    watcher = Hearing()
    campaign = isd.attach("kinase", service.url, watcher)
    monkeypatch.setattr(Here, "transport", lambda here, name: Stepping())
    assert campaign.ask() is None
    assert watcher.steps == [(0, "fit"), (1, "fit"), (2, "fit")]


def test_what_one_caller_renames_all_go_by(made, service):
    ada, grace = (isd.attach(f"{service.url}/kinase") for _ in range(2))
    assert ada.reconfigure({"readouts.value": "Call"}, "another export") == {"readouts.value": "Call"}
    assert ada.config.readouts == made.config.readouts
    for campaign, name in zip((ada, grace), made.batch().ids, strict=False):
        assert campaign.tell({name: READOUT}).n_new == 1
    with pytest.raises(ConfigError, match="no key of how files of readouts are read"):
        ada.reconfigure({"seed": 3}, "why")


def test_errors_are_those_of_the_campaign_word_for_word(made, service, tmp_path):
    campaign = isd.attach(f"{service.url}/kinase")
    for verb, given in (
        ("fail", ("nobody", "spilt")),
        ("exclude", ("C0000", " ")),
        ("extend", (" ",)),
        ("close", ("",)),
    ):
        with pytest.raises(LabelError) as here:
            getattr(made, verb)(*given)
        with pytest.raises(LabelError) as there:
            getattr(campaign, verb)(*given)
        assert there.value.args == here.value.args
    with pytest.raises(StoreError, match="no round of this campaign has a model yet"):
        campaign.export_interim(tmp_path / "week.csv")
    with pytest.raises(InputFileError, match="no such file here"):
        campaign.tell("/etc/passwd.csv")
    with pytest.raises(StoreError, match="no campaign of this name is served here"):
        isd.attach("another", service.url)


@pytest.mark.parametrize(
    ("verb", "returned"),
    [
        ("export", Exported(7, 1)),
        ("export_interim", Interim(7, 1, 2, ("as of now",), Path("week.csv.NOT-CERTIFIED.txt"))),
        ("certificate", Certificate({"certificate_id": "c", "low": 0.95, "none": None}, withdrawn="an error")),
        ("certificate", None),
        (
            "tell",
            Told(
                *(1, 2, 3, (Refusal(4, "unknown"),), 5),
                failed_plates=(FailedPlate("P1", "Z'"),),
                plates=(PlateQuality("P1", 4, 4, 0.2, 0.3, -2.0, None, 1.0, 1.0, "fail", "Z'", False),),
                fates={"new": 1},
            ),
        ),
        ("summary", {"bound": float("inf"), "rounds": [1, 2], "certified": False}),
        ("told_files", {"a", "b"}),
    ],
)
def test_what_a_verb_returns_is_the_same_behind_the_wire(verb, returned):
    found = wire.value_from_json(verb, json.loads(json.dumps(wire.value_to_json(returned))))
    assert (found, type(found)) == (returned, type(returned))
    with pytest.raises(ClusterError, match=f"the answer to {verb} cannot be read"):
        wire.value_from_json(verb, 3.5)


def test_every_verb_of_a_campaign_has_its_kind():
    made_elsewhere = {"create", "open", "library", "path", "config", "dispatch", "run"}
    verbs = {name for name in vars(Campaign) if not name.startswith("_")} - made_elsewhere
    assert verbs == {*CHANGES, *LOOKS, *WRITES}
    assert set(TAKE_FILE) <= verbs


def test_the_name_on_record_is_that_of_the_token_or_else_what_the_caller_says(made, tmp_path, monkeypatch):
    secrets = {name: letter * 40 for name, letter in (("ada", "a"), ("grace", "g"))}
    (tmp_path / "tokens").write_text(
        "# who may call\n" + "".join(f"{name} {token}\n" for name, token in secrets.items()) + "n" * 40 + "\n"
    )
    monkeypatch.setenv("LOGNAME", "somebody")
    with running({"kinase": made.path}, tmp_path / "tokens", tmp_path / "scratch") as service:
        for at, token in enumerate((*secrets.values(), "n" * 40)):
            isd.attach("kinase", service.url, token=token).tell({made.batch().ids[at]: READOUT})
    assert [event["who"] for event in told_events(made)] == ["ada", "grace", "somebody"]


def test_the_commands_work_from_elsewhere(made, service, tmp_path):
    def run(*words: str) -> str:
        done = CliRunner().invoke(command, [*words, "--address", service.url], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    ids = json.loads(run("ask", "kinase", "--out", str(tmp_path / "lab"), "--json"))["ids"]
    assert ids == made.batch().ids
    file = tmp_path / "readouts.csv"
    file.write_text("name,bbb\n" + "".join(f"{name},{READOUT}\n" for name in ids))
    assert "would leave 0 readouts missing" in run("tell", "kinase", str(file), "--preview")
    assert json.loads(run("tell", "kinase", str(file), "--preview", "--json"))[str(file)]["n_new"] == len(ids)
    assert f"{len(ids):,} new" in run("tell", "kinase", str(file))
    assert json.loads(run("status", "kinase", "--json"))["state"] == "ready"
    run("report", "kinase", "--out", str(tmp_path / "report.html"))
    assert "stopped" in run("stop", "kinase", "--reason", "the project ends")
    assert str(made.path) in run("coordinators", "list")
    assert "stopped" in run("coordinators", "stop", "kinase")
    assert stop("kinase", service.url)
    with pytest.raises(StoreError, match="no campaign of this name"):
        stop("another", service.url)


def test_campaigns_go_by_the_names_of_their_folders_where_those_are_their_own(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(campaigns, "connect", lambda compute: None)
    for folder in ("one/kinase", "two/kinase", "two/gpcr"):
        shutil.copytree(asked, tmp_path / folder)
    paths = campaigns.Campaigns([str(tmp_path / "one"), str(tmp_path / "two")], "auto").paths()
    assert sorted(paths.values()) == [str(tmp_path / name) for name in ("one/kinase", "two/gpcr", "two/kinase")]
    assert paths["gpcr"] == str(tmp_path / "two/gpcr")
    assert [name.startswith("kinase-") for name in paths if name != "gpcr"] == [True, True]
