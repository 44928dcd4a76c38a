"""The goal that an expert would choose for labels: by what one answer for every compound reaches, with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.data.hit_class import recognised
from isd_ray.data.look.roles import Candidate, plain

GAMMA, LOOSE_GAMMA, RECALL = 0.95, 0.9, 0.8
SMALL = 1000
"""Below so many compounds an audit for `GAMMA` is hardly worth it."""
MOST_CONSTANT = 0.9
"""Where one answer for every compound reaches more, an accuracy of `GAMMA` would not even halve its errors."""
FEW_HITS = 50
"""With fewer hits a claim of recall is decided by a handful of compounds."""
_HITS = ("active", "hit", "positive", "yes", "true", "toxic", "probe")
_PUBCHEM = {"1": "inactive", "2": "active", "3": "inconclusive", "4": "unspecified", "5": "probe"}
_UNITS = {"pm": 1e6, "nm": 1e3, "um": 1.0, "mm": 1e-3, "m": 1e-6}
"""Of one micromolar."""
HALF = 0.5
_POTENT = (0.002, 0.6)
"""Shares of compounds below a cut of potency that leave both classes."""
_GUESSED_SHARE = 0.15
_LOG_POTENCY = re.compile(r"(^|_)(p(ic|ec|ac|gi|cc)_?50|pk[id])($|_)")
_LOG_TOLERANCE = 0.5
_MAD_OF_NORMAL = 1.4826
_OF_SPREAD = 0.5
_LOG_CUTS = (6.0, 5.0, 7.0)
"""1, 10 and 0.1 µM as logarithms."""
_HIT_SD = 3.0
_HIT_SHARES = (0.001, 0.1)
"""Shares of hits beyond `_HIT_SD` of a primary screen; others are of values that are not spread like one's."""
_TOP = 0.01
_LESS_IS_MORE = re.compile(
    r"(^|_)(dock|docking|vina|glide|energy|affinity|dg|delta_g|viability|survival|growth|confluence|control)($|_)"
)
"""Names of scores of which hits are low."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Values of keys, by their names with sections, each with its reason; and what is not known, in sentences."""

    values: Mapping[str, tuple[Any, str]]
    unknown: tuple[str, ...] = ()


def hit_of(candidate: Candidate) -> tuple[str | None, str]:
    """The class of hits and how it is known; None where nobody could tell."""
    classes = candidate.classes
    if (found := recognised(classes)) is not None:
        return found, f"{found!r} is the hit of {' and '.join(map(repr, classes))}"
    plus = [name for name in classes if name.endswith("+")]
    if len(classes) == 2 and len(plus) == 1:
        return plus[0], f"{plus[0]!r} ends in a plus"
    if "outcome" in plain(candidate.column.name).split("_") and set(classes) <= _PUBCHEM.keys() and "2" in classes:
        return "2", "2 is 'active' in outcomes of PubChem, 1 'inactive'"
    named = [name for name in classes if name.strip().casefold() in _HITS]
    if len(named) == 1:
        return named[0], f"{named[0]!r} by its name"
    return None, ""


def goal_of_classes(candidate: Candidate, counts: Mapping[str, int], hit: str | None, why_hit: str) -> Choice:
    """The goal for classes, by how often each is there.

    Parameters
    ----------
    counts:
        Compounds of each class.
    hit, why_hit:
        Of `hit_of`, or of a cut.
    """
    n, most = sum(counts.values()), max(counts, key=lambda name: counts[name])
    constant = counts[most] / n
    unknown: list[str] = []
    if constant <= MOST_CONSTANT:
        gamma = GAMMA if n >= SMALL and len(counts) == 2 else LOOSE_GAMMA
        why = f"{most!r} for every compound is right in {constant:.1%}: an accuracy of {gamma:g} has to be learnt"
        if n < SMALL:
            why += f"; {n:,} compounds are few, and audits for {GAMMA:g} would eat most of what is saved"
        values = {"stopping.quantity": ("accuracy", why), "stopping.gamma": (gamma, "accuracy to exceed")}
        if hit is not None and recognised(candidate.classes) is None:
            values["stopping.positive"] = (hit, why_hit)
        return Choice(values)
    if hit is None:
        rarest = min(counts, key=lambda name: counts[name])
        hit, why_hit = rarest, f"a GUESS: {rarest!r} is the rarest class"
        unknown.append(f"which class is a hit; the rarest, {rarest!r}, was taken (stopping.positive)")
    share = counts[hit] / n
    if share > HALF:
        why = f"{hit!r} for every compound is right in {constant:.1%}; a mean of both classes is not fooled by that"
        goal: dict[str, tuple[Any, str]] = {
            "stopping.quantity": ("balanced_accuracy", why),
            "stopping.gamma": (RECALL, "balanced accuracy to reach"),
        }
    else:
        why = (
            f"{share:.1%} of the compounds ({counts[hit]:,}) are hits: an accuracy of {constant:.3g} is what 'none is "
            "a hit' reaches; the recall counts the hits that are found"
        )
        goal = {
            "stopping.quantity": ("recall", why),
            "stopping.gamma": (RECALL, "share of all hits to find"),
        }
    if counts[hit] < FEW_HITS:
        unknown.append(f"whether a model can learn from {counts[hit]:,} hits: this is few for any claim about them")
    return Choice({**goal, "stopping.positive": (hit, why_hit)}, tuple(unknown))


