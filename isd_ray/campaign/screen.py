"""A screen under way: what the steps of `isd_ray.campaign.loop` share."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.amend import amended_readouts, amendments
from isd_ray.campaign.backend import Backend
from isd_ray.campaign.budget import Budget
from isd_ray.campaign.claimed import stored_goal
from isd_ray.campaign.committees import load_committee, save_committee
from isd_ray.campaign.history import RANDOM_ROLES, History
from isd_ray.campaign.oracle import OnRecord, Oracle, Readouts, Stopped
from isd_ray.campaign.round_files import Attempt
from isd_ray.campaign.stages import Released
from isd_ray.campaign.stock import prices_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import TakenVersion, open_library, version_by, versions_on_record
from isd_ray.config import CampaignConfig
from isd_ray.core.constant import ConstantAnswer, constant_answer, random_picking, with_picking
from isd_ray.core.looks import LookPlan
from isd_ray.core.race import RaceBatch, race_batch
from isd_ray.core.seeding import derive_seed, draw_seed, tie_keys
from isd_ray.core.sets import TargetSets
from isd_ray.data.forecasts import read_forecasts
from isd_ray.data.library import Library
from isd_ray.errors import StoreError
from isd_ray.messages import ROLES, Committee


class Screen:
    """What a campaign is, and what it has measured; the round that is being worked on is a stage of its own.

    Parameters
    ----------
    config, store, library, oracle:
        The campaign, its directory, its target library, and where readouts come from.
    backend:
        The workers.

    Attributes
    ----------
    classes:
        Names of the classes; empty for a regression.
    library:
        Its target library, in the version whose compounds are the target set.
    outputs:
        Names of a panel's outputs.
    goal:
        What it claims.
    history:
        What was measured, by the rounds that are committed.
    budget:
        What its limits leave.
    amended, n_amendments:
        Corrected readouts, and how many corrections were made until the history was begun.
    stopped:
        That a person has stopped it.
    warnings:
        For people, since they were told last.
    """

    def __init__(
        self,
        config: CampaignConfig,
        store: CampaignStore,
        library: Library,
        oracle: Oracle,
        backend: Backend,
    ) -> None:
        self.config = config
        self.store = store
        self._opened = library
        self.oracle = oracle
        self.backend = backend
        self.classes = tuple(store.manifest["classes"])
        self.outputs = tuple(store.manifest.get("outputs", ()))
        self.goal = stored_goal(store)
        self.warnings: list[str] = []
        self._saver = ThreadPoolExecutor(1)
        self.begin()

    def begin(self) -> None:
        """Stand before the first round, with the corrections that are on record now."""
        self.library = self._version(version_by(self.store, 0))
        self.backend.work_on(self.library)
        stopping, acquisition, plates = self.config.stopping, self.config.acquisition, self.config.plates
        self.history = History(self.goal, self.library.n_rows)
        self.budget = Budget(stopping, acquisition, plates, self.history, self._prices())
        self.n_amendments = len(amendments(self.store))
        self.amended = amended_readouts(self.store)
        self._constant: ConstantAnswer | None = None
        self.stopped: Stopped | None = None

    def standing(self) -> OnRecord:
        """What people have said, as far as the library was opened: what it got meanwhile waits for the next opening."""
        standing = self.oracle.standing()
        later = [one for one in versions_on_record(self.store) if one.n_rows > self._opened.n_rows]
        if later and later[0].n_events <= standing.n_events:
            return self.oracle.standing(later[0].n_events - 1)
        return standing

    def take_up(self, n_events: int) -> None:
        """Have the target set be that of the library's version by the first so many events of the log."""
        version = version_by(self.store, n_events)
        if version.hash == self.library.hash:
            return
        if version.n_rows > self._opened.n_rows:
            raise StoreError(
                "another process has gone on with more compounds of the library meanwhile",
                self.store.address,
                "give the command again: it continues where that one stopped",
            )
        self.library = self._version(version)
        self.backend.work_on(self.library)
        self.history.extend(version.n_rows)
        self.budget.set_prices(self._prices())
        self._constant = None

    def _prices(self) -> NDArray[np.float64] | None:
        config = self.config
        return prices_of(config.stopping, config.acquisition, config.replicates, self.library)

    def _version(self, version: TakenVersion) -> Library:
        return self._opened if version.hash == self._opened.hash else open_library(self.store, version)

    def stop(self, stopped: Stopped | None) -> None:
        """Acquire no more if a person has stopped the screen."""
        self.stopped = stopped
        self.budget.is_stopped = stopped is not None

    @property
    def ends_by_look(self) -> bool:
        """Whether one last look is taken at the end, when the budget is spent or a person has stopped the screen."""
        return self.config.stopping.reserve_audit or (self.stopped is not None and self.stopped.last_look)

    @property
    def asks_no_more(self) -> bool:
        """Whether a person has stopped the screen without a last look by now, as while the batch of a look is out."""
        stopped = self.oracle.standing().stopped
        return stopped is not None and not stopped.last_look

    @property
    def sets(self) -> TargetSets:
        """Observation set and inference set."""
        return self.history.sets

    def seed(self, purpose: str, round_number: int, *path: int) -> int:
        """A seed of a round for one purpose."""
        return derive_seed(self.config.seed, purpose, round_number, *path)

    def draw_seed(self, purpose: str, round_number: int, *content: str) -> int:
        """A seed of a round for rows that chance chooses (`isd_ray.core.seeding.draw_seed`)."""
        return draw_seed(self.config.seed, self.store.manifest.get("nonce"), purpose, round_number, *content)

    @property
    def began(self) -> str | None:
        """Day on which the screen began, ISO 8601: in a laboratory that of its first event; None where nobody said."""
        if not self.store.manifest.get("in_laboratory"):
            return self.config.simulation.date
        events = self.store.events()
        return str(events[0]["time"])[:10] if events else None

    def constant_answer(self) -> ConstantAnswer | None:
        """What the claim is held against: what one answer for every compound, or random picking, would reach.

        In a simulation by all labels; else by the first batch, at the risk of the campaign. None where nothing is
        claimed, and before the first batch.
        """
        if not self.config.stopping.claims:
            return None
        if self.goal.takes_hits and not self.config.stopping.mixes_hits:
            return random_picking(self.sets.n_measured, self.sets.n_target, len(self.goal.outputs))
        if self._constant is None:
            self._constant = self._best_constant()
        return with_picking(self.goal, self._constant, self.sets.n_measured / self.sets.n_target)

    def _best_constant(self) -> ConstantAnswer | None:
        n_classes, delta = len(self.outputs or self.classes), self.config.stopping.delta
        if (known := self.oracle.known()) is not None:
            return constant_answer(self.goal, known, n_classes, len(known), delta)
        rows, labels = self.history.initial
        # By a random key: these rows lie in file order.
        order = np.argsort(tie_keys(derive_seed(self.config.seed, "constant"), rows))
        n_drawn, n_others = self.history.n_drawn_from, self.history.n_beside
        return constant_answer(self.goal, labels[order], n_classes, n_drawn, delta, n_others)

    def write_plan(self, attempt: Attempt, plans: tuple[LookPlan, ...], audit_seed: int | None = None) -> None:
        """Say what a round is going to ask for, before anything that follows from it is written."""
        attempt.write_plan(
            {
                "round": attempt.round,
                "seed": self.config.seed,
                "acquisition": self.config.acquisition_name,
                "look": [asdict(plan) for plan in plans] or None,
                "audit_seed": audit_seed,
            }
        )

    def judge_race(self, batch: Released, readouts: Readouts) -> RaceBatch | None:
        """What the readouts of a batch say of what each family had forecast; before the history has them."""
        if (sha256 := batch.details.get("forecasts_sha256")) is None:
            return None
        self.store.check(batch.attempt.forecasts_file, sha256)
        _, forecasts = read_forecasts(batch.attempt.forecasts_file)
        if self.config.task == "regression":
            forecasts = forecasts[:, :, 0]
        roles = batch.selection.roles
        audited = roles != ROLES.index("reserve")
        task, labels = self.config.task, readouts.labels[audited]
        is_random = np.isin(roles[audited], RANDOM_ROLES)
        numbers = self.config.labels.are_numbers(self.outputs)
        found = race_batch(
            forecasts[:, audited], labels, is_random, self.sets.labels, task, forecasts.shape[-1], numbers
        )
        return None if found is None else found.with_counted(batch.details["race"])

    def save_committee(self, committee: Committee | None, attempt: Attempt) -> tuple[Future[None], ...]:
        """Begin to write the models down: it is done before scoring ends."""
        return save_committee(committee, attempt.committee_dir, self._saver)

    def committee_of(self, batch: Released) -> Committee | None:
        """The model of a round: in memory, or of a restored round from the store; never a new one."""
        if batch.committee is not None:
            return batch.committee
        self.store.bring_committee(batch.attempt)
        return load_committee(batch.attempt.committee_dir, batch.committee_hash)
