"""Telling readouts to a campaign on a library of millions: seconds and memory.

    python -m tests.benchmarks.telling --library LIBRARY --readouts 100000 --json out.json

A campaign whose first batch has so many compounds is told the readouts of all of them by one CSV file, as the command
`isd tell` does it, in a process of its own: its wall time with all imports, and the most unique memory it held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from isd_ray.config_file import parse_config
from isd_ray.data.library import Library
from isd_ray.ops.campaign import Campaign

TARGET_SECONDS, TARGET_GIB = 10.0, 1.0
SECONDS_BETWEEN_LOOKS = 0.02


def begin(library, n_readouts, folder):
    """A campaign with its first batch out, and a file with the readouts of it."""
    config = parse_config(
        {
            "library": {"path": str(library), "features": Library.open(library).spec.model_dump(mode="json")},
            "labels": {"column": "label", "classes": ["inactive", "active"]},
            "acquisition": {"batch_size": n_readouts},
            "compute": {"backend": "local"},
        }
    )
    campaign = Campaign.create(folder / "run", config)
    ids = campaign.ask().ids
    lines = [f"{name},{('inactive', 'active')[place % 2]}\n" for place, name in enumerate(ids)]
    (folder / "readouts.csv").write_text("id,label\n" + "".join(lines))
    return folder / "run", folder / "readouts.csv"


def measured(command):
    """Seconds of a command, and the largest unique set size of its process in bytes."""
    start, most = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    done = threading.Event()

    def look():
        nonlocal most
        with suppress(psutil.Error):
            while not done.wait(SECONDS_BETWEEN_LOOKS):
                most = max(most, psutil.Process(process.pid).memory_full_info().uss)

    watcher = threading.Thread(target=look)
    watcher.start()
    if process.wait():
        raise SystemExit("the command failed")
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return seconds, most


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--readouts", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    n_rows = Library.open(args.library).n_rows
    with tempfile.TemporaryDirectory() as name:
        path, file = begin(args.library, args.readouts, Path(name))
        tell = [sys.executable, "-c", "from isd_ray.cli import main; main()", "tell", str(path), str(file)]
        results = []
        for again, what in ((False, "new"), (True, "the same again")):
            seconds, most = measured(tell)
            known = f"{args.readouts:,} readouts, {what}, {n_rows:,} rows"
            results += [
                {"name": f"tell {known}", "ours": seconds, "baseline": TARGET_SECONDS, "unit": "s", "again": again},
                {"name": f"memory of tell, {what}", "ours": most / 2**30, "baseline": TARGET_GIB, "unit": "GiB"},
            ]
    for result in results:
        result["ratio"] = result["baseline"] / result["ours"]
        print(f"{result['name']:60}{result['ours']:8.2f}{result['baseline']:8.1f}  {result['unit']}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
