"""The library build beside bare RDKit: CPU time for each molecule, and memory for each row.

    python -m tests.benchmarks.library --rows 200000 --json out.json

CPU time is that of the whole process tree, from its start to its end, imports included; the build uses all its
processes. Bare RDKit parses, standardises, writes canonical SMILES and makes fingerprints in one loop, and keeps
nothing; it runs in as many processes as the build, each with its share of the molecules, since the same work takes more
CPU time on cores with busy neighbours. It is measured twice: with the fragment and charge steps only where they change
something, as the build does them (`isd_ray.chem.smiles`), and with every step for every molecule. CPU times are the
least of several repeats in turn, since other programs on the machine make them longer, never shorter.

Memory is the unique set size of the building process: the slope of a line through it while the library grows (constants
do not count), and its peak; there a stand-in replaces the chemistry, which other processes do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.chem.fingerprints import _generator
from isd_ray.config import LibraryConfig
from isd_ray.core.features import OnBits
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.dedupe import hash_keys
from isd_ray.data.ingest.molecules import CHUNK_ROWS, PreparedChunk

SOURCE = "library3m_huckel.parquet"
PRESETS = ("ecfp4", "standard")
TARGET_BYTES = 16
SECONDS_BETWEEN_LOOKS = 0.05
SETTLED = 0.2
"""Share of the rows after which buffers and pools have their size, and the line begins."""


def build(source, preset):
    """Build a library as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        build_library(LibraryConfig(source=source, features=preset), Path(folder) / "library", base_dir=Path())


def bare(source, preset, share, every_step):
    """The same chemistry in one loop, on every n-th batch."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    blocker = rdBase.BlockLogs()
    chooser, uncharger = rdMolStandardize.LargestFragmentChooser(), rdMolStandardize.Uncharger()
    charged = Chem.MolFromSmarts("[!+0]")
    stack = LibraryConfig(source=source, features=preset).features.fingerprints
    makers = [
        getattr(_generator(fingerprint), "GetCountFingerprint" if fingerprint.count_levels > 1 else "GetFingerprint")
        for fingerprint in stack
    ]
    index, n = map(int, share.split("/"))
    with pq.ParquetFile(source) as file:
        for batch in islice(file.iter_batches(CHUNK_ROWS, columns=["smiles"]), index, None, n):
            for text in batch.column(0).to_pylist():
                mol = Chem.MolFromSmiles(text)
                if mol is None:
                    continue
                if every_step or len(Chem.GetMolFrags(mol)) > 1:
                    mol = chooser.choose(mol)
                if every_step or mol.HasSubstructMatch(charged):
                    mol = uncharger.uncharge(mol)
                Chem.MolToSmiles(mol)
                for make in makers:
                    make(mol)
    del blocker


def memory(source, id_column):
    """Print rows and unique set size of a build, at many moments."""
    process, looks, n_kept, done = psutil.Process(), [], 0, threading.Event()

    def look():
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            looks.append((n_kept, process.memory_full_info().uss))

    def prepare(chunks):
        for chunk in chunks:
            n = len(chunk)
            bits = OnBits(np.zeros(n, np.uint16), np.arange(n + 1, dtype=np.int64), 2048)
            hashes = hash_keys(text.encode() for text in chunk.structures)
            nothing = np.empty((n, 0)), np.zeros(n, np.uint8)
            yield chunk, PreparedChunk(list(chunk.structures), np.arange(n), {}, bits, hashes, *nothing)

    def progress(state):
        nonlocal n_kept
        n_kept = state.n_kept

    with tempfile.TemporaryDirectory() as folder:
        config = LibraryConfig(source=source, features="ecfp4", id_column=id_column)
        watcher = threading.Thread(target=look)
        watcher.start()
        build_library(config, Path(folder) / "library", base_dir=Path(), progress=progress, prepare=prepare)
        done.set()
        watcher.join()
    print(json.dumps(looks))


CHILDREN = {
    "build": lambda source, preset, _: build(source, preset),
    "bare": lambda source, preset, share: bare(source, preset, share, every_step=False),
    "bare-every-step": lambda source, preset, share: bare(source, preset, share, every_step=True),
    "memory": lambda source, *_: memory(source, None),
    "memory-ids": lambda source, *_: memory(source, "smiles"),
}


def run(child, source, preset="", n=1):
    """CPU seconds of n processes at once with all their own children, and the output of the first."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tests.benchmarks.library", "--child", child, str(source), preset]
    started = [subprocess.Popen([*command, f"{i}/{n}"], stdout=subprocess.PIPE, text=True) for i in range(n)]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"{child} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, outputs[0]


def sample(data, rows, path):
    """Write `rows` molecules, evenly over the whole file."""
    table = pq.read_table(data, columns=["smiles"])
    indices = np.linspace(0, len(table) - 1, min(rows, len(table))).astype(np.int64)
    pq.write_table(table.take(pa.array(indices)), path, row_group_size=1 << 18)
    return len(indices)


def cpu_times(data, rows, presets, repeats, folder):
    """One comparison for each preset and kind of baseline."""
    source = folder / "sample.parquet"
    n = sample(data, rows, source)
    results = []
    for preset in presets:
        micro = dict.fromkeys(("build", "bare", "bare-every-step"), float("inf"))
        for _ in range(repeats):
            for child in micro:
                n_processes = 1 if child == "build" else len(os.sched_getaffinity(0))
                micro[child] = min(micro[child], run(child, source, preset, n_processes)[0] / n * 1e6)
        for child, name in (("bare", ""), ("bare-every-step", ", against every step for every molecule")):
            results.append(
                {
                    "name": f"library build {preset}{name}",
                    "ours": micro["build"],
                    "baseline": micro[child],
                    "ratio": micro[child] / micro["build"],
                    "unit": "µs CPU/molecule",
                    "rows": n,
                }
            )
    return results


def memory_slopes(data, rows, folder):
    """Bytes for each row, and the peak."""
    source = folder / "memory.parquet"
    n = sample(data, rows, source)
    results = []
    for child, name in (("memory", "record numbers as ids"), ("memory-ids", "an id column")):
        kept, uss = np.array(json.loads(run(child, source)[1]), dtype=float).T
        settled = kept > SETTLED * n
        slope = float(np.polyfit(kept[settled], uss[settled], 1)[0])
        results.append(
            {
                "name": f"library build memory, {name}",
                "ours": slope,
                "baseline": TARGET_BYTES,
                "ratio": TARGET_BYTES / slope,
                "unit": f"bytes/row (peak {uss.max() / 2**20:.0f} MiB)",
                "rows": n,
                "peak_mib": uss.max() / 2**20,
            }
        )
    return results


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="molecules of the comparison with RDKit")
    parser.add_argument("--memory-rows", type=int, default=3_000_000, help="rows of the memory runs")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child, source, preset, share = args.child
        CHILDREN[child](source, preset, share)
        return
    data = Path(os.environ["ISD_DATA"]) / SOURCE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = cpu_times(data, args.rows, args.presets.split(","), args.repeats, folder)
        results += memory_slopes(data, args.memory_rows, folder)
    print(f"{'':62}{'ours':>8}{'baseline':>10}{'ratio':>7}")
    for result in results:
        numbers = f"{result['ours']:8.1f}{result['baseline']:10.1f}{result['ratio']:7.2f}"
        print(f"{result['name']:62}{numbers}  {result['unit']}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
