"""What a notebook shows of objects and of progress: escaped, and in a kernel alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import nbformat
import pyarrow as pa
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import STATUSES, status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Refusal
from isd_ray.cli import app
from isd_ray.config_file import to_toml
from isd_ray.data.export import Exported
from isd_ray.errors import ClusterError
from isd_ray.ops.compare import Comparison
from isd_ray.ops.confirm import SecondTold
from isd_ray.ops.goal_costs import GoalCost
from isd_ray.ops.goal_keys import ProposedKey
from isd_ray.ops.interim import Interim
from isd_ray.ops.simulate import SimulationResult
from isd_ray.ops.telling import Told
from isd_ray.ops.verify import Verified
from isd_ray.remote.jobs import Job, JobStatus
from isd_ray.report.certificate import Certificate
from isd_ray.report.notebook import Row, Shown, in_notebook
from isd_ray.report.words import status_lines
from tests.unit.test_live import steps_seen

__all__ = ["steps_seen"]

EVIL = "<img src=x onerror=alert(1)>"
WAIT_S = 300


# --- objects in a notebook -------------------------------------------------------------------------------------------


class Cards(HTMLParser):
    """Names of tags and attributes that a piece of HTML holds, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names |= {tag, *(name for name, _ in attrs)}

    def handle_data(self, data):
        self.text += f"{data} "


class FakeClient:
    """A cluster with one job, or one that does not answer."""

    address = "http://head:8265"


def job_with(status, monkeypatch) -> Job:
    job = Job(FakeClient(), None)
    monkeypatch.setattr(Job, "name", EVIL)
    monkeypatch.setattr(Job, "status", status)
    return job


def evil_objects(steps_seen, monkeypatch):
    path = steps_seen[1]
    status = replace(status_of(CampaignStore.open(path)), decision=EVIL, withdrawn=EVIL)
    summary = {**json.loads((path / "summary.json").read_bytes()), "name": EVIL, "stop_reason": EVIL}
    campaign = isd.Campaign.open(path)
    monkeypatch.setattr(campaign, "status", lambda: status)
    reached = {"0.9": 0.5}
    agents = {
        EVIL: {"fraction_acquired": 0.5, "n_trips": 3, "fraction_to_reach": reached, "trips_to_reach": {"0.9": 2}}
    }
    content = CampaignStore.open(path).certificate()
    cells = pa.table({"id": [EVIL] * 9, "smiles": ["C"] * 9})
    job = JobStatus(EVIL, "failed", EVIL, EVIL, "log", 3, 10, 100, 0.9, EVIL, 12.0)
    return {
        "campaign": campaign,
        "batch": Batch(3, cells, pa.table({"plate": [EVIL]}), None, None),
        "certificate": Certificate({**content, "campaign_id": EVIL}, EVIL),
        "result": SimulationResult(path, summary),
        "comparison": Comparison(path, {"name": EVIL, "agents": agents}),
        "job": job_with(lambda self: job, monkeypatch),
        "status of a job": job,
        "told": Told(1, 2, 3, (Refusal(4, EVIL),) * 9, 5),
    }


def shown_values(steps_seen):
    """Plain values that verbs return, with what users wrote in them."""
    path = steps_seen[1]
    status = replace(status_of(CampaignStore.open(path)), decision=EVIL)
    library = replace(isd.Campaign.open(path).library.info(), path=EVIL)
    cost = GoalCost("accuracy", 0.9, (1000, 2000), (3, 4), 9000, 3, 3)
    keys = (ProposedKey(("labels", "column"), EVIL, EVIL),)
    return {
        "status": (status, "To do"),
        "library": (library, "900"),
        "advice": (isd.Advice((cost,), EVIL, (EVIL,)), "1,000 to 2,000"),
        "proposal": (isd.Proposal(EVIL, 1, keys, {EVIL: EVIL}, (EVIL,), True), "1 compound "),
        "exported": (Exported(1, 2000), "1 line "),
        "interim": (Interim(1000, 0, 3, (EVIL,), path), "1,000 lines"),
        "second readouts": (SecondTold({EVIL: 1}, 2000), "2,000"),
        "verified": (Verified((EVIL,), (), 1, 2, 3000), "3,000"),
        "notice": (isd.Notice("c", 3, "stop", "2026-01-01", EVIL, {"reason": EVIL}), "Entry 3: stop"),
    }


@pytest.fixture(scope="module")
def finished(steps_seen, make_config):
    """The simulation of `steps_seen` with its results."""
    isd.simulate(make_config(stopping={"rule": "certify", "gamma": 0.7}), steps_seen[1])
    return steps_seen


@pytest.mark.parametrize(
    "name", ["campaign", "batch", "certificate", "result", "comparison", "job", "status of a job", "told"]
)
def test_an_object_shows_itself_and_what_users_wrote_stays_text(name, finished, monkeypatch):
    shown = evil_objects(finished, monkeypatch)[name]
    cards = Cards(shown._repr_html_())
    assert cards.names <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "p", "style", "scope"}
    assert EVIL in cards.text
    assert "color:" not in shown._repr_html_().replace("background", "")  # those of the notebook
    assert len(repr(shown)) < 300
    assert repr(shown).startswith(type(shown).__name__)


