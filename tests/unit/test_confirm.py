"""Confirmed hits: the list that chance draws, second readouts that are accounted for, and the claim that follows."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import isd_ray
from isd_ray.campaign import confirmed as claim
from isd_ray.campaign.confirmed import content_of, counts_of
from isd_ray.campaign.confirming import asked, asked_rows, basis_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.cli import app
from isd_ray.core.bounds import largest_plausible
from isd_ray.core.confirmed import confirmed_recall
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.errors import InputFileError, LabelError, StoreError
from isd_ray.ops import confirm as verbs
from isd_ray.ops.amend import amend_from_file
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify

RECALL = {
    "model": {"epochs": 12},
    "acquisition": {"batch_size": 60, "function": "least_confidence"},
    "stopping": {"rule": "certify", "quantity": "recall", "gamma": 0.9, "positive": "BBB-"},
}
LABELS = {"labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]}}
RISK = 0.8 * 0.05
"""Of the first look."""


@pytest.fixture(scope="module")
def finished(make_config, tmp_path_factory):
    """A simulation that was certified by its first look, with hits in the audit and a finish."""
    return simulate(make_config(**RECALL), tmp_path_factory.mktemp("confirm") / "run").path


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, str]:
    """A second label of every compound, such that of three hits two are confirmed."""
    table = pyarrow.csv.read_csv(compounds)
    names, labels = table["name"].to_pylist(), table["bbb"].to_pylist()
    return {name: label if int(name[1:]) % 3 else "BBB+" for name, label in zip(names, labels, strict=True)}


def lines_of(run) -> list[dict]:
    return pq.read_table(run / "hybrid").to_pylist()


def listed(file) -> list[str]:
    return pyarrow.csv.read_csv(file)["id"].to_pylist()


def write(file, second):
    file.write_text("\n".join(["name,second", *(f"{name},{word}" for name, word in second.items()), ""]))
    return file


def told(run, tmp_path, truth, without=(), sample=None, **changed):
    """Second readouts of all compounds that were asked for but some, which are lost; others are changed."""
    confirmation = isd_ray.confirm(run)
    confirmation.ask(tmp_path / "list.csv", sample)
    second = {name: truth[name] for name in listed(tmp_path / "list.csv")}
    second |= dict.fromkeys(without, "") | changed
    confirmation.tell(write(tmp_path / "second.csv", second), column="second")
    return confirmation.content


def amended(run, tmp_path, names, label="BBB+"):
    file = tmp_path / "amended.csv"
    file.write_text("\n".join(["name,bbb", *(f"{name},{label}" for name in names), ""]))
    return amend_from_file(run, file, "wrong lot")


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_holds_all_hits_of_the_audit_and_a_sample_of_the_others_in_an_order_that_tells_nothing(run, tmp_path):
    event = isd_ray.confirm(run).ask(tmp_path / "list.csv", 40)
    hits = {line["id"]: line for line in lines_of(run) if line["source"] == "measured" and line["label"] == "BBB-"}
    audit = {name for name, line in hits.items() if line["role"] == "audit"}
    others = np.array(sorted(line["row"] for name, line in hits.items() if name not in audit))
    look = CampaignStore.open(run).certificate()["look"]
    assert event["seed"] == derive_seed(0, "confirm", look["round"]), "a simulation draws by its seed alone"
    drawn = set(others[np.argsort(tie_keys(event["seed"], others))[:40]].tolist())
    names = listed(tmp_path / "list.csv")
    assert len(audit) > 2
    assert names == sorted(audit | {name for name, line in hits.items() if line["row"] in drawn})
    assert pyarrow.csv.read_csv(tmp_path / "list.csv").column_names == ["id", "smiles"]
    assert (event["n"], event["n_hits"], event["n_sampled"]) == (len(audit) + 40, len(others), 40)


def test_the_draw_is_on_record_before_its_file_is_written_and_asked_again_it_is_the_same(run, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verbs, "replacing", killed)
        with pytest.raises(KeyboardInterrupt):
            isd_ray.confirm(run).ask(tmp_path / "list.csv", 40)
    store = CampaignStore.open(run)
    rows = asked_rows(store, asked(store))
    isd_ray.confirm(run).ask(tmp_path / "list.csv")
    assert len(listed(tmp_path / "list.csv")) == len(rows) == asked(store)["n"]
    isd_ray.confirm(run).ask(tmp_path / "again.parquet", 40)
    assert pq.read_table(tmp_path / "again.parquet")["id"].to_pylist() == listed(tmp_path / "list.csv")
    assert [event["kind"] for event in store.events()].count("confirm-ask") == 1
    with pytest.raises(StoreError, match="a list with 40 of the hits is on record, and one with 41"):
        isd_ray.confirm(run).ask(tmp_path / "other.csv", 41)
    assert not (tmp_path / "other.csv").exists()


def test_a_sample_larger_than_the_hits_are_many_is_refused(run):
    with pytest.raises(StoreError, match="a sample of 900 cannot be drawn"):
        isd_ray.confirm(run).ask(sample=900)
    assert asked(CampaignStore.open(run)) is None


def test_a_laboratory_draws_by_its_nonce_and_by_the_hits_that_the_sample_is_of(
    make_config, compounds, tmp_path, own_draws
):
    table = pyarrow.csv.read_csv(compounds)
    known = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    campaign = Campaign.create(tmp_path / "run", make_config(**RECALL, **LABELS))
    campaign.run(lambda batch: {compound: known[compound] for compound in batch.ids})
    event = isd_ray.confirm(tmp_path / "run").ask(sample=30)
    certificate, nonce = campaign.store.certificate(), campaign.store.manifest["nonce"]
    hits = basis_of(campaign.store, certificate, 0).hits
    of_hits = hashlib.sha256(hits.tobytes()).hexdigest()
    seed = derive_seed(0, "confirm", certificate["look"]["round"], nonce, of_hits)
    drawn = hits[np.argsort(tie_keys(seed, hits))[:30]]
    assert asked_rows(campaign.store, event, "hit").tolist() == sorted(drawn.tolist())


# --- the claim --------------------------------------------------------------------------------------------------------


def by_hand(run, truth, lost=(), hit="BBB-", risk=RISK):
    """Bound, found and missed, from the hybrid screen by plain code, where all hits are measured again."""
    hits = [line for line in lines_of(run) if line["source"] == "measured" and line["label"] == hit]
    good = [line for line in hits if truth[line["id"]] == hit and line["id"] not in lost]
    e = sum(line["role"] == "audit" for line in good)
    n_lost = sum(line["role"] == "audit" and line["id"] in lost for line in hits)
    [group] = json.loads((run / "certificate.json").read_text())["audit"]["groups"]
    most = largest_plausible(e + n_lost, group["n_inference"], group["n"], risk)
    missed = max(0, most - e - sum(line["role"] == "finish" for line in good))
    return len(good) / (len(good) + missed), len(good), missed


def test_the_bound_is_that_of_the_counts_at_the_risk_of_the_look_and_is_true(run, tmp_path, truth):
    content = told(run, tmp_path, truth)
    bound, found, missed = by_hand(run, truth)
    assert (content["bound"], content["found_at_least"], content["missed_at_most"]) == (bound, found, missed)
    left = [line for line in lines_of(run) if line["source"] == "predicted"]
    n_missed = sum(truth[line["id"]] == "BBB-" for line in left)
    assert 0.5 < bound <= found / (found + n_missed)
    assert verify(CampaignStore.open(run)).is_sound


def test_the_look_that_passed_spends_its_own_part_of_the_risk(run, tmp_path, truth, monkeypatch):
    exact, risks = claim.confirmed_recall, []

    def noting(audit, hits, risk, n_finish):
        risks.append(risk)
        return exact(audit, hits, risk, n_finish)

    monkeypatch.setattr(claim, "confirmed_recall", noting)
    told(run, tmp_path, truth)
    assert risks == [pytest.approx(RISK)] * len(risks)
    assert risks


def test_confirmed_hits_of_a_finish_are_not_missed(make_config, compounds, tmp_path):
    stopping = {"rule": "pac", "quantity": "recall", "gamma": 0.9, "positive": "BBB+"}
    run = simulate(make_config(**{**RECALL, "stopping": stopping}), tmp_path / "run").path
    table = pyarrow.csv.read_csv(compounds)
    labels = zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True)
    second = {name: label if int(name[1:]) % 4 else "BBB-" for name, label in labels}
    content = told(run, tmp_path, second)
    found = by_hand(run, second, hit="BBB+", risk=0.05)
    assert (content["bound"], content["found_at_least"], content["missed_at_most"]) == found
    assert content["hits"]["finish"] > 100
    missed = [line for line in lines_of(run) if line["source"] == "predicted" and second[line["id"]] == "BBB+"]
    assert 0.85 < content["bound"] <= found[1] / (found[1] + len(missed))


def test_lost_second_readouts_are_missed_in_the_audit_and_not_confirmed_elsewhere(run, tmp_path, truth):
    hits = [line for line in lines_of(run) if line["label"] == "BBB-" and truth[line["id"]] == "BBB-"]
    lost = [next(line["id"] for line in hits if line["role"] == role) for role in ("audit", "top")]
    content = told(run, tmp_path, truth, lost)
    assert (content["bound"], content["found_at_least"], content["missed_at_most"]) == by_hand(run, truth, lost)
    assert (content["audit"]["lost"], content["hits"]["lost"]) == (1, 1)


def test_a_sample_bounds_the_others_and_shows_less(run, finished, tmp_path, truth):
    whole = told(shutil.copytree(finished, tmp_path / "whole"), tmp_path, truth)
    content = told(run, tmp_path, truth, sample=60)
    hits = content["hits"]
    unconfirmed = largest_plausible(60 - hits["confirmed"], hits["population"], 60, RISK / 2)
    assert content["found_at_least"] == hits["population"] - unconfirmed + content["audit"]["confirmed"]
    assert content["bound"] < whole["bound"]
    assert content["found_at_least"] <= whole["found_at_least"]


def test_it_is_shown_where_the_certificate_is(run, tmp_path, truth):
    content = told(run, tmp_path, truth)
    words = f"recall of confirmed hits at least {content['bound']:.4g} with confidence 0.95"
    assert isd_ray.confirm(run).lines[0].casefold().startswith(words)
    for command in (("status", "--json"), ("certificate", "show")):
        name, *rest = command
        arguments = [name, *rest, str(run)] if name == "certificate" else [name, str(run), *rest]
        assert words in CliRunner().invoke(app, arguments).output.casefold(), command
    for file in ("report.html", "model_card.md"):
        assert words in (run / file).read_text().casefold(), file


# --- amendments -------------------------------------------------------------------------------------------------------


def test_amended_readouts_count_against_the_claim_whenever_they_are_amended(finished, tmp_path, truth):
    """In the audit as lost, whatever they said before; elsewhere as no hits, and after the draw as not confirmed."""
    found = lines_of(finished)
    names = [
        next(
            line["id"]
            for line in found
            if line["role"] == role and line["label"] == label and truth[line["id"]] == label
        )
        for role, label in (("audit", "BBB-"), ("top", "BBB-"))
    ]
    plain = told(shutil.copytree(finished, tmp_path / "plain"), tmp_path, truth)
    before, after, later = (shutil.copytree(finished, tmp_path / name) for name in ("before", "after", "later"))
    assert not amended(before, tmp_path, names).withdrawn
    first = told(before, tmp_path, truth)
    assert first["audit"] | {"lost": 0} == plain["audit"] | {
        "confirmed": first["audit"]["confirmed"],
        "hits": plain["audit"]["hits"] - 1,
    }
    assert (first["audit"]["lost"], first["audit"]["confirmed"]) == (1, plain["audit"]["confirmed"] - 1)
    assert first["hits"]["population"] == plain["hits"]["population"] - 1
    isd_ray.confirm(after).ask()
    amended(after, tmp_path, names)
    second = told(after, tmp_path, truth)
    assert (second["audit"]["lost"], second["audit"]["confirmed"]) == (1, plain["audit"]["confirmed"] - 1)
    assert second["hits"] == plain["hits"] | {"confirmed": plain["hits"]["confirmed"] - 1}
    assert second["found_at_least"] == first["found_at_least"]
    told(later, tmp_path, truth)
    amended(later, tmp_path, names)
    assert f"at least {second['bound']:.4g}" in isd_ray.confirm(later).lines[0]
    assert f"no more the {plain['bound']:.4g} that was shown" in isd_ray.confirm(later).lines[0]
    for path in (before, after, later):
        assert verify(CampaignStore.open(path)).problems == ()


def test_a_hit_beside_the_sample_that_is_amended_after_the_draw_counts_as_one_in_it(run, tmp_path, truth):
    isd_ray.confirm(run).ask(tmp_path / "list.csv", 60)
    store = CampaignStore.open(run)
    beside = np.setdiff1d(basis_of(store, store.certificate(), 0).hits, asked_rows(store, asked(store)))
    name = next(line["id"] for line in lines_of(run) if line["row"] == beside[0])
    content = told(run, tmp_path, truth, sample=60)
    amended(run, tmp_path, [name])
    assert counts_of(store, asked(store), 1).hits.confirmed == content["hits"]["confirmed"] - 1
    assert content_of(store, asked(store), 1)["found_at_least"] < content["found_at_least"]


# --- files of second readouts -----------------------------------------------------------------------------------------


def test_every_line_is_accounted_for_and_nothing_is_decided_while_some_are_missing(run, tmp_path, truth):
    confirmation = isd_ray.confirm(run)
    with pytest.raises(StoreError, match="no list of compounds is on record"):
        confirmation.tell(tmp_path / "none.csv", column="second")
    event = confirmation.ask(tmp_path / "list.csv")
    names = listed(tmp_path / "list.csv")
    other = next(line["id"] for line in lines_of(run) if line["id"] not in names)
    text = f"name,second\n{names[0]},BBB-\n{names[0]},BBB-\nnobody,BBB-\n{other},what\n,BBB-\n{names[1]},\n"
    (tmp_path / "part.csv").write_text(text)
    found = confirmation.tell(tmp_path / "part.csv", column="second")
    assert dict(found.counts) == {
        "new": 1,
        "said twice": 1,
        "of no compound of the library": 1,
        "not asked for": 1,
        "without an id, or unreadable": 1,
        "lost": 1,
    }
    assert (sum(found.counts.values()), found.n_missing) == (6, event["n"] - 2)
    assert confirmation.content is None
    assert f"of 2 of the {event['n']:,} compounds" in confirmation.lines[0].replace("second readouts ", "")
    again = confirmation.tell(tmp_path / "part.csv", column="second")
    assert (again.counts["known"], again.n_missing) == (2, event["n"] - 2)
    assert "new" not in again.counts
    revived = write(tmp_path / "revived.csv", {names[1]: "BBB+"})
    assert dict(confirmation.tell(revived, column="second").counts) == {"new": 1}
    last = confirmation.tell(final=True)
    assert last.n_missing == 0
    lost = confirmation.content["audit"]["lost"] + confirmation.content["hits"]["lost"]
    assert lost == event["n"] - 2
    with pytest.raises(StoreError, match="the claim is decided, and 1 second readouts are new"):
        confirmation.tell(write(tmp_path / "late.csv", {names[5]: "BBB-"}), column="second")


@pytest.mark.parametrize(
    ("words", "positive", "message"),
    [
        (("yes", "no"), None, "of the words 'no', 'yes' it is not clear"),
        (("yes", "yes"), None, "'BBB-' is looked for"),
        (("yes", "no", "maybe"), "yes", "'maybe', 'no', 'yes'"),
        (("yes", "Yes"), "yes", "'Yes', 'yes'"),
        (("no", "no"), "yes", "'yes' is looked for"),
        (("bbb-", "BBB+"), None, "'BBB-' is looked for"),
    ],
)
def test_words_that_cannot_be_placed_are_refused_and_nothing_is_noted(run, tmp_path, words, positive, message):
    confirmation = isd_ray.confirm(run)
    confirmation.ask(tmp_path / "list.csv")
    file = write(tmp_path / "words.csv", dict(zip(listed(tmp_path / "list.csv"), words, strict=False)))
    n_events = len(CampaignStore.open(run).events())
    with pytest.raises(LabelError, match=message):
        confirmation.tell(file, column="second", positive=positive)
    assert len(CampaignStore.open(run).events()) == n_events


def test_another_second_readout_of_a_compound_is_refused_in_a_file_and_between_files(run, tmp_path):
    confirmation = isd_ray.confirm(run)
    confirmation.ask(tmp_path / "list.csv")
    name = listed(tmp_path / "list.csv")[0]
    both = tmp_path / "both.csv"
    both.write_text(f"id,second\n{name},1\n{name},0\n")
    with pytest.raises(LabelError, match=f"line 3: '{name}' has another second readout already"):
        confirmation.tell(both, column="second", positive="1")
    both.write_text(f"id,second\n{name},BBB-\n")
    confirmation.tell(both, column="second")
    both.write_text(f"id,second\n{name},BBB+\n")
    with pytest.raises(LabelError, match=f"line 2: '{name}' has another second readout already"):
        confirmation.tell(both, column="second")
    with pytest.raises(InputFileError, match="is no column of this file"):
        confirmation.tell(both, column="third")


def test_a_simulation_takes_second_readouts_from_a_table_by_the_command(run, finished, tmp_path, truth):
    rows = [line for line in lines_of(run) if line["id"] != "C0003"]
    flags = [float(truth[line["id"]] == "BBB-") for line in rows]
    pq.write_table(pa.table({"name": [line["id"] for line in rows], "again": flags}), tmp_path / "table.parquet")
    command = ["confirm", str(run), "--labels", str(tmp_path / "table.parquet"), "--column", "again", "--positive", "1"]
    shown = CliRunner().invoke(app, [*command, "--json"])
    other = told(shutil.copytree(finished, tmp_path / "other"), tmp_path, truth, ["C0003"])
    found = json.loads(shown.stdout)
    assert found["confirmed"]["bound"] == other["bound"]
    assert found["counts"]["not asked for"] + found["counts"]["new"] == len(rows)


@pytest.mark.parametrize(
    "options", [("--sample", "3"), ("second.csv",), ("--column", "x"), ("--ask", "a.csv", "--final")]
)
def test_options_that_mean_nothing_together_are_refused(run, options):
    assert CliRunner().invoke(app, ["confirm", str(run), *options]).exit_code == 2


def test_behind_an_audit_in_portions_the_bounds_have_the_risk_of_the_portion_that_passed(make_config, tmp_path, truth):
    """How much of it was measured was chosen by its readouts: at the risk of the look the claim would say more."""
    settings = {**RECALL, "stopping": {**RECALL["stopping"], "portions": 3}}
    path = simulate(make_config(**settings), tmp_path / "run").path
    content = told(path, tmp_path, truth)
    store = CampaignStore.open(path)
    certificate = store.certificate()
    portion = certificate["audit"]["portions"]["delta"]
    assert portion == content["look"]["delta"] == pytest.approx(certificate["look"]["delta"] / 3)
    counts = counts_of(store, asked(store), content["n_amendments"])
    shown, too_much = (
        confirmed_recall(counts.audit, counts.hits, risk, counts.n_finish).bound
        for risk in (portion, certificate["look"]["delta"])
    )
    assert content["bound"] == shown < too_much
    assert verify(store).problems == ()
