"""What a block of history keeps of one assay: robust z scores, or zeros and ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.numbers import is_number
from isd_ray.data.blocks.readouts import KEY, Measurements
from isd_ray.data.ingest.columns import numbers_and_words
from isd_ray.errors import InputFileError

ASSAYS = "assays"
"""Key of the assays in what a block's description has found."""
HIT = ":hit"
"""Behind the name of an assay: its hits."""
HIT_Z = 3.0
"""Robust z from which on a readout is a hit, up or down: the usual cut of primary screens."""
_MAD_SCALE = 1.482602218505602
"""1 / Φ⁻¹(3/4): times this the MAD of normal data is their standard deviation."""
_TWO = 2
"""Values that an assay of yes or no has at most."""
_YES = frozenset({"1", "true", "yes", "y", "active", "hit", "positive", "pos", "+"})
"""Words that mean 1, whatever the other word is."""
_NO = frozenset({"0", "false", "no", "n", "inactive", "non-hit", "negative", "neg", "-"})
"""Words that mean 0 where it is not known how an assay calls it."""
_FLAGS = {"1": "true", "0": "false"}
"""How true and false of a typed column are written in text."""

AssayKind: TypeAlias = Literal["numbers", "binary"]


@dataclass(frozen=True, slots=True)
class Assay:
    """What is known of an assay, in the description of the block.

    Attributes
    ----------
    kind:
        Numbers, or two values.
    n, n_hits:
        Compounds of the library that were measured, and those that are hits (of two values: 1).
    centre, scale:
        Of the robust z: median, and scaled MAD or standard deviation.
    ones:
        Of two values: those that are 1, as text.
    zeros:
        Of two values: those that are 0, as text; None in libraries of earlier versions, which do not say.
    """

    name: str
    kind: AssayKind
    n: int = 0
    n_hits: int = 0
    centre: float = 0.0
    scale: float = 1.0
    ones: tuple[str, ...] = ()
    zeros: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Assay:
        """From its fields as plain values."""
        zeros = data.get("zeros")
        return cls(**{**data, "ones": tuple(data["ones"]), "zeros": None if zeros is None else tuple(zeros)})

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns in the block."""
        return (self.name, self.name + HIT) if self.kind == "numbers" else (self.name,)

    def read(self, values: pa.Array) -> tuple[NDArray[np.float64], dict[int, str]]:
        """Further readouts as those that the assay is known by: numbers, or 0 and 1.

        Parameters
        ----------
        values:
            float64 or string (n,), null where missing: of `text_or_numbers`.

        Returns
        -------
        float64 (n,), dict
            NaN where a value is missing, or wrong; and what is wrong, by index.
        """
        numbers, words = numbers_and_words(values)
        if self.kind == "numbers":
            words |= {index: str(values[index]) for index in np.flatnonzero(np.isinf(numbers)).tolist()}
            numbers[list(words)] = np.nan
            return numbers, {index: f"holds {word!r}, no finite number" for index, word in words.items()}
        texts: list[str | None] = pc.cast(values, pa.string()).to_pylist()
        both = [(text, f"{number:g}") for text, number in zip(texts, numbers.tolist(), strict=True)]
        bit_of = {(text, number): np.nan if text is None else self._bit(text, number) for text, number in set(both)}
        bits = [bit_of[pair] for pair in both]
        known = f"and is {_listed(self.zeros, '0')} or {_listed(self.ones, '1')}"
        wrong = {i: f"holds {words.get(i, both[i][1])!r}, {known}" for i, bit in enumerate(bits) if bit is None}
        return np.array([np.nan if bit is None else bit for bit in bits], np.float64), wrong

    def z(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Robust z scores of numbers; 0 and 1 stay."""
        with np.errstate(over="ignore"):  # of the largest numbers, which are clipped
            return (values - self.centre) / self.scale  # of two values: centre 0, scale 1

    def _bit(self, text: str, number: str) -> float | None:
        """0 or 1 as a word says, or the number that it is, as the library writes it; None where it says neither."""
        said, folded = {text, number}, {text.casefold(), number}
        for bit, words in ((1.0, self.ones), (0.0, self.zeros or ())):
            if any(word in said or word.casefold() == _FLAGS.get(number) for word in words):
                return bit
        if not self.ones and folded & _YES:
            return 1.0
        is_number = self.zeros is None and all(map(_is_whole, (number, *self.ones)))
        return 0.0 if not self.zeros and (folded & _NO or is_number) else None


def _listed(words: tuple[str, ...] | None, otherwise: str) -> str:
    if words is None:
        return f"{otherwise!r} (which word means it this library does not say)"
    return " or ".join(map(repr, words or (otherwise,)))


def _is_whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal()