VALUES = ("status", "library", "advice", "proposal", "exported", "interim", "second readouts", "verified", "notice")


@pytest.mark.parametrize("name", VALUES)
def test_no_verb_returns_a_value_that_a_notebook_shows_raw(name, steps_seen):
    value, said = shown_values(steps_seen)[name]
    cards = Cards(value._repr_html_())
    assert cards.names <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "p", "style", "scope"}
    assert said in cards.text
    assert (EVIL in cards.text) == (EVIL in repr(value))


def test_what_became_of_the_compounds_is_said_in_words(steps_seen):
    ended = status_of(CampaignStore.open(steps_seen[1]))
    status = replace(ended, counts=dict.fromkeys(STATUSES, 7), state="ready", outlook="worth a look")
    said = dict(status_lines(status))["Compounds"]
    assert said.count("7 ") == len(STATUSES)
    assert not any(name in said for name in STATUSES)
    assert "7 not measured so far" in said
    assert ("Audit", "worth a look") in status_lines(status)
    delivered = dict(status_lines(replace(status, state="ended")))
    assert "7 predicted; " in delivered["Compounds"]
    assert "7 predicted, as they gave no readout" in delivered["Compounds"]
    assert "Audit" not in delivered


def test_a_batch_shows_its_first_compounds_and_says_that_there_are_more():
    cells = pa.table({"id": [f"C{n}" for n in range(9)], "smiles": ["C"] * 9})
    text = Cards(Batch(3, cells, None, None, None)._repr_html_()).text
    assert "C4" in text
    assert "C5" not in text
    assert "the first 5" in text
    assert repr(Batch(3, cells, None, None, None)) == "Batch(round=3, n=9)"


def test_a_cluster_that_does_not_answer_is_shown_not_raised(monkeypatch):
    def refuse(self):
        raise ClusterError("the cluster does not answer any more", "http://head:8265", "see whether it still runs")

    text = Cards(job_with(refuse, monkeypatch)._repr_html_()).text
    assert "does not answer" in text
    assert "Remedy" in text


def test_a_certificate_says_what_the_command_says_and_that_it_was_withdrawn(finished):
    result = isd.simulate(isd.Campaign.open(finished[1]).config, finished[1])
    certificate = result.certificate
    printed = CliRunner().invoke(app, ["certificate", "show", str(finished[1])], env={"COLUMNS": "10000"}).output
    assert certificate.lines[1] in " ".join(printed.split())
    assert certificate == isd.Campaign.open(finished[1]).certificate()
    assert certificate.stands
    withdrawn = replace(certificate, withdrawn="an assay was wrong")
    assert str(withdrawn).startswith("WITHDRAWN: an assay was wrong")
    assert "WITHDRAWN" in repr(withdrawn)


# --- in a kernel -----------------------------------------------------------------------------------------------------


def test_a_plain_process_shows_nothing_by_itself(capsys, make_config, tmp_path):
    assert not in_notebook()
    isd.simulate(make_config(stopping={"rule": "none", "max_fraction": 0.3}), tmp_path / "run")
    assert capsys.readouterr() == ("", "")


def test_progress_in_a_notebook_escapes_what_it_shows():
    shown = Shown([Row(EVIL, 1, 2, EVIL, EVIL)], [EVIL])
    cards = Cards(shown._repr_html_())
    assert cards.names <= {"div", "strong", "progress", "br", "p", "style", "value", "max", "aria-label"}
    assert cards.text.count(EVIL) == 4
    assert repr(shown).splitlines() == [EVIL, f"{EVIL}: {EVIL}; {EVIL}"]


CELLS = """
import isd_ray as isd
config = isd.CampaignConfig.from_toml("campaign.toml")
result = isd.simulate(config, "run")
---
result
---
laboratory = isd.Campaign.create("laboratory", isd.CampaignConfig.from_toml("laboratory.toml"))
batch = laboratory.ask()
laboratory.tell(dict.fromkeys(batch.ids, "BBB+"))
laboratory.ask()
"""


def test_a_notebook_shows_progress_below_each_cell_and_updates_it_in_place(make_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopping = {"rule": "none", "max_fraction": 0.4}
    (tmp_path / "campaign.toml").write_text(to_toml(make_config(stopping=stopping)))
    classes = {"column": "bbb", "classes": ["BBB-", "BBB+"]}
    (tmp_path / "laboratory.toml").write_text(
        to_toml(make_config(stopping=stopping, labels=classes, name="laboratory"))
    )
    cells = [nbformat.v4.new_code_cell(code.strip()) for code in CELLS.split("---")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=WAIT_S, kernel_name="python3").execute()
    simulated, shown, asked = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in simulated] == ["display_data"]  # one, whatever the number of updates
    last = Cards(simulated[0]["data"]["text/html"])
    assert "progress" in last.names
    assert "small" in last.text
    assert "measured 360 of 900; done" in last.text
    assert "no stop rests on it" in last.text
    assert re.search(r"^small: measured .*; done$", simulated[0]["data"]["text/plain"], re.MULTILINE)
    assert "Measured" in shown[0]["data"]["text/html"]
    display, result = asked
    text = Cards(display["data"]["text/html"])
    assert "waiting for readouts" in text.text
    assert "one class" in text.text  # the warning of a round
    assert "Batch of round 1" in result["data"]["text/html"]
