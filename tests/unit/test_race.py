"""The race of the families: shares follow from forecasts frozen before the readouts, and from nothing else."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.history import History
from isd_ray.campaign.store import CampaignStore
from isd_ray.core import race
from isd_ray.core.goals import Accuracy
from isd_ray.core.panels import pack_labels
from isd_ray.core.race import LEAST_SHARE, RaceBatch, race_batch, shares
from isd_ray.errors import CorruptFileError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify

MIXED = {"families": ["boosted", "linear", "resmlp"], "boosted": {"trees": 10}, "members": 1}


def two_classes(right: np.ndarray) -> np.ndarray:
    """Forecasts (n, 2) that give these probabilities to class 1."""
    return np.stack([1.0 - right, right], axis=1).astype(np.float32)


def judged(*ones: np.ndarray, labels: np.ndarray, known=(0, 1)):  # type: ignore[no-untyped-def]
    forecasts = np.stack([two_classes(one) for one in ones])
    return race_batch(forecasts, labels.astype(float), np.ones(len(labels), bool), np.array(known), "classification", 2)


@pytest.fixture
def coin() -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the probabilities that they were drawn with."""
    generator = np.random.default_rng(0)
    truth = generator.uniform(0.02, 0.98, 2000)
    return (generator.random(2000) < truth).astype(float), truth


def test_the_first_family_is_believed_in_before_there_is_evidence():
    assert shares([], 1).tolist() == [1.0]
    assert shares([], 3)[0] >= 0.9


def test_the_family_that_knows_more_counts_more_and_shares_sum_to_one(coin):
    labels, truth = coin
    found = shares([judged(np.full(2000, 0.5), truth, labels=labels)], 2)
    assert found.sum() == pytest.approx(1.0)
    assert found[1] > 0.75, "although the prior is for the other"


def test_families_that_know_different_things_share(coin):
    labels, truth = coin
    left = np.where(np.arange(2000) < 1000, truth, 0.5)
    right = np.where(np.arange(2000) < 1000, 0.5, truth)
    found = shares([judged(left, right, labels=labels)], 2)
    assert found.min() > 0.25


def test_between_equal_families_nothing_moves(coin):
    labels, truth = coin
    assert shares([judged(truth, truth, labels=labels)], 2) == pytest.approx(shares([], 2), abs=1e-9)


def test_a_little_evidence_moves_shares_a_little(coin):
    labels, truth = coin
    few = judged(np.full(5, 0.5), truth[:5], labels=labels[:5])
    assert shares([few], 2)[0] > 0.8


def test_a_family_that_deserves_next_to_nothing_counts_nothing(coin):
    labels, truth = coin
    found = shares([judged(truth, 1.0 - truth, labels=labels)], 2)
    assert found.tolist() == [1.0, 0.0]
    assert LEAST_SHARE > 0


def test_late_batches_count_more_than_early_ones(coin):
    labels, truth = coin
    first = judged(truth, np.full(2000, 0.5), labels=labels)
    last = judged(np.full(2000, 0.5), truth, labels=labels)
    assert shares([first, last], 2)[1] > shares([last, first], 2)[1]
    assert shares([first, *[last] * 8], 2)[0] == shares([last] * 8, 2)[0], "beyond the window"


def plain_shares(batches, n_families):
    """Every step of the expectation maximisation, one after the other."""
    prior = np.array([race.FIRST_SHARE, *[(1.0 - race.FIRST_SHARE) / (n_families - 1)] * (n_families - 1)])
    likelihood = np.concatenate([batch.likelihood[:, batch.fair] for batch in batches], axis=1)
    fading = race.FADING ** np.arange(len(batches) - 1, -1, -1.0)
    weight = np.concatenate([batch.weight * factor for batch, factor in zip(batches, fading, strict=True)])
    found = prior
    for _ in range(1000):
        joint = found[:, None] * likelihood
        counts = (joint / joint.sum(axis=0)) @ weight + race.PRIOR_ROWS * prior
        found = counts / counts.sum()
    found = np.where(found < LEAST_SHARE, 0.0, found)
    return found / found.sum()


