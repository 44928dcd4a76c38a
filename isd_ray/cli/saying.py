"""Commands that say what a laboratory knows beside its readouts: failures, corrections, wishes, an end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isd_ray.cli.common import Address, Folder, live_console, open_campaign, out_console
from isd_ray.report.numbers import counted

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of compounds.")]
IdFile = Annotated[Path | None, typer.Option("--file", "-f", help="File with one id a line, instead or as well.")]
Reason = Annotated[str, typer.Option(help="Why: kept on record.")]


def fail(
    path: Folder,
    reason: Reason,
    ids: Ids = None,
    file: IdFile = None,
    abandon: Annotated[bool, typer.Option("--abandon", help="Never ask for them again.")] = False,
    assay: Annotated[
        list[str] | None, typer.Option(help="Of a panel: only this assay failed; may be repeated.")
    ] = None,
    address: Address = None,
) -> None:
    """Note that compounds of the batch gave no readout; those of an audit are asked for once more."""
    named, assays = _ids(ids, file), assay or ()
    n_new = open_campaign(path, address).fail(named, reason, abandon=abandon, assays=assays)
    n_known = len(set(named)) * (len(set(assays)) or 1) - n_new
    words = f"{counted(n_new, 'readout' if assay else 'compound')} failed"
    _print_said(words, n_known, "told, or noted as failed, before")


def amend(
    path: Folder,
    file: Annotated[Path, typer.Argument(help="File with the corrected readouts; columns as in the configuration.")],
    reason: Annotated[str, typer.Option(help="What was wrong: kept on record.")],
    address: Address = None,
) -> None:
    """Correct readouts; a certificate that rests on them is withdrawn."""
    campaign = open_campaign(path, address)
    out_console.print(f"{counted(campaign.amend(file, reason), 'readout')} changed", highlight=False)
    if campaign.status().withdrawn is not None:
        live_console.print("the certificate of this campaign is WITHDRAWN", style="bold red", highlight=False)


def exclude(path: Folder, reason: Reason, ids: Ids = None, file: IdFile = None, address: Address = None) -> None:
    """Take compounds that cannot be had out of the target set."""
    named = _ids(ids, file)
    n_new = open_campaign(path, address).exclude(named, reason)
    _print_said(f"{counted(n_new, 'compound')} excluded", len(set(named)) - n_new, "measured, or excluded, already")


def include(path: Folder, reason: Reason, ids: Ids = None, file: IdFile = None, address: Address = None) -> None:
    """Have compounds measured with the next batches, whatever the model says."""
    named = _ids(ids, file)
    n_new = open_campaign(path, address).include(named, reason)
    words = f"{counted(n_new, 'compound')} to be measured"
    _print_said(words, len(set(named)) - n_new, "measured, or included, already")


def extend(path: Folder, reason: Reason, address: Address = None) -> None:
    """Take compounds that were added to the library (isd library add) into the target set, from the next batch on."""
    n_new = open_campaign(path, address).extend(reason)
    words = f"{counted(n_new, 'compound')} more from the next batch on" if n_new else "the library has no new compounds"
    out_console.print(words, highlight=False, soft_wrap=True)


def reconfigure(
    path: Folder,
    reason: Reason,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="As readouts.bad_flags='[\"smudge\"]'; may be repeated."),
    ] = None,
    address: Address = None,
) -> None:
    """Have files of readouts read otherwise from now on: flags, columns, shape; nothing that was told changes."""
    from isd_ray.config_file import toml_value
    from isd_ray.errors import ConfigError
    from isd_ray.report.words import setting_lines

    said: dict[str, Any] = {}
    for text in settings or ():
        key, is_given, value = text.partition("=")
        if not is_given:
            raise ConfigError(f"cannot be read: {text!r}", "--set", "write KEY=VALUE, as readouts.flag=remark")
        said[key.strip()] = toml_value(value)
    changed = open_campaign(path, address).reconfigure(said, reason)
    for line in setting_lines(changed):
        out_console.print(f"from now on {line}", highlight=False, soft_wrap=True)
    if not changed:
        out_console.print("the campaign goes by this already", highlight=False)


def close(path: Folder, reason: Reason, address: Address = None) -> None:
    """End the round that is out without the readouts that are missing."""
    n_missing = open_campaign(path, address).close(reason)
    words = f"closed without {counted(n_missing, 'readout')}" if n_missing else "no readout is missing"
    out_console.print(f"{words}; now: isd ask {path}", highlight=False, soft_wrap=True)


def stop(
    path: Folder,
    reason: Reason,
    last_look: Annotated[
        bool, typer.Option("--last-look", help="Take one last look first: with rule certify, and accuracy.")
    ] = False,
    address: Address = None,
) -> None:
    """Stop a screen by hand, on record: it is delivered without a certificate, or judged by a last look."""
    campaign = open_campaign(path, address)
    n_missing = campaign.stop(reason, last_look=last_look)
    lost = f"; the batch that is out is closed without {counted(n_missing, 'readout')}" if n_missing else ""
    verb = "ask" if campaign.status().state != "running" else "resume"
    what = "asks for a last look" if last_look else "delivers it, NOT CERTIFIED"
    words = f"stopped{lost}; now: isd {verb} {path}, which {what}"
    out_console.print(words, highlight=False, soft_wrap=True)


def _ids(ids: list[str] | None, file: Path | None) -> list[str]:
    from isd_ray.errors import InputFileError

    given = list(ids or ())
    if file is not None:
        try:
            given += [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(f"cannot be read ({error})", str(file), "give a text file, one id a line") from error
    if not given:
        raise InputFileError("no compound is named", remedy="give ids, or --file with one id a line")
    return given


def _print_said(noted: str, n_known: int, why: str) -> None:
    """What went on record, and why the rest did not; what happened to each one is in its history."""
    rest = f"; nothing to note of {n_known:,}: {why} (isd history says which)" if n_known else ""
    out_console.print(f"{noted}{rest}", highlight=False, soft_wrap=True)
