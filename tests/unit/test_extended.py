"""Compounds that were added to the library join a campaign under way, with the next batch and on record.

Invariants: what is chosen before knows nothing of them; a look is of the target set that its predictions were frozen
of; certificate, status, report, hybrid screen and `verify` say which version that is; a campaign that does not take
them up goes on as if they were not there.
"""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.history import History
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import EXTEND, newest
from isd_ray.campaign.watcher import Watcher
from isd_ray.campaign.workers import LocalWorkers
from isd_ray.core.goals import Accuracy
from isd_ray.data.library import Library
from isd_ray.errors import IsdError, LibraryChangedError, LibraryError, StoreError
from isd_ray.ops.additions import add_compounds
from isd_ray.ops.advise import advise
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.curves import curve_of, learnt_of
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.results import report_of
from isd_ray.ops.run import WarmRun
from isd_ray.ops.simulate import simulate
from isd_ray.ops.verify import verify
from isd_ray.report.words import status_lines
from tests.conftest import EARLIER_CAMPAIGNS
from tests.unit.test_laboratory import LABORATORY, isd, truth

__all__ = ["truth"]

N_BASE = 420


@pytest.fixture
def more(compounds, tmp_path):
    """A file with the compounds that are not in the library at the beginning."""
    header, *lines = compounds.read_text().splitlines()
    for name, part in {"base.csv": lines[:N_BASE], "more.csv": lines[N_BASE:]}.items():
        (tmp_path / name).write_text("\n".join([header, *part]) + "\n")
    return str(tmp_path / "more.csv")


@pytest.fixture
def config_of(make_config, more, tmp_path):
    def make(**changes):
        library = {"source": str(tmp_path / "base.csv"), "path": str(tmp_path / "lib")}
        return make_config(**{**LABORATORY, **changes, "library": {**library, **changes.get("library", {})}})

    return make


@pytest.fixture
def campaign(config_of, tmp_path):
    return Campaign.create(tmp_path / "run", config_of())


def measured(campaign, truth):
    """Ask, and tell all; the batch."""
    batch = campaign.ask()
    if batch is not None:
        campaign.tell({name: truth[name] for name in batch.ids})
    return batch


def finish(campaign, truth):
    while measured(campaign, truth) is not None:
        pass


def extend(campaign, more):
    add_compounds(campaign.library.path, [more])
    return campaign.extend("bought")


def rows_of(files):
    return files.read_batch()["row"].to_numpy()


def hybrid(campaign):
    return pq.read_table(campaign.path / "hybrid").sort_by("row")


def test_they_join_with_the_next_batch_and_the_certificate_speaks_of_them(campaign, more, truth, monkeypatch):
    n_all = len(truth)
    measured(campaign, truth)
    old = campaign.ask()
    before = campaign.store.rounds()[-1].read_batch()
    assert extend(campaign, more) == n_all - N_BASE
    assert campaign.extend("again") == 0
    assert campaign.batch().ids == old.ids
    status = campaign.status()
    assert (status.n_library, sum(status.counts.values())) == (N_BASE, N_BASE)
    waiting = ("Library", f"version 2 of the library: {n_all - N_BASE} compounds wait for the next batch (bought)")
    assert waiting in status_lines(status)
    campaign.tell({name: truth[name] for name in old.ids})
    campaign.ask()
    status = campaign.status()
    assert (status.n_library, sum(status.counts.values()), status.joined[0]["round"]) == (n_all, n_all, 2)
    rounds = campaign.store.rounds()
    assert rounds[1].read_batch().equals(before)
    assert sum(rounds[2].released["group_sizes"]) == n_all - len(rows_of(rounds[0])) - len(rows_of(rounds[1]))
    campaign.tell({name: truth[name] for name in campaign.batch().ids})
    finish(campaign, truth)
    certificate = campaign.certificate()
    assert certificate.content["library_hash"] == campaign.library.hash
    assert certificate.content["n_target"] == n_all
    assert f"It speaks of version 2 of the library, {n_all} compounds." in str(certificate)
    assert "joined in round 2 (bought)" in str(certificate)
    screen = hybrid(campaign)
    assert screen["row"].to_pylist() == list(range(n_all))
    assert screen.schema.metadata[b"library_hash"].decode() == campaign.library.hash
    forged = {**campaign.store.certificate(), "library_hash": campaign.library.versions[0].hash}
    with monkeypatch.context() as patch:
        patch.setattr(CampaignStore, "certificate", lambda _: forged)
        assert any("the certificate is not about version" in words for words in verify(campaign.store).problems)
    assert campaign.summary()["n_target"] == n_all
    assert "joined in round 2" in report_of(campaign.store)
    assert verify(campaign.store).problems == ()


