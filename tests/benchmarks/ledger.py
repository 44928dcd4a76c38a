"""Opening what a laboratory has told of millions of compounds: seconds and memory.

    python -m tests.benchmarks.ledger --rows 3000000 --tables 300 --json out.json

A campaign's log with so many readouts in so many tables, in random order, and a process that opens it and takes every
readout by its row, as each command does that asks or tells: its processor time with all imports, as waiting for a busy
machine does not count, and the most unique memory it held. With `--outputs` they are of a panel, each table with all
outputs of its rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from isd_ray.campaign.oracle import WELL_SCHEMA, Readouts
from isd_ray.campaign.store import CampaignStore
from isd_ray.core.panels import pack_labels
from tests.benchmarks.telling import measured

TARGET_SECONDS, TARGET_GIB = 5.0, 1.0
OPEN = """
import sys
import time
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.store import CampaignStore
standing = Laboratory(CampaignStore.open(sys.argv[1])).standing()
assert len(standing.rows) == len(standing.readouts.labels) == int(sys.argv[2])
open(sys.argv[3], "w").write(str(time.process_time()))
"""


def begin(path, n_rows, n_tables, n_outputs):
    """A campaign whose laboratory has told readouts of all rows."""
    store, rng = (
        CampaignStore.create(path, {"outputs": [f"out{k}" for k in range(n_outputs)], "config": {"labels": {}}}),
        np.random.default_rng(0),
    )
    for rows in np.array_split(rng.permutation(n_rows), n_tables):
        rows, n = np.sort(rows), len(rows)
        labels = rng.integers(0, 2, n).astype(np.float64)
        if n_outputs:
            labels = pack_labels(rng.integers(0, 2, (n, n_outputs)))
        plates = pa.array([f"P{row // 384:05d}" for row in range(n)])
        wells = pa.array([f"{'ABCDEFGHIJKLMNOP'[row % 16]}{row % 24 + 1:02d}" for row in range(n)])
        cells = [plates, wells, pa.array(np.ones(n, np.int32)), pa.nulls(n, pa.string())]
        table = Readouts(labels, rng.random(n), pa.table(cells, schema=WELL_SCHEMA)).to_table(rows)
        details = {"file": "a.csv", "round": 0, "n": n, "external": False, "readouts_sha256": store.keep(table)}
        store.append_event("tell", details)


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--outputs", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        begin(Path(name) / "run", args.rows, args.tables, args.outputs)
        path, seconds = Path(name) / "run", Path(name) / "seconds"
        _, most = measured([sys.executable, "-c", OPEN, str(path), str(args.rows), str(seconds)])
        used = float(seconds.read_text())
    what = f"{args.rows:,} readouts in {args.tables} tables"
    results = [
        {"name": f"open {what}", "ours": used, "baseline": TARGET_SECONDS, "unit": "s"},
        {"name": "memory of opening", "ours": most / 2**30, "baseline": TARGET_GIB, "unit": "GiB"},
    ]
    for result in results:
        result["ratio"] = result["baseline"] / result["ours"]
        print(f"{result['name']:60}{result['ours']:8.2f}{result['baseline']:8.1f}  {result['unit']}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
