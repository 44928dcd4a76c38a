"""Maps of pheno-similarity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, live_console, out_console, print_json


def phenomics(
    embeddings: Annotated[str, typer.Argument(help="Parquet file with an embedding for each well.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the map.")],
    metadata: Annotated[
        str | None, typer.Option(help="The well table, if it is another file: CSV, TSV or Parquet.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Name a column or change a number, as gene=symbol."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a panel of pheno-similarities, genes by compounds, and embeddings of the genes, from wells."""
    from isd_ray.config import PhenomicsConfig
    from isd_ray.config_file import parse_section
    from isd_ray.data.phenomics.build import build_map
    from isd_ray.report.tables import two_columns

    config = parse_section(PhenomicsConfig, {}, overrides or ())
    summary = build_map(
        config, embeddings, out, metadata=metadata, message=lambda text: live_console.print(text, highlight=False)
    )
    if as_json:
        print_json(summary)
    else:
        out_console.print(two_columns(f"Map {out}", [(key, str(value)) for key, value in summary.items()]))


COMMANDS = (phenomics,)
