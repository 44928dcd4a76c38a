"""What a block of history keeps of one assay: robust z scores, or zeros and ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.data.blocks.readouts import KEY, Measurements
from isd_ray.errors import InputFileError

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
    """

    name: str
    kind: AssayKind
    n: int = 0
    n_hits: int = 0
    centre: float = 0.0
    scale: float = 1.0
    ones: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Assay:
        """From its fields as plain values."""
        return cls(**{**data, "ones": tuple(data["ones"])})

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns in the block."""
        return (self.name, self.name + HIT) if self.kind == "numbers" else (self.name,)


def hits(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sign of robust z scores that are hits, 0 of others, NaN where there is none."""
    return np.where(np.isnan(z), np.nan, np.sign(z) * (np.abs(z) >= HIT_Z))


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
        If a value is infinite, or a word where there are more than two different ones.
    """
    numbers = measured.numbers()
    if numbers is not None and len(infinite := np.flatnonzero(np.isinf(numbers))):
        key = keys[np.concatenate(measured.compounds)[infinite[0]]]
        raise InputFileError(
            f"assay {measured.name!r} is infinite for {key!r} (line {np.concatenate(measured.lines)[infinite[0]]})",
            measured.file,
            "correct it, or leave the value out where it is missing",
        )
    is_binary = numbers is None or len(np.unique(numbers)) <= _TWO if like is None else like.kind == "binary"
    if is_binary:
        words = measured.words() if numbers is None else [f"{number:g}" for number in numbers.tolist()]
        if len(set(words)) > _TWO:
            raise _no_number(measured)
        ones = _ones(set(words)) if like is None else like.ones
        numbers = np.array([word in ones for word in words], np.float64)
        compounds, values = _medians(codes[is_there], numbers[is_there])
        return Assay(measured.name, "binary", len(values), int((values >= 1.0).sum()), ones=ones), compounds, values
    if numbers is None:
        raise _no_number(measured)
    compounds, values = _medians(codes[is_there], numbers[is_there])
    centre, scale = _centre_and_scale(values) if like is None else (like.centre, like.scale)
    values = (values - centre) / scale
    n_hits = int(np.count_nonzero(hits(values)))
    return Assay(measured.name, "numbers", len(values), n_hits, centre, scale), compounds, values


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
    word, line = next(((w, n) for w, n in zip(words, lines, strict=True) if not _is_number(w)), (words[0], lines[0]))
    what = "no number, and more than two different values" if not _is_number(word) else "and more than two values"
    return InputFileError(
        f"assay {measured.name!r} holds {word!r} (line {line}), {what}",
        measured.file,
        f"name columns of numbers or of two values, as in the target set, or leave it out with {KEY}.exclude",
    )


def _is_number(word: str) -> bool:
    with suppress(ValueError):
        float(word)
        return True
    return False


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
