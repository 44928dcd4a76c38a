"""The `isd` command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import isd_ray
from isd_ray.cli import (
    campaign,
    certificate,
    confirm,
    coordinators,
    explain,
    follow,
    jobs,
    library,
    phenomics,
    predict,
    reference_energy,
    screens,
    serve,
    undo,
)
from isd_ray.cli.common import live_console
from isd_ray.errors import IsdError, of_system
from isd_ray.remote.joblog import IN_JOB, error_line

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""

app = typer.Typer(
    help="Hybrid screens by inference set design: measure the hardest compounds, predict the rest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(library.app, name="library")
app.add_typer(certificate.app, name="certificate")
app.add_typer(jobs.app, name="jobs")
app.add_typer(coordinators.app, name="coordinators")
for command in (
    *screens.COMMANDS,
    *phenomics.COMMANDS,
    *reference_energy.COMMANDS,
    *campaign.COMMANDS,
    *undo.COMMANDS,
    *predict.COMMANDS,
    *confirm.COMMANDS,
    *follow.COMMANDS,
    *explain.COMMANDS,
    *jobs.COMMANDS,
    *serve.COMMANDS,
):
    app.command()(command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(isd_ray.__version__)
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every deliberate error, and what the system refuses, is one message and exit code 1."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            live_console.print("stopped; the same command continues where it was", highlight=False)
        raise
    except (IsdError, OSError) as raised:
        error = raised if isinstance(raised, IsdError) else of_system(raised)
        live_console.print(type(error).__name__, style="bold red", highlight=False)
        live_console.print(str(error), highlight=False, soft_wrap=True)
        if IN_JOB in os.environ:
            print(error_line(error), flush=True)
        sys.exit(1)
