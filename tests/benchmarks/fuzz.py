"""Mutated files for all readers, many of them: exceptions that are not ours, the slowest input, the memory.

    python -m tests.benchmarks.fuzz --inputs 200000

Inputs that fail are written to `--out`, so that each can be made a test. The readers run in a process of their own, so
that an input which ends it is one that fails, too; the rest of its thousand is left out. Memory is the most that such a
process held beyond what it had before its first input; it is replaced after ten thousand.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import fuzzing

_CHUNK = 1_000
_CHUNKS_A_PROCESS = 10
_MOST_SECONDS, _MOST_MIB = 10.0, 500


def _used() -> int:
    """The most memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _chunk(n: int, seed: int, names: list[str], folder: Path) -> tuple[fuzzing.Outcome, int]:
    """What came of some inputs, and `_used`."""
    outcome = fuzzing.run(n, seed, [target for target in fuzzing.TARGETS if target.name in names], folder=folder)
    return outcome, _used()


def _ended(folder: Path) -> fuzzing.Outcome:
    """What is left of inputs of which one has ended the process: that one."""
    [file] = [path for path in folder.rglob("*") if path.is_file() and path.parent.parent == folder]
    trace = "this input ended the process"
    return fuzzing.Outcome(n_inputs=1, failures=[(f"process: {file.name}", trace, file.read_bytes())])


def main() -> int:
    """Run, and tell what was found; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="*", default=[target.name for target in fuzzing.TARGETS])
    parser.add_argument("--out", type=Path, help="folder for the inputs that fail")
    arguments = parser.parse_args()
    started, n_done, n_refused, n_failed, slowest, peak = time.monotonic(), 0, 0, 0, (0.0, ""), 0
    pool: ProcessPoolExecutor | None = None
    for number, begin in enumerate(range(0, arguments.inputs, _CHUNK)):
        if pool is None or number % _CHUNKS_A_PROCESS == 0:
            if pool is not None:
                pool.shutdown()
            pool = ProcessPoolExecutor(1, get_context("spawn"))
            before = pool.submit(_used).result()
        seed = arguments.seed + begin
        with TemporaryDirectory() as folder:
            n = min(_CHUNK, arguments.inputs - begin)
            try:
                outcome, used = pool.submit(_chunk, n, seed, arguments.targets, Path(folder)).result()
                peak = max(peak, used - before)
            except BrokenProcessPool:
                outcome, pool = _ended(Path(folder)), None
        for name, trace, data in outcome.failures:
            print(f"{name}\n{trace}", flush=True)
            if arguments.out is not None:
                arguments.out.mkdir(parents=True, exist_ok=True)
                (arguments.out / f"{n_failed}-{name.rsplit(' ', 1)[-1]}").write_bytes(data)
            n_failed += 1
        n_done += outcome.n_inputs
        n_refused += outcome.n_refused
        slowest = max(slowest, (outcome.slowest[0], f"seed {seed}: {outcome.slowest[1]}"))
        print(
            f"{n_done:,} inputs, {n_refused:,} refused in words, {n_failed:,} exceptions that are not ours; slowest "
            f"{slowest[0]:.2f} s ({slowest[1]}); {peak:,} MiB; {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return int(n_failed > 0 or slowest[0] > _MOST_SECONDS or peak > _MOST_MIB)


if __name__ == "__main__":
    sys.exit(main())
