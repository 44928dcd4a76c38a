"""Reference correction of total energies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, out_console, print_json


def reference_energy(
    source: Annotated[str, typer.Argument(help="CSV, TSV or Parquet file with a total energy for each molecule.")],
    column: Annotated[str, typer.Option(help="Column of total energies.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the result.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Name a column or change a number, as n_sample=10000."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Subtract from total energies those of the atoms, fitted on a sample that is left out."""
    from isd_ray.config import ReferenceEnergyConfig
    from isd_ray.config_file import parse_section
    from isd_ray.data.reference_energy import correct_energies
    from isd_ray.report.tables import two_columns

    summary = correct_energies(parse_section(ReferenceEnergyConfig, {"column": column}, overrides or ()), source, out)
    if as_json:
        print_json(summary)
    else:
        out_console.print(two_columns(f"Molecules {out}", [(key, str(value)) for key, value in summary.items()]))


COMMANDS = (reference_energy,)
