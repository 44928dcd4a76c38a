"""Taking compounds that were added to the library into the target set of a campaign under way."""

from __future__ import annotations

from isd_ray.campaign.families import block_hashes
from isd_ray.campaign.ledger import Ledger
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.stock import check_order, note_stock, prices_of
from isd_ray.campaign.versions import EXTEND, newest
from isd_ray.data.library import Library
from isd_ray.data.versions import is_grown_from, other_library
from isd_ray.errors import LibraryChangedError, StoreError
from isd_ray.messages import UNJUDGED
from isd_ray.ops.opened import Opened, need

_FREEZE = "freeze"


class Extending:
    """Takes up the last version of the library.

    Parameters
    ----------
    opened:
        The campaign.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def extend(self, reason: str) -> int:
        """See `isd_ray.ops.campaign.Campaign.extend`."""
        opened, store, config = self._opened, self._opened.store, self._opened.config
        opened.refuse_simulation()
        opened.refuse_after_end("an extension")
        need(reason)
        library = Library.open(store.library)
        while True:
            n_events, now = len(store.events()), newest(store)
            if library.hash == now.hash:
                note_stock(config.acquisition, library, store)  # of a call that was cut off before it
                return 0
            if not is_grown_from(library.metadata, now.hash):
                raise other_library(store.library, now.hash, library.hash)
            rounds = store.rounds()
            self._refuse_reserve(rounds)
            self._refuse_late(rounds, opened.ledger())
            check_order(config.acquisition, library)
            prices_of(
                config.stopping, config.acquisition, config.replicates, library
            )  # refuses compounds without a price
            details = {
                "library_hash": library.hash,
                "version": library.versions[-1].number,
                "n_rows": library.n_rows,
                "n": library.n_rows - now.n_rows,
                "blocks": self._blocks(library, list(now.blocks)),
                "reason": reason,
            }
            if store.append_event(EXTEND, details, after=n_events):
                note_stock(config.acquisition, library, store)
                return library.n_rows - now.n_rows

    def _blocks(self, library: Library, names: list[str]) -> dict[str, str]:
        """The blocks in use, in the version that is taken up."""
        if gone := [name for name in names if name not in library.block_names]:
            raise LibraryChangedError(
                f"the block {gone[0]!r} of the library is gone, and models of this campaign see it",
                library.address,
                "add it again: isd library add-block",
            )
        hashes = block_hashes(self._opened.config.model, (), library)  # what they hold was looked at in the beginning
        return {name: sha256 for name, sha256 in hashes.items() if name in names}

    def _refuse_reserve(self, rounds: list[RoundFiles]) -> None:
        if self._opened.config.stopping.in_force.is_reserved and rounds:
            raise StoreError(
                "the reserve is drawn, from the compounds that were there: it proves nothing of others",
                self._opened.store.address,
                "screen the new compounds in a campaign of their own, or begin one with stopping.rule = 'certify'",
            )

    def _refuse_late(self, rounds: list[RoundFiles], ledger: Ledger) -> None:
        """Refuse while predictions are frozen for a look, and after the end: the claim is about what was there then."""
        store = self._opened.store
        last = rounds[-1] if rounds else None
        record = None if last is None else last.committed
        if ledger.stopped is not None or (record is not None and record["decision"] == "stop"):
            raise StoreError(
                "the screen has stopped: what it delivers is the library as it was",
                store.address,
                "ask, which delivers it; screen the new compounds in a campaign of their own",
            )
        is_out = last is not None and (
            (record is None and (bool(last.released.get("look")) or last.released["frozen"] is not None))
            or (record is not None and record["decision"] in ("finish", *UNJUDGED))
        )
        n_released = len(rounds)
        is_frozen = any(event["kind"] == _FREEZE and event["round"] >= n_released for event in store.events())
        if is_out or is_frozen:
            raise StoreError(
                "a look is out: its predictions are frozen, and its audit is of the compounds that were there",
                store.address,
                "wait until it is judged (tell what is missing, then ask); if it ends the screen, the new compounds "
                "want a campaign of their own",
            )
