"""The model card beside the weights: it says what the record says, and can be made again."""

from __future__ import annotations

import json
import re

import pyarrow.csv
import pytest
from typer.testing import CliRunner

import isd_ray as isd
from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.data.library import Library
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import conclude
from isd_ray.ops.simulate import simulate
from isd_ray.report.model_card import CARD_FILES, card_text, model_card

FAMILIES = {"families": ["boosted", "linear"], "members": 1, "boosted": {"trees": 10, "members": 2}}


@pytest.fixture(scope="module")
def run(make_config, tmp_path_factory):
    settings = {"model": FAMILIES, "stopping": {"rule": "certify", "gamma": 0.7}}
    return simulate(make_config(**settings), tmp_path_factory.mktemp("card") / "run")


@pytest.fixture(scope="module")
def card(run):
    return json.loads((run.path / "model_card.json").read_text())


def test_the_card_names_the_model_that_predicts(run, card):
    model = isd.load_model(run.path)
    assert card["committee_hash"] == model.hash
    assert card["campaign_id"] == run.summary["campaign_id"]
    assert (card["task"], card["classes"]) == ("classification", ["BBB+", "BBB-"])
    members = {line["family"]: (line["members"], line["share"]) for line in card["families"]}
    assert members == {name: ({"boosted": 2, "linear": 1}[name], share) for name, share in model.families.items()}
    assert len(list((run.path / card["weights"]).glob("*.safetensors"))) == 3
    assert card["families"][0]["settings"]["trees"] == 10
    library = Library.open(CampaignStore.open(run.path).manifest["library"])
    assert [(b["name"], b["hash"], b["columns"]) for b in card["blocks"]] == [("fingerprints", library.hash, 2048)]


def columns_screen(make_config, folder, **model):
    settings = {
        "library": {"path": str(folder / "library"), "dense_columns": ["size"], "descriptors": ["rdkit2d"]},
        "model": {"families": ["linear"], **model},
        "stopping": {"rule": "none", "max_rounds": 2},
    }
    run = simulate(make_config(**settings), folder / "run")
    return json.loads((run.path / "model_card.json").read_text()), (run.path / "model_card.md").read_text()


@pytest.mark.parametrize(
    ("model", "blocks", "words"),
    [
        ({"exclude": ["size"]}, {"fingerprints": 2048, "rdkit2d": 118}, "- of `columns` `size`"),
        ({"exclude": ["[A-Z]*"]}, None, " more (model_card.json)"),
        ({"linear": {"blocks": ["columns"]}}, {"columns": 1}, "- of `fingerprints` any column"),
        ({"blocks": ["fingerprints", "columns"]}, {"fingerprints": 2048, "columns": 1}, None),
    ],
)
def test_features_are_those_that_models_saw_and_what_was_kept_from_them_is_said(
    model, blocks, words, make_config, tmp_path
):
    card, text = columns_screen(make_config, tmp_path, **model)
    shown = {block["name"]: block["columns"] for block in card["blocks"]}
    assert blocks is None or shown == blocks
    assert card["exclude"] == model.get("exclude", [])
    assert ("No model saw:" in text) == (words is not None)
    assert words is None or words in text
    unseen = card["unseen"].get("rdkit2d", [])
    assert len(unseen) + shown.get("rdkit2d", 0) in (118, 0)


def test_rows_by_role_are_those_that_the_model_had_seen(run, card):
    rounds = run.rounds.to_pylist()
    assert card["training"]["n"] == rounds[card["fitted_in_round"]]["n_observed"]
    before = [
        line for line in run.hybrid.to_pylist() if line["round"] is not None and line["round"] < card["fitted_in_round"]
    ]
    for role, n in card["training"]["by_role"].items():
        assert n == sum(line["role"] == role for line in before)
    assert "audit" not in card["training"]["by_role"]  # it judged the model, and had not trained it


