"""A campaign proposed by its file: structure, ids, label and goal with reasons, and what the file does not say.

In words, and as a campaign file: the keys that matter with their reasons, or every key.
"""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from isd_ray.card import card, paragraphs, rows
from isd_ray.config import CampaignConfig
from isd_ray.config_file import template, toml_line
from isd_ray.data.ingest.records import Source
from isd_ray.data.ingest.sources import PACKAGE_PREFIX, open_source, resolve_source
from isd_ray.data.layout import RESERVED_COLUMNS
from isd_ray.data.look.choice import LabelChoice, choose_label
from isd_ray.data.look.columns import first_records, look_at_columns
from isd_ray.data.look.repeats import Repeats, find_repeats
from isd_ray.data.look.roles import id_candidates, is_called_id, structure_column, unreadable
from isd_ray.errors import InputFileError
from isd_ray.ops.goal_keys import ProposedKey, config_of, goal_keys, proposed
from isd_ray.ops.stock_keys import stock_doubt, stock_keys, stock_places
from isd_ray.report.numbers import counted
from isd_ray.storage.addresses import is_uri, working_folder

_BATCHES = (24, 48, 96, 192, 384, 768, 1536)
_BATCHES_OF_A_SCREEN = 40
"""A batch is at most this part of the library, so that a model learns many times."""
_WIDTH = 110
_ORDER = ("library", "labels", "acquisition", "stopping", "plates")
_SAID = 12
"""Columns that were not taken, with their reasons; the others are counted."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `propose` found.

    Attributes
    ----------
    file:
        As it was named.
    n_compounds:
        Records with a structure.
    keys:
        Those of the campaign file that matter.
    left:
        Of each column that was not taken, why.
    unknown:
        What the file does not say and was guessed, or has to be looked at, in sentences.
    is_measured:
        Whether there is a label to simulate with; else a laboratory measures.
    """

    file: str
    n_compounds: int
    keys: tuple[ProposedKey, ...]
    left: Mapping[str, str]
    unknown: tuple[str, ...]
    is_measured: bool

    def _repr_html_(self) -> str:
        keys = rows(("key", "value", "why"), ((".".join(key.path), key.value, key.why) for key in self.keys))
        left = [f"Not taken: {name!r}, {why}" for name, why in self.left.items()]
        title = f"{self.file}: {counted(self.n_compounds, 'compound')}"
        return card(title, keys, paragraphs([*left, *(f"Look at it: {words}" for words in self.unknown)]))

    def value(self, name: str) -> Any:
        """The value of a key, named as ``stopping.gamma``; None where the default is proposed."""
        return next((key.value for key in self.keys if ".".join(key.path) == name), None)

    def why(self, name: str) -> str:
        """The reason for the value of a key; empty where the default is proposed."""
        return next((key.why for key in self.keys if ".".join(key.path) == name), "")

    def config(self) -> CampaignConfig:
        """The proposed campaign; relative paths start from the working directory."""
        return config_of(self.keys)


