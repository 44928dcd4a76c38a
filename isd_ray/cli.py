"""The `isd` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from isd_ray.errors import IsdError

if TYPE_CHECKING:
    from isd_ray.campaign.watcher import Watcher
    from isd_ray.config import CampaignConfig
    from isd_ray.data.library import Library

app = typer.Typer(
    help="Hybrid screens by inference set design: measure the hardest compounds, predict the rest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
library_app = typer.Typer(help="Build, inspect and split target libraries.", no_args_is_help=True)
app.add_typer(library_app, name="library")
certificate_app = typer.Typer(help="Read certificates.", no_args_is_help=True)
app.add_typer(certificate_app, name="certificate")

out_console = Console()
live_console = Console(stderr=True)

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""
T = TypeVar("T")
ConfigFile = Annotated[Path, typer.Argument(help="TOML file of the campaign; `isd init` writes a template.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; new or to be continued.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a key, as model.members=5.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    """Run the command line; every deliberate error is one message and exit code 1."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            live_console.print("stopped; the same command continues where it was", highlight=False)
        raise
    except IsdError as error:
        live_console.print(f"[bold red]{type(error).__name__}[/bold red]", highlight=False)
        live_console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("campaign.toml"),
) -> None:
    """Write a commented campaign file with every key and its default."""
    from isd_ray.config_file import template
    from isd_ray.errors import StoreError

    try:
        with file.open("x", encoding="utf-8") as sink:
            sink.write(template())
    except FileExistsError as error:
        raise StoreError("the file exists already", str(file), "choose another name, or remove it") from error
    out_console.print(f"wrote {file}; now name your compounds and labels in it", highlight=False)


@app.command()
def simulate(config: ConfigFile, out: Out, overrides: Set = None, as_json: AsJson = False) -> None:
    """Run a whole screen against known labels, and check the answer."""
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.simulate import simulate as run_simulation
    from isd_ray.report.words import summary_table

    campaign = CampaignConfig.from_toml(config, overrides or ())
    result = _watched(lambda watcher: run_simulation(campaign, out, watcher), campaign.name, _goal(campaign))
    if as_json:
        _print_json(dict(result.summary))
        return
    out_console.print(summary_table(result.summary))
    files = ("summary.json", "rounds.parquet", "hybrid/", "report.html", "rounds/")
    out_console.print(f"Files in {result.path}: {', '.join(files)}", highlight=False, soft_wrap=True)


@app.command()
def compare(
    config: ConfigFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results; default runs/<config>-compare.")
    ] = None,
    agents: Annotated[str, typer.Option(help="Which agents, separated by commas.")] = "active,random,in-order",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each agent.")] = 1,
    order_column: Annotated[
        str | None, typer.Option(help="Library column of the in-order agent; default file order.")
    ] = None,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Run the same screen by several agents and seeds, side by side."""
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.compare import compare as run_comparison

    campaign = CampaignConfig.from_toml(config, overrides or ())
    folder = out or Path("runs") / f"{config.stem}-compare"
    names = [name.strip() for name in agents.split(",")]
    result = _watched(
        lambda watcher: run_comparison(campaign, folder, names, seeds, order_column, watcher),
        campaign.name,
        _goal(campaign),
    )
    if as_json:
        _print_json(dict(result.summary))
        return
    out_console.print(_comparison_table(result.summary["agents"]))
    out_console.print(
        f"Files in {result.path}: comparison.parquet, comparison.png, summary.json", highlight=False, soft_wrap=True
    )


def _comparison_table(agents: dict[str, Any]) -> Table:
    goals = sorted({goal for numbers in agents.values() for goal in numbers["fraction_to_reach"]})
    table = Table(
        title="Means over the seeds",
        caption="≥ x: share acquired when the accuracy of the whole screen reaches x",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("agent", "acquired", "accuracy", "test", *(f"≥ {goal}" for goal in goals)):
        table.add_column(heading, justify="left" if heading == "agent" else "right")

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    for agent, numbers in agents.items():
        reached = [cell(numbers["fraction_to_reach"].get(goal)) for goal in goals]
        first = (numbers["fraction_acquired"], numbers.get("system_accuracy"), numbers.get("test_accuracy"))
        table.add_row(agent, *map(cell, first), *reached)
    return table


@app.command()
def plan(
    config: ConfigFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run, where its library may lie.")] = Path(),
    rows: Annotated[
        float | None, typer.Option(min=1, help="Size of the target set, as 1e9; default: of the library or source.")
    ] = None,
    stop_at: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share acquired at the stop, assumed.")] = 0.3,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that fit and score.")] = 0,
    gpu_speedup: Annotated[float, typer.Option(min=1.0, help="Cores that one GPU is assumed to be worth.")] = 50.0,
    price_hour: Annotated[
        float | None, typer.Option(min=0.0, help="Price of an hour of a GPU, else of a core.")
    ] = None,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Tell time, memory and money of a screen beforehand, by a short calibration on this machine."""
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.plan import plan_campaign
    from isd_ray.report.plan import plan_table

    campaign = CampaignConfig.from_toml(config, overrides or ())
    made = plan_campaign(
        campaign,
        out=out,
        n_rows=None if rows is None else int(rows),
        stop_share=stop_at,
        gpus=gpus,
        gpu_speedup=gpu_speedup,
        price_hour=price_hour,
    )
    if as_json:
        _print_json(asdict(made))
        return
    out_console.print(plan_table(made, campaign.name))


