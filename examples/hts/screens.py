"""The 25 primary screens of `hts25_primary.parquet`, each at its full size: recall 0.8 of its hits, certified.

    python examples/hts/screens.py "$ISD_DATA" --out runs/hts25 --history all

builds one library of all compounds (fingerprints, descriptors, and every screen as history), divides from it the
compounds of each screen, and simulates. What is finished stays; the same command goes on with the rest.
`table.py` makes the table of what has been finished.

History is `none`, the screens `older` than each by their PubChem AID, or `all` others. `transcription2` and `hsf1` read
the same wells, so that neither is in the other's history. `random` draws compounds at random, with the same certificate
and a linear model without history; it begins with seven tenths of the screen, as its claim is true no sooner.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import isd_ray as isd
from isd_ray.config import CampaignConfig, ComputeConfig, LibraryConfig, SplitConfig
from isd_ray.config.patterns import named
from isd_ray.data.split import split_library
from isd_ray.ops.blocks import with_blocks

BATCHES = 20
"""Batches of a twentieth of the screen."""
ID = "record"
SOURCE = "screens.parquet"
RANDOM_FIRST = 0.7
SAME_WELLS = {"hsf1": "transcription2", "transcription2": "hsf1"}


def screens_of(data: Path) -> dict[str, int]:
    """Names and PubChem AIDs of the primary screens, in order of time."""
    with (data / "hts25_assays.csv").open() as lines:
        aids = {line["Codename"]: int(line["Primary HTS AID"]) for line in csv.DictReader(lines)}
    columns = [name.removeprefix("active_") for name in pq.read_schema(data / "hts25_primary.parquet").names]
    by_column = {name.lower(): name for name in columns}
    return {by_column[name.lower()]: aid for name, aid in sorted(aids.items(), key=lambda item: item[1])}


def whole_library(data: Path, screens: dict[str, int], folder: Path) -> isd.Library:
    """All compounds, with a column for each screen that says which of them it measured."""
    config = LibraryConfig(
        source=str(folder / SOURCE),
        id_column=ID,
        features="ecfp4",
        descriptors=("rdkit2d",),
        columns=tuple(f"{kind}_{name}" for name in screens for kind in ("active", "in")),
        history={"columns": ("score_*", "active_*")},
    )
    if isd.Library.exists(folder / "library"):
        return with_blocks(isd.Library.open(folder / "library"), config, ComputeConfig(), say=print)
    table = pq.read_table(data / "hts25_primary.parquet")
    table = table.append_column(ID, pa.array(range(1, len(table) + 1), pa.int64()))
    for name in screens:
        table = table.append_column(f"in_{name}", table[f"active_{name}"].is_valid().cast(pa.int8()))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / SOURCE, compression="zstd")
    return isd.build_library(config, folder / "library")


def unseen_by(screen: str, screens: dict[str, int], history: str) -> list[str]:
    """Columns of the library that the models of a screen are not to see."""
    hidden = {screen, SAME_WELLS.get(screen, screen)}
    if history == "older":
        hidden |= {name for name, aid in screens.items() if aid >= screens[screen]}
    return ["score_*", "active_*"] if history in ("none", "random") else sorted(
        f"{kind}_{name}{end}" for name in hidden for kind, end in (("active", ""), ("score", ""), ("score", ":*"))
    )  # fmt: skip


def config_of(
    screen: str, library: isd.Library, source: Path, hidden: list[str], seed: int, *, is_random: bool
) -> CampaignConfig:
    """The campaign of a screen."""
    model: dict[str, Any] = {"members": 2, "exclude": hidden}
    acquisition: dict[str, Any] = {"batch_size": library.n_rows // BATCHES}
    if is_random:
        model = {"families": ["linear"], "exclude": hidden}
        acquisition |= {"function": "random", "initial_size": round(RANDOM_FIRST * library.n_rows)}
    return CampaignConfig.model_validate(
        {
            "name": f"hts25-{screen}",
            "seed": seed,
            "library": {"path": str(library.path), "features": "ecfp4"},
            "labels": {"source": str(source), "id_column": ID, "column": f"active_{screen}"},
            "model": model,
            "acquisition": acquisition,
            "stopping": {"rule": "certify", "quantity": "recall", "gamma": 0.8, "delta": 0.05},
            "compute": {"backend": "local"},
        }
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder of the data sets.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the libraries (15 GB) and of the runs.")
    parser.add_argument("--history", choices=("random", "none", "older", "all"), default="all")
    parser.add_argument("--screens", nargs="+", help="Names; default: all 25.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    screens = screens_of(options.data)
    whole = whole_library(options.data, screens, options.out)
    for seed in options.seeds:
        for screen in options.screens or screens:
            part = options.out / "libraries" / screen
            if not part.exists():
                split_library(whole, SplitConfig(column=f"in_{screen}", target=1, validation=0, test=[]), part)
                shutil.rmtree(part / "validation")
            library = isd.Library.open(part / "target")
            run = options.out / f"{screen}-{options.history}-seed{seed}"
            if (run / "campaign.json").exists():
                hidden = list(isd.Campaign.open(run).config.model.exclude)
            else:
                # A screen without a score has no `score_…`, and one of few different values no hits beside it.
                there = library.block_columns("history")
                hidden = [name for name in unseen_by(screen, screens, options.history) if named(name, there)]
            config = config_of(
                screen, library, options.out / SOURCE, hidden, seed, is_random=options.history == "random"
            )
            summary = isd.simulate(config, run).summary
            print(
                f"{run.name}: {summary['fraction_acquired']:.1%} measured, certified {summary['certified']}", flush=True
            )


if __name__ == "__main__":
    main()
