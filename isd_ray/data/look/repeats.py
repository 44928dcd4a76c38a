"""Records that are of one compound: by their ids and by their structures as written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.data.ingest.columns import as_text, ids_as_text
from isd_ray.data.ingest.plan import compounds
from isd_ray.data.ingest.records import Source

_MOST_CANDIDATES = 4
_SHOWN = 5
"""Ids in a reason."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often compounds stand there.

    Attributes
    ----------
    id_column:
        The first candidate whose ids tell compounds apart; None: numbers of records do.
    kept_id:
        A candidate that repeats itself, worth keeping as a column.
    n_same:
        Records whose structure, as written, stands there before. 0 of mol blocks, which are not compared.
    n_contradicting:
        Compounds whose records have different labels.
    refused:
        Of each candidate that cannot be the id, why.
    """

    id_column: str | None
    kept_id: str | None
    n_same: int
    n_contradicting: int
    refused: Mapping[str, str]


def find_repeats(source: Source, smiles: str | None, ids: Sequence[str], labels: Sequence[str]) -> Repeats:
    """Read ids, structures and labels once; parameters are names of columns, `ids` the likeliest first."""
    ids = ids[:_MOST_CANDIDATES]
    wanted = tuple(dict.fromkeys([*([smiles] if smiles else []), *ids, *labels]))
    columns: dict[str, list[pa.Array]] = {name: [] for name in wanted}
    for records in source.read(wanted):
        keep = pa.array(compounds(records, None, smiles))
        for name in wanted:
            values = as_text(records.table[name].filter(keep))
            columns[name] += (ids_as_text(values) if name in (smiles, *ids) else values).chunks
    encoded = {name: _encoded(pa.chunked_array(chunks, pa.string())) for name, chunks in columns.items()}
    codes = {name: _codes(values) for name, values in encoded.items()}
    structures = codes.get(smiles) if smiles else None
    refused: dict[str, str] = {}
    chosen, kept = None, None
    for name in ids:
        n_repeated = len(codes[name]) - len(np.unique(codes[name]))
        torn = _conflicts(codes[name], [codes[label] for label in labels])
        if n_repeated and (structures is None or len(_conflicts(codes[name], [structures]))):
            refused[name] = f"{n_repeated:,} of its values stand there twice, for different structures"
        elif len(torn):
            shown = ", ".join(map(repr, encoded[name].dictionary.take(pa.array(torn[:_SHOWN])).to_pylist()))
            more = ", …" if len(torn) > _SHOWN else ""
            refused[name] = f"{len(torn):,} of its values stand there with different labels: {shown}{more}"
            kept = kept or name
        else:
            chosen = name
            break
    n_same = 0 if structures is None else len(structures) - len(np.unique(structures))
    by = structures if structures is not None else codes[ids[0]] if ids else None
    n_contradicting = 0 if by is None else len(_conflicts(by, [codes[label] for label in labels]))
    return Repeats(chosen, None if chosen else kept, n_same, n_contradicting, refused)


def _encoded(values: pa.ChunkedArray) -> pa.DictionaryArray:
    return values.combine_chunks().dictionary_encode()


def _codes(encoded: pa.DictionaryArray) -> NDArray[np.int64]:
    """A number for each distinct value, -1 where there is none."""
    found: NDArray[np.int64] = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _conflicts(keys: NDArray[np.int64], values: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Keys that stand with two different values of any column; missing ones are none."""
    differ = np.zeros(int(keys.max(initial=-1)) + 1, np.bool_)
    for column in values:
        there = (keys >= 0) & (column >= 0)
        order = np.lexsort((column[there], keys[there]))
        key, value = keys[there][order], column[there][order]
        differ[key[1:][(key[1:] == key[:-1]) & (value[1:] != value[:-1])]] = True
    return np.flatnonzero(differ)
