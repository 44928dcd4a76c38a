"""What one answer for every compound would reach stands beside the claim wherever the claim is shown."""

from __future__ import annotations

import html
import json
from dataclasses import asdict

import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.compare import compare
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.results import report_of, stored_summary
from isd_ray.ops.simulate import simulate
from isd_ray.report.certificate import Certificate
from isd_ray.report.plan import plan_lines
from isd_ray.report.steps import ShownGoal, Steps
from isd_ray.report.words import status_lines, summary_lines
from tests.unit.serve_helpers import Visitor, page_of

MODEL = {"families": ["boosted"], "boosted": {"trees": 10}}
WORTHLESS = {"rule": "certify", "gamma": 0.6}
WORDS = "'BBB+' for every compound, without any model, has accuracy 0."


class Heard(Watcher):
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []
        self.numbers: list[str] = []
        self._steps = Steps(ShownGoal(0.6))

    def message(self, text) -> None:
        self.messages.append(text)

    def step(self, name, progress) -> None:
        self.warnings += progress.warnings
        self.numbers += self._steps.words_of(progress).numbers


@pytest.fixture(scope="module")
def truth_of(compounds) -> dict[str, str]:
    table = pyarrow.csv.read_csv(compounds)
    return dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def screen(make_config, tmp_path_factory):
    heard = Heard()
    config = make_config(model=MODEL, stopping=WORTHLESS)
    return simulate(config, tmp_path_factory.mktemp("constant") / "run", heard), heard


def test_a_simulation_says_it_before_it_starts_with_a_warning(screen):
    _, heard = screen
    assert [text for text in heard.messages if f"the goal: accuracy is above 0.6; for comparison: {WORDS}" in text]
    [warning] = [text for text in heard.messages if text.startswith("warning: ")]
    assert "a claim of 0.6 may be worth nothing: 'BBB+' for every compound, without any model, has 0." in warning
    assert "stopping.quantity = 'recall' or 'balanced_accuracy'" in warning
    assert sum("may be worth nothing" in text for text in heard.warnings) == 1, "said once, and not every round"


def test_it_is_shown_wherever_the_claim_is(screen):
    result, heard = screen
    store = CampaignStore.open(result.path)
    summary, status = stored_summary(store), status_of(store)
    assert WORDS in dict(summary_lines(summary))["For comparison"]
    assert summary["constant_range"][0] == summary["constant_range"][1]
    assert WORDS in dict(status_lines(status))["For comparison"]
    assert f"For comparison: {WORDS}" in str(Certificate.of(store))
    assert store.certificate()["claim"]["constant_range"] == summary["constant_range"]
    assert f"For comparison: {WORDS}" in (result.path / "model_card.md").read_text()
    report = report_of(store)
    assert "the best single answer for all, without any model" in report
    assert report.count("For comparison: &#39;BBB+&#39; for every compound") == 2, "certificate and section of accuracy"
    assert "constant answer" in report
    assert [text for text in heard.numbers if "(goal 0.6, constant answer 0." in text]


def test_a_claim_above_it_is_not_warned_of(make_config, tmp_path):
    heard = Heard()
    simulate(make_config(model=MODEL, stopping={"rule": "certify", "gamma": 0.9}), tmp_path / "run", heard)
    assert not [text for text in (*heard.messages, *heard.warnings) if "worth nothing" in text]


def test_a_plan_says_it_where_the_labels_are_known(make_config, tmp_path):
    lines = plan_lines(plan_campaign(make_config(model=MODEL, stopping=WORTHLESS), out=tmp_path))
    said = dict(lines)
    assert said["Goal"] == "accuracy is above 0.6"
    assert WORDS in said["For comparison"]
    assert "may be worth nothing" in said["Warning"]
    labels = {"column": "readout", "classes": ["BBB+", "BBB-"]}
    said = dict(plan_lines(plan_campaign(make_config(model=MODEL, stopping=WORTHLESS, labels=labels), out=tmp_path)))
    assert said["For comparison"].endswith("is said once the first batch is measured")


