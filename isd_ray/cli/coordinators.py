"""Commands for the coordinators that stay on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, Folder, out_console, print_json
from isd_ray.remote.tokens import TOKEN_VARIABLE

PORT = 8766

app = typer.Typer(
    help="Campaigns that coordinators on a cluster keep warm; the verbs of a campaign reach them by --address.",
    no_args_is_help=True,
)


@app.command("list")
def list_coordinators(
    address: Annotated[str, typer.Option(help="Of the Ray cluster, auto on one of its machines; or of its service.")],
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


@app.command("serve")
def serve_coordinators(
    places: Annotated[
        list[str], typer.Argument(help="Campaigns, or folders that hold folders of campaigns, as nodes see them.")
    ],
    token_file: Annotated[
        Path,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            help="File of tokens, one a line, behind the name of who holds it if it has one; made if there is none.",
        ),
    ],
    address: Annotated[str, typer.Option(help="Of the Ray cluster, of which this machine is a node.")] = "auto",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = PORT,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file of a certificate: serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy ends TLS, and nobody else reaches --host.")
    ] = False,
) -> None:
    """Serve the verbs of campaigns over HTTP, for those who are no node of the cluster: --address https://HOST:PORT."""
    from isd_ray.errors import ResourceError

    try:
        from isd_ray.serve.coordinators.app import Served, serve
    except ModuleNotFoundError as error:
        what = f"the service needs the package {error.name}"
        raise ResourceError(what, remedy="pip install 'isd_ray[serve]'") from error
    from isd_ray.remote.tokens import Tokens

    place = Served(host, port, tls_cert, tls_key, behind_proxy)

    def say(line: str) -> None:
        out_console.print(line, highlight=False, soft_wrap=True)

    def started(url: str, paths: dict[str, str]) -> None:
        for line in (
            f"coordinators served at {url}, token in {token_file}",
            *(f"{name}  {path}" for name, path in sorted(paths.items())),
            "Ctrl-C ends it; coordinators stay",
        ):
            say(line)

    serve(places, address, Tokens.read(token_file), place, started, say)
