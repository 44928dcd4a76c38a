"""The command that says what the words of the others mean."""

from __future__ import annotations

from typing import Annotated

import typer

from isd_ray.cli.common import out_console
from isd_ray.errors import ConfigError


def explain(
    word: Annotated[list[str] | None, typer.Argument(help="A word, as audit; without one all are listed.")] = None,
) -> None:
    """Say what a word of the terminal, the report or the pages means."""
    from isd_ray.report.glossary import explained, terms

    if not word:
        for known in terms():
            out_console.print(known.name, highlight=False)
        return
    asked = " ".join(word)
    found = explained(asked)
    if found is None:
        raise ConfigError(f"{asked!r} is no word of ours", "isd explain", "`isd explain` lists them all")
    out_console.print(f"{found.name}: {found.meaning}", highlight=False)


COMMANDS = (explain,)
