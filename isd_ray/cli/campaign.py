"""Commands of a campaign in a laboratory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isd_ray.cli.common import (
    Address,
    AsJson,
    ConfigFile,
    Folder,
    Raw,
    Set,
    live_console,
    open_campaign,
    out_console,
    print_json,
    watched,
)
from isd_ray.cli.saying import amend, close, exclude, extend, fail, include, reconfigure, stop
from isd_ray.report.numbers import counted

if TYPE_CHECKING:
    from isd_ray.ops.campaign import Campaign
    from isd_ray.ops.telling import Told
    from isd_ray.remote.attached import AttachedCampaign

_SHOWN = 20
"""Refused lines that are printed; all of them come with --json."""


def create(
    config: ConfigFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the campaign; new, or of this very campaign.")],
    overrides: Set = None,
) -> None:
    """Begin a campaign whose readouts a laboratory will tell; builds the library."""
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.campaign import Campaign

    settings = CampaignConfig.from_toml(config, overrides or ())
    watched(lambda watcher: Campaign.create(out, settings, watcher), settings.name, config=settings)
    out_console.print(f"campaign in {out}; now: isd ask {out}", highlight=False, soft_wrap=True)


def ask(
    path: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the files of the batch: list, plates, picks.")
    ] = None,
    raw: Raw = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Ask for the batch to be measured now. While readouts are missing it is the same one."""
    from isd_ray.storage.output_files import refuse_file_as_folder

    campaign = open_campaign(path, address)
    settings = campaign.config
    if out is not None:
        refuse_file_as_folder(out)
    batch = watched(lambda watcher: open_campaign(path, address, watcher).ask(), settings.name, config=settings)
    if batch is None:
        _end(campaign, as_json)
        return
    files = [str(file) for file in campaign.dispatch(out, raw=raw)] if out else []
    if as_json:
        head = campaign.status().head
        asked = {"round": batch.round, "n": len(batch), "files": files, "ids": batch.ids, "by_hand": batch.by_hand}
        print_json({**asked, "head": head})
        return
    again = "" if batch.repeats is None else f" once more: their wells in round {batch.repeats} gave no readout"
    out_console.print(f"round {batch.round}: {counted(len(batch), 'compound')} to measure{again}", highlight=False)
    for file in files:
        out_console.print(f"  {file}", highlight=False, soft_wrap=True)
    if n_by_hand := len(batch.by_hand):
        words = f"{counted(n_by_hand, 'compound')} not on the pick list, as no source plate and well is known: "
        out_console.print(f"{words}dispense by hand, or isd fail", highlight=False, soft_wrap=True)
    if not files:
        out_console.print(f"write its files with: isd ask {path} --out FOLDER", highlight=False, soft_wrap=True)
    out_console.print(f"head of the log: {campaign.status().head}", highlight=False, soft_wrap=True)


