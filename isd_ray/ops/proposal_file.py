"""A proposal in words, and its campaign file: the keys that matter with their reasons, or every key."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from isd_ray.config_file import template, toml_line
from isd_ray.data.ingest.sources import PACKAGE_PREFIX
from isd_ray.ops.propose import Proposal, ProposedKey
from isd_ray.storage.addresses import is_uri

_WIDTH = 110
_ORDER = ("library", "labels", "acquisition", "stopping")
_SAID = 12
"""Columns that were not taken, with their reasons; the others are counted."""


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
