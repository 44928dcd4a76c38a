"""The compounds of a batch as a list: what came back of each, searched, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.manifest import numbers_of
from isd_ray.campaign.refused import refused_events, refused_lines
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.status import FAILED, IN_PART, MISSING, TOLD
from isd_ray.campaign.store import CampaignStore
from isd_ray.data.packed import named_entries
from isd_ray.report.sections.acquired import WHY
from isd_ray.serve.paging import link_to

REFUSED = "refused"
"""Of a compound without a readout, of which a line of a file was refused since it was asked for."""
MAX_QUERY = 200
"""Letters that are searched for."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A compound of a batch.

    Attributes
    ----------
    place:
        In the batch by plate, well and id, from 0.
    plate, well:
        Joined by semicolons where it lies in several; empty without plates.
    state:
        `TOLD`, `IN_PART`, `FAILED`, `MISSING` or `REFUSED`.
    answer:
        Its readout in words: class, number, or how many outputs of a panel; empty without one.
    value:
        Its number, as it was read; None where it has none.
    classes:
        Class by output of a panel; of single labels under an empty name. Only what was read.
    numbers:
        Number by output of a panel, of those that are numbers. Only what was read.
    role:
        Why it was chosen; empty as long as nobody is to know.
    """

    place: int
    id: str
    smiles: str
    plate: str
    well: str
    state: str
    answer: str
    value: float | None
    classes: Mapping[str, str]
    role: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def lines_of(store: CampaignStore, files: RoundFiles) -> list[BatchLine]:
    """The compounds of a released batch."""
    batch = files.read_batch().sort_by([("plate", "ascending"), ("well", "ascending"), ("id", "ascending")])
    rows = batch["row"].to_numpy()
    known, readouts = measured_readouts(store)
    inside = np.isin(known, rows)
    read = zip(readouts.labels[inside], readouts.values[inside], strict=True)
    measured = dict(zip(known[inside].tolist(), read, strict=True))
    missing: set[int] = set()
    if files.committed is None:
        missing = set(rows[Laboratory(store).ledger().missing(files.round, rows) > 0].tolist())
    refused = _refused_since(store, files) if files.committed is None else set()
    of_numbers = numbers_of(store.manifest)
    is_told_why = files.round not in unjudged(store.rounds())
    found = []
    for place, line in enumerate(batch.select(["row", "id", "smiles", "plate", "well", "role"]).to_pylist()):
        readout = measured.get(line["row"])
        state = FAILED if readout is None else TOLD
        if line["row"] in missing:
            state = IN_PART if readout is not None else REFUSED if line["id"] in refused else MISSING
        answer, value, classes, numbers = _said(readout, store.manifest, of_numbers)
        found.append(
            BatchLine(
                place=place,
                id=line["id"],
                smiles=line["smiles"] or "",
                plate=line["plate"] or "",
                well=line["well"] or "",
                state=state,
                answer=answer,
                value=value,
                classes=classes,
                numbers=numbers,
                role=WHY[line["role"]][0] if is_told_why else "",
            )
        )
    return found


def _refused_since(store: CampaignStore, files: RoundFiles) -> set[str]:
    """Compounds of which lines were refused since a batch was released."""
    released = next(
        (event["sequence"] for event in store.events() if event["kind"] == "release" and event["round"] == files.round),
        len(store.events()),
    )
    tables = [refused_lines(store, event) for event in refused_events(store) if event["sequence"] > released]
    return {name for table in tables for name in pc.unique(table["id"]).to_pylist() if name is not None}


def _said(
    readout: tuple[Any, float] | None, manifest: Mapping[str, Any], of_numbers: Sequence[str]
) -> tuple[str, float | None, dict[str, str], dict[str, float]]:
    """A readout in words, its number, its classes, and of a panel its numbers."""
    if readout is None:
        return "", None, {}, {}
    label, read_value = readout
    classes, outputs = manifest["classes"], manifest["outputs"]
    if outputs:
        read = named_entries(label, outputs, classes, of_numbers)
        named = {name: entry for name, entry in read.items() if isinstance(entry, str)}
        numbers = {name: entry for name, entry in read.items() if not isinstance(entry, str)}
        return f"{len(read):,} of {len(outputs):,} outputs", None, named, numbers
    value = None if np.isnan(read_value) else float(read_value)
    number = "" if value is None else f"{value:.4g}"
    if not classes:
        return number or f"{label:.4g}", float(label), {}, {}
    name = classes[int(label)]
    return f"{name} ({number})" if number else name, value, {"": name}, {}


_BY: Mapping[str, Callable[[BatchLine], Any]] = {
    "place": lambda line: line.place,
    "id": lambda line: line.id,
    "state": lambda line: line.state,
    "answer": lambda line: (line.value is None, line.value or 0.0, line.answer),
    "role": lambda line: line.role,
}
"""What a list is sorted by."""
_USUAL = {"sort": "place", "order": "asc", "page": "1", "plates": "1"}


@dataclass(frozen=True, slots=True)
class View:
    """Which compounds are shown, in which order; as the address of the page says it.

    Attributes
    ----------
    q:
        Text to be found in id, plate, well or structure.
    state, role:
        Only compounds with these; all if empty.
    sort, order:
        A key of `_BY`, and ``asc`` or ``desc``.
    others:
        Other entries of the address: they stay as they are.
    """

    q: str = ""
    state: str = ""
    role: str = ""
    sort: str = "place"
    order: str = "asc"
    others: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, query: Mapping[str, str], others: Sequence[str]) -> View:
        """What an address asks for; what it cannot mean counts for nothing."""
        sort = query.get("sort", "place")
        return cls(
            q=query.get("q", "").strip()[:MAX_QUERY],
            state=query.get("state", ""),
            role=query.get("role", ""),
            sort=sort if sort in _BY else "place",
            order="desc" if query.get("order") == "desc" else "asc",
            others={name: query[name][:MAX_QUERY] for name in others if query.get(name)},
        )

    def pick(self, lines: Sequence[BatchLine]) -> list[BatchLine]:
        """The compounds that are shown."""
        text = self.q.lower()
        found = [
            line
            for line in lines
            if (not self.state or line.state == self.state)
            and (not self.role or line.role == self.role)
            and (
                not text
                or text in f"{line.id}\n{line.plate}\n{line.well}\n{line.plate} {line.well}".lower()
                or self.q in line.smiles
            )
        ]
        return sorted(found, key=_BY[self.sort], reverse=self.order == "desc")

    def link(self, **changes: object) -> str:
        """The address with some entries changed; those that are empty or as always are left out."""
        entries = {"q": self.q, "state": self.state, "role": self.role, "sort": self.sort, "order": self.order}
        return link_to({**self.others, **entries, **changes}, _USUAL)

    def kept(self, without: Sequence[str]) -> dict[str, str]:
        """What a form on the page has to send along, beside its own fields and the number of the page."""
        entries = {"q": self.q, "state": self.state, "role": self.role, "sort": self.sort, "order": self.order}
        every = {**self.others, **entries}
        return {name: text for name, text in every.items() if text and text != _USUAL.get(name) and name not in without}

    def by(self, sort: str) -> str:
        """The address that sorts by something, the other way round if that is so already."""
        return self.link(sort=sort, order="desc" if (self.sort, self.order) == (sort, "asc") else "asc", page=1)
