"""Placing readouts in a campaign: which count, which are known already, which are refused and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.laboratory import Ledger
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.core.censored import mark_of
from isd_ray.messages import Rows
from isd_ray.plates.cells import was_not_dispensed


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line of a file that could not be used.

    Attributes
    ----------
    line:
        From 1, in the file; 0 where there is none.
    reason:
        Why.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows stand in a campaign.

    Attributes
    ----------
    open_round:
        The released round that is not decided yet; None without one.
    open_rows:
        Its rows, ascending.
    released_rows:
        Rows of all released rounds, ascending.
    audit_rows:
        Those of the open round that an audit drew.
    """

    open_round: int | None
    open_rows: Rows
    released_rows: Rows
    audit_rows: frozenset[int] = frozenset()

    @classmethod
    def of(cls, rounds: Sequence[RoundFiles]) -> Place:
        """The place of all rows, by the released rounds."""
        tables = [files.read_batch() for files in rounds]
        batches = [table["row"].to_numpy() for table in tables]
        is_open = bool(rounds) and rounds[-1].committed is None
        nothing = np.empty(0, np.int64)
        return cls(
            open_round=rounds[-1].round if is_open else None,
            open_rows=np.sort(batches[-1]) if is_open else nothing,
            released_rows=np.unique(np.concatenate([nothing, *batches])),
            audit_rows=frozenset(
                row
                for table in tables[-1:]
                if is_open
                for row, role in zip(table["row"].to_pylist(), table["role"].to_pylist(), strict=True)
                if role in _AUDITED
            ),
        )


_AUDITED = ("audit", "reserve")
"""Roles of compounds that a look is judged by."""


def failures(rows: Rows, ledger: Ledger, place: Place) -> dict[int, str]:
    """Why rows failed: those that are out in the open round, the others in the last one in which they did."""
    wanted, is_open = set(rows.tolist()), set(place.open_rows.tolist())
    found: dict[int, str] = {}
    for number in sorted(ledger.failed):
        of_round = ledger.failed[number]
        found |= {
            row: of_round[row] for row in wanted & of_round.keys() if number == place.open_round or row not in is_open
        }
    return found


def stays_failed(row: int, why: str, place: Place) -> str | None:
    """Why a readout of a compound that has failed in the open round changes nothing; None where it counts.

    What was not dispensed has no readout. In an audit a failed compound is asked for once more or counts as an error,
    whoever looked at what was read since; but a plate that failed its quality did so by its controls alone, and may be
    read again.
    """
    if was_not_dispensed(why):
        return f"it failed before: {why}; what is read there is none of the compound"
    if row in place.audit_rows and not why.startswith("plate "):
        return f"it failed in this audit before ({why}): a later readout changes nothing, unless it is asked for again"
    return None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of readouts.

    Attributes
    ----------
    told:
        Readouts to be kept.
    n_new:
        How many they are; of a panel entries are counted.
    n_unchanged:
        Readouts that are on record already.
    refused:
        The others, by line.
    n_revived:
        Of `n_new`, those that had failed in the open round before.
    """

    told: pa.Table
    n_new: int
    n_unchanged: int
    refused: tuple[Refusal, ...]
    n_revived: int = 0


def place_readouts(
    readouts: pa.Table, lines: NDArray[np.int64], ids: Sequence[str], ledger: Ledger, place: Place, *, external: bool
) -> Placed:
    """Decide on each readout.

    A readout counts if its compound was asked for and has none yet: in the open round, or in an earlier one whose well
    had failed or was late. With `external` also if it was never asked for. The same readout again changes nothing;
    another one is refused, as only an amendment, with a reason, corrects what is on record.

    Parameters
    ----------
    readouts:
        `isd_ray.campaign.oracle.READOUT_SCHEMA`, one line for each of n distinct rows.
    lines, ids:
        Where each stands in the file, and its compound.
    """
    rows = readouts["row"].to_numpy()
    known = ledger.take(rows)
    before, now = _said(known), _said(readouts)
    was_told = np.array([row in ledger.told for row in rows.tolist()], np.bool_)
    is_asked = np.isin(rows, place.released_rows)
    new = ~was_told & (is_asked | external)
    failed = failures(rows, ledger, place)
    n_unchanged, n_revived, refused = 0, 0, []
    stays = np.zeros(len(rows), np.bool_)
    for index in np.flatnonzero(new).tolist():
        if (why := failed.get(int(rows[index]))) is None:
            continue
        if (reason := stays_failed(int(rows[index]), why, place)) is None:
            n_revived += int(rows[index]) in place.open_rows
        else:
            refused.append(Refusal(int(lines[index]), f"{ids[index]!r}: {reason}"))
            stays[index] = True
    new &= ~stays
    for index in np.flatnonzero(~new & ~stays).tolist():
        if was_told[index] and before[index] == now[index]:
            n_unchanged += 1
            continue
        reason = f"{ids[index]!r} was never asked for; if it was measured outside the plan, tell it as external"
        if was_told[index]:
            reason = f"{ids[index]!r} has another readout already; only an amendment, with a reason, corrects it"
        refused.append(Refusal(int(lines[index]), reason))
    return Placed(readouts.filter(pa.array(new)), int(new.sum()), n_unchanged, tuple(refused), n_revived)


def _said(readouts: pa.Table) -> list[tuple[float | None, float | None, str | None]]:
    """Label, value, and the bounds as they came where there is no value."""
    columns = (readouts[name].to_pylist() for name in ("label", "value", "qc"))
    return [(label, value, _bounds(qc) if value is None else None) for label, value, qc in zip(*columns, strict=True)]


def _bounds(qc: str | None) -> str | None:
    """What is a bound in the remarks on a readout."""
    return ";".join(part for part in (qc or "").split(";") if mark_of(part)) or None


def lost_rows(lost: Mapping[int, str], ledger: Ledger, place: Place) -> dict[int, str]:
    """Compounds of the open round that newly have no readout, and why."""
    if place.open_round is None:
        return {}
    failed, is_open = ledger.failed.get(place.open_round, {}), set(place.open_rows.tolist())
    return {row: why for row, why in lost.items() if row in is_open and row not in failed and row not in ledger.told}


def n_missing(ledger: Ledger, place: Place) -> int:
    """Readouts that the open round waits for; none in a closed round."""
    if place.open_round is None or place.open_round in ledger.closed:
        return 0
    return sum(ledger.missing(place.open_round, place.open_rows).values())
