"""Files of second readouts: their lines, the words that mean a hit, and what becomes of each line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import open_library
from isd_ray.config import CampaignConfig
from isd_ray.core.censored import is_number
from isd_ray.core.goals import goal_for
from isd_ray.data.ingest.columns import NULL_WORDS, as_text, has_leading_zero, ids_as_text, trimmed
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.errors import LabelError
from isd_ray.storage.addresses import working_folder

ID = "id"
"""Column of ids in the lists that are written; files of second readouts may have it in the place of the library's."""
_SHOWN = 5
"""Examples in a message."""


@dataclass(frozen=True, slots=True)
class SecondReadout:
    """A line of a file; row -1 where the library has no such id, confirmed None where there is no second readout."""

    line: int
    name: str | None
    row: int
    confirmed: bool | None


def read_second(
    store: CampaignStore, wanted: Collection[int], file: str | Path, column: str, positive: str | None
) -> list[SecondReadout]:
    """Read a file of second readouts.

    Parameters
    ----------
    wanted:
        Rows that were asked for; only their words have to be placed.
    column, positive:
        Of the second readouts, and the word in it that means a hit; default: the class that is a hit.

    Raises
    ------
    InputFileError
        If the file cannot be read, or lacks the column or one of ids: as the library calls it, or ``id``.
    LabelError
        If it is not clear which words mean a hit.
    """
    config = CampaignConfig.from_stored(store.config)
    names = [name for name in (config.labels.id_column, config.library.id_column, ID) if name is not None]
    source = open_source(resolve_source(str(file), working_folder()), columns=(*names, column))
    id_column = next((name for name in names if name in source.column_names), names[0])
    source.require(id_column, "the column of ids")
    source.require(column, "--column")
    classes = tuple(store.manifest["classes"])
    hit = classes[goal_for(config.stopping, config.task, classes).positive]
    no_word = pa.array(sorted(NULL_WORDS - {positive, *classes}), pa.string())
    found: list[tuple[int, str | None, str | None]] = []
    for records in source.read((id_column, column)):
        words = trimmed(as_text(records.table[column]))
        words = pc.if_else(pc.is_in(words, value_set=no_word), pa.scalar(None, pa.string()), words)
        ids = ids_as_text(records.table[id_column]).to_pylist()
        found += zip(records.lines.tolist(), ids, map(_plain, words.to_pylist()), strict=True)
    ids = [name for _, name, _ in found]
    rows = open_library(store).rows_of(pa.array(ids, pa.string())).tolist()
    said = {word for row, (_, _, word) in zip(rows, found, strict=True) if row in wanted and word is not None}
    where = f"{file}: column {column!r}"
    hit_word = _hit(said, _plain(positive), _plain(hit), {_plain(name) for name in classes}, where)
    return [
        SecondReadout(line, name, row, None if word is None else word == hit_word)
        for row, (line, name, word) in zip(rows, found, strict=True)
    ]


def _plain(word: str | None) -> str | None:
    """A word as it is compared: whole numbers without a point."""
    if word is None or not is_number(word) or has_leading_zero(word):
        return word
    return f"{float(word):.15g}"


def _hit(
    said: Collection[str], positive: str | None, hit: str | None, classes: Collection[str | None], where: str
) -> str | None:
    """The word that means a hit, if all that were said can be placed: the classes, or that word and one other."""
    if positive in (None, hit) and set(said) <= set(classes):
        return hit
    positive = positive or hit
    if positive not in said or len(said) > 2 or len({word.casefold() for word in said}) < len(said):
        shown = ", ".join(map(repr, sorted(said)[:_SHOWN]))
        raise LabelError(
            f"of the words {shown} it is not clear which is a hit and which is none; {positive!r} is looked for",
            where,
            "name the word of a hit by --positive, write one other word for what is none, and nothing for what is "
            f"lost; where no word of a hit occurs, write the classes {', '.join(map(repr, sorted(map(str, classes))))}",
        )
    return positive


def placed(
    lines: Sequence[SecondReadout], rows: Sequence[int], known: Mapping[int, bool | None], where: str
) -> tuple[dict[str, int], dict[int, bool | None]]:
    """What each line is, counted, and the second readouts that are new."""
    counts: Counter[str] = Counter()
    new: dict[int, bool | None] = {}
    first: dict[int, SecondReadout] = {}
    wanted = set(rows)
    for line in lines:
        before = first.setdefault(line.row, line).confirmed if line.row in wanted else None
        if line.name is None:
            counts["without an id, or unreadable"] += 1
        elif line.row < 0:
            counts["of no compound of the library"] += 1
        elif line.row not in wanted:
            counts["not asked for"] += 1
        elif (line.confirmed, known.get(line.row)) in ((True, False), (False, True)) or before != line.confirmed:
            raise LabelError(
                f"line {line.line}: {line.name!r} has another second readout already",
                where,
                "keep the first one; nothing was noted",
            )
        elif first[line.row] is not line:
            counts["said twice"] += 1
        elif line.row in known and line.confirmed in (None, known[line.row]):
            counts["known"] += 1
        else:
            new[line.row] = line.confirmed
            counts["new" if line.confirmed is not None else "lost"] += 1
    return dict(counts), new
