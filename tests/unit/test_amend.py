"""Corrected readouts: on record, in the hybrid screen, and the end of a certificate that rested on them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from isd_ray.campaign.amend import amended_readouts, corrected_since, recounted
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.errors import LabelError
from isd_ray.models import fit
from isd_ray.ops.amend import amend_from_file
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import report_of, stored_summary
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify

OTHER = {"BBB+": "BBB-", "BBB-": "BBB+"}


@pytest.fixture
def screen(make_config, tmp_path):
    return simulate(make_config(stopping={"rule": "certify", "gamma": 0.8}), tmp_path / "run")


def corrections(screen, tmp_path, role, n=3):
    """A file that turns the labels of n compounds of a role around."""
    lines = screen.hybrid.filter(pc.equal(screen.hybrid["role"], role)).slice(0, n)
    file = tmp_path / f"{role}.csv"
    labels = [OTHER[label] for label in lines["label"].to_pylist()]
    pa.csv.write_csv(pa.table({"name": lines["id"], "bbb": labels}), file)
    return file, dict(zip(lines["id"].to_pylist(), labels, strict=True))


def test_a_certificate_is_withdrawn_with_its_audit(screen, tmp_path):
    file, corrected = corrections(screen, tmp_path, "audit")
    before = {line["id"]: line for line in screen.hybrid.to_pylist()}
    amended = amend_from_file(screen.path, file, "plate 7 was read twice")
    assert (amended.n_changed, amended.withdrawn) == (3, True)
    after = {line["id"]: line for line in screen.hybrid.to_pylist()}
    for name, line in after.items():
        changes = {"label": corrected[name], "qc": "amended"} if name in corrected else {}
        assert line == {**before[name], **changes, "certificate_id": None}
    summary = json.loads((screen.path / "summary.json").read_text())
    assert summary["certified"] is False
    assert "3 readouts that it rests on were corrected (plate 7 was read twice)" in summary["claim"]
    assert "WITHDRAWN" in (screen.path / "report.html").read_text()
    store = CampaignStore.open(screen.path)
    assert stored_summary(store) == summary, "it is what follows from the record"
    assert verify(store).problems == ()
    report_of(store)
    shown = CliRunner().invoke(app, ["certificate", "show", str(screen.path)])
    assert "is WITHDRAWN" in str(shown.exception)
    events = [json.loads(file.read_text())["kind"] for file in sorted((screen.path / "events").iterdir())]
    assert events[-3:] == ["amend", "withdraw", "hybrid"]


def test_a_certificate_outlives_labels_that_only_trained_the_model(screen, tmp_path):
    file, corrected = corrections(screen, tmp_path, "top")
    assert amend_from_file(screen.path, file, "wrong lot").withdrawn is False
    assert json.loads((screen.path / "summary.json").read_text())["certified"] is True
    lines = {line["id"]: line for line in screen.hybrid.to_pylist()}
    assert all(lines[name]["label"] == label and lines[name]["certificate_id"] for name, label in corrected.items())


def test_the_readout_as_it_was_stays_on_record_and_the_same_file_twice_changes_nothing(screen, tmp_path):
    store = CampaignStore.open(screen.path)
    readouts = {file.name: file.read_bytes() for file in (screen.path / "readouts").iterdir()}
    file, _ = corrections(screen, tmp_path, "top")
    assert amend_from_file(screen.path, file, "wrong lot").n_changed == 3
    assert amend_from_file(screen.path, file, "wrong lot").n_changed == 0
    after = {file.name: file.read_bytes() for file in (screen.path / "readouts").iterdir()}
    assert readouts.items() < after.items()
    assert len(after) == len(readouts) + 1
    assert len(amended_readouts(store)) == 3


def test_the_hits_that_a_recall_counts_are_part_of_its_certificate(make_config, tmp_path):
    stopping = {"rule": "certify", "quantity": "recall", "gamma": 0.7, "positive": "BBB-"}
    screen = simulate(make_config(stopping=stopping), tmp_path / "run")
    file, _ = corrections(screen, tmp_path, "top")
    assert amend_from_file(screen.path, file, "wrong lot").withdrawn is False, "it passes with three hits less"
    store = CampaignStore.open(screen.path)
    assert corrected_since(store, recounted(store)).n == 3
    measured = screen.hybrid.filter(pc.equal(screen.hybrid["source"], "measured")).to_pylist()
    hits = [line["id"] for line in measured if line["label"] == "BBB-" and line["role"] != "audit"]
    (tmp_path / "none.csv").write_text("\n".join(["name,bbb", *(f"{name},BBB+" for name in hits)]))
    assert amend_from_file(screen.path, tmp_path / "none.csv", "wrong lot").withdrawn is True


def test_hits_of_a_finish_are_no_part_of_the_certificate_of_a_recall(make_config, tmp_path):
    """Its cut was shown by the hits of before; what is measured of it is missed no more, whatever it is."""
    stopping = {"rule": "certify", "quantity": "recall", "gamma": 0.9, "positive": "BBB-"}
    screen = simulate(make_config(stopping=stopping), tmp_path / "run")
    file, corrected = corrections(screen, tmp_path, "finish", 100)
    assert corrected
    assert amend_from_file(screen.path, file, "wrong lot").withdrawn is False
    store = CampaignStore.open(screen.path)
    assert corrected_since(store, recounted(store)) is None


def test_hits_from_outside_the_plan_that_a_recall_counts_are_part_of_its_certificate(make_config, compounds, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    truth = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    stopping = {"rule": "certify", "quantity": "recall", "gamma": 0.7, "positive": "BBB-"}
    labels = {"column": "bbb", "classes": ["BBB+", "BBB-"]}
    campaign = Campaign.create(tmp_path / "run", make_config(stopping=stopping, labels=labels))
    first = campaign.ask().ids
    outside = [name for name in sorted(truth) if name not in first and truth[name] == "BBB-"][:50]
    campaign.tell({name: truth[name] for name in outside}, external=True)
    while (batch := campaign.ask()) is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    assert campaign.store.certificate() is not None
    file = tmp_path / "fix.csv"
    file.write_text("\n".join(["name,bbb", *(f"{name},BBB+" for name in outside)]))
    assert campaign.amend(file, "wrong lot") == 50
    assert corrected_since(campaign.store, recounted(campaign.store)).n == 50


def test_an_amendment_that_was_cut_off_is_ended_by_the_next(screen, tmp_path, monkeypatch):
    """Killed after the correction was on record, before the certificate was withdrawn."""
    file, corrected = corrections(screen, tmp_path, "audit")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CampaignStore, "withdraw", killed)
        with pytest.raises(KeyboardInterrupt):
            amend_from_file(screen.path, file, "plate 7 was read twice")
    again = amend_from_file(screen.path, file, "plate 7 was read twice")
    assert (again.n_changed, again.withdrawn) == (0, True)
    lines = {line["id"]: line for line in screen.hybrid.to_pylist()}
    assert all(lines[name]["label"] == label for name, label in corrected.items())
    assert {line["certificate_id"] for line in lines.values()} == {None}
    assert json.loads((screen.path / "summary.json").read_text())["certified"] is False


class StopAt(Watcher):
    """Breaks off at a state of the loop, like a process that is killed there."""

    def __init__(self, state: str, number: int | None = None) -> None:
        self.state, self.number = state, number

    def step(self, name, progress) -> None:
        if progress.state == self.state and self.number in (None, progress.round):
            raise KeyboardInterrupt


def test_an_audit_corrected_between_its_look_and_the_delivery_certifies_nothing(make_config, screen, tmp_path):
    config = make_config(stopping={"rule": "certify", "gamma": 0.8})
    with pytest.raises(KeyboardInterrupt):
        simulate(config, tmp_path / "cut", StopAt("deliver"))
    file, corrected = corrections(screen, tmp_path, "audit")
    assert amend_from_file(tmp_path / "cut", file, "plate 7 was read twice").n_changed == 3
    resumed = simulate(config, tmp_path / "cut")
    assert resumed.summary["certified"] is False
    assert CampaignStore.open(resumed.path).withdrawn() is not None
    lines = {line["id"]: line for line in resumed.hybrid.to_pylist()}
    assert all(lines[name]["label"] == label and lines[name]["qc"] == "amended" for name, label in corrected.items())
    assert {line["certificate_id"] for line in lines.values()} == {None}


def test_a_reserve_corrected_before_its_look_is_judged_as_corrected(make_config, tmp_path):
    config = make_config(stopping={"rule": "reserved", "gamma": 0.8})
    with pytest.raises(KeyboardInterrupt):
        simulate(config, tmp_path / "cut", StopAt("fit", 1))
    batch = CampaignStore.open(tmp_path / "cut").rounds()[0].read_batch()
    [name] = batch.filter(pc.equal(batch["role"], "reserve"))["id"].slice(0, 1).to_pylist()
    told = CampaignStore.open(tmp_path / "cut").rounds()[0].committed["readouts_sha256"]
    labels = CampaignStore.open(tmp_path / "cut").read_readouts(told)["label"].to_pylist()
    before = labels[batch["id"].to_pylist().index(name)]
    file = tmp_path / "fix.csv"
    file.write_text(f"name,bbb\n{name},{['BBB-', 'BBB+'][int(before)]}\n")
    assert amend_from_file(tmp_path / "cut", file, "mixed up").n_changed == 1
    resumed = simulate(config, tmp_path / "cut")
    assert resumed.summary["certified"] is True
    assert CampaignStore.open(resumed.path).withdrawn() is None


def test_a_campaign_that_goes_on_learns_from_the_correction(make_config, tmp_path, monkeypatch):
    config = make_config()
    with pytest.raises(KeyboardInterrupt):
        simulate(config, tmp_path / "run", StopAt("fit", 2))
    store = CampaignStore.open(tmp_path / "run")
    first = store.rounds()[0].read_batch()["id"].to_pylist()[0]
    [before] = [
        line["label"]
        for line in store.read_readouts(store.rounds()[0].committed["readouts_sha256"]).slice(0, 1).to_pylist()
    ]
    file = tmp_path / "fix.csv"
    file.write_text(f"name,bbb\n{first},{['BBB-', 'BBB+'][int(before)]}\n")
    amend_from_file(tmp_path / "run", file, "mixed up")
    seen = []
    original = fit.fit_member

    def spy(features, labels, **arguments):
        seen.append(labels[0])
        return original(features, labels, **arguments)

    monkeypatch.setattr("isd_ray.models.resmlp_family.fit_member", spy)
    simulate(config, tmp_path / "run")
    assert set(seen) == {1 - before}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,bbb\nC9999,BBB+\n", "no label belongs to a compound"),
        ("name,bbb\n{unmeasured},BBB+\n", "never measured in this campaign, among them 'C"),
        ("name,bbb\n{measured},BBB?\n", "BBB"),
        ("name,bbb\n{measured},BBB+\nC9999,BBB+\n", "1 lines have no label, or an id that is not"),
    ],
)
def test_what_cannot_be_placed_is_refused(text, message, screen, tmp_path):
    lines = screen.hybrid.to_pylist()
    names = {
        "measured": next(line["id"] for line in lines if line["source"] == "measured"),
        "unmeasured": next(line["id"] for line in lines if line["source"] == "predicted"),
    }
    file = tmp_path / "bad.csv"
    file.write_text(text.format(**names))
    with pytest.raises(LabelError, match=message):
        amend_from_file(screen.path, file, "wrong lot")
    assert amended_readouts(CampaignStore.open(screen.path)) == {}


def test_an_infinite_correction_is_refused_with_its_line(regression, make_config, tmp_path):
    """It was passed over in silence, as if nothing had to be corrected."""
    changes = {**regression, "model": {"hidden_size": 8, "epochs": 2}, "acquisition": {"function": "random"}}
    campaign = Campaign.create(tmp_path / "run", make_config(**changes))
    first, second = campaign.ask().ids[:2]
    campaign.tell({first: "5", second: "6"})
    file = tmp_path / "fix.csv"
    file.write_text(f"name,size\n{first},7\n{second},inf\n")
    with pytest.raises(LabelError, match=rf"1 labels .*not finite: line 3 \(id '{second}'\): inf"):
        campaign.amend(file, "wrong lot")
    assert amended_readouts(campaign.store) == {}


def test_an_amendment_without_a_reason_is_refused(screen, tmp_path):
    file, _ = corrections(screen, tmp_path, "top")
    with pytest.raises(LabelError, match="needs a reason"):
        amend_from_file(screen.path, file, " ")
