"""Commands that plan and run simulated screens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from isd_ray.cli.common import AsJson, ConfigFile, Out, Set, live_console, out_console, print_json, watched

if TYPE_CHECKING:
    from isd_ray.campaign.watcher import Watcher
    from isd_ray.core.outlay import CampaignPlan


def init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("campaign.toml"),
    source: Annotated[
        str | None,
        typer.Option("--from", help="File of compounds to look at: task, label and goal are proposed by it."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="With --from: the column with the label; repeated, outputs of a panel.")
    ] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="With --from: nothing is measured yet.")] = False,
    hits: Annotated[
        bool, typer.Option("--hits", help="With --from: cut the numbers of the label into hits and others.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="With --from: write every key with its meaning.")] = False,
) -> None:
    """Write a campaign file: one that fits a file of compounds, or a commented one with every key and its default."""
    from isd_ray.config_file import template

    if source is None:
        if label or unlabelled or hits or every:
            raise typer.BadParameter("--label, --unlabelled, --hits and --all go with --from FILE")
        _write_new(file, template())
        out_console.print(f"wrote {file}; now name your compounds and labels in it", highlight=False, soft_wrap=True)
        return
    from isd_ray.ops.propose import next_command, proposal_lines, proposal_text, propose

    proposal = propose(source, label or (), unlabelled=unlabelled, hits=hits)
    _write_new(file, proposal_text(proposal, file, every=every))
    for line in proposal_lines(proposal):
        out_console.print(line, highlight=False, soft_wrap=True)
    out_console.print(f"wrote {file}; now: {next_command(proposal, file)}", highlight=False, soft_wrap=True)


def _write_new(file: Path, text: str) -> None:
    from isd_ray.errors import StoreError
    from isd_ray.storage.output_files import written

    with written(file):
        try:
            with file.open("x", encoding="utf-8") as sink:
                sink.write(text)
        except FileExistsError as error:
            raise StoreError("the file exists already", str(file), "choose another name, or remove it") from error


def simulate(config: ConfigFile, out: Out, overrides: Set = None, as_json: AsJson = False) -> None:
    """Run a whole screen against known labels, and check the answer."""
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.simulate import SimulationResult
    from isd_ray.ops.simulate import simulate as run_simulation
    from isd_ray.report.progress import LiveProgress
    from isd_ray.report.words import baseline_lines, summary_table

    def work(watcher: Watcher) -> tuple[SimulationResult, bool]:
        result = run_simulation(campaign, out, watcher)
        return result, isinstance(watcher, LiveProgress) and watcher.has_shown_result

    campaign = CampaignConfig.from_toml(config, overrides or ())
    result, was_shown = watched(work, campaign.name, campaign)
    if as_json:
        print_json(dict(result.summary))
        return
    if was_shown and live_console.is_terminal and out_console.is_terminal:  # it stands above
        for what, words in baseline_lines(result.summary):
            out_console.print(f"{what}: {words}", highlight=False, soft_wrap=True)
    else:
        out_console.print(summary_table(result.summary))
    files = ("summary.json", "rounds.parquet", "hybrid/", "report.html", "rounds/")
    out_console.print(f"Files in {result.path}: {', '.join(files)}", highlight=False, soft_wrap=True)


def compare(
    config: ConfigFile,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Folder or URI for the results; default runs/<config>-compare.")
    ] = None,
    agents: Annotated[str, typer.Option(help="Which agents, separated by commas.")] = "active,random,in-order",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each agent.")] = 1,
    parallel: Annotated[int, typer.Option(min=1, help="So many screens at the same time; on Ray only.")] = 1,
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
    folder = out or f"runs/{config.stem}-compare"
    names = [name.strip() for name in agents.split(",")]
    result = watched(
        lambda watcher: run_comparison(campaign, folder, names, seeds, order_column, watcher, parallel),
        campaign.name,
        campaign,
    )
    if as_json:
        print_json(dict(result.summary))
        return
    out_console.print(_comparison_table(result.summary))
    out_console.print(
        f"Files in {result.path}: report.html, comparison.parquet, summary.json", highlight=False, soft_wrap=True
    )


def _comparison_table(summary: Mapping[str, Any]) -> Table:
    from isd_ray.report.words import comparison_note, comparison_table

    measure = summary["measure"]
    headings, lines = comparison_table(summary["agents"], measure)
    title, caption = "Means over the seeds", comparison_note(measure)
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", padding=(0, 0))
    for heading in headings:
        # In a narrow window words go on in the next line: cut short they say nothing.
        table.add_column(heading, justify="left" if heading == "agent" else "right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table


def plan(
    source: Annotated[
        Path, typer.Argument(help="TOML file of the campaign; or folder of one under way, whose rounds then count.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run, where its library may lie.")] = Path(),
    rows: Annotated[
        float | None, typer.Option(min=1, help="Size of the target set, as 1e9; default: of the library or source.")
    ] = None,
    stop_at: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share measured at the stop, assumed; default: by what is known."),
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that fit and score; default: those of the configuration.")] = 0,
    gpu_speedup: Annotated[float, typer.Option(min=1.0, help="Cores that one GPU is assumed to be worth.")] = 50.0,
    price_hour: Annotated[
        float | None, typer.Option(min=0.0, help="Price of an hour of a GPU, else of a core.")
    ] = None,
    trip_days: Annotated[
        float, typer.Option(min=0.0, help="Days of a trip to the laboratory, in which a fixed cluster is held.")
    ] = 0.0,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="At most so many trips to the laboratory: which batches, at which cost.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="Past screen to learn from: its folder, or campaign file, simulated in short; repeatable."),
    ] = None,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Tell wells, rounds, time, memory and money of a screen beforehand, by a short calibration on this machine."""
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.config import CampaignConfig
    from isd_ray.errors import ConfigError
    from isd_ray.ops.plan import plan_campaign
    from isd_ray.report.plan import plan_table

    if is_run := CampaignStore.exists(source):
        if overrides:
            raise ConfigError("a campaign under way keeps its configuration", "--set", "plan its campaign file instead")
        name = source.name
    else:
        campaign = CampaignConfig.from_toml(source, overrides or ())
        name = campaign.name

    def work(watcher: Watcher | None) -> CampaignPlan:
        return plan_campaign(
            source if is_run else campaign,
            out=out,
            n_rows=None if rows is None else int(rows),
            stop_share=stop_at,
            gpus=gpus,
            gpu_speedup=gpu_speedup,
            price_hour=price_hour,
            trip_days=trip_days,
            most_trips=rounds,
            like=like or (),
            watcher=watcher,
        )

    # Only short simulations take long enough to be shown.
    made = watched(work, name) if like else work(None)
    if as_json:
        print_json(asdict(made))
        return
    out_console.print(plan_table(made, name))


def advise(
    source: Annotated[
        Path, typer.Argument(help="Campaign file of a past screen; or folder of a screen, also under way.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the simulations; default runs/<config>-advice.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of a past screen: simulations of each goal.")] = 3,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Say what each goal would cost in wells and trips, and where nothing can be saved."""
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.advise import advise as find
    from isd_ray.ops.goal_costs import advice_lines

    if CampaignStore.exists(source):
        made = find(source)
    else:
        config = CampaignConfig.from_toml(source, overrides or ())
        folder = out or Path("runs") / f"{source.stem}-advice"
        made = watched(lambda watcher: find(config, seeds=seeds, out=folder, watcher=watcher), config.name, config)
    if as_json:
        print_json(asdict(made))
        return
    table = Table(caption=f"Ranges: {made.interval}.", caption_justify="left")
    for heading in ("goal", "wells", "trips", ""):
        table.add_column(heading, justify="left" if heading in ("goal", "") else "right")
    for line in advice_lines(made):
        table.add_row(*line)
    out_console.print(table)
    for note in made.notes:
        out_console.print(note, highlight=False, soft_wrap=True)


COMMANDS = (init, simulate, compare, plan, advise)
