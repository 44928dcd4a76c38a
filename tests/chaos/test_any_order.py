"""Whatever people do in whatever order, the campaign stays whole: a state machine of random commands."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.chaos.laboratory import create

OTHER = {"BBB+": "BBB-", "BBB-": "BBB+"}


class AnyOrder(RuleBasedStateMachine):
    """A model of what was said, beside the campaign; every command opens the campaign anew."""

    begun: Path
    truth: dict[str, str]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = shutil.copytree(self.begun, self.folder / "run")
        self.said: dict[str, str] = {}
        self.excluded: set[str] = set()
        self.failed: set[str] = set()
        self.frozen: dict[int, bytes] = {}
        self.ended = False
        self.withdrawn = False

    @property
    def campaign(self) -> Campaign:
        return Campaign.open(self.path)

    def batch(self) -> list[str]:
        batch = self.campaign.batch()
        return [] if batch is None else sorted(batch.ids)

    def audited(self) -> set[str]:
        table = CampaignStore.open(self.path).rounds()[-1].read_batch()
        pairs = zip(table["id"].to_pylist(), table["role"].to_pylist(), strict=True)
        return {name for name, role in pairs if role in ("audit", "reserve")}

    @rule()
    @precondition(lambda self: not self.ended)
    def ask(self) -> None:
        before = self.batch()
        missing = self.campaign.status().n_missing
        batch = self.campaign.ask()
        self.ended = batch is None
        if missing:
            assert batch is not None
            assert sorted(batch.ids) == before
        if batch is not None and sorted(batch.ids) != before:
            self.failed.clear()
            assert not set(batch.ids) & set(self.said)
            assert not set(batch.ids) & self.excluded

    @rule(share=st.sampled_from([0.3, 1.0]), seed=st.integers(0, 5))
    @precondition(lambda self: not self.ended and self.batch())
    def tell(self, share, seed) -> None:
        ids = self.batch()
        chosen = np.random.default_rng(seed).permutation(ids)[: max(1, int(share * len(ids)))].tolist()
        readouts = {name: self.said.get(name, self.truth[name]) for name in chosen}
        told = self.campaign.tell(readouts)
        # In an audit the first outcome counts: a compound that failed stays failed in this round.
        late = set(chosen) & self.failed & self.audited() - set(self.said)
        readouts = {name: label for name, label in readouts.items() if name not in late}
        assert told.n_new == len(set(readouts) - set(self.said))
        assert self.campaign.tell(readouts).n_new == 0
        self.said |= readouts
        self.excluded -= set(readouts)

    @rule(n=st.integers(1, 3))
    @precondition(lambda self: not self.ended and self.batch())
    def fail(self, n) -> None:
        self.failed |= set(self.batch()[-n:])
        self.campaign.fail(self.batch()[-n:], "no signal")

    @rule(row=st.integers(0, 899))
    @precondition(lambda self: not self.ended)
    def exclude(self, row) -> None:
        name = f"C{row:04d}"
        assert self.campaign.exclude([name], "out of stock") == (name not in self.said and name not in self.excluded)
        if name not in self.said:
            self.excluded.add(name)

    @rule(row=st.integers(0, 899))
    @precondition(lambda self: not self.ended)
    def include(self, row) -> None:
        name = f"C{row:04d}"
        self.campaign.include([name], "a chemist wants it")
        self.excluded.discard(name)

    @rule()
    @precondition(lambda self: not self.ended and self.batch() and self.said)
    def close(self) -> None:
        self.campaign.close("enough")

    @rule(seed=st.integers(0, 5))
    @precondition(lambda self: self.said)
    def amend(self, seed) -> None:
        name = sorted(self.said)[seed % len(self.said)]
        file = self.folder / "corrected.csv"
        file.write_text(f"name,bbb\n{name},{OTHER[self.said[name]]}\n")
        assert self.campaign.amend(file, "wrong lot") == 1
        self.said[name] = OTHER[self.said[name]]

    @invariant()
    def no_readout_is_lost_or_doubled(self) -> None:
        if not hasattr(self, "path"):
            return
        store = CampaignStore.open(self.path)
        rows, readouts = measured_readouts(store)
        found = dict(zip(rows.tolist(), readouts.labels.tolist(), strict=True))
        assert found == {int(name[1:]): float(["BBB+", "BBB-"].index(label)) for name, label in self.said.items()}
        counts = self.campaign.status().counts
        assert sum(counts.values()) == 900
        assert counts["OBSERVED"] == len(self.said)

    @invariant()
    def nothing_released_changes(self) -> None:
        if not hasattr(self, "path"):
            return
        for files in CampaignStore.open(self.path).rounds():
            data = files.attempt.batch_file.read_bytes()
            assert self.frozen.setdefault(files.round, data) == data

    @invariant()
    def a_certificate_is_valid_or_withdrawn(self) -> None:
        if not hasattr(self, "path") or not self.ended:
            return
        store = CampaignStore.open(self.path)
        assert verify(store).problems == ()
        self.withdrawn = self.withdrawn or store.withdrawn() is not None
        assert self.withdrawn == (store.withdrawn() is not None)
        with pytest.raises(StoreError, match="ended"):
            Campaign(store).fail(["C0000"], "too late")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def test_a_campaign_stays_whole_whatever_people_do(laboratory_config, technician, tmp_path):
    create(tmp_path / "run", laboratory_config)
    AnyOrder.begun, AnyOrder.truth = tmp_path / "run", technician.truth
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
