"""What the confirmatory screens say of the labels of primary screens, and what campaigns found of the confirmed hits.

    python examples/hts/label_noise.py "$ISD_DATA" --assays hsf1 splicing streptokinase --runs runs/hts-*

Counts are of the compounds that all the assays measured, as in the campaigns of this folder. A primary hit is confirmed
if its confirmatory assay, two replicates or a dose-response curve, found it active again. Intervals are exact (Clopper
and Pearson) at 95 %; they take the hits that were tested again for a random sample of all hits, which nobody promises.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import binomtest

RECALL = 0.8
"""What the campaigns certify."""


@dataclass(frozen=True, slots=True)
class Screen:
    """One assay: arrays of the compounds, in the order of the primary file.

    Attributes
    ----------
    record:
        Numbers of the compounds in the primary file, from 1: the ids of a library built from it.
    is_hit:
        Active in the primary screen.
    is_retested, is_confirmed:
        Has a result of the confirmatory screen, and is active there.
    """

    record: NDArray[np.int64]
    is_hit: NDArray[np.bool_]
    is_retested: NDArray[np.bool_]
    is_confirmed: NDArray[np.bool_]

    @property
    def n_retested(self) -> int:
        """Primary hits with a confirmatory result."""
        return int((self.is_hit & self.is_retested).sum())

    @property
    def n_confirmed(self) -> int:
        """Primary hits that confirmed."""
        return int((self.is_hit & self.is_confirmed).sum())

    def confirmed_share(self) -> tuple[float, float, float]:
        """Share of the retested primary hits that confirmed, with the ends of its interval."""
        return share(self.n_confirmed, self.n_retested)


def screens(primary: pa.Table, confirmatory: pa.Table, assays: list[str]) -> dict[str, Screen]:
    """The assays on the compounds that all of them measured."""
    columns = [primary[f"active_{assay}"].to_numpy() for assay in assays]
    rows = np.flatnonzero(~np.isnan(columns).any(axis=0))
    smiles = primary["smiles"].take(rows)
    found = {}
    for assay, column in zip(assays, columns, strict=True):
        results = confirmatory.filter(pc.equal(confirmatory["assay"], assay))
        positive = results.filter(pc.equal(results["confirmed"], 1))
        retested, confirmed = (
            pc.is_in(smiles, part["smiles"].combine_chunks()).to_numpy() for part in (results, positive)
        )
        found[assay] = Screen(rows + 1, column[rows] == 1, retested, confirmed)
    return found


def share(n: int, of: int) -> tuple[float, float, float]:
    """A share with its exact 95 % interval."""
    interval = binomtest(n, of).proportion_ci(method="exact")
    return n / of, float(interval.low), float(interval.high)


def repeatability(hit_rate: float, confirmed: float) -> float:
    """Share of pairs of readouts that agree, if a confirmatory result were one more readout of the same kind.

    Of two exchangeable readouts the first alone is a hit as often as the second alone, so that non-hits, of which few
    are ever tested again, need not be known. Confirmatory assays are stricter than primary ones, so this is low.
    """
    return 1.0 - 2.0 * hit_rate * (1.0 - confirmed)


def least_recall_of_confirmed(recall: float, confirmed: float) -> float:
    """Recall of the primary hits that would confirm, in the worst case that it is they that were missed."""
    return max(0.0, 1.0 - (1.0 - recall) / confirmed)


def found_by(run: Path, screen: Screen) -> tuple[int, int]:
    """How many primary hits, and how many confirmed ones, a finished run has measured."""
    hybrid = pq.read_table(run / "hybrid", columns=["id", "source"])
    measured = np.array(hybrid.filter(pc.equal(hybrid["source"], "measured"))["id"].to_pylist(), np.int64)
    hits = screen.is_hit & np.isin(screen.record, measured)
    return int(hits.sum()), int((hits & screen.is_confirmed).sum())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="The folder with hts25_primary.parquet and hts25_confirmatory.parquet.")
    parser.add_argument("--assays", nargs="+", required=True)
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="Finished runs of `isd simulate`.")
    options = parser.parse_args()
    names = [f"active_{assay}" for assay in options.assays]
    primary = pq.read_table(options.data / "hts25_primary.parquet", columns=["smiles", *names])
    found = screens(primary, pq.read_table(options.data / "hts25_confirmatory.parquet"), options.assays)
    for assay, screen in found.items():
        n_hits, n_rows = int(screen.is_hit.sum()), len(screen.record)
        confirmed, low, high = screen.confirmed_share()
        print(
            f"{assay}: {n_hits:,} hits of {n_rows:,} ({n_hits / n_rows:.2%}), {screen.n_retested:,} retested, "
            f"{screen.n_confirmed:,} confirmed: {confirmed:.3f} ({low:.3f} to {high:.3f}); "
            f"repeatability {repeatability(n_hits / n_rows, confirmed):.4f}; recall {RECALL:g} of hits is at least "
            f"{least_recall_of_confirmed(RECALL, confirmed):.2f} of those that would confirm"
        )
    for run in options.runs:
        labels = json.loads((run / "campaign.json").read_bytes())["config"]["labels"]
        if (assay := labels["column"].removeprefix("active_")) not in found:
            continue
        screen = found[assay]
        hits, confirmed = found_by(run, screen)
        recall, low, high = share(confirmed, screen.n_confirmed)
        print(
            f"{run}: measured {hits:,} of {int(screen.is_hit.sum()):,} hits ({hits / screen.is_hit.sum():.3f}), "
            f"{confirmed:,} of {screen.n_confirmed:,} confirmed ones: {recall:.3f} ({low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()
