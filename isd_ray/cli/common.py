"""What the commands share: consoles, options, output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from isd_ray.printable import printable

if TYPE_CHECKING:
    from isd_ray.campaign.watcher import Watcher
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.campaign import Campaign
    from isd_ray.remote.attach import AttachedCampaign


class Terminal(Console):
    """A console on which ids, reasons and paths are text: neither markup nor commands to the terminal."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console.render_str`, by which every text is shown."""
        return super().render_str(printable(text), **options)


out_console = Terminal()
live_console = Terminal(stderr=True)

T = TypeVar("T")
ConfigFile = Annotated[Path, typer.Argument(help="TOML file of the campaign; `isd init` writes a template.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; new or to be continued.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a key, as model.members=5.")
]
Folder = Annotated[Path, typer.Argument(help="Folder of the campaign.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster whose coordinator does it and stays warm until `isd coordinators stop`; "
        "from elsewhere the https:// address of its service, with the token's file in $ISD_TOKEN_FILE."
    ),
]
Raw = Annotated[
    bool, typer.Option("--raw", help="Leave texts of CSV as they are that a spreadsheet would take for formulas.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def open_campaign(path: Path, address: str | None, watcher: Watcher | None = None) -> Campaign | AttachedCampaign:
    """A campaign of this machine, or, by the address of a cluster, that of a coordinator."""
    from isd_ray.ops.campaign import Campaign
    from isd_ray.remote.attach import attach

    return Campaign.open(path, watcher) if address is None else attach(path, address, watcher)


def print_json(value: dict[str, Any]) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=1))


def watched(work: Callable[[Watcher], T], name: str, config: CampaignConfig | None = None) -> T:
    """Do `work` with progress shown on standard error; a log for programs takes its place where nobody looks on."""
    from isd_ray.report.progress import LiveProgress
    from isd_ray.report.steps import ShownGoal, goal_of

    if config is not None and config.logging.format == "json" and not live_console.is_terminal:
        from isd_ray.ops.observe import LoggedWatcher

        return work(LoggedWatcher(config))
    with LiveProgress(live_console, ShownGoal() if config is None else goal_of(config.stopping, config.task)) as live:
        live.message(f"{name}: preparing")
        return work(live)