def goal_of_panel(constant: float, n_outputs: int) -> Choice:
    """The goal for a panel, by the accuracy of the commoner answer of each output."""
    if constant > MOST_CONSTANT:
        why = f"the commoner answer of each of {n_outputs} outputs is right in {constant:.1%}: count the hits found"
        return Choice(
            {
                "stopping.quantity": ("recall", why),
                "stopping.gamma": (RECALL, "share of the hits of all outputs to find"),
            }
        )
    why = f"the commoner answer of each of {n_outputs} outputs is right in {constant:.1%} of a compound's outputs"
    return Choice(
        {"stopping.quantity": ("accuracy", why), "stopping.gamma": (GAMMA, "mean share of right outputs to reach")}
    )


def goal_beforehand() -> Choice:
    """The goal where nothing is measured."""
    why = (
        "nothing is measured: in most primary screens few compounds are hits, and an accuracy would be worth nothing. "
        "If a tenth or more are, set quantity = 'accuracy', gamma = 0.95"
    )
    return Choice(
        {
            "stopping.quantity": ("recall", why),
            "stopping.gamma": (RECALL, "share of all hits to find"),
            "stopping.positive": ("active", "as in labels.classes"),
        },
        ("the share of hits, and what the laboratory calls its readout and classes: change [labels] to that",),
    )


def potency_cut(candidate: Candidate, low: NDArray[np.float64], high: NDArray[np.float64]) -> Choice:
    """Classes of a potency, or of numbers with bounds, by a cut that bounds can be told from.

    Parameters
    ----------
    low, high:
        Between which numbers each readout lies (`LabelTable.ends`), float64 (n,), without NaN.
    """
    name, n = plain(candidate.column.name), len(low)
    if not candidate.is_concentration:
        middle = np.where(np.isinf(low), high, low)
        cut = one_digit(float(np.quantile(middle, 1 - _GUESSED_SHARE)))
        why = f"a GUESS: about {_GUESSED_SHARE:.0%} are above it; bounds, as '>10', decide a class and no number"
        return Choice(_cut_values(cut, why), (f"the cut of {candidate.column.name!r} (labels.threshold)",))
    unit = next((_UNITS[part] for part in name.split("_")[1:] if part in _UNITS), None)
    for micromolar, cut in [] if unit is None else [(cut, cut * unit) for cut in (1.0, 10.0, 0.1)]:
        share = float((high <= cut).sum()) / n
        if _POTENT[0] <= share <= _POTENT[1]:
            why = f"{micromolar:g} µM in the unit of the column: {share:.1%} are at most that; bounds decide a class"
            return Choice({**_cut_values(cut, why), **_less_is_active()})
    ordered = np.sort(np.where(np.isinf(high), low, high))
    cut = one_digit(float(ordered[int(_GUESSED_SHARE * n)]))
    why = f"a GUESS: about {_GUESSED_SHARE:.0%} are at most that; bounds, as '>10', decide a class and no number"
    return Choice(
        {**_cut_values(cut, why), **_less_is_active()},
        (f"the unit of {candidate.column.name!r}, and so below which value a compound is a hit (labels.threshold)",),
    )