def hits(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sign of robust z scores that are hits, 0 of others, NaN where there is none."""
    return np.where(np.isnan(z), np.nan, np.sign(z) * (np.abs(z) >= HIT_Z))


def assays_of(block: BlockDescription) -> tuple[Assay, ...]:
    """The assays of a block of history, in the order of its columns; none of another block."""
    return tuple(Assay.from_json(data) for data in block.found.get(ASSAYS, ()))


def assay_of(
    measured: Measurements, codes: NDArray[np.int64], is_there: NDArray[np.bool_], keys: list[str], like: Assay | None
) -> tuple[Assay, NDArray[np.int64], NDArray[np.float64]]:
    """An assay, and one value of it for each compound of the library.

    Parameters
    ----------
    codes:
        int64 (m,): compound of each measurement.
    is_there:
        bool (m,): whether it is in the library; statistics are of these.
    keys:
        Names of compounds by `measured.compounds`, for messages.
    like:
        The assay in the target set, whose kind and statistics are taken.

    Returns
    -------
    Assay, int64 (k,), float64 (k,)
        Compounds, ascending, and the median of the values of each: robust z, or 0 and 1.

    Raises
    ------
    InputFileError
        If a value is infinite or too large for statistics, a word where there are more than two different ones, or none
        of `like`.
    """
    numbers = measured.numbers()
    if numbers is not None and len(infinite := np.flatnonzero(np.isinf(numbers))):
        key = keys[np.concatenate(measured.compounds)[infinite[0]]]
        raise InputFileError(
            f"assay {measured.name!r} is infinite for {key!r} (line {np.concatenate(measured.lines)[infinite[0]]})",
            measured.file,
            "correct it, or leave the value out where it is missing",
        )
    if like is not None:
        compounds, values = _medians(codes[is_there], _read_like(measured, like)[is_there])
        values = like.z(values)
        return replace(like, n=len(values), n_hits=_n_hits(like.kind, values)), compounds, values
    if numbers is None or len(np.unique(numbers)) <= _TWO:
        words = measured.words() if numbers is None else [f"{number:g}" for number in numbers.tolist()]
        if len(distinct := set(words)) > _TWO:
            raise _no_number(measured)
        ones = _ones(distinct)
        numbers = np.array([word in ones for word in words], np.float64)
        compounds, values = _medians(codes[is_there], numbers[is_there])
        zeros = tuple(sorted(distinct.difference(ones)))
        n_hits = _n_hits("binary", values)
        return Assay(measured.name, "binary", len(values), n_hits, ones=ones, zeros=zeros), compounds, values
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        compounds, values = _medians(codes[is_there], numbers[is_there])
        centre, scale = _centre_and_scale(values)
        values = (values - centre) / scale
    if not np.isfinite([centre, scale, *values]).all():
        raise _too_large(measured, numbers, is_there, keys)
    return Assay(measured.name, "numbers", len(values), _n_hits("numbers", values), centre, scale), compounds, values


def _read_like(measured: Measurements, like: Assay) -> NDArray[np.float64]:
    chunks = []
    for part, lines in zip(measured.values, measured.lines, strict=True):
        values, wrong = like.read(part)
        for index, why in wrong.items():
            raise InputFileError(
                f"assay {measured.name!r} {why} (line {lines[index]})",
                measured.file,
                "write one of these, or leave the value out where it is missing",
            )
        chunks.append(values)
    return np.concatenate(chunks)


def _n_hits(kind: AssayKind, values: NDArray[np.float64]) -> int:
    return int((values >= 1.0).sum()) if kind == "binary" else int(np.count_nonzero(hits(values)))


def _ones(words: set[str]) -> tuple[str, ...]:
    """Which of at most two words means 1: the one that says so, else the second in order; a single other one is 0."""
    yes = sorted(word for word in words if word.casefold() in _YES)
    if len(yes) == 1:
        return tuple(yes)
    ordered = sorted(words)
    with suppress(ValueError):
        ordered = sorted(words, key=float)
    return tuple(ordered[1:])


def _no_number(measured: Measurements) -> InputFileError:
    words, lines = measured.words(), np.concatenate(measured.lines).tolist()
    word, line = next(((w, n) for w, n in zip(words, lines, strict=True) if not is_number(w)), (words[0], lines[0]))
    what = "no number, and more than two different values" if not is_number(word) else "and more than two values"
    return InputFileError(
        f"assay {measured.name!r} holds {word!r} (line {line}), {what}",
        measured.file,
        f"name columns of numbers or of two values, as in the target set, or leave it out with {KEY}.exclude",
    )


def _too_large(
    measured: Measurements, numbers: NDArray[np.float64], is_there: NDArray[np.bool_], keys: list[str]
) -> InputFileError:
    """A readout that no statistics can be made of."""
    place = int(np.argmax(np.where(is_there, np.abs(numbers), 0.0)))
    key, line = keys[np.concatenate(measured.compounds)[place]], np.concatenate(measured.lines)[place]
    return InputFileError(
        f"assay {measured.name!r} holds {numbers[place]:g} for {key!r} (line {line}), too large for statistics",
        measured.file,
        "correct it, or leave the value out where it is missing",
    )


def _medians(codes: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each compound once, ascending, with the median of its values."""
    order = np.lexsort((values, codes))
    codes, values = codes[order], values[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(np.append(starts, len(codes)))
    low, high = values[starts + (lengths - 1) // 2], values[starts + lengths // 2]
    return codes[starts], (low + high) / 2


def _centre_and_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and scaled MAD; the standard deviation where the MAD is 0, and 1 where that is 0 too."""
    if not len(values):
        return 0.0, 1.0
    centre = float(np.median(values))
    scale = _MAD_SCALE * float(np.median(np.abs(values - centre))) or float(values.std()) or 1.0
    return centre, scale
