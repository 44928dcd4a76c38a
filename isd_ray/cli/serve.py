"""The command of the web page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import live_console, out_console

TOKEN_VARIABLE = "ISD_SERVE_TOKEN"
PORT = 8765


def serve(
    places: Annotated[list[str], typer.Argument(help="Campaigns, or folders that hold folders of campaigns.")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = PORT,
    read_only: Annotated[bool, typer.Option("--read-only", help="To look at only: nothing can be told.")] = False,
    open_to_network: Annotated[
        bool, typer.Option("--open-to-network", help="Needed where --host is not this machine alone.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="Name that browsers reach this machine by; may be repeated.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with the login token, or ${TOKEN_VARIABLE}; default: a new one.")
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="IP address or network of a proxy that says whom it asks for; may be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file of a certificate: serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
) -> None:
    """Serve a web page for the laboratory: what is out, plate maps, readouts in. It fits no models."""
    from isd_ray.errors import ConfigError, ResourceError

    try:
        from isd_ray.serve.app import login_address
        from isd_ray.serve.app import serve as run
        from isd_ray.serve.shelf import Shelf
    except ModuleNotFoundError as error:
        what = f"the web page needs the package {error.name}"
        raise ResourceError(what, remedy="pip install 'isd_ray[serve]'") from error
    from isd_ray.serve.settings import EVERY_ADDRESS, LOCAL_HOSTS, LOOPBACK_NAMES, Settings, new_token

    is_local = host in LOCAL_HOSTS
    if not is_local and not open_to_network:
        raise ConfigError(
            f"at {host} others than this machine reach the page", "--host", "say --open-to-network if they are to"
        )
    if host in EVERY_ADDRESS and not name:
        raise ConfigError(
            f"{host} is every address of this machine", "--host", "say by which name browsers reach it: --name HOST"
        )
    given = _token(token_file)
    names = (*(name or ()), *(() if is_local or host in EVERY_ADDRESS else (host,)), *LOOPBACK_NAMES)
    settings = Settings(given or new_token(), names, read_only, tuple(proxy or ()), tls_cert, tls_key)
    if not is_local and not settings.is_encrypted:
        words = "warning: what is sent, the token too, is NOT ENCRYPTED; give --tls-cert and --tls-key"
        live_console.print(words, highlight=False, soft_wrap=True)

    def started(address: str) -> None:
        shown = address if given else login_address(address, settings.token)
        out_console.print(f"{'read-only ' if read_only else ''}page at {shown}", soft_wrap=True)
        if not Shelf(places).names():
            out_console.print("no campaign lies there yet; `isd create` begins one, and the page shows it then")
        out_console.print("Ctrl-C ends it", highlight=False)

    run(places, settings, host, port, started)


def _token(file: Path | None) -> str | None:
    from isd_ray.errors import InputFileError

    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot be read ({error})", str(file), "give a text file with the token alone") from error


COMMANDS = (serve,)