def test_a_plan_passes_over_compounds_of_a_file_that_have_no_label(make_config, compounds, tmp_path):
    header, first, *others = compounds.read_text().splitlines()
    blank = first.replace("BBB+", "").replace("BBB-", "")
    (tmp_path / "labels.csv").write_text("\n".join([header, blank, *others]) + "\n")
    changes = {"labels": {"source": str(tmp_path / "labels.csv")}, "library": {"path": str(tmp_path / "not-built")}}
    planned = plan_campaign(make_config(model=MODEL, stopping=WORTHLESS, **changes), out=tmp_path)
    assert WORDS in planned.constant
    assert "first batch" not in planned.constant


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stopping": {"rule": "certify", "quantity": "recall", "positive": "BBB-"}}, "picked at random"),
        (
            {
                "task": "regression",
                "labels": {"column": "size"},
                "model": {"families": ["boosted"], "members": 2, "boosted": {"trees": 5}},
                "stopping": {"rule": "certify", "quantity": "mae", "max_loss": 5.0, "loss_clip": 20.0},
            },
            "for every compound, without any model, has mean absolute error",
        ),
    ],
    ids=["recall", "mae"],
)
def test_a_plan_says_it_of_every_claim(changes, words, make_config, tmp_path):
    assert words in plan_campaign(make_config(**{"model": MODEL, **changes}), out=tmp_path).constant


def test_a_comparison_has_it_for_each_agent(make_config, tmp_path):
    found = compare(make_config(model=MODEL, stopping=WORTHLESS), tmp_path / "agents", agents=("active", "random"))
    truth = found.summary["agents"]["active"]["constant_range"]
    assert truth[0] == truth[1] > 0.6
    assert found.summary["agents"]["random"]["constant_range"] == truth
    assert f"{truth[0]:.4g}" in (tmp_path / "agents" / "report.html").read_text()
    assert "constant answer" in found._repr_html_()


def test_a_laboratory_says_it_once_the_first_batch_is_measured_and_a_process_that_resumes_says_the_same(
    make_config, truth_of, tmp_path
):
    labels = {"column": "readout", "classes": ["BBB+", "BBB-"]}
    heard = Heard()
    config = make_config(model=MODEL, stopping=WORTHLESS, labels=labels)
    campaign = Campaign.create(tmp_path / "run", config, heard)
    assert [text for text in heard.messages if "is said once the first batch is measured" in text]
    assert campaign.status().constant is None
    first = campaign.ask().ids
    campaign.tell({name: truth_of[name] for name in first[5:]})
    campaign.fail(list(first[:5]), "lost")
    second = campaign.ask()
    words = campaign.status().constant
    assert words.startswith("'BBB+' for every compound, without any model, has accuracy 0.")
    assert words.endswith("by the 120 compounds of the first batch")
    assert [text for text in campaign.status().warnings if "may be worth nothing" in text]
    page, [key] = page_of(tmp_path / "run", scratch=tmp_path / "scratch")
    visitor = Visitor(page)
    for address in ("/", f"/c/{key}"):
        assert words in html.unescape(visitor.get(address).text)
    assert "accuracy-by-round" not in visitor.get(f"/c/{key}").text  # nothing is known of the screen itself
    again = Campaign.open(tmp_path / "run")
    again.tell({name: truth_of[name] for name in second.ids})
    again.ask()
    assert again.status().constant == words


def test_numbers_for_programs_have_it(screen):
    result, _ = screen
    shown = CliRunner().invoke(app, ["status", str(result.path), "--json"])
    said = json.loads(shown.stdout)
    assert WORDS in said["constant"]
    assert asdict(status_of(CampaignStore.open(result.path)))["constant"] == said["constant"]
    rows = result.rounds
    assert rows["constant_low"].to_pylist() == rows["constant_high"].to_pylist()
