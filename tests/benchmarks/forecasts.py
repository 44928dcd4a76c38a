"""What each round of finished simulations forecast, beside the errors that there were.

    python -m tests.benchmarks.forecasts runs/hts25/*-seed0 runs/qm9/active/*

Errors are those of the audited rows: of all predictions, or for a recall the hits among predicted negatives. A forecast
that is twice the truth has log 0.69: looks wait for batches that nobody needs; one of half the truth has -0.69, and
looks fail. No certificate rests on either.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIRST = 2
"""A round that has learnt from fewer batches forecasts what nobody would look by."""


def log_ratios(run: Path) -> NDArray[np.float64]:
    """log(forecast / truth) of the rounds of a run that have both."""
    found = []
    for file in sorted(run.glob("rounds/*/round.json"))[FIRST:]:
        record = json.loads(file.read_bytes())
        forecast, losses = record.get("forecast_errors"), record.get("group_losses")
        if forecast and losses and losses[0]:
            found.append(np.log(forecast / losses[0]))
    return np.array(found)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of simulations")
    options = parser.parse_args()
    print("| run | rounds | mean of the absolute log | mean log | first to last |\n|---|---|---|---|---|")
    every = []
    for run in options.runs:
        logs = log_ratios(run)
        if not len(logs):
            continue
        every.append(logs)
        name, course = "/".join(run.parts[-2:]), " ".join(f"{value:+.2f}" for value in logs)
        print(f"| {name} | {len(logs)} | {np.abs(logs).mean():.2f} | {logs.mean():+.2f} | {course} |")
    logs = np.concatenate(every)
    print(f"| all | {len(logs)} | {np.abs(logs).mean():.2f} | {logs.mean():+.2f} | |")


if __name__ == "__main__":
    main()
