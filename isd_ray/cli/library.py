"""Commands of target libraries."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isd_ray.cli.common import AsJson, live_console, out_console, print_json, watched

if TYPE_CHECKING:
    from isd_ray.data.library import Library

_OPTIONS_OF = {
    "a set of descriptors": ("--address",),
    "--table": ("--columns", "--name", "--id-column"),
    "--history": (
        "--columns",
        "--id-column",
        "--smiles-column",
        "--assay-column",
        "--value-column",
        "--exclude",
        "--address",
    ),
}
"""What `add-block` takes beside each source of a block."""

app = typer.Typer(help="Build, inspect, extend and split target libraries.", no_args_is_help=True)


@app.command("build")
def library_build(
    source: Annotated[
        list[str],
        typer.Argument(help="CSV, TSV, SMI, SDF (also .gz) or Parquet: files, wildcards in quotes, s3://… and alike."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the library; or a URI, as s3://bucket/name.")],
    features: Annotated[str, typer.Option(help="Preset: ecfp4, light, standard, rich.")] = "standard",
    descriptors: Annotated[
        list[str] | None, typer.Option(help="To compute of each molecule: rdkit2d, sa_score, n_heavy_atoms.")
    ] = None,
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
    from isd_ray.data.library import Library
    from isd_ray.ops.prepare import open_or_build

    table = {"source": source, "features": features, "descriptors": descriptors or ()}
    settings = parse_section(LibraryConfig, table, overrides or ())
    compute, is_there = ComputeConfig(address=address), Library.exists(out)
    library = watched(lambda watcher: open_or_build(settings, compute, out, watcher), "library")
    if is_there:
        words = f"{out} is there already, built with these options from files of these names and sizes"
        _say(words)
    _print_library(library, as_json)


@app.command("info")
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
    _print_library(library, as_json, *([("Verified", "every file is as it was written")] if verify else []))


@app.command("add")
def library_add(
    path: Annotated[Path, typer.Argument(help="Folder of the library.")],
    source: Annotated[list[str], typer.Argument(help="Files with more compounds, as `build` takes them.")],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            metavar="BLOCK=FILE",
            help="Values of these compounds for a block of a table or of earlier readouts; else they are missing.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Where compounds stand in these files: id_column=name."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster that does the chemistry; default: this machine.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add compounds behind those of a library, as its next version; campaigns keep theirs until `isd extend`."""
    from isd_ray.config import ComputeConfig
    from isd_ray.ops.additions import add_compounds

    files: dict[str, list[str]] = {}
    for given in values or ():
        block, is_pair, file = given.partition("=")
        if not (block and is_pair and file):
            raise typer.BadParameter(f"{given!r} is not BLOCK=FILE", param_hint="--values")
        files.setdefault(block, []).append(file)
    compute = ComputeConfig(address=address)
    library = watched(
        lambda watcher: add_compounds(
            path,
            source,
            overrides or (),
            values=files,
            compute=compute,
            progress=watcher.building,
            say=watcher.message,
        ),
        "library",
    )
    _print_library(library, as_json)


@app.command("add-block")
def library_add_block(
    path: Annotated[Path, typer.Argument(help="Folder of the library.")],
    descriptors: Annotated[str | None, typer.Argument(help="Set of descriptors to compute, as rdkit2d.")] = None,
    table: Annotated[str | None, typer.Option(help="Table with columns of numbers or vectors to join by id.")] = None,
    history: Annotated[list[str] | None, typer.Option(help="Files with earlier readouts of the compounds.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="Columns of the table, or of assays; wildcards in quotes, as 'emb_*'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the block of a table; default: as the file.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Ids of compounds; default: as the library's.")] = None,
    smiles_column: Annotated[str | None, typer.Option(help="With --history: match by structure instead.")] = None,
    assay_column: Annotated[str | None, typer.Option(help="With --history, long: name of the assay.")] = None,
    value_column: Annotated[str | None, typer.Option(help="With --history, long: the readout.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="With --history: assays to leave out.")] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster that does the chemistry; default: this machine.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a block of features beside the main ones. The same command continues one cut off."""
    from isd_ray.config import ComputeConfig, HistoryConfig
    from isd_ray.config_file import parse_section
    from isd_ray.data.library import Library
    from isd_ray.ops.blocks import add_descriptors, add_history, add_table

    if sum(one is not None for one in (descriptors, table, history or None)) != 1:
        raise typer.BadParameter("give one of them: a set of descriptors, --table FILE or --history FILE")
    kind = "--table" if table is not None else "--history" if history else "a set of descriptors"
    given = {
        "--columns": columns,
        "--name": name,
        "--id-column": id_column,
        "--smiles-column": smiles_column,
        "--assay-column": assay_column,
        "--value-column": value_column,
        "--exclude": exclude,
        "--address": address,
    }
    for option, value in given.items():
        if value and option not in _OPTIONS_OF[kind]:
            takes = ", ".join(_OPTIONS_OF[kind])
            raise typer.BadParameter(f"{option} has no effect with {kind}, which takes {takes}: leave it out")
    library, compute = Library.open(path), ComputeConfig(address=address)
    if descriptors is not None:
        library = watched(
            lambda watcher: add_descriptors(library, descriptors, compute, watcher.building, say=_say), "library"
        )
    elif table is not None:
        if not columns:
            raise typer.BadParameter("name columns of the table: --columns 'emb_*'")
        library = add_table(library, table, columns, id_column=id_column, name=name, say=_say)
    else:
        asked = {
            "source": history,
            "columns": columns or (),
            "id_column": id_column,
            "smiles_column": smiles_column,
            "assay_column": assay_column,
            "value_column": value_column,
            "exclude": exclude or (),
        }
        library = add_history(library, parse_section(HistoryConfig, asked), compute, say=_say)
    _print_library(library, as_json)


@app.command("remove-block")
def library_remove_block(
    path: Annotated[Path, typer.Argument(help="Folder of the library.")],
    name: Annotated[str, typer.Argument(help="Of the block.")],
) -> None:
    """Drop a block of features from a library, a damaged one too; the main features stay."""
    from isd_ray.data.blocks.add import remove_block

    remove_block(path, name)
    out_console.print(f"block {name} is dropped", highlight=False)


@app.command("split")
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


def _say(words: str) -> None:
    live_console.print(words, highlight=False, soft_wrap=True)


def _print_library(library: Library, as_json: bool, *more: tuple[str, str]) -> None:
    from isd_ray.report.library import library_lines
    from isd_ray.report.tables import two_columns

    info = library.info()
    if as_json:
        print_json(asdict(info))
        return
    out_console.print(two_columns(f"Library {info.path}", [*library_lines(info), *more]))