@pytest.mark.parametrize("seed", range(12))
def test_shares_are_those_of_every_step_to_the_bit(seed):
    """Whether they settle, go round in their last digits, or do neither; of fewer rows than a piece, and of more."""
    generator = np.random.default_rng(seed)
    n_rows, n_families = (30, 700, 9000)[seed % 3], 2 + seed % 4
    batches = [
        RaceBatch(likelihood, likelihood[0], np.full(n_rows, 1 / 7), np.ones(n_rows, bool))
        for likelihood in generator.uniform(0.01, 1.0, (2, n_families, n_rows)) ** (1 + seed % 2)
    ]
    assert shares(batches, n_families).tolist() == plain_shares(batches, n_families).tolist()


def test_shares_that_have_settled_are_computed_no_further(coin, monkeypatch):
    labels, truth = coin
    batch = judged(truth, 0.9 * truth, labels=labels)
    expected = shares([batch], 2)
    monkeypatch.setattr(race, "_STEPS", 10**15)
    assert shares([batch], 2).tolist() == expected.tolist()


def test_a_campaign_keeps_the_batches_that_shares_follow_from_and_no_more():
    kept = History(Accuracy(0.9), 10).race
    kept.extend(f"batch {number}" for number in range(race.WINDOW + 5))
    assert list(kept) == [f"batch {number}" for number in range(5, race.WINDOW + 5)]


def test_rows_that_were_chosen_for_being_hard_decide_nothing(coin):
    """They were of the committee's own choice, and count against whoever was believed."""
    labels, truth = coin
    forecasts = np.stack([two_classes(1.0 - truth), two_classes(truth)])
    is_random = np.arange(2000) % 10 == 0
    forecasts[:, is_random] = forecasts[::-1, is_random]
    batch = race_batch(forecasts, labels, is_random, np.array([0, 1]), "classification", 2)
    assert batch.losses[0] > batch.losses[1]
    assert shares([batch], 2)[0] > 0.9


def test_one_certain_mistake_does_not_decide_a_race(coin):
    labels, truth = coin
    sure = truth.copy()
    sure[0] = 1.0 - labels[0]  # certain, and wrong
    assert shares([judged(np.full(2000, 0.5), sure, labels=labels)], 2)[1] > 0.75


def test_rows_without_a_readout_say_nothing(coin):
    labels, truth = coin
    lost = labels.copy()
    lost[1000:] = np.nan
    whole = judged(truth[:1000], 1 - truth[:1000], labels=labels[:1000])
    assert judged(truth, 1 - truth, labels=lost).losses == pytest.approx(whole.losses)
    assert judged(truth, truth, labels=np.full(2000, np.nan)) is None


def test_losses_are_mean_log_losses_and_the_constant_is_the_shares_known_before():
    batch = judged(np.array([0.9, 0.2]), labels=np.array([1.0, 1.0]), known=[1, 0, 0])
    assert batch.losses == pytest.approx([-(np.log(0.9) + np.log(0.2)) / 2])
    assert batch.constant_loss == pytest.approx(-np.log(2 / 5))


def test_entries_of_a_panel_weigh_by_their_row():
    labels = pack_labels(np.array([[1, -1, -1], [1, 1, 0]]))
    forecasts = np.array([[[0.5, 0.1, 0.1], [0.9, 0.9, 0.1]]], np.float32)
    batch = race_batch(forecasts, labels, np.ones(2, bool), pack_labels(np.array([[1, 0, 0]])), "panel", 3)
    assert batch.losses == pytest.approx([-(np.log(0.5) + np.log(0.9)) / 2])


def test_values_are_judged_by_their_errors():
    generator = np.random.default_rng(1)
    truth = generator.normal(size=500)
    good, bad = truth + 0.1 * generator.normal(size=500), truth + 2.0 * generator.normal(size=500)
    values = np.stack([bad, good]).astype(np.float32)
    batch = race_batch(values, truth, np.ones(500, bool), np.zeros(3), "regression", 1)
    assert shares([batch], 2)[1] > 0.9


# --- in a campaign --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(make_config, tmp_path_factory):
    """A small screen by three families."""
    config = make_config(model=MIXED, stopping={"rule": "certify", "gamma": 0.86})
    return simulate(config, tmp_path_factory.mktemp("mixed") / "run")