def test_actors_that_are_kept_are_started_anew_for_them_and_for_nothing_else(campaign, more, truth, monkeypatch):
    started = []

    class Kept(LocalWorkers):
        def __init__(self, spec, owner):
            super().__init__(spec)
            started.append(spec.version)

    monkeypatch.setattr("isd_ray.actors.workers.RayWorkers", Kept)
    warm = Campaign(campaign.store, run=WarmRun())
    for _ in range(2):
        measured(warm, truth)
    assert started == [campaign.library.hash]
    assert extend(warm, more) > 0
    for _ in range(2):
        measured(warm, truth)
    assert started[1:] == [campaign.library.hash]
    assert warm.status().n_library == len(truth)


def test_the_first_draw_knew_none_of_them():
    """What one answer for all would reach is said of a sample of those that were there."""
    history = History(Accuracy(0.9), 100)
    history.extend(110)
    assert (history.sets.n_target, history.n_beside) == (110, 0)
    history.n_drawn_from = 110
    history.extend(125)
    assert (history.sets.n_target, history.n_beside) == (125, 15)


def test_an_audit_is_drawn_from_all_that_are_left(config_of, more, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", config_of(stopping={"rule": "certify", "gamma": 0.9}))
    measured(campaign, truth)
    extend(campaign, more)
    finish(campaign, truth)
    looks = [files for files in campaign.store.rounds() if files.committed["look"]]
    assert looks
    for files in looks:
        assert files.committed["look"][0]["n_inference"] == sum(files.released["group_sizes"])
        frozen = sum(len(pq.read_table(file)) for file in files.attempt.predictions_dir.glob("part-*.parquet"))
        assert frozen == sum(files.released["group_sizes"])
        batch = files.read_batch()
        audited = [
            row
            for row, role in zip(batch["row"].to_pylist(), batch["role"].to_pylist(), strict=True)
            if role == "audit"
        ]
        assert any(row >= N_BASE for row in audited)
        assert any(row < N_BASE for row in audited)


def test_a_campaign_that_does_not_take_them_up_is_not_disturbed(config_of, more, truth, tmp_path):
    alone, beside = (Campaign.create(tmp_path / name, config_of()) for name in ("alone", "beside"))
    for store in (alone.store, beside.store):
        assert newest(store).n_rows == N_BASE
    measured(beside, truth)
    add_compounds(beside.library.path, [more])
    assert Campaign.create(tmp_path / "beside", config_of()).batch().round == 0
    finish(Campaign.open(tmp_path / "beside"), truth)
    assert hybrid(beside).num_rows == N_BASE
    assert verify(beside.store).problems == ()
    assert b"library_hash" not in (hybrid(beside).schema.metadata or {})
    new = Campaign.create(tmp_path / "new", config_of(library={"source": [str(tmp_path / "base.csv"), more]}))
    assert newest(new.store).n_rows == len(truth)
    assert len(EARLIER_CAMPAIGNS(tmp_path / "next", new.library)) == 3, "on an earlier version are the same compounds"


def test_nothing_joins_while_a_look_is_out_nor_after_a_stop(campaign, more, truth):
    measured(campaign, truth)
    while not campaign.ask() or not campaign.store.rounds()[-1].released["look"]:
        campaign.tell({name: truth[name] for name in campaign.batch().ids})
    with pytest.raises(StoreError, match="a look is out"):
        extend(campaign, more)
    campaign.tell({name: truth[name] for name in campaign.batch().ids})
    campaign.stop("the project ends")
    with pytest.raises(StoreError, match="the screen has stopped"):
        campaign.extend("bought")
    finish(campaign, truth)
    with pytest.raises(StoreError, match="the screen has ended"):
        campaign.extend("bought")
    assert hybrid(campaign).num_rows == N_BASE
    assert not any(event["kind"] == EXTEND for event in campaign.store.events())


class CutError(BaseException):
    """The process ends here."""


def test_nothing_joins_a_look_that_is_frozen_and_not_yet_out(campaign, more, truth, monkeypatch):
    note_frozen = CampaignStore.note_frozen

    def cut_off(*arguments):
        note_frozen(*arguments)
        raise CutError

    with monkeypatch.context() as patch:
        patch.setattr(CampaignStore, "note_frozen", cut_off)
        with pytest.raises(CutError):
            finish(campaign, truth)
    with pytest.raises(StoreError, match="a look is out"):
        extend(campaign, more)
    assert campaign.ask() is not None
    assert campaign.store.rounds()[-1].released["look"]
    assert campaign.status().n_library == N_BASE


def test_a_reserve_that_is_drawn_knows_no_others(config_of, more, truth, tmp_path):
    stopping = {"rule": "reserved", "gamma": 0.7, "reserve_size": 60}
    campaign = Campaign.create(tmp_path / "run", config_of(stopping=stopping))
    assert extend(campaign, more) == len(truth) - N_BASE, "before it is drawn, they are there"
    assert campaign.ask() is not None
    other = Campaign.create(tmp_path / "other", config_of(stopping=stopping, library={"path": str(tmp_path / "lib2")}))
    other.ask()
    with pytest.raises(StoreError, match="the reserve is drawn"):
        extend(other, more)


def test_simulations_and_other_libraries_are_refused(config_of, make_config, more, truth, tmp_path):
    library = {"source": str(tmp_path / "base.csv"), "path": str(tmp_path / "lib")}
    config = make_config(library=library, stopping={"rule": "none", "max_compounds": 130})
    simulated = simulate(config, tmp_path / "sim")
    with pytest.raises(StoreError, match="this is a simulation"):
        Campaign.open(simulated.path).extend("bought")
    campaign = Campaign.create(tmp_path / "run", config_of())
    assert campaign.extend("nothing new") == 0
    with pytest.raises(IsdError, match="needs a reason"):
        campaign.extend(" ")
    (tmp_path / "lib").rename(tmp_path / "gone")
    Campaign.create(tmp_path / "another", config_of(library={"source": more}))
    with pytest.raises(LibraryChangedError):
        campaign.extend("bought")


def test_budgets_and_stock_know_them(compounds, config_of, more, truth, tmp_path):
    for name in ("base.csv", "more.csv"):
        header, *lines = (tmp_path / name).read_text().splitlines()
        stock = [f"{line},{int(i % 4 > 0)},2" for i, line in enumerate(lines)]
        (tmp_path / name).write_text("\n".join([f"{header},stock,price", *stock]) + "\n")
    config = config_of(
        library={"columns": ["size", "stock", "price"]},
        acquisition={"batch_size": 60, "stock_column": "stock"},
        stopping={"rule": "none", "max_fraction": 0.5, "cost_column": "price", "max_cost": 10_000},
    )
    campaign = Campaign.create(tmp_path / "run", config)
    measured(campaign, truth)
    extend(campaign, more)
    finish(campaign, truth)
    n_left = sum(i % 4 > 0 for i in range(N_BASE)) + sum(i % 4 > 0 for i in range(len(truth) - N_BASE))
    noted = [event["n"] for event in campaign.store.events() if event["kind"] == "exclude"]
    assert noted == [N_BASE // 4, len(truth) - n_left - N_BASE // 4], "what people said of the others meanwhile stays"
    summary = campaign.summary()
    assert summary["n_target"] == n_left
    assert summary["n_acquired"] == n_left // 2
    assert summary["spent"] == 2 * summary["n_acquired"]
    sources = hybrid(campaign)["source"].to_pylist()
    assert sources.count("excluded") == len(truth) - n_left
    assert [source == "excluded" for source in sources[N_BASE : N_BASE + 5]] == [True, False, False, False, True]
    assert verify(campaign.store).problems == ()


class Meanwhile(Watcher):
    """Does something before a step, once."""

    def __init__(self, do, state):
        self._do, self._state = do, state

    def step(self, name, progress):
        if progress.state == self._state and self._do is not None:
            do, self._do = self._do, None
            do()


@pytest.mark.parametrize("state", ["fit", "score"])
def test_what_is_added_while_a_batch_is_chosen_joins_with_the_one_after(config_of, more, truth, tmp_path, state):
    path = tmp_path / "run"
    measured(Campaign.create(path, config_of(stopping={"rule": "paper", "gamma": 0.6, "delta": 0.5})), truth)
    campaign = Campaign.open(path, Meanwhile(lambda: extend(Campaign.open(path), more), state))
    campaign.ask()
    assert campaign.status().joined[0]["round"] is None
    assert max(rows_of(campaign.store.rounds()[1])) < N_BASE
    finish(Campaign.open(path), truth)
    rounds = campaign.store.rounds()
    joined = campaign.status().joined[0]["round"]
    n_rows = N_BASE if joined is None else len(truth)
    assert hybrid(campaign).num_rows == n_rows
    assert all(rows_of(files).max(initial=0) < N_BASE for files in rounds if joined is None or files.round < joined)
    assert verify(campaign.store).problems == ()


def test_what_waits_when_the_screen_stops_is_no_part_of_it(config_of, more, truth, tmp_path):
    """The paper's rule may stop with the batch that is out; readouts of compounds that wait are not delivered."""
    campaign = Campaign.create(tmp_path / "run", config_of(stopping={"rule": "paper", "gamma": 0.5, "delta": 0.9}))
    measured(campaign, truth)
    campaign.ask()
    extend(campaign, more)
    new = str(campaign.library.ids()[N_BASE + 3])
    campaign.tell({new: truth[new]}, external=True)
    finish(campaign, truth)
    assert campaign.summary()["stopped_at_round"] == 1
    assert (campaign.summary()["n_target"], hybrid(campaign).num_rows) == (N_BASE, N_BASE)
    assert "came too late and are no part of the screen" in dict(status_lines(campaign.status()))["Library"]
    assert verify(campaign.store).problems == ()


def test_verify_finds_an_extension_that_is_none(campaign, more, truth):
    measured(campaign, truth)
    extend(campaign, more)
    event = next(event for event in campaign.store.events() if event["kind"] == EXTEND)
    forged = {name: event[name] for name in ("library_hash", "version", "n_rows", "n", "blocks", "reason")}
    campaign.store.append_event(EXTEND, {**forged, "n": 0})
    assert any("does not take up the rows behind" in words for words in verify(campaign.store).problems)


def test_the_command_and_an_earlier_version_that_is_gone(campaign, more, truth, tmp_path):
    add_compounds(campaign.library.path, [more])
    assert f"{len(truth) - N_BASE} compounds more from the next batch on" in isd(
        "extend", tmp_path / "run", "--reason", "bought"
    )
    assert "the library has no new compounds" in isd("extend", tmp_path / "run", "--reason", "bought")
    first = newest(CampaignStore.open(tmp_path / "run"))
    assert first.number == 2
    [old] = (tmp_path / "lib" / "versions").iterdir()
    old.unlink()
    assert not verify(CampaignStore.open(tmp_path / "run")).is_sound
    with pytest.raises(LibraryError):
        Library.open(tmp_path / "lib", old.stem)


def test_models_see_the_blocks_of_new_compounds(config_of, more, truth, tmp_path):
    config = config_of(library={"dense_columns": ["size"]}, model={"families": ["linear"], "members": 1})
    campaign = Campaign.create(tmp_path / "run", config)
    measured(campaign, truth)
    before = newest(campaign.store).blocks
    extend(campaign, more)
    assert newest(campaign.store).blocks.keys() == before.keys() == {"fingerprints", "columns"}
    assert set(newest(campaign.store).blocks.values()).isdisjoint(before.values())
    measured(campaign, truth)
    campaign.ask()
    assert sum(campaign.store.rounds()[-1].released["group_sizes"]) == len(truth) - campaign.status().counts["OBSERVED"]
    assert verify(campaign.store).problems == ()


def test_plan_and_advice_are_of_all_compounds_once_they_are_taken_up(config_of, truth, more, tmp_path):
    campaign = Campaign.create(tmp_path / "run", config_of(stopping={"rule": "certify", "gamma": 0.95}))
    for _ in range(3):
        measured(campaign, truth)
    extend(campaign, more)
    n_rows = newest(campaign.store).n_rows
    assert plan_campaign(campaign.path).demand.n_rows == n_rows > N_BASE
    for _ in range(3):
        measured(campaign, truth)
    shares = curve_of(campaign.config, campaign.path).shares
    assert shares == pytest.approx([60 * number / n_rows for number in range(1, 1 + len(shares))])
    assert learnt_of(campaign.config, campaign.path).n_target == n_rows
    assert {goal.n_target for goal in advise(campaign.path).goals} == {n_rows}