@app.command()
def amend(
    path: Annotated[Path, typer.Argument(help="Folder of the campaign.")],
    file: Annotated[Path, typer.Argument(help="File with the corrected readouts; columns as in the configuration.")],
    reason: Annotated[str, typer.Option(help="What was wrong: kept on record.")],
) -> None:
    """Correct readouts; a certificate that rests on them is withdrawn."""
    from isd_ray.ops.amend import amend_from_file

    amended = amend_from_file(path, file, reason)
    out_console.print(f"{amended.n_changed:,} readouts changed", highlight=False)
    if amended.withdrawn:
        live_console.print("[bold red]the certificate of this campaign is WITHDRAWN[/bold red]", highlight=False)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Folder of the campaign.")],
    long: Annotated[Path, typer.Option(help="File to write, .parquet or .csv: a line for each compound and output.")],
) -> None:
    """Write the hybrid screen of a panel as a long table, with a line for each compound and output."""
    from isd_ray.data.long import write_long

    n_lines = write_long(path / "hybrid", long)
    out_console.print(f"wrote {n_lines:,} lines to {long}", highlight=False, soft_wrap=True)


@library_app.command("build")
def library_build(
    source: Annotated[
        list[str],
        typer.Argument(help="CSV, TSV, SMI, SDF (also .gz) or Parquet: files, wildcards in quotes, s3://… and alike."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the library; or a URI, as s3://bucket/name.")],
    features: Annotated[str, typer.Option(help="Preset: ecfp4, light, standard, rich.")] = "standard",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help=r"Override a key of \[library], as id_column=name."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster that does the chemistry; default: the cores of this machine.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build a target library: standardise, deduplicate, fingerprint. The same command continues one cut off."""
    from isd_ray.config import ComputeConfig, LibraryConfig
    from isd_ray.config_file import parse_section
    from isd_ray.ops.build import build

    settings = parse_section(LibraryConfig, {"source": source, "features": features}, overrides or ())
    compute = ComputeConfig(address=address)
    _print_library(_watched(lambda watcher: build(settings, compute, out, watcher.building), "library"), as_json)


@library_app.command("info")
def library_info(
    path: Annotated[str, typer.Argument(help="Folder or URI of the library.")],
    verify: Annotated[bool, typer.Option(help="Read every byte again and compare hashes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a library holds."""
    from isd_ray.data.library import Library

    library = Library.open(path)
    if verify:
        library.verify()
    _print_library(library, as_json)


@library_app.command("split")
def library_split(
    path: Annotated[str, typer.Argument(help="Folder or URI of the library.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for target/, validation/ and test/.")],
    fractions: Annotated[str, typer.Option(help="Target, validation and test shares.")] = "0.80,0.05,0.15",
    seed: Annotated[int, typer.Option(help="Seed of the random split.")] = 0,
    column: Annotated[str | None, typer.Option(help="Split by this kept column instead.")] = None,
    values: Annotated[str, typer.Option(help="With --column: its values for target, validation, test.")] = "0,1,2",
) -> None:
    """Divide a library into target set, validation set and test set."""
    from isd_ray.config import SplitConfig
    from isd_ray.config_file import parse_section, toml_value
    from isd_ray.data.library import Library
    from isd_ray.data.split import split_library

    parts = zip(("target", "validation", "test"), map(toml_value, values.split(",")), strict=False)
    by_column = {"column": column, **dict(parts)} if column else {}
    config = parse_section(SplitConfig, {"fractions": toml_value(f"[{fractions}]"), "seed": seed, **by_column})
    for name, part in split_library(Library.open(path), config, out).items():
        out_console.print(f"{name}: {part.n_rows:,} rows in {part.path}", highlight=False)


@certificate_app.command("show")
def certificate_show(
    path: Annotated[Path, typer.Argument(help="Folder of the campaign.")],
    as_json: AsJson = False,
) -> None:
    """Say what a campaign's certificate guarantees, by what proof and under which assumptions."""
    from isd_ray.campaign.certificate import certificate_lines
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.errors import StoreError

    store = CampaignStore.open(path)
    certificate = store.certificate()
    if certificate is None:
        raise StoreError("NOT CERTIFIED: this campaign has no certificate", str(path), "see its summary.json")
    if (why := store.withdrawn()) is not None:
        raise StoreError(f"certificate {certificate['certificate_id']} is WITHDRAWN: {why}", str(path), "screen again")
    if as_json:
        _print_json(certificate)
        return
    for line in certificate_lines(certificate):
        out_console.print(line, highlight=False)


def _print_library(library: Library, as_json: bool) -> None:
    from isd_ray.report.tables import two_columns

    info = asdict(library.info())
    if as_json:
        _print_json(info)
        return
    lines = [(key, json.dumps(value) if isinstance(value, (dict, list)) else str(value)) for key, value in info.items()]
    out_console.print(two_columns(f"Library {info['path']}", lines))


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=1))


def _watched(work: Callable[[Watcher], T], name: str, gamma: float | None = None) -> T:
    """Do `work` with progress shown on standard error."""
    from isd_ray.report.progress import LiveProgress

    with LiveProgress(live_console, gamma) as live:
        live.message(f"{name}: preparing")
        return work(live)


def _goal(campaign: CampaignConfig) -> float | None:
    return None if campaign.stopping.rule == "none" else campaign.stopping.level
