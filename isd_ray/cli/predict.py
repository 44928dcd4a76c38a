"""The command that predicts compounds outside the library."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, Folder, Raw, live_console, print_json
from isd_ray.report.numbers import counted

_SHOWN = 5
"""Reasons of rejected lines, and columns, that are printed."""


def predict(
    path: Folder,
    file: Annotated[str, typer.Argument(help="File of compounds: CSV, TSV, SMI, SDF or Parquet; a path or URI.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write, .csv or .parquet; default: CSV to standard output."),
    ] = None,
    round_number: Annotated[
        int | None, typer.Option("--round", help="Round whose model predicts; default: the delivered, or last, one.")
    ] = None,
    smiles_column: Annotated[
        str | None, typer.Option(help="Column of structures; default: as in the library's source.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of ids; default: as in the library's source, or the number of the line.")
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Similarity to the nearest measured compound below which a line is flagged."
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            help="File of earlier readouts, a column for each assay of the library; default: columns of FILE."
        ),
    ] = None,
    library: Annotated[
        Path | None, typer.Option(help="Folder with the library's library.json, if it is not where it was.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare compounds; default: all cores.")
    ] = None,
    raw: Raw = False,
    as_json: AsJson = False,
) -> None:
    """Predict compounds outside the library by a campaign's model. Nothing is certified of them."""
    from isd_ray.campaign.predicting import NEAR, NO_CLAIM
    from isd_ray.ops.predict import load_model, missing_in_words

    if as_json and out is None:
        raise typer.BadParameter(
            "the counts and the predictions cannot both go to standard output", param_hint="--json"
        )
    threshold = NEAR if near is None else near
    model = load_model(path, round_number=round_number, near=threshold, library=library)
    sink = typer.get_binary_stream("stdout") if out is None else out
    columns = {"smiles_column": smiles_column, "id_column": id_column}
    found = model.predict_file(file, sink, **columns, history=history, workers=workers, raw=raw)
    if as_json:
        print_json({**asdict(found), "round": model.round, "committee_hash": model.hash, "claim": None})
        return
    counts = ", ".join(f"{n:,} {source}" for source, n in sorted(found.sources.items(), key=lambda pair: -pair[1]))
    live_console.print(
        f"{counted(found.n_lines, 'line')} by the model of round {model.round}: {counts}", highlight=False
    )
    live_console.print(
        f"{counted(found.n_far, 'compound')} less similar than {threshold:g} to every measured one", highlight=False
    )
    for reason, n in sorted(found.reasons.items(), key=lambda pair: -pair[1])[:_SHOWN]:
        live_console.print(f"  rejected: {reason} ({n:,})", highlight=False, soft_wrap=True)
    if found.n_with_history is not None:
        live_console.print(
            f"  {counted(found.n_with_history, 'compound')} with earlier readouts in {history}"
            f"{'' if found.n_with_history else ': name its column of ids, or structures, as in FILE'}",
            highlight=False,
            soft_wrap=True,
        )
    for words in missing_in_words(found.missing):
        live_console.print(f"  {words}", highlight=False, soft_wrap=True)
    live_console.print(NO_CLAIM, highlight=False, soft_wrap=True)


COMMANDS = (predict,)
