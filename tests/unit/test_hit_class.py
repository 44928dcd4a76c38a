"""Which class is a hit: named, or beyond doubt, and never the last one by its place."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv
import pytest

from isd_ray.campaign import record
from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, StoppingConfig
from isd_ray.core.goals import goal_for
from isd_ray.data.hit_class import recognised, shown_hit
from isd_ray.errors import ConfigError
from isd_ray.ops import prepare
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.results import stored_summary
from isd_ray.ops.simulate import simulate

MODEL = {"families": ["boosted"], "boosted": {"trees": 5}}
HITS = {"rule": "certify", "gamma": 0.8}
UNSAID = r"which of the classes 'BBB\+', 'BBB-' is a hit is not said"


class Heard(Watcher):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text) -> None:
        self.messages.append(text)


@pytest.mark.parametrize(
    ("classes", "hit"),
    [
        (("0", "1"), "1"),
        (("active", "inactive"), "active"),
        (("Inactive", "Active "), "Active "),
        (("no", "yes"), "yes"),
        (("BBB+", "BBB-"), None),
        (("1", "2"), None),
        (("active", "inactive", "unclear"), None),
        (("active", "dead"), None),
    ],
)
def test_only_pairs_that_leave_no_doubt_are_recognised_whatever_their_order(classes, hit):
    assert recognised(classes) == hit


@pytest.mark.parametrize(
    ("classes", "by_plates", "positive", "hit"),
    [
        (("BBB+", "BBB-"), False, None, None),
        (("BBB+", "BBB-"), True, None, "BBB-"),
        (("BBB+", "BBB-"), True, "BBB+", "BBB+"),
        (("active", "inactive"), False, None, "active"),
        (("a", "b", "c"), False, None, None),
        ((), False, None, None),
    ],
)
def test_hits_are_listed_where_anybody_could_tell_which_class_they_are(classes, by_plates, positive, hit):
    assert shown_hit(StoppingConfig(positive=positive), classes, by_plates=by_plates) == hit


@pytest.mark.parametrize("quantity", ["recall", "precision", "balanced_accuracy"])
def test_a_claim_about_hits_of_other_classes_is_refused_before_a_library_is_built(quantity, make_config, tmp_path):
    config = make_config(library={"path": str(tmp_path / "library")}, stopping={**HITS, "quantity": quantity})
    for begin in (
        lambda: simulate(config, tmp_path / "run"),
        lambda: plan_campaign(config, out=tmp_path / "run"),
    ):
        with pytest.raises(ConfigError, match=UNSAID) as refused:
            begin()
        assert "name it, as positive = 'BBB-'" in str(refused.value)
    assert not (tmp_path / "library").exists()


def test_so_is_an_acquisition_function_about_hits_and_a_laboratory(make_config, tmp_path):
    labels = {"column": "readout", "classes": ["BBB+", "BBB-"]}
    with pytest.raises(ConfigError, match=f"'hit_probability' is about hits, and {UNSAID}"):
        simulate(make_config(acquisition={"function": "hit_probability"}), tmp_path / "run")
    with pytest.raises(ConfigError, match=UNSAID):
        Campaign.create(tmp_path / "lab", make_config(labels=labels, stopping={**HITS, "quantity": "recall"}))


def test_hit_calling_names_its_own(make_config, tmp_path):
    config = make_config(
        stopping={**HITS, "quantity": "recall"},
        plates={"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}},
        hits={"method": "percent_inhibition", "cut": 50.0},
    )
    assert prepare.with_hit(config, ("quiet", "loud"), tmp_path).stopping.positive == "loud"


def test_a_class_may_be_named_for_an_acquisition_function_but_not_without_classes(make_config, tmp_path):
    config = make_config(acquisition={"function": "hit_probability"}, stopping={"positive": "BBB+"})
    assert prepare.with_hit(config, ("BBB+", "BBB-"), tmp_path).stopping.positive == "BBB+"
    with pytest.raises(ConfigError, match=r"`stopping\.positive` names a class, and task='regression' has none"):
        make_config(
            task="regression", labels={"column": "size"}, stopping={"rule": "none", "positive": "BBB+"}, model=MODEL
        )


@pytest.fixture(scope="module")
def words_file(compounds, tmp_path_factory):
    """Labels of the compounds as words whose last, in the alphabet, is no hit."""
    table = pa.csv.read_csv(compounds)
    words = {"BBB+": "inactive", "BBB-": "active"}
    labels = pa.array([words[label] for label in table["bbb"].to_pylist()])
    file = tmp_path_factory.mktemp("words") / "labels.csv"
    pa.csv.write_csv(pa.table({"name": table["name"], "assay": labels}), file)
    return file


@pytest.fixture
def recall(words_file, make_config):
    labels = {"column": "assay", "source": str(words_file)}
    return make_config(model=MODEL, labels=labels, stopping={**HITS, "gamma": 0.3, "quantity": "recall"})


def test_what_is_recognised_is_said_recorded_and_named_by_every_claim(recall, tmp_path):
    heard = Heard()
    result = simulate(recall, tmp_path / "run", heard)
    claim = "recall of hits (class 'active') is at least 0.3"
    assert [text for text in heard.messages if f"the goal: {claim}" in text]
    assert result.summary["goal"] == claim
    store = CampaignStore.open(tmp_path / "run")
    assert store.config["stopping"]["positive"] == "active"
    assert status_of(store).goal == claim
    assert store.certificate()["claim"]["words"] == claim
    assert "Recall of hits (class &#39;active&#39;) and bound" in (tmp_path / "run" / "report.html").read_text()
    assert simulate(recall, tmp_path / "run").summary == result.summary, "the same configuration is the same run"


def test_a_campaign_of_an_earlier_version_keeps_its_last_class(recall, tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(prepare, "with_hit", lambda config, classes, out: config)
        simulate(recall, tmp_path / "old")
    store = CampaignStore.open(tmp_path / "old")
    assert store.config["stopping"]["positive"] is None
    stopping = CampaignConfig.from_stored(store.config).stopping
    goal = goal_for(stopping, "classification", tuple(store.manifest["classes"]))
    assert store.manifest["classes"][goal.positive] == "inactive"
    # Cut off before its summary, as that version left it; and read when it is finished.
    (tmp_path / "old" / "summary.json").unlink()
    result = simulate(recall, tmp_path / "old")
    assert result.summary["goal"] == "recall of hits is at least 0.3"


def test_a_summary_of_an_earlier_version_did_not_name_the_class(recall, tmp_path):
    simulate(recall, tmp_path / "run")
    file = tmp_path / "run" / "summary.json"
    summary = json.loads(file.read_text())
    for name in ("constant", "constant_range", "quantity_name"):
        del summary[name]
    file.write_text(json.dumps({**summary, "goal": "recall of hits is at least 0.3"}))
    with pytest.MonkeyPatch.context() as patch:
        # Its records did not know the constant answer either.
        patch.setattr(record, "constant_summary", lambda at_stop: {"constant": None, "constant_range": None})
        assert stored_summary(CampaignStore.open(tmp_path / "run"))["goal"] == "recall of hits is at least 0.3"
