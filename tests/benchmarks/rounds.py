"""Whole rounds at scale: phases, overhead, a look, and memory by process: ``python -m tests.benchmarks.rounds``.

    python -m tests.benchmarks.rounds --library DIR --observed 100000 --batch 10000

Options say which families; without any the committee is the default. A library may have descriptors, which are used.
`--rows-at-least` repeats the rows of a smaller one.

Round 0 is the random start, round 1 a fit, a scoring pass and a batch, round 2 a look: freeze, audit and exact ranks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from isd_ray.config_file import parse_config
from isd_ray.data.library import Library
from isd_ray.ops.connect import ray_session
from tests.benchmarks.campaigns import many_bits, run_rounds
from tests.benchmarks.measure import Line, parser, report
from tests.benchmarks.memory_by_process import MemoryWatch
from tests.benchmarks.molecules import repeated_library, sample_library

OVERHEAD_S, LOOK_S, FREEZE_S = 1.0, 2.0, 5.0
ROUND_S = {"ecfp4": 180.0, "standard": 360.0}
DESCRIPTORS = ("rdkit2d",)
MEMORY = 8 << 30
"""Limits at 3.3 million rows."""


def main(arguments=None):
    options_of = parser("rounds", __doc__)
    options_of.add_argument("--library", type=Path, help="a library of fingerprints; default: a sample is built")
    options_of.add_argument("--features", default="ecfp4", choices=list(ROUND_S))
    options_of.add_argument("--rows", type=int, default=50_000, help="size of the sample")
    options_of.add_argument("--observed", type=int, default=5_000)
    options_of.add_argument("--batch", type=int, default=None, help="default: a tenth of --observed")
    options_of.add_argument("--rows-at-least", type=int, help="repeat the rows of --library up to so many")
    options_of.add_argument("--families", nargs="+", help="default: those of a campaign")
    options_of.add_argument("--members", type=int, default=2, help="of each family")
    options_of.add_argument("--epochs", type=int, default=5, help="of networks")
    options_of.add_argument("--trainers", type=int, default=2)
    options_of.add_argument("--scorers", type=int, default=2)
    options = options_of.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.library is None:
            library = sample_library(options.features, options.rows, Path(folder))
        else:
            library = Library.open(options.library)
        if options.rows_at_least:
            library = repeated_library(library, options.rows_at_least, Path(folder) / "repeated")
        labels = many_bits(library)
        config = parse_config(
            {
                "library": {
                    "path": str(library.path),
                    "features": library.spec.model_dump(mode="json"),
                    "descriptors": [name for name in DESCRIPTORS if name in library.block_names],
                },
                "labels": {"column": "many_bits"},
                "model": {
                    "families": options.families or "auto",
                    "members": options.members,
                    "epochs": options.epochs,
                    "batch_size": 1024,
                },
                "acquisition": {
                    "batch_size": options.batch or options.observed // 10,
                    "initial_size": options.observed,
                },
                "stopping": {"gamma": 0.5},  # met at once: round 2 is a look
                "compute": {"trainers": options.trainers, "scorers": options.scorers},
            }
        )
        with ray_session(config.compute), MemoryWatch() as memory:
            rounds = run_rounds(config, library, labels, Path(folder) / "campaign", 3)
    n, lines = library.n_rows, []
    for record in rounds[1:]:
        kind = "look" if record["look"] else "acquire"
        calls = record["calls"]
        print(f"round {record['round']} ({kind}): {record['wall']:.1f} s; "
              + ", ".join(f"{name} {seconds:.2f}" for name, seconds in calls.items()))  # fmt: skip
        counted = calls["fit"] + calls["score"] + calls.get("freeze", 0.0) + calls.get("write_forecasts", 0.0)
        name = f"{n:,} rows, round {record['round']}"
        overhead = record["wall"] - counted
        note = "messages, merge, store; without writing predictions"
        lines.append(Line(f"{name}: overhead", overhead, OVERHEAD_S, OVERHEAD_S / overhead, "s", 1.0, note))
        if record["look"]:
            ranks = calls["count_ranks"] + calls["decide_look"] + calls["forecast_look"]
            lines.append(Line(f"{name}: look", ranks, LOOK_S, LOOK_S / ranks, "s", 1.0, "ranks and decision"))
            freeze = calls["freeze"]
            lines.append(Line(f"{name}: frozen predictions", freeze, FREEZE_S, FREEZE_S / freeze, "s", 1.0))
        else:
            limit = ROUND_S[options.features]
            lines.append(Line(f"{name}: whole round", record["wall"], limit, limit / record["wall"], "s", 1.0))
    for role, peak in sorted(memory.peak.items(), key=lambda item: -item[1]):
        print(f"memory of {role}: at most {peak / 2**20:,.0f} MiB, {peak / n:.0f} bytes a row")
    total = memory.total
    lines.append(
        Line(f"{n:,} rows: memory of all processes", total / 2**30, MEMORY / 2**30, MEMORY / total, "GiB", 1.0)
    )
    report(lines, options.json)


if __name__ == "__main__":
    main()
