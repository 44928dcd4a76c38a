"""Mutated files for all readers, many of them: exceptions that are not ours, the slowest input, the memory.

    python -m tests.benchmarks.fuzz --inputs 200000

Inputs that fail are written to `--out`, so that each can be made a test.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from tests import fuzzing

_CHUNK = 1_000
_MOST_SECONDS = 10.0


def main() -> int:
    """Run, and tell what was found; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="*", default=[target.name for target in fuzzing.TARGETS])
    parser.add_argument("--out", type=Path, help="folder for the inputs that fail")
    arguments = parser.parse_args()
    targets = [target for target in fuzzing.TARGETS if target.name in arguments.targets]
    started, n_done, n_refused, n_failed, slowest = time.monotonic(), 0, 0, 0, (0.0, "")
    while n_done < arguments.inputs:
        seed = arguments.seed + n_done
        outcome = fuzzing.run(min(_CHUNK, arguments.inputs - n_done), seed, targets)
        for name, trace, data in outcome.failures:
            print(f"{name}\n{trace}", flush=True)
            if arguments.out is not None:
                arguments.out.mkdir(parents=True, exist_ok=True)
                (arguments.out / f"{n_failed}-{name.rsplit(' ', 1)[-1]}").write_bytes(data)
            n_failed += 1
        n_done += outcome.n_inputs
        n_refused += outcome.n_refused
        slowest = max(slowest, (outcome.slowest[0], f"seed {seed}: {outcome.slowest[1]}"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{n_done:,} inputs, {n_refused:,} refused in words, {n_failed:,} exceptions that are not ours; slowest "
            f"{slowest[0]:.2f} s ({slowest[1]}); peak {peak:,} MiB; {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return int(n_failed > 0 or slowest[0] > _MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
