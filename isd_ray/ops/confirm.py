"""Confirming hits: asking for second readouts behind a certificate of recall, taking them in, and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from isd_ray.campaign.amend import amendments
from isd_ray.campaign.confirmed import DECIDED, FILE, confirmed, confirmed_lines, content_of, standing_words
from isd_ray.campaign.confirming import (
    ASKED,
    TOLD,
    asked,
    asked_rows,
    draw,
    keep_second,
    refuse_without_claim,
    second_readouts,
)
from isd_ray.campaign.events import Event
from isd_ray.campaign.second_file import ID, placed, read_second
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import open_library
from isd_ray.card import card, pairs
from isd_ray.errors import OutputFileError, StoreError
from isd_ray.formulas import escaped
from isd_ray.ops.results import conclude, stored_summary, write_results
from isd_ray.storage.files import canonical_json
from isd_ray.storage.output_files import replacing

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class SecondTold:
    """What became of a file of second readouts.

    Attributes
    ----------
    counts:
        How many of its lines were what; they add up to its lines.
    n_missing:
        Compounds of the list that no second readout was told of.
    """

    counts: Mapping[str, int]
    n_missing: int

    def _repr_html_(self) -> str:
        return card("Second readouts told", pairs([("Lines", self.account), ("Missing", f"{self.n_missing:,}")]))

    @property
    def account(self) -> str:
        """The lines in words."""
        parts = " + ".join(f"{n:,} {what}" for what, n in self.counts.items() if n)
        return f"{sum(self.counts.values()):,} read = {parts or 'nothing'}"


class Confirmation:
    """Second readouts of a campaign that was certified by the recall of hits; see `confirm`.

    Parameters
    ----------
    store:
        Of the campaign's folder.
    """

    def __init__(self, store: CampaignStore) -> None:
        self._store = store
        self._certificate = refuse_without_claim(store)
        if _decided(store) is not None and not store.latest(FILE).is_file():
            self.tell()  # the command that decided was cut off before it wrote the claim

    def __repr__(self) -> str:
        return f"Confirmation({self._store.address!r}, {standing_words(self._store) or 'nothing asked for'!r})"

    def ask(self, file: str | Path | None = None, sample: int | None = None) -> Event:
        """Draw the compounds to be measured a second time and write their list: all hits of the audit, and others.

        The draw is on record before the file is written; asked again, the list is the same one.

        Parameters
        ----------
        file:
            A .csv or .parquet file with id and smiles, by id: which of them are of the audit it does not say. None
            draws and writes no file.
        sample:
            How many of the hits that were measured outside the audit, drawn at random; default: all of them, or as
            many as there are on record.

        Returns
        -------
        Event
            ``n`` compounds, ``n_sampled`` of them of the ``n_hits`` outside the audit.

        Raises
        ------
        StoreError
            If a list with another sample is on record, or the sample is larger than the hits are many.
        """
        while (event := asked(self._store)) is None:
            n_events = len(self._store.events())
            table, details = draw(self._store, self._certificate, sample, len(amendments(self._store)))
            self._store.append_event(ASKED, {**details, "readouts_sha256": self._store.keep(table)}, after=n_events)
        if sample not in (None, event["n_sampled"]):
            raise StoreError(
                f"a list with {event['n_sampled']:,} of the hits is on record, and one with {sample:,} is asked for",
                self._store.address,
                "ask without a size for that list: another draw would be a choice",
            )
        if file is not None:
            self._write(Path(file), event)
        return event

    def tell(
        self, file: str | Path | None = None, *, column: str = "", positive: str | None = None, final: bool = False
    ) -> SecondTold:
        """Take in second readouts of the compounds asked for; with the last of them the claim is decided.

        Parameters
        ----------
        file:
            A table with a column of ids, as the library or the list calls it, and one of second readouts. An empty one
            says that it is lost. None, with `final`, says that of all that are missing.
        column, positive:
            The column, and the word in it that means a hit; default: the class that is a hit.
        final:
            What is missing now is lost.

        Raises
        ------
        LabelError
            If a word cannot be placed, or contradicts another of the same compound; then nothing was noted.
        StoreError
            If no list was asked for, or the claim is decided.
        """
        event = asked(self._store)
        if event is None:
            raise StoreError(
                "no list of compounds is on record",
                self._store.address,
                "ask for one first: isd confirm RUN --ask FILE",
            )
        rows = asked_rows(self._store, event).tolist()
        lines = [] if file is None else read_second(self._store, set(rows), file, column, positive)
        while True:
            n_events = len(self._store.events())
            known = second_readouts(self._store)
            counts, new = placed(lines, rows, known, str(file))
            missing = [row for row in rows if row not in known and row not in new]
            if new and _decided(self._store):
                raise StoreError(
                    f"the claim is decided, and {len(new):,} second readouts are new",
                    self._store.address,
                    "none: what was lost when it was decided stays lost",
                )
            told = {**dict.fromkeys(missing if final else (), None), **new}
            details = {"n": len(told), "column": column or None}
            if not told or self._store.append_event(
                TOLD, {**details, "readouts_sha256": keep_second(self._store, told)}, after=n_events
            ):
                break
        n_missing = 0 if final else len(missing)
        if not n_missing:
            self._decide(event)
        return SecondTold(counts, n_missing)

    def rehearse(
        self, labels: str | Path, column: str, *, positive: str | None = None, sample: int | None = None
    ) -> SecondTold:
        """Of a simulation: ask, and take the second readouts from a table; those that it has not are lost.

        Parameters
        ----------
        labels:
            A table as `tell` takes it; the compounds of it that were not asked for do not count.
        column, positive, sample:
            As of `tell` and `ask`.

        Raises
        ------
        StoreError
            If this is a campaign of a laboratory.
        """
        if self._store.manifest["in_laboratory"]:
            raise StoreError(
                "this is a campaign of a laboratory, whose second readouts are to be measured",
                self._store.address,
                "ask for the list, and tell what was read of it",
            )
        self.ask(sample=sample)
        return self.tell(labels, column=column, positive=positive, final=True)

    @property
    def content(self) -> dict[str, Any] | None:
        """The content of ``confirmed.json``; None before the claim is decided."""
        return confirmed(self._store)

    @property
    def lines(self) -> list[str]:
        """The claim in words, with its proof and what is assumed; before it is decided, where it stands."""
        return confirmed_lines(self._store) or [standing_words(self._store) or "no second readouts were asked for"]

    def _decide(self, event: Event) -> None:
        """Decide the claim by the record, once; write it, and the pages that show it."""
        while (decided := _decided(self._store)) is None:
            n_events, n_amendments = len(self._store.events()), len(amendments(self._store))
            content = content_of(self._store, event, n_amendments)
            details = {"confirmed_id": content["confirmed_id"], "n_amendments": n_amendments}
            self._store.append_event(DECIDED, details, after=n_events)
        if not self._store.latest(FILE).is_file():
            content = content_of(self._store, event, decided["n_amendments"])
            self._store.write_text(FILE, canonical_json(content).decode())
        conclude(self._store)
        write_results(stored_summary(self._store) or {}, self._store)

    def _write(self, file: Path, event: Event) -> None:
        if file.suffix not in SUFFIXES:
            raise OutputFileError(
                f"{file.suffix!r} is no kind of file to write a list to", str(file), f"choose {' or '.join(SUFFIXES)}"
            )
        library, rows = open_library(self._store), asked_rows(self._store, event)
        table = pa.table(
            {ID: pa.array(library.ids(rows), pa.string()), "smiles": pa.array(library.smiles(rows), pa.string())}
        ).sort_by(ID)
        with replacing(file) as partial:
            if file.suffix == ".csv":
                pa.csv.write_csv(escaped(table), partial)
            else:
                pq.write_table(table, partial)


def confirm(run: str | Path) -> Confirmation:
    """Confirm the hits of a screen by second readouts, which a claim about the recall of *confirmed* hits follows from.

    Parameters
    ----------
    run:
        Folder of a simulation or of a campaign of a laboratory that was certified by a look at the recall of hits.

    Raises
    ------
    StoreError
        If there is no campaign, or no such certificate stands, or predicted hits of its look were not measured.
    """
    return Confirmation(CampaignStore.open(run))


def _decided(store: CampaignStore) -> Event | None:
    return next((event for event in store.events() if event["kind"] == DECIDED), None)
