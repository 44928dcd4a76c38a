"""What else people say of compounds: they failed, cannot be had, must be measured; and that a round is over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isd_ray.campaign.entries import lost_entries
from isd_ray.campaign.telling import Place, newly_lost, note_lost, note_rows
from isd_ray.campaign.versions import in_force
from isd_ray.core.stopping import kept_wells
from isd_ray.errors import LabelError, StoreError
from isd_ray.messages import Rows
from isd_ray.ops.opened import Opened, need
from isd_ray.ops.telling import Telling

_NOW_DELIVER = "`isd ask` (of a simulation `isd resume`) delivers it"


class Saying:
    """Notes what people say; each method is the verb of `isd_ray.ops.campaign.Campaign` with its name.

    Parameters
    ----------
    opened:
        The campaign.
    telling:
        Counts compounds by those of their wells that were read, before more is said of them.
    """

    def __init__(self, opened: Opened, telling: Telling) -> None:
        self._opened = opened
        self._telling = telling

    def fail(self, ids: Sequence[str], reason: str, *, abandon: bool, assays: Sequence[str]) -> int:
        """See `Campaign.fail`."""
        rows = self._opened.rows_of(ids, reason)
        place = self._opened.place()
        outside = [name for name, row in zip(ids, rows.tolist(), strict=True) if row not in place.open_rows]
        self._opened.refuse_ids(outside, "are not in the batch that is out")
        if assays:
            return self._fail_assays(rows, reason, assays, place, abandon=abandon)
        self._telling.settle(rows)
        new = np.unique(rows[self._opened.ledger().missing(place.open_round or 0, rows) > 0])
        self._fail(new, reason, place)
        if abandon:
            self.exclude(ids, reason)
        return len(new)

    def _fail_assays(self, rows: Rows, reason: str, assays: Sequence[str], place: Place, *, abandon: bool) -> int:
        outputs = self._opened.rule.outputs
        where = self._opened.store.address
        if abandon:
            raise LabelError(
                "single assays cannot be abandoned", where, "abandon the compound, or let its assays only fail"
            )
        if unknown := [name for name in assays if name not in outputs]:
            known = ", ".join(map(repr, outputs)) or "none: this is no panel"
            raise LabelError(f"there is no assay {unknown[0]!r}", where, f"name one of those there are: {known}")
        lost = lost_entries(np.unique(rows), sorted({outputs.index(name) for name in assays}), reason)
        lost = newly_lost(lost, self._opened.ledger(), place)
        for note in note_lost(lost, len(outputs), place.open_round):
            note.write(self._opened.store)
        return len(lost)

    def exclude(self, ids: Sequence[str], reason: str) -> int:
        """See `Campaign.exclude`."""
        rows = np.unique(self._opened.rows_of(ids, reason))
        self._opened.refuse_beside_reserve(rows)
        self._telling.settle(rows)
        ledger, place = self._opened.ledger(), self._opened.place()
        left = rows[~ledger.is_told(rows)]
        new = np.setdiff1d(left, ledger.excluded)
        if len(new):
            note_rows("exclude", new, reason).write(self._opened.store)
        # Not of new ones only: a call that was cut off between the two is repeated.
        if place.open_round is not None:
            out = left[np.isin(left, place.open_rows)]
            self._fail(out[ledger.missing(place.open_round, out) > 0], reason, place)
        return len(new)

    def include(self, ids: Sequence[str], reason: str) -> int:
        """See `Campaign.include`."""
        self._opened.refuse_wishes_beside_reserve()
        rows, ledger = np.unique(self._opened.rows_of(ids, reason)), self._opened.ledger()
        new = np.setdiff1d(rows[~ledger.is_told(rows)], ledger.wanted)
        if len(new):
            note_rows("include", new, reason).write(self._opened.store)
        return len(new)

    def close(self, reason: str) -> int:
        """See `Campaign.close`."""
        self._opened.refuse_simulation()
        n_missing, place = self._opened.n_missing(), self._opened.place()
        if place.open_round is None:
            raise StoreError("no batch is out", self._opened.store.address, "there is nothing to close")
        need(reason)
        if n_missing:
            self._telling.settle(place.open_rows)
            n_missing = self._opened.n_missing()
            details = {"round": place.open_round, "reason": reason, "n_missing": n_missing}
            self._opened.store.append_event("close", details)
        return n_missing

    def stop(self, reason: str, *, last_look: bool) -> int:
        """See `Campaign.stop`."""
        opened = self._opened
        opened.refuse_after_end("a stop")
        need(reason)
        if (before := opened.ledger().stopped) is not None:
            raise StoreError(f"the screen is stopped already: {before.reason}", opened.store.address, _NOW_DELIVER)
        if not len(opened.ledger().rows) and not any(files.committed for files in opened.store.rounds()):
            raise StoreError(
                "nothing is measured, so nothing can be predicted and delivered",
                opened.store.address,
                "tell some readouts first, or leave the campaign as it is",
            )
        if last_look:
            _refuse_last_look(opened)
        # Before the stop: of a call that was cut off between the two the same call goes on.
        n_lost = self.close(reason) if opened.store.manifest["in_laboratory"] and opened.n_missing() else 0
        opened.store.append_event("stop", {"reason": reason, "last_look": last_look})
        return n_lost

    def _fail(self, rows: Rows, reason: str, place: Place) -> None:
        if len(rows):
            note_rows("fail", rows, reason, round=place.open_round).write(self._opened.store)


def _refuse_last_look(opened: Opened) -> None:
    """Refuse a last look where its machinery, that of `stopping.reserve_audit`, has no proof or no size."""
    config, where = opened.config, opened.store.address
    stopping = config.stopping
    if not config.takes_last_look:
        claim = "each output" if stopping.panel is not None else stopping.quantity
        raise StoreError(
            f"a last look is for stopping.rule = 'certify' and accuracy, not for {stopping.rule!r} and {claim}",
            where,
            "stop without one: the screen is then delivered NOT CERTIFIED",
        )
    try:
        kept_wells(stopping.model_copy(update={"reserve_audit": True}), in_force(opened.store).n_rows)
    except ValueError as error:
        raise StoreError(f"{error}: the library is too small for a last look", where, "stop without one") from error
