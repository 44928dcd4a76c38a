"""The command by which other programs learn of what happens in a campaign."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import live_console


def follow(
    path: Annotated[str, typer.Argument(help="Folder or URI of the campaign.")],
    webhook: Annotated[
        str | None,
        typer.Option(help="Address that entries are posted to, signed by the secret in ISD_WEBHOOK_SECRET."),
    ] = None,
    since: Annotated[
        int | None, typer.Option(min=0, help="Number of the first entry; default: as noted, or 0.")
    ] = None,
    noted: Annotated[
        Path | None, typer.Option(help="File that keeps the number of the next entry, to go on there later.")
    ] = None,
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds from one reading of the log to the next.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Do not wait for further entries.")] = False,
) -> None:
    """Follow a campaign: each entry of its log as a line of JSON, or posted to a webhook, until the screen ends."""
    from isd_ray.ops.follow import SECRET, Notice, Webhook
    from isd_ray.ops.follow import follow as follow_campaign

    def print_line(notice: Notice) -> None:
        print(json.dumps(asdict(notice)), flush=True)

    tell = print_line if webhook is None else Webhook(webhook, os.environ.get(SECRET, ""))
    number = follow_campaign(path, tell, since=since, noted=noted, poll_s=poll, wait=not once)
    live_console.print(f"{number:,} entries")


COMMANDS = (follow,)