def test_the_evidence_is_that_of_the_campaign(run, card):
    evidence = card["evidence"]
    certificate = run.certificate
    assert certificate is not None
    assert evidence["certificate"]["certificate_id"] == certificate.id
    assert evidence["certificate"]["words"] == certificate.lines
    judged = [row["race"] for row in run.rounds.to_pylist() if row["race"] and row["race"][-1]["family"] == "constant"]
    for line in evidence["race"]:
        name = {"constant answer": "constant"}.get(line["family"], line["family"])
        losses = [next(entry["loss"] for entry in race if entry["family"] == name) for race in judged]
        assert (line["last"], line["mean"]) == pytest.approx((losses[-1], sum(losses) / len(losses)))
    assert sum(line["n"] for line in evidence["reliability"]) > 0
    text = (run.path / "model_card.md").read_text()
    for said in (card["committee_hash"], certificate.id, "Nothing is certified of one compound", "constant answer"):
        assert said in text


def test_the_way_to_load_it_that_the_card_shows_works(run):
    [code] = re.findall(r"```python\n(.*?)```", (run.path / "model_card.md").read_text(), re.DOTALL)
    exec(compile(code.replace("this folder", str(run.path)), "card", "exec"), {})  # noqa: S102 - it is ours


def test_a_card_that_is_missing_is_made_again_by_a_report_to_the_byte(run):
    before = {name: (run.path / name).read_bytes() for name in CARD_FILES}
    for name in CARD_FILES:
        (run.path / name).unlink()
    assert CliRunner().invoke(app, ["report", str(run.path)]).exit_code == 0
    assert {name: (run.path / name).read_bytes() for name in CARD_FILES} == before


def test_a_delivery_that_was_cut_off_behind_its_decision_gets_its_card(run):
    """`delivered.json` stands, what people read does not yet."""
    before = (run.path / "model_card.md").read_bytes()
    for name in (*CARD_FILES, "summary.json", "report.html"):
        (run.path / name).unlink()
    conclude(CampaignStore.open(run.path))
    assert (run.path / "model_card.md").read_bytes() == before
    assert CliRunner().invoke(app, ["verify", str(run.path)]).exit_code == 0


def test_a_withdrawn_certificate_is_no_evidence(make_config, compounds, tmp_path):
    run = simulate(make_config(stopping={"rule": "certify", "gamma": 0.7}), tmp_path / "run")
    assert run.summary["certified"]
    audited = [line for line in run.hybrid.to_pylist() if line["role"] == "audit"]
    other = {"BBB+": "BBB-", "BBB-": "BBB+"}
    amended = "".join(f"{line['id']},{other[line['label']]}\n" for line in audited)
    (tmp_path / "fix.csv").write_text(f"name,bbb\n{amended}")
    arguments = ["amend", str(run.path), str(tmp_path / "fix.csv"), "--reason", "wrong lot"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert "is WITHDRAWN" in (run.path / "model_card.md").read_text()


def test_a_screen_that_goes_on_has_no_card(make_config, compounds, tmp_path):
    laboratory = {
        "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
        "stopping": {"rule": "none", "max_rounds": 3},
    }
    campaign = Campaign.create(tmp_path / "run", make_config(**laboratory))
    table = pyarrow.csv.read_csv(compounds)
    truth = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    while (batch := campaign.ask()) is not None:
        assert CliRunner().invoke(app, ["report", str(campaign.path)]).exit_code == 0
        assert not (campaign.path / "model_card.md").exists()
        campaign.tell({name: truth[name] for name in batch.ids})
    assert json.loads((campaign.path / "model_card.json").read_text())["training"]["n"] > 0


@pytest.mark.parametrize("task", ["regression", "panel"])
def test_values_and_panels_have_cards_too(task, request, make_config, tmp_path):
    run = simulate(make_config(**request.getfixturevalue(task)), tmp_path / "run")
    card = model_card(CampaignStore.open(run.path), run.summary)
    assert card["task"] == task
    assert f"| Task | {task} of" in card_text(card)


def test_what_users_wrote_is_no_markup(run, card):
    evil = {**card, "classes": ["a|b", "<script>alert(1)</script>"]}
    text = card_text(evil)
    assert "a\\|b" in text
    assert "<script" not in text
