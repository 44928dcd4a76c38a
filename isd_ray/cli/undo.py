"""The command that takes back what was told or noted by mistake."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from isd_ray.cli.common import Address, AsJson, Folder, open_campaign, out_console, print_json
from isd_ray.report.numbers import counted


def undo(
    path: Folder,
    number: Annotated[
        int | None, typer.Argument(help="Of the entry; without one those that may be undone are listed.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why: kept on record.")] = "",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Take back what was told or noted by mistake, as long as no decision has used it; nothing is deleted."""
    campaign = open_campaign(path, address)
    if number is not None:
        n = campaign.undo(number, reason)
        missing = counted(campaign.status().n_missing, "readout")
        if as_json:
            print_json({"undone": number, "n": n})
        else:
            words = f"entry {number}: {n:,} taken back; the round waits for {missing}" if n else "undone before"
            out_console.print(words, highlight=False, soft_wrap=True)
        return
    found = campaign.undoable()
    if as_json:
        print_json({"undoable": [asdict(entry) for entry in found]})
        return
    if not found:
        out_console.print("nothing can be undone: decisions have used what was said, or a look will", highlight=False)
    for entry in found:
        others = f", with entry {', '.join(map(str, entry.with_it))}" if entry.with_it else ""
        words = f"{entry.number}  {entry.time}  {entry.who}  {entry.kind} of {entry.n:,}: {entry.about or ''}{others}"
        out_console.print(words, highlight=False, soft_wrap=True)
    if found:
        words = f"take one back: isd undo {path} NUMBER --reason WHY; the list may show earlier ones then"
        out_console.print(words, highlight=False, soft_wrap=True)


COMMANDS = (undo,)
