"""Readouts by hit calling: plates that are there whole, their compounds labelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.entries import ENTRIES, LOST
from isd_ray.campaign.ledger import Ledger
from isd_ray.errors import LabelError
from isd_ray.plates.cells import bad_because, is_unreadable
from isd_ray.plates.collect import rejects_table
from isd_ray.plates.hits import HitCalls
from isd_ray.plates.layout import EMPTY

ESTIMATED = ("robust_z", "b_score")
"""Methods of hit calling that freeze an estimate with the first readouts."""
_SHOWN = 3
"""Wells, lines or reasons in a message."""


def whole_plates(wells: pa.Table, plate_map: pa.Table, refused: pa.Table, name: str) -> tuple[pa.Table, pa.Table]:
    """The readings of plates that are there whole, and why others are refused: their controls may be missing.

    A plate of which most wells cannot be read is not there either: a column of something else, or a list that is not
    filled in yet, would take its compounds out as failed.

    Parameters
    ----------
    wells:
        Of `isd_ray.plates.match.match_readings`.
    refused:
        Lines that were refused before, for messages; `isd_ray.plates.collect.REJECTS` as what is returned.

    Raises
    ------
    LabelError
        If no plate is there whole.
    """
    expected: dict[str, list[str]] = defaultdict(list)
    used = plate_map.filter(pc.not_equal(plate_map["content"], EMPTY))
    for plate, well in zip(used["plate"].to_pylist(), used["well"].to_pylist(), strict=True):
        expected[plate].append(well)
    rejects: list[tuple[int, str]] = []
    whole: list[str] = []
    plates = pc.unique(wells["plate"])
    of_plate = pc.index_in(wells["plate"], value_set=plates).to_numpy()
    lines = wells.select(["line", "well", "flag"]).take(pa.array(np.argsort(of_plate, kind="stable")))
    ends = np.cumsum(np.bincount(of_plate, minlength=len(plates)))
    for plate, start, end in zip(plates.to_pylist(), [0, *ends.tolist()], ends.tolist(), strict=False):
        read = lines.slice(start, end - start)
        if reason := _why_not(plate, expected[plate], read):
            rejects.append((read["line"][0].as_py(), reason))
        else:
            whole.append(plate)
    if not whole:
        raise _no_plate(rejects, refused, name)
    kept = pc.is_in(wells["plate"], value_set=pa.array(whole, pa.string()))
    return wells.filter(kept), rejects_table(rejects)


def _why_not(plate: str, expected: Sequence[str], read: pa.Table) -> str | None:
    """Why a plate is not there whole; None if it is."""
    names = set(read["well"].to_pylist())
    if missing := [well for well in expected if well not in names]:
        listed = ", ".join(missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
        found = f"{len(names)} of {len(expected)} wells of plate {plate!r}; hits are called on whole plates: {listed}"
        return f"{found} {'is' if len(missing) == 1 else 'are'} missing"
    flags = zip(read["well"].to_pylist(), read["flag"].to_pylist(), strict=True)
    unread = {well: bad_because(flag) for well, flag in flags if is_unreadable(flag)}
    if 2 * len(unread) <= len(expected):
        return None
    listed = ", ".join(f"{reason} ({n})" for reason, n in Counter(unread.values()).most_common(_SHOWN))
    found = f"{len(unread)} of {len(expected)} wells of plate {plate!r} cannot be read: {listed}"
    return f"{found}; this is no readout of the plate"


def _no_plate(incomplete: Sequence[tuple[int, str]], refused: pa.Table, name: str) -> LabelError:
    """That no plate is there whole, and which lines may be why."""
    shown = "".join(f"; line {line['line']}: {line['reason']}" for line in refused.slice(0, _SHOWN).to_pylist())
    shown += f"; … and {refused.num_rows - _SHOWN:,} more refusals" if refused.num_rows > _SHOWN else ""
    reason = next((reason for _, reason in incomplete), "no well was read")
    remedy = "tell every well of a plate at once"
    if refused.num_rows:
        remedy = f"mend what the lines are refused for, and {remedy}"
    return LabelError(f"no plate is whole: {reason}{shown}", name, remedy)


def need_first_round(method: str, wells: pa.Table, ledger: Ledger, plate_map: pa.Table, name: str) -> None:
    """Refuse a part of the first round where estimates are made from it, once.

    Raises
    ------
    LabelError
        If plates of it are not among the wells.
    """
    if ledger.hits is not None or method not in ESTIMATED:
        return
    if missing := sorted(set(plate_map["plate"].to_pylist()) - set(wells["plate"].to_pylist())):
        raise LabelError(
            f"{method} is estimated from the first round, and plates {', '.join(missing)} are not in the file",
            name,
            "tell all plates of the first round in one file",
        )


def called_entries(calls: HitCalls, samples: pa.Table) -> pa.Table:
    """What was called, of the schema `isd_ray.campaign.entries.ENTRIES`; those without a label are lost.

    Parameters
    ----------
    samples:
        The readings that were called, of `isd_ray.plates.match.match_readings`.
    """
    rows, first = np.unique(samples["row"].to_numpy(), return_index=True)
    labels, bad = calls.labels, calls.unlabelled
    # Of several reasons the last one.
    of_bad, last = np.unique(bad["row"].to_numpy()[::-1], return_index=True)
    reasons = bad["reason"].take(pa.array(len(bad) - 1 - last))
    at = pc.index_in(pa.array(rows), value_set=labels["row"].combine_chunks())
    why = reasons.take(pc.index_in(pa.array(rows), value_set=pa.array(of_bad)))
    is_lost = at.is_null()
    nothing = pa.scalar(None, pa.string())
    found = labels.take(at)
    entries = pa.table(
        {
            "row": rows,
            "output": np.zeros(len(rows), np.int32),
            "label": found["label"],
            "value": found["raw_value"],
            **{name: found[name] for name in ("plate", "well", "n_replicates", "qc")},
            "line": samples["line"].take(pa.array(first)),
            "id": samples["id"].take(pa.array(first)),
            "fate": pc.if_else(is_lost, pa.scalar(LOST), nothing),
            "reason": pc.if_else(is_lost, why, nothing),
        }
    ).cast(ENTRIES)
    return entries.replace_schema_metadata(None)  # readouts that were called have always been kept without