def test_the_record_tells_shares_and_losses_of_every_judged_round(mixed):
    lined_up = [row["race"] for row in mixed.rounds.to_pylist() if row["race"]]
    assert len(lined_up) > 2
    for line in lined_up[:-1]:
        assert [entry["family"] for entry in line] == ["boosted", "linear", "resmlp", "constant"]
        assert sum(entry["share"] for entry in line) == pytest.approx(1.0)
        assert all(entry["loss"] > 0 for entry in line)
    assert [entry["share"] for entry in lined_up[0][:3]] == shares([], 3).tolist(), "there was no evidence yet"


def test_shares_follow_from_frozen_forecasts_and_readouts_alone(mixed):
    """Done again from the files: what was released before the readouts, and the readouts."""
    store, batches, known = CampaignStore.open(mixed.path), [], np.empty(0)
    recorded = {row["round"]: row["race"] for row in mixed.rounds.to_pylist()}
    for files in store.rounds():
        readouts = store.read_readouts(files.committed["readouts_sha256"])["label"].to_numpy()
        if "forecasts_sha256" in files.released:
            table = pq.read_table(files.attempt.forecasts_file)
            assert table["row"].equals(files.read_batch()["row"])
            families = [name for name in table.column_names if name != "row"]
            forecasts = np.stack([np.stack(table[name].to_numpy()) for name in families])
            expected = dict(zip(families, shares(batches, 3), strict=True))
            found = {entry["family"]: entry["share"] for entry in recorded[files.round] if entry["family"] in expected}
            assert found == pytest.approx(expected)
            is_random = np.isin(files.read_batch()["role"].to_pylist(), ["random", "audit"])
            batches.append(race_batch(forecasts, readouts, is_random, known, "classification", 2))
        known = np.concatenate([known, readouts])
    assert len(batches) > 2


def test_without_a_race_all_families_count_the_same_in_every_round(make_config, tmp_path):
    model = {**MIXED, "mixing": "equal"}
    run = simulate(make_config(model=model, stopping={"rule": "none", "max_fraction": 0.5}), tmp_path / "run")
    lined_up = [row["race"] for row in run.rounds.to_pylist() if row["race"]]
    assert len(lined_up) > 2
    for line in lined_up:
        assert [entry["share"] for entry in line[:3]] == pytest.approx([1 / 3] * 3)


def test_verify_and_resume_refuse_altered_forecasts(mixed, tmp_path):
    path = shutil.copytree(mixed.path, tmp_path / "run")
    [file, *_] = sorted(path.glob("rounds/*/attempt-*/forecasts.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    problems = verify(CampaignStore.open(path)).problems
    assert any("forecasts.parquet" in problem for problem in problems)


def test_a_laboratory_that_opens_its_campaign_anew_for_every_command_has_the_same_race(make_config, mixed, tmp_path):
    truth = {}
    for files in CampaignStore.open(mixed.path).rounds():
        table = files.read_batch()
        readouts = CampaignStore.open(mixed.path).read_readouts(files.committed["readouts_sha256"])
        truth |= dict(zip(table["id"].to_pylist(), readouts["label"].to_pylist(), strict=True))
    config = make_config(model=MIXED, stopping={"rule": "certify", "gamma": 0.86}, labels={"classes": ["BBB+", "BBB-"]})
    Campaign.create(tmp_path / "laboratory", config)
    for _ in range(4):
        campaign = Campaign.open(tmp_path / "laboratory")
        batch = campaign.ask()
        Campaign.open(tmp_path / "laboratory").tell(
            {name: config.labels.classes[int(truth[name])] for name in batch.ids}
        )
    Campaign.open(tmp_path / "laboratory").ask()
    rounds = [files.committed["race"] for files in CampaignStore.open(tmp_path / "laboratory").rounds()[1:4]]
    assert rounds == [row["race"] for row in mixed.rounds.to_pylist()[1:4]]


def test_an_altered_committee_description_is_refused(mixed, tmp_path):
    from isd_ray.campaign.committees import load_committee

    files = CampaignStore.open(mixed.path).rounds()[2]
    folder = shutil.copytree(files.attempt.committee_dir, tmp_path / "committee")
    load_committee(folder, files.released["committee_hash"])
    text = (folder / "committee.json").read_text()
    (folder / "committee.json").write_text(text.replace('"linear": 0', '"linear": 9'))
    with pytest.raises(CorruptFileError):
        load_committee(folder, files.released["committee_hash"])
