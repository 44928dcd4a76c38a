"""Commands for the coordinators that stay on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, Folder, out_console, print_json

app = typer.Typer(
    help="Campaigns that coordinators on a cluster keep warm; the verbs of a campaign reach them by --address.",
    no_args_is_help=True,
)


@app.command("list")
def list_coordinators(
    address: Annotated[str, typer.Option(help="Of the Ray cluster; auto on one of its machines.")],
    as_json: AsJson = False,
) -> None:
    """List the campaigns that the coordinators of a cluster serve now."""
    from isd_ray.remote.attach import coordinated

    folders = coordinated(address)
    if as_json:
        print_json({"campaigns": folders})
        return
    for folder in folders or ["none"]:
        out_console.print(folder, highlight=False, soft_wrap=True)


@app.command("stop")
def stop_coordinator(
    path: Folder,
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; default: the campaign's own, if its folder is seen here.")
    ] = None,
) -> None:
    """End the coordinator of a campaign and the actors that it keeps; the campaign loses nothing."""
    from isd_ray.remote.attach import stop

    words = "stopped" if stop(path, address) else "had no coordinator"
    out_console.print(f"{path}: {words}", highlight=False, soft_wrap=True)
