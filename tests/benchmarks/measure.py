"""Two ways of the same work side by side: core-seconds, a table, a file."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from isd_ray.models.device import configure_threads, cpu_multiplies_bf16

WITHOUT_BF16 = 0.5
"""Targets are half as high on a processor that does not multiply bfloat16."""


@dataclass(frozen=True)
class Line:
    """One comparison: larger values and ratios are better; a target is met at or above, if there is one."""

    name: str
    ours: float
    baseline: float
    ratio: float
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if self.ratio >= self.target else "MISSED"


def core_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, of all threads of this process: waiting for a busy machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def best_of_each(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Fewest core-seconds of each of `works`, run in turn, so that a slow spell of the machine meets all of them."""
    best = [math.inf] * len(works)
    for _ in range(repeats):
        best = [min(seconds, core_seconds(work)) for seconds, work in zip(best, works, strict=True)]
    return best


def parser(module: str, description: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{module}", description=description.splitlines()[0])
    made.add_argument("--json", type=Path, help="also write the table here, as a list of objects")
    return made


def prepare() -> bool:
    """One thread, as production runs it; whether this processor multiplies bfloat16, which is said too."""
    configure_threads(1)
    bf16 = cpu_multiplies_bf16()
    print(f"torch {torch.__version__}, 1 thread, bfloat16 products {'native' if bf16 else 'absent: targets halved'}")
    return bf16


def report(lines: Sequence[Line], json_file: Path | None) -> None:
    width = max(len(line.name) for line in lines)
    print(f"{'':{width}s} {'ours':>12s} {'baseline':>12s} {'ratio':>8s} {'target':>8s}  unit")
    for line in lines:
        target = "" if line.target is None else f"{line.target:.4g}"
        print(f"{line.name:{width}s} {line.ours:12.6g} {line.baseline:12.6g} {line.ratio:8.4g} {target:>8s}  "
              f"{line.unit}{'; ' + line.note if line.note else ''} {line.verdict}")  # fmt: skip
    if json_file:
        json_file.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