def propose(
    file: str | Path, label: str | Sequence[str] = (), *, unlabelled: bool = False, hits: bool = False
) -> Proposal:
    """Propose a campaign for a file of compounds.

    Parameters
    ----------
    file:
        CSV, TSV, SMI, SDF or Parquet, compressed or not; a path or URI.
    label:
        The column with the label, or those of a panel; default: found by names and values.
    unlabelled:
        Nothing is measured yet, whatever the columns look like.
    hits:
        The numbers of the label are cut into hits and others; default: their values are predicted.

    Raises
    ------
    InputFileError
        If the file cannot be read or has no structures, several columns may be the label and none is named, the named
        one cannot be it, or there are no numbers to be cut.
    LabelError
        If the labels cannot be used.
    """
    text, named = str(file), (label,) if isinstance(label, str) else tuple(label)
    source = open_source(resolve_source(text, working_folder()), columns=named)
    first = first_records(source, tuple(dict.fromkeys(source.column_names)))
    if first is None:
        raise InputFileError("there are no records", text, "check that its export was finished")
    smiles = structure_column(source, first)
    if smiles is None and source.structure == "smiles":
        raise InputFileError(
            f"none of its columns holds structures: {', '.join(map(repr, source.column_names))}",
            text,
            "add a column of SMILES; for images or embeddings alone write the file by hand (`isd init`)",
        )
    columns = look_at_columns(source, smiles)
    n = columns[0].n if columns else _count(source)
    candidates = id_candidates([column for column in columns if column.name != smiles])
    taken = [*candidates, *([] if smiles is None else [smiles])]
    places = stock_places([column for column in columns if column.name not in (*taken, *named)])
    stock = () if places is None else (places.plate, places.well)
    choice = choose_label(columns, [*taken, *stock], named, unlabelled=unlabelled, file=text)
    labels = [one.column.name for one in choice.chosen]
    repeats = find_repeats(source, smiles, [name for name in candidates if name not in labels], labels)
    kept = () if choice.chosen else stock
    keys = [*_name_key(text), *_library_keys(text, smiles, repeats, choice, kept), *_id_keys(repeats)]
    unknown = list(_doubts(choice, repeats, n))
    more, n_labelled, of_goal = goal_keys(keys, choice, hits=hits)
    if smiles is not None and (broken := unreadable(first, smiles))[0]:
        unknown.append(
            f"{broken[0]:,} of the first {broken[1]:,} structures cannot be read: the build refuses such ones, and "
            "lists them with their lines in rejects.parquet"
        )
    unknown += more
    if places is not None:
        unknown.append(stock_doubt(places, is_measured=bool(choice.chosen)))
    keys += [*of_goal, *_rest(n_labelled or n)]
    keys += stock_keys(places) if places is not None and not choice.chosen else []
    left = {**choice.left, **{name: "ids are taken from elsewhere" for name in candidates if name != repeats.id_column}}
    left |= repeats.refused
    made = Proposal(text, n, tuple(keys), left, tuple(unknown), bool(choice.chosen))
    made.config()  # refuses what cannot be
    return made


def _count(source: Source) -> int:
    return sum(len(records) - len(records.problems) for records in source.read(()))