def tell(
    path: Folder,
    files: Annotated[list[Path], typer.Argument(help="Files of readouts, by id or by plate and well.")],
    external: Annotated[
        bool, typer.Option("--external", help="Also take compounds that were never asked for: they train the model.")
    ] = False,
    plate: Annotated[str | None, typer.Option(help="Barcode of the plate, for files that do not say it.")] = None,
    assay: Annotated[str | None, typer.Option(help="Of a panel: the assay of files that name none.")] = None,
    value: Annotated[str | None, typer.Option(help="Column of readouts, instead of the configured one.")] = None,
    well: Annotated[str | None, typer.Option(help="Column of wells, instead of the configured one.")] = None,
    shape: Annotated[
        str | None, typer.Option(help="tidy, cellhts2, matrix, or a plate reader; default: by content.")
    ] = None,
    read: Annotated[str | None, typer.Option(help="Which of several reads of an export counts.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only say what each file would change, told by itself; writes nothing.")
    ] = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Take in readouts: some or all, in any order; the same file twice changes nothing."""
    campaign = open_campaign(path, address)
    take = campaign.preview if preview else campaign.tell
    told: dict[str, Told] = {}
    try:
        for file in files:
            result = take(
                file, external=external, plate=plate, assay=assay, value=value, well=well, shape=shape, read=read
            )
            told[str(file)] = result
            if not as_json:
                _print_told(file, result)
            if preview and not as_json:
                words = f"  would leave {counted(result.n_missing, 'readout')} missing"
                out_console.print(words, highlight=False, soft_wrap=True)
    finally:  # what was taken in is said also where a later file cannot be used
        if as_json:
            print_json({file: asdict(result) for file, result in told.items()})
    if preview and not as_json:
        words = "preview: nothing was written; the same command without --preview takes it in"
        out_console.print(words, highlight=False, soft_wrap=True)
    elif not as_json:
        n_missing = result.n_missing
        missing = f"{counted(n_missing, 'readout')} {'is' if n_missing == 1 else 'are'} missing"
        words = missing if n_missing else f"the round is complete; now: isd ask {path}"
        out_console.print(words, highlight=False, soft_wrap=True)
        if result.head is not None:
            out_console.print(f"head of the log: {result.head}", highlight=False, soft_wrap=True)


def _print_told(file: str | Path, told: Told, where: str = "--json tells all") -> None:
    counts = f"{told.n_new:,} new, {told.n_unchanged:,} known, {counted(told.n_lost, 'well')} without a readout"
    counts += f", {told.n_waiting:,} waiting for other wells" if told.n_waiting else ""
    out_console.print(f"{file}: {counts}, {len(told.refused):,} refused", highlight=False, soft_wrap=True)
    out_console.print(f"  {told.account}", highlight=False, soft_wrap=True)
    if told.n_revived:
        words = f"  {told.n_revived:,} of the new ones had failed before; that stays on record"
        live_console.print(words, highlight=False, soft_wrap=True)
    _print_plates(told)
    for what, lines in told.not_counted.items():
        for line in lines[:_SHOWN]:
            words = f"  line {line.line} {what}: {line.reason}"
            live_console.print(words, highlight=False, soft_wrap=True)
        if len(lines) > _SHOWN:
            live_console.print(f"  … and {len(lines) - _SHOWN:,} more {what} ({where})", highlight=False)


def _print_plates(told: Told) -> None:
    from isd_ray.report.plate_quality import quality_table
    from isd_ray.report.tables import of_block

    if told.plates:
        out_console.print(of_block(quality_table(told.plates)), highlight=False)
    for plate, reason in told.failed_plates:
        words = f"  plate {plate} does not count: {reason}"
        live_console.print(words, highlight=False, soft_wrap=True)


def status(
    path: Folder,
    address: Address = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every few seconds, until the screen has ended or Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say where a campaign stands and what to do now."""
    from isd_ray.report.progress import follow, status_table

    if watch and as_json:
        raise typer.BadParameter(
            "--watch is for people; a program calls `isd status --json` again", param_hint="--json"
        )
    campaign = open_campaign(path, address)
    if watch:
        follow(campaign.status, out_console)
    elif as_json:
        print_json(asdict(campaign.status()))
    else:
        out_console.print(status_table(campaign.status()))


def watch(
    path: Folder,
    inbox: Annotated[Path, typer.Argument(help="Folder that a reader drops files of readouts in.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files of each batch.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    address: Address = None,
) -> None:
    """Take in what is dropped in a folder and hand out batch after batch, to the end of the screen."""
    from isd_ray.ops.watch import watch as run_on

    campaign = open_campaign(path, address)
    for dropped in run_on(campaign, inbox, out, every_s=every):
        if dropped.told is None:
            live_console.print(f"{dropped.file} refused: {dropped.reason}", highlight=False, soft_wrap=True)
        else:
            _print_told(dropped.file, dropped.told, "all in the text beside the file")
            words = f"  {counted(dropped.told.n_missing, 'readout')} missing"
            out_console.print(words, highlight=False, soft_wrap=True)
    _end(campaign, as_json=False)


def history(
    path: Folder,
    compound: Annotated[str, typer.Argument(help="Id of a compound.")],
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Say all that happened to a compound."""
    found = open_campaign(path, address).history(compound)
    if as_json:
        print_json({"id": compound, "events": found})
        return
    if not found:
        out_console.print("nothing happened to it yet")
    for line in found:
        rest = ", ".join(_said(name, value) for name, value in line.items() if name not in ("sequence", "time", "kind"))
        out_console.print(f"{line['time']}  {line['kind']}  {rest}", highlight=False, soft_wrap=True)


def _said(name: str, value: Any) -> str:
    """A value of a compound's history for people."""
    from isd_ray.report.sections.acquired import WHY

    shown = WHY[value][0] if name == "role" else f"{value:.4g}" if isinstance(value, float) else value
    return f"{name} {shown}"


def export(
    path: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .parquet, .csv or .sdf.")],
    long: Annotated[bool, typer.Option("--long", help="Of a panel: a line for each compound and output.")] = False,
    interim: Annotated[
        bool, typer.Option("--interim", help="Of a screen under way: as of now, every line marked NOT CERTIFIED.")
    ] = False,
    hits: Annotated[
        bool, typer.Option("--hits", help="Hits alone, measured ones and then the surest predicted.")
    ] = False,
    raw: Raw = False,
    address: Address = None,
) -> None:
    """Write the hybrid screen to one file."""
    if interim:
        made = open_campaign(path, address).export_interim(out, hits=hits, long=long, raw=raw)
        lines = [f"wrote {counted(made.n_lines, 'line')} to {out}, and what they are to {made.notice}", *made.words]
        for line in lines:
            out_console.print(line, highlight=False, soft_wrap=True)
        return
    exported = open_campaign(path, address).export(out, hits=hits, long=long, raw=raw)
    empty = f", {exported.n_empty:,} of them without a structure that RDKit reads" if exported.n_empty else ""
    out_console.print(f"wrote {counted(exported.n_lines, 'line')} to {out}{empty}", highlight=False, soft_wrap=True)


def report(
    path: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write, .html; default report.html in the folder.")
    ] = None,
    address: Address = None,
) -> None:
    """Write the report of a campaign or simulation as it stands, as one page; and a model card that is missing."""
    if address is not None:
        if out is None:
            raise typer.BadParameter("the folder is not here: name the file by --out", param_hint="--address")
        open_campaign(path, address).report(out)
    else:
        _report_here(path, out)
    out_console.print(f"wrote {out or path / 'report.html'}", highlight=False, soft_wrap=True)


def _report_here(path: Path, out: Path | None) -> None:
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.ops.results import page_file, report_of, restore_card
    from isd_ray.storage.files import replace_text

    file = None if out is None else page_file(out)
    store = CampaignStore.open(path)
    page = report_of(store)
    restore_card(store)
    if file is None:
        store.write_text("report.html", page)
    else:
        replace_text(file, page)


def verify(
    path: Folder,
    head: Annotated[
        str | None, typer.Option(help="Head of the log as `isd status` once said it: nothing before it has changed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a campaign again: chain of events, hashes of all files, every compound accounted for."""
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.ops.verify import verify as check

    found = check(CampaignStore.open(path), head)
    if as_json:
        print_json(asdict(found))
    else:
        for line in (*found.problems, *found.notes):
            live_console.print(line, highlight=False, soft_wrap=True)
        counts = ", ".join(
            counted(n, what)
            for n, what in ((found.n_events, "event"), (found.n_files, "file"), (found.n_rows, "compound"))
        )
        out_console.print(f"{counts}: {'no problem' if found.is_sound else counted(len(found.problems), 'PROBLEM')}")
    if not found.is_sound:
        raise typer.Exit(1)


def relocate(
    path: Folder,
    library: Annotated[str | None, typer.Option(help="Folder or URI where the library lies now.")] = None,
    moved: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another file of the configuration, as labels.source=FILE; may be repeated."),
    ] = None,
) -> None:
    """Say where the library of a campaign lies now, or its other files; they must hold what it began with."""
    from isd_ray.errors import ConfigError
    from isd_ray.ops.relocate import LIBRARY
    from isd_ray.ops.relocate import relocate as note

    paths = {} if library is None else {LIBRARY: library}
    for text in moved or ():
        key, is_given, place = text.partition("=")
        if not is_given or not place:
            raise ConfigError(f"cannot be read: {text!r}", "--set", "write KEY=FILE, as labels.source=labels.csv")
        paths[key.strip()] = place
    out_console.print(f"library at {note(path, paths)}", highlight=False, soft_wrap=True)


def resume(path: Folder) -> None:
    """Go on with a campaign or simulation that was cut off."""
    from isd_ray.campaign.released import Batch
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.config import CampaignConfig
    from isd_ray.ops.resume import resume as run_on
    from isd_ray.report.words import summary_table

    config = CampaignConfig.from_stored(CampaignStore.open(path).config)
    found = watched(lambda watcher: run_on(path, watcher), config.name, config)
    if isinstance(found, Batch):
        words = f"round {found.round}: {counted(len(found), 'compound')} to measure; now: isd ask {path} --out FOLDER"
        out_console.print(words, highlight=False, soft_wrap=True)
    else:
        out_console.print(summary_table(found))


def _end(campaign: Campaign | AttachedCampaign, as_json: bool) -> None:
    from isd_ray.report.words import summary_table

    summary = campaign.summary()
    if as_json:
        print_json({"round": None, "summary": summary})
        return
    out_console.print(summary_table(summary))


COMMANDS = (
    create,
    ask,
    tell,
    watch,
    fail,
    amend,
    exclude,
    include,
    extend,
    reconfigure,
    close,
    stop,
    status,
    history,
    export,
    report,
    verify,
    relocate,
    resume,
)
