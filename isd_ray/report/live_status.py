"""The status of a campaign, once or as it changes, whoever computes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.table import Table

from isd_ray.campaign.status import Status
from isd_ray.report.tables import two_columns
from isd_ray.report.words import status_line, status_lines

EVERY_S = 3.0
"""From one look to the next."""


def status_table(status: Status) -> Table:
    """The status as a table."""
    return two_columns(f"Campaign {status.campaign_id}", status_lines(status))


def follow(
    look: Callable[[], Status], console: Console, every_s: float = EVERY_S, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Show the status again and again, until the screen has ended or Ctrl-C.

    In a terminal one table is kept up to date; elsewhere a line is printed when something has changed.
    """
    with suppress(KeyboardInterrupt):
        if not console.is_terminal:
            _print_changes(look, console, every_s, sleep)
            return
        status = look()
        with Live(status_table(status), console=console, auto_refresh=False) as live:
            while status.state != "ended":
                sleep(every_s)
                status = look()
                live.update(status_table(status), refresh=True)


def _print_changes(
    look: Callable[[], Status], console: Console, every_s: float, sleep: Callable[[float], None]
) -> None:
    said = None
    while True:
        status = look()
        if (line := status_line(status)) != said:
            said = line
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if status.state == "ended":
            return
        sleep(every_s)