def hit_cut(candidate: Candidate, numbers: NDArray[np.float64]) -> Choice:
    """Classes of numbers by a cut that tells hits from the others, as screens choose one.

    That is median plus or minus three scaled MADs (Malo et al. 2006, doi:10.1038/nbt1186; Chung et al. 2008,
    doi:10.1177/1087057107312035); where so few or so many lie beyond that the values are no screen's, the best one per
    cent; of logarithms of potencies a concentration.

    Parameters
    ----------
    numbers:
        Readouts, float64 (n,), without NaN.
    """
    name = candidate.column.name
    if _LOG_POTENCY.search(plain(name)):
        for cut in _LOG_CUTS:
            share = float(np.mean(numbers > cut))
            if _POTENT[0] <= share <= _POTENT[1]:
                why = f"{10 ** (6 - cut):g} µM: {share:.1%} are more potent"
                return Choice({**_cut_values(cut, why), **_more_is_active()})
    is_low = bool(_LESS_IS_MORE.search(plain(name)))
    side, sign = ("below", -1.0) if is_low else ("above", 1.0)
    middle = float(np.median(numbers))
    spread = _MAD_OF_NORMAL * float(np.median(np.abs(numbers - middle)))
    cut, share = _beyond(middle + sign * _HIT_SD * spread, numbers, is_low=is_low)
    why = f"{_HIT_SD:g} robust standard deviations {side} the median, {middle:.3g}"
    if not (_HIT_SHARES[0] <= share <= _HIT_SHARES[1]):
        best, why = _best_per_cent(numbers, is_low=is_low)
        cut, share = _beyond(best, numbers, is_low=is_low)
    values = _cut_values(cut, f"a GUESS: {why}; {share:.1%} are {side} it")
    active = {"labels.classes": (["active", "inactive"], "at most the cut, above it")} if is_low else _more_is_active()
    doubt = f"the cut of {name!r} (labels.threshold), and whether hits lie {side} it (labels.classes)"
    return Choice({**values, **active}, (doubt,))


def _best_per_cent(numbers: NDArray[np.float64], *, is_low: bool) -> tuple[float, str]:
    """The cut of the best one per cent, or below the highest value where more have it, as at a limit of an assay."""
    cut = float(np.quantile(numbers, _TOP if is_low else 1 - _TOP))
    below = numbers[numbers < cut]
    if is_low or cut < numbers.max() or not len(below):
        return cut, f"the {'lowest' if is_low else 'highest'} {_TOP:.0%}"
    return float(below.max()), "the highest value, which many have"


def _beyond(cut: float, numbers: NDArray[np.float64], *, is_low: bool) -> tuple[float, float]:
    """A cut to three digits, or as many as leave the hits about as many, and the share of the numbers on their side."""

    def share_at(place: float) -> float:
        return float(np.mean(numbers <= place if is_low else numbers > place))

    rounded = (float(f"{cut:.{digits}g}") for digits in range(3, 17))
    cut = next((place for place in rounded if abs(share_at(place) - share_at(cut)) <= share_at(cut) / 2), cut)
    return cut, share_at(cut)


def _more_is_active() -> dict[str, tuple[Any, str]]:
    return {"labels.classes": (["inactive", "active"], "at most the cut, above it")}


def _cut_values(cut: float, why: str) -> dict[str, tuple[Any, str]]:
    return {"labels.transform": ("threshold", "readouts become classes"), "labels.threshold": (cut, why)}


def _less_is_active() -> dict[str, tuple[Any, str]]:
    return {
        "labels.classes": (["active", "inactive"], "at most the cut, above it: a lower concentration is more potent")
    }


def goal_of_values(candidate: Candidate, numbers: NDArray[np.float64]) -> Choice:
    """The goal for numbers: right within a tolerance."""
    unknown: tuple[str, ...] = ()
    if _LOG_POTENCY.search(plain(candidate.column.name)):
        tolerance, why = _LOG_TOLERANCE, "assays repeat a potency to about half a log unit"
    else:
        spread = _MAD_OF_NORMAL * float(np.median(np.abs(numbers - np.median(numbers)))) or float(numbers.std())
        tolerance = one_digit(_OF_SPREAD * spread)
        why = f"a GUESS: half of the spread of the values, {spread:.3g}"
        unknown = (f"how well {candidate.column.name!r} repeats: set stopping.tolerance to that",)
    return Choice(
        {
            "stopping.quantity": ("accuracy", "the share of values within the tolerance"),
            "stopping.gamma": (LOOSE_GAMMA, "share of values within the tolerance to exceed"),
            "stopping.tolerance": (tolerance, why),
        },
        unknown,
    )


def one_digit(number: float) -> float:
    """A number to one digit."""
    return float(f"{number:.1g}")
