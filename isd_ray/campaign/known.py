"""The compounds that a campaign knows: found by their structure, with what was measured of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.manifest import numbers_of
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.store import CampaignStore
from isd_ray.data.ingest.dedupe import hash_keys
from isd_ray.data.library import Library
from isd_ray.data.packed import labels_from, named_entries
from isd_ray.errors import IsdError
from isd_ray.messages import LabelArray, Rows

MEASURED, PREDICTED = "measured", "predicted"
_RANK = {MEASURED: 0, PREDICTED: 1}
"""Of several rows with one structure a measured one is told."""
_ROWS = 1 << 16
"""Lines held at a time."""


@dataclass(slots=True)
class _Lines:
    """Some lines of the library."""

    rows: NDArray[np.int64]
    ids: list[str]
    smiles: list[str | None]
    sources: list[str]
    readouts: list[Any]


@dataclass(slots=True)
class Known:
    """The compounds of a campaign's library.

    Attributes
    ----------
    is_whole:
        Whether all of them are known, and not only those that were asked for: without the library's files a campaign
        that goes on knows no others.
    lines:
        Id and canonical SMILES of the rows that were wanted.
    """

    is_whole: bool
    lines: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    _hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 2), np.uint64))
    _ids: list[str] = field(default_factory=list)
    _sources: list[str] = field(default_factory=list)
    _readouts: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, store: CampaignStore, library: Library, wanted: set[int]) -> Known:
        """The compounds of a campaign: of one that has ended from its hybrid screen, else from library and batches."""
        delivered = store.is_delivered()
        if delivered:
            store.bring_hybrid()
            parts, is_whole = _delivered(store), True
        else:
            parts, is_whole = _under_way(store, library)
        known = cls(is_whole)
        hashes, ranks = [known._hashes], [np.empty(0, np.int8)]
        for part in parts:
            known.lines |= {
                row: (name, text)
                for row, name, text in zip(part.rows.tolist(), part.ids, part.smiles, strict=True)
                if row in wanted
            }
            there = [place for place, text in enumerate(part.smiles) if text is not None]
            hashes.append(hash_keys(str(part.smiles[place]).encode() for place in there))
            ranks.append(np.array([_RANK.get(part.sources[place], len(_RANK)) for place in there], np.int8))
            known._ids += [part.ids[place] for place in there]
            known._sources += [part.sources[place] for place in there]
            known._readouts += [part.readouts[place] for place in there]
        every, rank = np.concatenate(hashes), np.concatenate(ranks)
        order = np.lexsort((rank, every[:, 1], every[:, 0]))
        known._hashes = every[order]
        for name in ("_ids", "_sources", "_readouts"):
            values = getattr(known, name)
            setattr(known, name, [values[place] for place in order.tolist()])
        return known

    def find(self, smiles: Sequence[str | None]) -> list[tuple[str, str, Any] | None]:
        """Id, source and readout of canonical SMILES; None of those that are not in the library."""
        asked = hash_keys((text or "").encode() for text in smiles)
        places = np.searchsorted(self._hashes[:, 0], asked[:, 0])
        found: list[tuple[str, str, Any] | None] = []
        for text, place, key in zip(smiles, places.tolist(), asked, strict=True):
            is_there = text is not None and place < len(self._hashes) and bool((self._hashes[place] == key).all())
            found.append((self._ids[place], self._sources[place], self._readouts[place]) if is_there else None)
        return found


def _delivered(store: CampaignStore) -> Iterator[_Lines]:
    classes, outputs = store.manifest["classes"], store.manifest["outputs"]
    numbers = numbers_of(store.manifest)
    for file in sorted(store.hybrid_dir.glob("part-*.parquet")):
        reader = pq.ParquetFile(file)
        names = [name for name in ("labels", "measured", "label", "value") if name in reader.schema_arrow.names]
        for batch in reader.iter_batches(_ROWS, columns=["row", "id", "smiles", "source", *names]):
            table = pa.table(batch)
            sources = table["source"].to_pylist()
            is_measured = [source == MEASURED for source in sources]
            if outputs:
                labels = labels_from(table)
                readouts = [
                    _panel_text(label, classes, outputs, numbers) if was else None
                    for label, was in zip(labels, is_measured, strict=True)
                ]
            else:
                told = table["label" if classes else "value"].to_pylist()
                readouts = [value if was else None for value, was in zip(told, is_measured, strict=True)]
            yield _Lines(
                table["row"].to_numpy(), table["id"].to_pylist(), table["smiles"].to_pylist(), sources, readouts
            )


def _under_way(store: CampaignStore, library: Library) -> tuple[Iterator[_Lines], bool]:
    measured = measured_readouts(store)
    try:
        whole = Library.open(library.address, library.hash)
        whole.block_table(0)
    except IsdError:
        return _of_batches(store, measured), False
    return _of_library(whole, store, measured), True


def _of_library(library: Library, store: CampaignStore, measured: tuple[Rows, Readouts]) -> Iterator[_Lines]:
    for block in range(library.n_blocks):
        first, stop = library.block_rows_range(block)
        rows = np.arange(first, stop)
        table = library.block_table(block)
        yield _lines(store, rows, table["id"].to_pylist(), table["smiles"].to_pylist(), measured)


def _of_batches(store: CampaignStore, measured: tuple[Rows, Readouts]) -> Iterator[_Lines]:
    for files in store.rounds():
        batch = files.read_batch()
        yield _lines(store, batch["row"].to_numpy(), batch["id"].to_pylist(), batch["smiles"].to_pylist(), measured)


def _lines(
    store: CampaignStore, rows: Rows, ids: list[str], smiles: list[str | None], measured: tuple[Rows, Readouts]
) -> _Lines:
    classes, outputs, numbers = store.manifest["classes"], store.manifest["outputs"], numbers_of(store.manifest)
    known, of_known = measured
    found: list[Any] = [None] * len(rows)
    there = np.flatnonzero(np.isin(rows, known)).tolist()
    labels = of_known.labels[np.searchsorted(known, rows[there])]
    for place, label in zip(there, labels, strict=True):
        found[place] = _readout(label, classes, outputs, numbers)
    sources = np.where(np.isin(rows, known), MEASURED, PREDICTED).tolist()
    return _Lines(rows, ids, smiles, sources, found)


def _readout(label: LabelArray | float, classes: Sequence[str], outputs: Sequence[str], numbers: Sequence[str]) -> Any:
    if outputs:
        return _panel_text(np.asarray(label), classes, outputs, numbers)
    return classes[int(label)] if classes else float(label)


def _panel_text(label: LabelArray, classes: Sequence[str], outputs: Sequence[str], numbers: Sequence[str]) -> str:
    """The measured outputs of a compound as a JSON object."""
    return json.dumps(named_entries(label, outputs, classes, numbers))
