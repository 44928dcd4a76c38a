"""An opened campaign: what the verbs of `isd_ray.ops.campaign.Campaign` read, and what they refuse alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from isd_ray.campaign.intake import Intake, recorded_rule
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.manifest import RECONFIGURE, RELOCATE
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Place, n_missing
from isd_ray.campaign.versions import newest
from isd_ray.config import CampaignConfig
from isd_ray.credentials import holds_credentials
from isd_ray.data.labels import LabelRule
from isd_ray.data.library import Library
from isd_ray.errors import LabelError, StoreError
from isd_ray.messages import Rows

MAX_REASON = 2000
"""Letters of a reason, which is shown whole wherever it counts."""
_SHOWN = 5
"""Ids in a message."""


class Opened:
    """A campaign in a laboratory, as its directory has it.

    Parameters
    ----------
    store:
        Of the directory.
    """

    def __init__(self, store: CampaignStore) -> None:
        self.store = store
        self._laboratory = Laboratory(store)
        self._library: tuple[tuple[str, str], Library] | None = None
        self._config: tuple[int, CampaignConfig] | None = None

    @property
    def config(self) -> CampaignConfig:
        """Its configuration in force, which others may have changed since it was opened."""
        n_changes = sum(event["kind"] in (RELOCATE, RECONFIGURE) for event in self.store.events())
        if self._config is None or self._config[0] != n_changes:
            self._config = (n_changes, CampaignConfig.from_stored(self.store.config))
        return self._config[1]

    @property
    def library(self) -> Library:
        """Its target library, in the last version that it took up."""
        wanted = (self.store.library, newest(self.store).hash)
        if self._library is None or self._library[0] != wanted:
            self._library = (wanted, Library.open(*wanted))
        return self._library[1]

    @cached_property
    def rule(self) -> LabelRule:
        """How readouts become labels."""
        return recorded_rule(self.store)

    @property
    def intake(self) -> Intake:
        """Reads and labels its files of readouts."""
        return Intake(self.store, self.library, self.config, self.rule)

    @property
    def has_ended(self) -> bool:
        """Whether the hybrid screen is delivered."""
        return self.store.is_delivered()

    def ledger(self) -> Ledger:
        """All that was said until now."""
        return self._laboratory.ledger()

    def place(self) -> Place:
        """Where rows stand now."""
        return Place.of(self.store.rounds())

    def n_missing(self) -> int:
        """Readouts that the open round waits for; none in a closed round."""
        return n_missing(self.ledger(), self.place())

    def rows_of(self, ids: Sequence[str], reason: str) -> Rows:
        """Rows of compounds of which people want to say something, for a reason.

        Raises
        ------
        StoreError
            If the screen has ended, or is a simulation.
        LabelError
            If an id is unknown, or no reason is given.
        """
        self.refuse_simulation()
        self.refuse_after_end("this")
        need(reason)
        rows = self.library.rows_of(list(ids))
        unknown = [name for name, row in zip(ids, rows.tolist(), strict=True) if row < 0]
        self.refuse_ids(unknown, "are not in the library")
        return rows

    def refuse_ids(self, ids: Sequence[str], what: str) -> None:
        """Refuse ids, if there are any, that cannot be meant."""
        if ids:
            shown = ", ".join(map(repr, ids[:_SHOWN]))
            raise LabelError(
                f"{len(ids)} compounds {what}: {shown}", self.store.address, "correct the ids; nothing was noted"
            )

    def refuse_simulation(self) -> None:
        """Refuse what a laboratory does: a simulation knows its readouts, and what people say would mix with them."""
        if not self.store.manifest["in_laboratory"]:
            raise StoreError(
                "this is a simulation, which measures by itself",
                self.store.address,
                "`isd resume` goes on with it; a campaign of a laboratory begins with `isd create`",
            )

    def refuse_after_end(self, what: str) -> None:
        """Refuse what comes after the hybrid screen was delivered."""
        if self.has_ended:
            raise StoreError(
                f"the screen has ended; {what} cannot change it any more",
                self.store.address,
                "correct readouts by an amendment, or begin another campaign",
            )

    def refuse_beside_reserve(self, rows: Rows | None = None) -> None:
        """Refuse what takes compounds that people choose out of the inference set, but none of the reserve.

        The reserve is measured, so no choice of unmeasured compounds can contain it: what is left of it would hold too
        many of their kind, and be no uniform sample any more (`isd_ray.core.looks.LookRule.reserved`). Compounds that
        were asked for, and gave no readout, it answers for no more.

        Parameters
        ----------
        rows:
            The compounds; None where they are not known yet.
        """
        is_drawn = self.config.stopping.in_force.is_reserved and bool(self.store.rounds())
        if is_drawn and (rows is None or not np.isin(rows, self.place().released_rows).all()):
            raise StoreError(
                "the reserve is drawn: compounds that people choose, exclude or measure outside the plan from now on "
                "would bias it",
                self.store.address,
                "do so before the first batch, or begin a campaign with stopping.rule = 'certify'; wells may fail, and "
                "compounds that were asked for be given up",
            )

    def refuse_wishes_beside_reserve(self) -> None:
        """Refuse wishes, also before the reserve is drawn: they are measured after that, but for reserved ones.

        These would stay in the reserve, and speak for compounds that are measured and not for those that are left.
        """
        if self.config.stopping.in_force.is_reserved:
            raise StoreError(
                "stopping.rule = 'reserved': compounds that people choose would be measured after the reserve is "
                "drawn, and bias it",
                self.store.address,
                "measure them before the first batch and tell them (`isd tell --external`), or begin a campaign with "
                "stopping.rule = 'certify'",
            )


def need(reason: str) -> None:
    """Refuse an empty reason, and what `check_reason` refuses."""
    if not reason.strip():
        raise LabelError("this needs a reason, which is kept on record", remedy="say why")
    check_reason(reason)


def check_reason(reason: str) -> None:
    """Refuse a reason that cannot be kept and shown."""
    if len(reason) > MAX_REASON:
        what = f"the reason has {len(reason):,} letters, more than {MAX_REASON:,}"
        raise LabelError(what, remedy="say it shortly, and where more of it is written")
    if holds_credentials(reason):
        raise LabelError("the reason holds a password, key or token, and is kept on record", remedy="leave it out")


def listed(names: str | Iterable[object]) -> list[str]:
    """Names of compounds or assays as people give them: one alone is one, not its letters; numbers are names too."""
    return [names] if isinstance(names, str) else [str(name) for name in names]