def _name_key(file: str) -> Iterator[ProposedKey]:
    """A name by that of the file, as far as its letters may stand in one."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(file).name.partition(".")[0]).strip("._-")
    if name:
        yield proposed("name", name, "after the file: in titles, and what jobs and metrics are called by")


def _library_keys(
    file: str, smiles: str | None, repeats: Repeats, choice: LabelChoice, stock: Sequence[str]
) -> Iterator[ProposedKey]:
    yield proposed("library.source", file, "the file that was looked at")
    if smiles not in (None, "smiles"):
        yield proposed("library.smiles_column", smiles, "its values are molecules")
    missing = [one.column for one in choice.chosen if one.column.n_missing]
    kept = [name for name in (repeats.kept_id, *stock) if name is not None and name not in RESERVED_COLUMNS]
    if len(choice.chosen) == 1 and missing:
        name = missing[0].name
        why = f"{missing[0].n_missing:,} compounds without a label are left out: a replay needs all of them"
        if name in RESERVED_COLUMNS:
            raise InputFileError(
                f"{missing[0].n_missing:,} compounds have no label in column {name!r}, whose name a library has itself",
                file,
                "rename the column",
            )
        yield proposed("library.columns", [*kept, name], "kept beside the structures")
        yield proposed("library.required", [name], why)
    elif kept:
        yield proposed("library.columns", kept, "kept beside the structures")


def _id_keys(repeats: Repeats) -> Iterator[ProposedKey]:
    if repeats.id_column is not None:
        why = "called like an id" if is_called_id(repeats.id_column) else "its values are codes"
        yield proposed("library.id_column", repeats.id_column, f"{why}, with a value for each compound")


def _doubts(choice: LabelChoice, repeats: Repeats, n: int) -> Iterator[str]:
    if repeats.id_column is None:
        words = "ids: numbers of records are taken, and files of readouts have to name compounds by them"
        if repeats.kept_id is not None:
            words += f". With one label for each value of {repeats.kept_id!r} in the file, that is taken for ids"
        yield words
    if repeats.n_same:
        yield (
            f"{repeats.n_same:,} of {n:,} records are of a structure that stands there before: each is one compound, "
            "with the label of its first record"
        )
    if repeats.n_contradicting:
        yield (
            f"{repeats.n_contradicting:,} compounds were read more than once with different results: the first counts. "
            "Better give medians, or the answer of most, one line a compound; if a record is a pair of a compound and "
            "something else, as a cell line, name that in library.context_columns"
        )
    labels = [one.column for one in choice.chosen]
    if len(labels) == 1 and 2 * labels[0].n_missing > n:
        yield (
            f"{labels[0].n_missing:,} of {n:,} have no readout of {labels[0].name!r}: the replay is of the others. To "
            "screen the rest, take the label's classes, no `required`, and labels.known = this file, and `isd create`"
        )


def _rest(n: int) -> list[ProposedKey]:
    size = max(size for size in _BATCHES if size == _BATCHES[0] or size * _BATCHES_OF_A_SCREEN <= n)
    trips = math.ceil(n / size)
    why = (
        f"compounds of a round, each a trip to the laboratory: {trips} rounds are everything. Larger batches are fewer "
        "trips and more wells; or n_plates with [plates]"
    )
    return [
        proposed("acquisition.batch_size", size, why),
        proposed("stopping.rule", "certify", "ends by a random audit, with a guarantee"),
        proposed("stopping.delta", 0.05, "risk that the claim is not true"),
    ]


def proposal_lines(proposal: Proposal) -> Iterator[str]:
    """The proposal for a terminal: what was taken and why, what was not, and what the file does not say."""
    yield f"{proposal.file}: {proposal.n_compounds:,} compounds"
    for key in proposal.keys:
        if key.path != ("library", "source"):
            yield f"  {'.'.join(key.path)} = {toml_line('', key.value).partition('= ')[2]}: {key.why}"
    left = [f"{name!r}: {why}" for name, why in proposal.left.items()]
    if left:
        yield "columns not taken:"
        yield from (f"  {words}" for words in left[:_SAID])
    if len(left) > _SAID:
        yield f"  … and {len(left) - _SAID:,} more"
    if proposal.unknown:
        yield "not known from the file, so look at it:"
        yield from (f"  {words}" for words in proposal.unknown)


def proposal_text(proposal: Proposal, file: Path, *, every: bool = False) -> str:
    """The text of a campaign file that is to lie at `file`, from whose folder its paths start.

    Parameters
    ----------
    every:
        All keys, with their meaning and default, and no reasons.
    """
    values = {key.path: _anchored(key, file.parent) for key in proposal.keys}
    if every:
        return template(values)
    lines = [
        f"# A campaign for {proposal.file}: the keys that matter, and why. `isd init --from {proposal.file} --all`",
        "# writes every key with its meaning.",
    ]
    # Keys without a section go first: behind the heading of a table they would belong to it.
    keys = sorted(proposal.keys, key=lambda key: (_ORDER.index(key.path[0]) if key.path[1:] else -1, key.path[:-1]))
    for section, of_section in groupby(keys, key=lambda key: key.path[:-1]):
        lines += ["", *([f"[{'.'.join(section)}]"] if section else [])]
        for key in of_section:
            lines += [*textwrap.wrap(key.why, _WIDTH, initial_indent="# ", subsequent_indent="# ")]
            lines.append(toml_line(key.path[-1], values[key.path]))
    return "\n".join(lines) + "\n"


def next_command(proposal: Proposal, file: Path) -> str:
    """What to type now."""
    command = "simulate" if proposal.is_measured else "create"
    return f"isd {command} {file} --out {Path('runs') / file.stem}"


def _anchored(key: ProposedKey, folder: Path) -> object:
    if key.path != ("library", "source") or key.value.startswith((PACKAGE_PREFIX, "$")) or is_uri(key.value):
        return key.value
    source = Path(key.value).expanduser().resolve()
    inside = source.is_relative_to(folder.resolve())
    return os.path.relpath(source, folder.resolve()) if inside else str(source)
