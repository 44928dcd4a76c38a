"""The command that confirms hits by second readouts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, Folder, out_console, print_json
from isd_ray.report.numbers import counted


def confirm(
    path: Folder,
    file: Annotated[Path | None, typer.Argument(help="File of second readouts, by id.")] = None,
    ask: Annotated[
        Path | None, typer.Option("--ask", help="File to write the list of compounds to: .csv or .parquet.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Hits of the list from outside the audit, drawn at random; default: all.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of the second readouts.")] = None,
    positive: Annotated[
        str | None, typer.Option(help="Word in it that means a hit; default: the class that is a hit.")
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="What is missing now is lost.")] = False,
    labels: Annotated[
        Path | None, typer.Option(help="Of a simulation: a table to take the second readouts from; others are lost.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure hits a second time, and say how many of the confirmed ones a certified screen has found."""
    from isd_ray.ops.confirm import confirm as of

    source = labels or file
    if sum(given is not None for given in (file, ask, labels)) > 1 or (final and (ask or labels)):
        raise typer.BadParameter("ask for the list, tell a file, or take a table, one at a time", param_hint="--ask")
    if sample is not None and ask is None and labels is None:
        raise typer.BadParameter("goes with --ask or --labels", param_hint="--sample")
    if (source is None) != (column is None):
        raise typer.BadParameter("goes with a file of second readouts, and with --labels", param_hint="--column")
    found = of(path)
    said: dict[str, object] = {}
    if ask is not None:
        event = found.ask(ask, sample)
        said = {name: event[name] for name in ("n", "n_sampled", "n_hits")}
        words = f"{ask}: {counted(event['n'], 'compound')} to measure again, {event['n_sampled']:,} of them of the "
        words += f"{event['n_hits']:,} hits that were measured outside the audit"
    elif source is not None or final:
        if labels is not None:
            told = found.rehearse(labels, str(column), positive=positive, sample=sample)
        else:
            told = found.tell(file, column=column or "", positive=positive, final=final)
        said, words = asdict(told), f"{source or 'no file'}: {told.account}; {told.n_missing:,} are missing"
    if as_json:
        print_json({**said, "confirmed": found.content})
        return
    for line in ([words] if said else []) + found.lines:
        out_console.print(line, highlight=False, soft_wrap=True)


COMMANDS = (confirm,)
