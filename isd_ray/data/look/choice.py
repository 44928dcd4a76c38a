"""Which of the columns that may be the label is it: the one that most speaks for, several of a kind, or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from isd_ray.config.patterns import shown
from isd_ray.data.look.columns import ColumnLook
from isd_ray.data.look.roles import Candidate, NoLabel, candidate
from isd_ray.errors import InputFileError

_NEAR = 1
"""Candidates whose scores differ by no more are told apart by the user only."""
_BINARY = ("0", "1")


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """The label, or the outputs of a panel.

    Attributes
    ----------
    chosen:
        One column, several of a panel, or none where nothing is measured.
    left:
        Of every other column that is no structure and no id, why it is none.
    """

    chosen: tuple[Candidate, ...]
    left: Mapping[str, str]


def choose_label(
    columns: Sequence[ColumnLook], taken: Collection[str], named: Sequence[str], *, unlabelled: bool, file: str
) -> LabelChoice:
    """The columns of the label.

    Parameters
    ----------
    taken:
        Columns of structures and ids.
    named:
        What the user names; several are a panel.
    unlabelled:
        The user says that none is measured.

    Raises
    ------
    InputFileError
        If a named column is not there or cannot be a label, or several may be it and none is named.
    """
    looks = {column.name: column for column in columns if column.name not in taken or column.name in named}
    found = {name: candidate(column, is_named=name in named) for name, column in looks.items()}
    for name in named:
        if name not in found:
            raise InputFileError(f"there is no column {name!r}; there are {shown(looks)}", file, "name one by --label")
        if isinstance(no := found[name], NoLabel):
            remedy = f"{no.remedy}, or name another by --label" if no.remedy else "name another by --label"
            raise InputFileError(f"column {name!r} cannot be the label: {no.why}", file, remedy)
    candidates = [one for one in found.values() if isinstance(one, Candidate)]
    refused = {name: one for name, one in found.items() if isinstance(one, NoLabel)}
    why_not = "another column is likelier"
    if unlabelled:
        chosen: list[Candidate] = []
        why_not = "nothing is measured, as you say"
    elif named:
        why_not = "another one was named"
        chosen = [one for one in candidates if one.column.name in named]
        if len(chosen) > 1 and not all(one.classes == _BINARY or _is_output(one) for one in chosen):
            words = ", ".join(one.words for one in chosen if one.classes != _BINARY and not _is_output(one))
            raise InputFileError(
                f"outputs of a panel are 0 or 1, or numbers without bounds that are no concentrations, unlike {words}",
                file,
                "name one, or leave these out; take logarithms of concentrations, as pIC50",
            )
    else:
        chosen = _best(candidates, file)
        if not chosen:
            _refuse_what_may_be(refused, file)
    # What can be mended is said first: of many columns the last ones are only counted.
    reasons = {name: one.words for name, one in sorted(refused.items(), key=lambda each: not each[1].remedy)}
    others = {one.column.name: why_not for one in candidates if one not in chosen}
    return LabelChoice(tuple(chosen), reasons | others)


def _refuse_what_may_be(refused: Mapping[str, NoLabel], file: str) -> None:
    """Do not take for unmeasured what has readouts that cannot be read."""
    for name, no in refused.items():
        if no.may_be:
            raise InputFileError(
                f"column {name!r} may be the label: {no.why}",
                file,
                f"{no.remedy}; if nothing is measured yet, say --unlabelled",
            )


def _is_output(one: Candidate) -> bool:
    """Whether a column may be an output of a panel that is a number."""
    return not one.classes and not one.is_concentration and not one.column.n_bounds


def _best(candidates: Sequence[Candidate], file: str) -> list[Candidate]:
    top = max((one.score for one in candidates), default=0)
    near = [one for one in candidates if one.score >= top - _NEAR]
    if len(near) > 1 and not all(one.classes == _BINARY for one in near):
        raise InputFileError(
            f"{len(near)} columns may be the label: {', '.join(one.words for one in near)}",
            file,
            "name it by --label COLUMN; if nothing is measured yet, say --unlabelled",
        )
    return near
