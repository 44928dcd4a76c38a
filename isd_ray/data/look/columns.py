"""What each column of a file holds: kinds, values, missing ones, bounds; in one pass that keeps little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.core.censored import parse_number
from isd_ray.data.ingest.columns import has_leading_zero, ids_as_text, is_simple, is_texts, without_null_words
from isd_ray.data.ingest.plan import compounds
from isd_ray.data.ingest.records import Records, Source

MOST_VALUES = 1000
"""Distinct values that are told apart; a column with more is no column of classes."""
N_EXAMPLES = 200
"""Values that are kept as they came."""
Kind = Literal["numbers", "text", "vectors", "empty"]


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """What a column holds.

    Attributes
    ----------
    kind:
        `numbers` also where some are bounds (``>10``); `vectors` are lists and raw bytes.
    n, n_filled:
        Compounds, and those that have a value.
    counts:
        How often each value occurs, as text; empty if there are more than `MOST_VALUES`.
    n_bounds:
        Numbers that are bounds.
    words:
        Some values that are no numbers, of a column of which at least half are.
    low, high:
        Of the numbers; NaN without any.
    is_whole:
        All numbers are whole.
    examples:
        The first `N_EXAMPLES` values.
    """

    name: str
    kind: Kind
    n: int
    n_filled: int
    counts: dict[str, int]
    n_bounds: int
    words: tuple[str, ...]
    low: float
    high: float
    is_whole: bool
    examples: tuple[str, ...]

    @property
    def n_missing(self) -> int:
        """Compounds without a value."""
        return self.n - self.n_filled


@dataclass(slots=True)
class _Tally:
    """A column while it is read."""

    is_vector: bool
    n_filled: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    is_many: bool = False
    n_numbers: int = 0
    n_bounds: int = 0
    words: dict[str, None] = field(default_factory=dict)
    low: float = np.inf
    high: float = -np.inf
    is_whole: bool = True
    examples: list[str] = field(default_factory=list)

    def add(self, values: pa.Array | pa.ChunkedArray) -> None:
        """Count some values, null where there is none."""
        if self.is_vector:
            self.n_filled += len(values) - values.null_count
            return
        if not is_texts(values.type):
            values = _as_number_text(values)
        filled = pc.drop_null(without_null_words(pc.cast(values, pa.string())))
        self.n_filled += len(filled)
        self.examples += filled[: N_EXAMPLES - len(self.examples)].to_pylist()
        for item in pc.value_counts(filled).to_pylist():
            self._value(item["values"], item["counts"])

    def _value(self, text: str, n: int) -> None:
        if not self.is_many:
            self.counts[text] += n
            self.is_many = len(self.counts) > MOST_VALUES
        number = None if has_leading_zero(text) else parse_number(text)
        if number is None:
            if len(self.words) < N_EXAMPLES:
                self.words[text] = None
            return
        self.n_numbers += n
        self.n_bounds += n * (number.mark is not None)
        self.low, self.high = min(self.low, number.number), max(self.high, number.number)
        self.is_whole = self.is_whole and number.number.is_integer()

    def look(self, name: str, n: int) -> ColumnLook:
        """What was counted."""
        has_numbers = bool(self.n_numbers)
        is_mixed = bool(self.words) and 2 * self.n_numbers >= self.n_filled
        kind: Kind = "text" if self.words else "numbers"
        if not self.n_filled:
            kind = "empty"
        return ColumnLook(
            name=name,
            kind="vectors" if self.is_vector else kind,
            n=n,
            n_filled=self.n_filled,
            counts={} if self.is_many else dict(self.counts),
            n_bounds=self.n_bounds,
            words=tuple(self.words)[:3] if is_mixed else (),
            low=self.low if has_numbers else np.nan,
            high=self.high if has_numbers else np.nan,
            is_whole=has_numbers and self.is_whole,
            examples=tuple(self.examples),
        )


def _as_number_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Typed values as text; whole floats as whole numbers, NaN as none."""
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        texts = [None if value is None else repr(value).removesuffix(".0") for value in values.to_pylist()]
        return pa.array(texts, pa.string())
    return values


def look_at_columns(source: Source, structure: str | None) -> list[ColumnLook]:
    """Read all columns once and tell what each holds, of the records that are compounds.

    Parameters
    ----------
    structure:
        Column of the SMILES: rows without one, as the units below a header, count nowhere. None if there is none.
    """
    names = [name for name in dict.fromkeys(source.column_names) if source.column_names.count(name) == 1]
    tallies = {name: _Tally(_is_vector(source, name)) for name in names}
    n = 0
    for records in source.read(names):
        keep = pa.array(compounds(records, None, structure))
        n += int(pc.sum(keep).as_py() or 0)
        for name, tally in tallies.items():
            tally.add(records.table[name].filter(keep))
    return [tally.look(name, n) for name, tally in tallies.items()]


def first_records(source: Source, columns: Sequence[str]) -> Records | None:
    """The first records of a source; None if it has none."""
    return next(iter(source.read(columns)), None)


def first_texts(records: Records, name: str) -> list[str]:
    """The first values of a column that is text."""
    values = records.table[name]
    if not is_texts(values.type):
        return []
    return [value for value in ids_as_text(values[:N_EXAMPLES]).to_pylist() if value]


def _is_vector(source: Source, name: str) -> bool:
    kind = source.column_type(name)
    return not (is_texts(kind) or is_simple(kind)) or (source.typed and pa.types.is_binary(kind))
