"""Campaigns whose audits are measured in portions: what is released, judged, on record, and certified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isd_ray.campaign.batch import Selection, selection_of
from isd_ray.campaign.history import History
from isd_ray.campaign.oracle import Readouts, unplated
from isd_ray.campaign.round_files import Attempt
from isd_ray.campaign.steps import further
from isd_ray.config import StoppingConfig
from isd_ray.core import certify
from isd_ray.core.goals import Accuracy
from isd_ray.errors import ConfigError
from isd_ray.messages import ROLES, ScoredRows
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.report.certificate import Certificate
from tests.unit.test_amended_audits import at_a_look
from tests.unit.test_laboratory import LABORATORY, truth
from tests.unit.test_repeated_wells import losing, record_of, result_store

__all__ = ["truth"]
IN_THREE = {"rule": "certify", "gamma": 0.75, "portions": 3}


@pytest.fixture
def looking(make_config, tmp_path, truth):
    campaign = Campaign.create(tmp_path / "run", make_config(**{**LABORATORY, "stopping": IN_THREE}))
    at_a_look(campaign, truth)
    return campaign


def declared(campaign):
    return campaign.store.rounds()[-1].released


def audited(files) -> list[int]:
    batch = files.read_batch()
    return batch.filter(np.array(batch["role"].to_pylist()) == "audit")["row"].to_pylist()


def wrong_on_purpose(campaign, truth):
    """Readouts of the batch that is out, each the opposite of the prediction: no portion passes."""
    files = campaign.store.rounds()[-1]
    batch, names = files.read_batch(), campaign.store.manifest["classes"]
    told = {}
    for name, predicted in zip(batch["id"].to_pylist(), batch["prediction"].to_pylist(), strict=True):
        told[name] = names[1 - int(predicted)]
    campaign.tell(told)


def test_the_whole_audit_is_on_record_before_its_first_portion_is_released(looking):
    released = declared(looking)
    [plan] = released["look"]
    rest = looking.store.read_readouts(released["audit_rest_sha256"])
    now = audited(looking.store.rounds()[-1])
    assert len(now) + len(rest) == plan["size"]
    assert sum(released["rest_sizes"]) == len(rest)
    assert not set(now) & set(rest["row"].to_pylist())


def test_portions_follow_each_other_until_the_audit_is_measured_and_then_the_look_has_failed(looking, truth):
    first = looking.store.rounds()[-1].round
    [plan] = declared(looking)["look"]
    rest = looking.store.read_readouts(declared(looking)["audit_rest_sha256"])["row"].to_pylist()
    frozen = looking.store.rounds()[-1].released["committee_hash"]
    for _ in range(3):
        wrong_on_purpose(looking, truth)
        looking.ask()
    rounds = looking.store.rounds()
    of_look = rounds[first : first + 3]
    assert [files.committed["decision"] for files in of_look] == ["portion", "portion", "continue"]
    assert [files.committed["look"] is None for files in of_look] == [True, True, False]
    assert [row for files in of_look[1:] for row in audited(files)] == rest
    assert {files.released["committee_hash"] for files in of_look} == {frozen}
    assert of_look[2].committed["n_audit"] == plan["size"]
    [judged] = of_look[2].committed["look"]
    assert (judged["portion"], judged["size"], judged["risk"]) == (3, plan["size"], plan["delta"])
    assert judged["delta"] == pytest.approx(plan["delta"] / 3)
    assert rounds[first + 3].released["committee_hash"] != frozen
    assert verify(looking.store).problems == ()


def test_nobody_is_told_why_compounds_were_chosen_while_the_look_goes_on(looking, truth):
    name = looking.ask().ids[0]
    wrong_on_purpose(looking, truth)
    batch = looking.ask()
    assert batch.repeats is None
    assert not any({"role", "prediction"} & event.keys() for event in looking.history(name))
    wrong_on_purpose(looking, truth)
    looking.ask()
    wrong_on_purpose(looking, truth)
    looking.ask()
    assert looking.history(name)[0]["role"] == "audit"


def test_lost_wells_go_with_the_next_portion_and_those_of_the_last_are_released_once_more(looking, truth):
    first = looking.store.rounds()[-1].round
    ids = sorted(looking.ask().ids)
    gone, lost = ids[0], ids[1:6]
    looking.exclude([gone], "precipitated")
    losing(looking, truth, {gone, *lost})
    if record_of(looking, first) is None:
        second = looking.ask()
    assert record_of(looking, first)["decision"] == "portion"
    assert set(lost) <= set(second.ids)
    assert gone not in second.ids
    assert len(second.ids) == len(lost) + declared(looking)["rest_sizes"][0]
    wrong_on_purpose(looking, truth)
    third = sorted(looking.ask().ids)
    assert record_of(looking, first + 1)["n_repeated"] == len(lost)
    losing(looking, truth, set(third[:4]))
    assert set(looking.ask().ids) == set(third[:4])
    assert record_of(looking, first + 2)["decision"] == "repeat"
    losing(looking, truth, set(third[:1]))
    looking.ask()
    judged = record_of(looking, first + 3)
    [found] = judged["audits"]
    assert (found["n_lost"], judged["look"][0]["portion"]) == (2, 3)
    assert found["n"] == declared_size(looking, first)
    assert verify(looking.store).problems == ()


def declared_size(campaign, number):
    return campaign.store.rounds()[number].released["look"][0]["size"]


CLAIMS = {
    "accuracy": {"gamma": 0.75},
    "recall": {"quantity": "recall", "gamma": 0.7, "positive": "BBB-"},
    "precision": {"quantity": "precision", "gamma": 0.6, "positive": "BBB-"},
    "balanced accuracy": {"quantity": "balanced_accuracy", "gamma": 0.7, "positive": "BBB-"},
    "pac": {"rule": "pac", "gamma": 0.8},
    "mae": {"quantity": "mae", "max_loss": 6.0, "loss_clip": 20.0},
}


@pytest.mark.parametrize("lost_share", [0.0, 0.1])
@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_every_claim_is_judged_by_the_portions_that_were_measured(claim, lost_share, make_config, tmp_path):
    stopping = {"rule": "certify", "portions": 3, **CLAIMS[claim]}
    values = {"task": "regression", "labels": {"column": "size"}} if claim == "mae" else {"model": {"epochs": 12}}
    losing = {"simulation": {"lost_share": lost_share}} if lost_share else {}
    config = make_config(**values, stopping=stopping, **losing, acquisition={"batch_size": 90})
    store = result_store(simulate(config, tmp_path / "run"))
    rounds = store.rounds()
    looks = [files for files in rounds if files.committed["look"]]
    assert looks
    for files in looks:
        of_look = [files]
        while (before := of_look[0].goes_on_from) is not None:
            of_look.insert(0, rounds[before])
        rows = {row for part in of_look for row in audited(part)}
        assert sum(found["n"] for found in files.committed["audits"]) == len(rows)
        assert sum(plan["size"] for plan in files.committed["look"]) == len(rows)
    assert verify(store).problems == ()


def test_a_look_that_passes_early_leaves_the_rest_unmeasured_and_its_certificate_says_so(make_config, tmp_path):
    config = make_config(stopping={**IN_THREE, "gamma": 0.7}, model={"epochs": 12}, acquisition={"batch_size": 90})
    store = result_store(simulate(config, tmp_path / "run"))
    certificate = store.certificate()
    portions = certificate["audit"]["portions"]
    look = store.rounds()[certificate["look"]["round"]]
    assert portions["measured"] < portions["declared"] == 3
    assert portions["delta"] == pytest.approx(certificate["look"]["delta"] / 3)
    assert certificate["audit"]["groups"][0]["n"] < declared_size_of(store, look)
    words = " ".join(Certificate.of(store).lines)
    assert f"in 3 portions of which {portions['measured']} were measured" in words


def declared_size_of(store, look):
    first = store.rounds()[look.round if look.goes_on_from is None else look.goes_on_from]
    return first.released["look"][0]["size"]


def test_the_same_rows_whatever_the_number_of_scorers(make_config, tmp_path):
    batches = {}
    for n in (1, 3):
        config = make_config(
            stopping=IN_THREE,
            simulation={"lost_share": 0.3},
            acquisition={"batch_size": 90},
            compute={"backend": "local", "scorers": n},
        )
        store = result_store(simulate(config, tmp_path / str(n)))
        batches[n] = [files.read_batch()["row"].to_pylist() for files in store.rounds()]
        assert any(files.committed["decision"] == "portion" for files in store.rounds())
    assert batches[1] == batches[3]


def test_a_limit_on_rounds_leaves_as_many_portions_as_it_has_rounds(make_config, tmp_path, monkeypatch):
    """A look that could not be ended is not begun in portions."""
    monkeypatch.setattr(certify, "power_z", lambda together: 2.5)
    free = result_store(simulate(make_config(stopping=IN_THREE), tmp_path / "free")).rounds()
    first = next(files.round for files in free if files.released["look"])
    assert free[first].released["look"][0]["portions"] == 3
    for left, portions in ((1, 1), (2, 2), (3, 3)):
        config = make_config(stopping={**IN_THREE, "max_rounds": first + left})
        rounds = result_store(simulate(config, tmp_path / str(left))).rounds()
        assert rounds[first].released["look"][0]["portions"] == portions


@pytest.mark.parametrize("rule", ["paper", "reserved", "none"])
def test_rules_without_a_drawn_audit_have_no_portions(rule):
    with pytest.raises(ValueError, match="`portions` are for the rules certify and pac"):
        StoppingConfig(rule=rule, portions=2)


def test_portions_are_refused_in_words(make_config):
    with pytest.raises(ConfigError, match=r"stopping\.portions"):
        make_config(stopping={"rule": "certify", "portions": 11})


def test_a_portion_that_is_not_the_drawn_one_is_found_by_verify(make_config, tmp_path, monkeypatch):
    def backwards(table):
        return selection_of(table.take(np.arange(len(table))[::-1]))

    monkeypatch.setattr(further, "selection_of", backwards)
    config = make_config(stopping=IN_THREE, simulation={"lost_share": 0.3}, acquisition={"batch_size": 90})
    store = result_store(simulate(config, tmp_path / "run"))
    assert any(files.goes_on_from is not None for files in store.rounds())
    assert any("has not asked for the portion of the audit that was drawn" in words for words in verify(store).problems)


def test_what_a_further_portion_shows_is_learnt_as_of_the_model_of_its_look():
    """Its rows were ranked among those of the look, by a model that had seen none of the portions before."""
    history = History(Accuracy(0.9), 100)
    scored = ScoredRows(*(np.array([3, 4], np.int64), *[np.zeros(2, np.float32)] * 2, np.zeros(2), np.full(2, 0.5)))
    again = Selection(scored, np.full(2, ROLES.index("audit"), np.int8), np.array([7.0, np.nan]))
    readouts = Readouts(np.array([1.0, 0.0]), np.full(2, np.nan), unplated(2))
    details = {"group_sizes": [60], "look_sizes": [80], "n_fitted": 20}
    history.observe(Attempt(0, Path("attempt")), again, readouts, details, 0)
    [[batch]] = history.scored
    assert (batch.n_inference, batch.n_observed, batch.rank.tolist(), batch.loss.tolist()) == (80, 20, [7.0], [1.0])
    assert batch.is_audit
