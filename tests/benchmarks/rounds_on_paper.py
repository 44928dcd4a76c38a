"""A round for libraries and clusters of any size, on paper: ``python -m tests.benchmarks.rounds_on_paper``.

From constants that RESULTS.md reports, and the sizes of what travels. Nothing is said of networks, stragglers or file
systems.
"""

from __future__ import annotations

import itertools
import math

from isd_ray.actors.workers import SHARDS_PER_SCORER
from isd_ray.config import LibraryConfig
from isd_ray.core.scored import N_BINS

ROWS_PER_SCORER_S = 25_000
"""`ecfp4`, 5 members, one core: 3,324,865 rows by two scorers in 66 s."""
FIT_S = 80.0
"""100,000 observed molecules, 5 members and epochs, two trainers of a core each."""
ANSWER_S, MEGABYTE_S = 1.4e-3, 1.6e-3
"""Processor time of the coordinator for an answer and for each megabyte of it (`shards`)."""
SCORERS_PER_NODE = 4
MEMBER_BYTES = 8.4e6
MEMBERS = 5
ROW_BYTES, HISTOGRAM_BYTES = 28, 8 * N_BINS
BYTES_KEPT, BYTES_AT_MOST = 2, 10
"""Of the coordinator, a row: what the sets hold, and with what a draw of more than one row in 50 takes for a moment."""
ROWS = tuple(10**power for power in range(6, 11))
NODES = (1, 10, 100, 1000)


def merge_seconds(answers: int, rows: int) -> float:
    """Processor time for so many answers of so many rows."""
    return answers * (ANSWER_S + MEGABYTE_S * (HISTOGRAM_BYTES + ROW_BYTES * rows) / 1e6)


def a_round(n_rows: int, nodes: int) -> dict[str, str]:
    """One line of the table."""
    scorers = nodes * SCORERS_PER_NODE
    k = min(100_000, n_rows // 100)
    blocks = math.ceil(n_rows / LibraryConfig.model_fields["block_rows"].default)
    shards = min(blocks, scorers * SHARDS_PER_SCORER)
    rows = min(k, n_rows // shards)
    score = n_rows / (ROWS_PER_SCORER_S * min(scorers, blocks))
    merge = merge_seconds(shards, rows)
    # One level of merging actors, each with as many answers as there are such actors.
    branches = math.isqrt(shards)
    tree = merge_seconds(math.ceil(shards / branches), rows) + merge_seconds(branches, k)
    incoming = shards * (HISTOGRAM_BYTES + ROW_BYTES * rows) / 1e9
    outgoing = nodes * (n_rows / 8 + MEMBERS * MEMBER_BYTES) / 1e9
    return {
        "rows": f"{n_rows:.0e}".replace("e+", "e"),
        "nodes": f"{nodes:,}",
        "k": f"{k:,}",
        "score (s)": f"{score:,.1f}",
        "calls": f"{shards:,}",
        "in (GB)": f"{incoming:.2g}",
        "out (GB)": f"{outgoing:.3g}",
        "merge (CPU-s)": f"{merge:.2g}",
        "merge / (fit + score)": f"{100 * merge / (FIT_S + score):.1f} %",
        "with a tree (CPU-s)": f"{tree:.2g}",
        "memory (GB)": f"{BYTES_KEPT * n_rows / 1e9:.3g} to {BYTES_AT_MOST * n_rows / 1e9:.3g}",
    }


def main() -> None:
    """Print the table."""
    lines = [a_round(*sizes) for sizes in itertools.product(ROWS, NODES)]
    print("| " + " | ".join(lines[0]) + " |")
    print("|" + "---|" * len(lines[0]))
    for line in lines:
        print("| " + " | ".join(line.values()) + " |")


if __name__ == "__main__":
    main()
