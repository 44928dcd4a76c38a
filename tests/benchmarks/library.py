"""The library build beside bare RDKit: CPU time for each molecule, and memory for each row.

    python -m tests.benchmarks.library --rows 200000 --json out.json

CPU time is that of the whole process tree, from its start to its end, imports included; the build uses all its
processes. Bare RDKit parses, standardises, writes canonical SMILES and makes fingerprints in one loop, and keeps
nothing. It is measured twice: with the fragment and charge steps only where they change something, as the build does
them (`isd_ray.chem.smiles`), and with every step for every molecule. Memory is the unique set size of the building
process, as the slope between two sizes of library, so that constants do not count; there a stand-in replaces the
chemistry, which other processes do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
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
from isd_ray.data.ingest.molecules import PreparedChunk

SOURCE = "library3m_huckel.parquet"
PRESETS = ("ecfp4", "standard")
TARGET_BYTES = 16
SAMPLE_EVERY = 16
"""Chunks between two looks at the memory."""


def build(source, preset):
    """Build a library as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        build_library(LibraryConfig(source=source, features=preset), Path(folder) / "library", base_dir=Path())


def bare(source, preset, every_step):
    """The same chemistry in one loop."""
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
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(columns=["smiles"]):
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
    """Print the peak unique set size of a build, and its rows."""
    process, looks, n_chunks, n_read = psutil.Process(), [], 0, 0

    def prepare(chunks):
        for chunk in chunks:
            n = len(chunk)
            bits = OnBits(np.zeros(n, np.uint16), np.arange(n + 1, dtype=np.int64), 2048)
            hashes = hash_keys(text.encode() for text in chunk.structures)
            yield chunk, PreparedChunk(list(chunk.structures), np.arange(n), {}, bits, hashes)

    def progress(state):
        nonlocal n_chunks, n_read
        n_chunks, n_read = n_chunks + 1, state.n_read
        if n_chunks % SAMPLE_EVERY == 1:
            looks.append(process.memory_full_info().uss)

    with tempfile.TemporaryDirectory() as folder:
        config = LibraryConfig(source=source, features="ecfp4", id_column=id_column)
        build_library(config, Path(folder) / "library", base_dir=Path(), progress=progress, prepare=prepare)
    print(json.dumps({"peak": max(looks), "rows": n_read}))


CHILDREN = {
    "build": lambda source, preset: build(source, preset),
    "bare": lambda source, preset: bare(source, preset, every_step=False),
    "bare-every-step": lambda source, preset: bare(source, preset, every_step=True),
    "memory": lambda source, _: memory(source, None),
    "memory-ids": lambda source, _: memory(source, "smiles"),
}


def run(child, source, preset=""):
    """CPU seconds and output of a child process with all its own children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tests.benchmarks.library", "--child", child, str(source), preset]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def sample(data, rows, path):
    """Write `rows` molecules, evenly over the whole file."""
    table = pq.read_table(data, columns=["smiles"])
    indices = np.linspace(0, len(table) - 1, min(rows, len(table))).astype(np.int64)
    pq.write_table(table.take(pa.array(indices)), path, row_group_size=1 << 18)
    return len(indices)


def cpu_times(data, rows, presets, folder):
    """One comparison for each preset and kind of baseline."""
    source = folder / "sample.parquet"
    n = sample(data, rows, source)
    results = []
    for preset in presets:
        micro = {child: run(child, source, preset)[0] / n * 1e6 for child in ("build", "bare", "bare-every-step")}
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
    """Bytes for each row, between a quarter of the rows and all."""
    results = []
    for child, name in (("memory", "record numbers as ids"), ("memory-ids", "an id column")):
        peaks = []
        for share in (4, 1):
            source = folder / f"memory-{share}.parquet"
            if not source.exists():
                sample(data, rows // share, source)
            peaks.append(json.loads(run(child, source)[1]))
        slope = (peaks[1]["peak"] - peaks[0]["peak"]) / (peaks[1]["rows"] - peaks[0]["rows"])
        results.append(
            {
                "name": f"library build memory, {name}",
                "ours": slope,
                "baseline": TARGET_BYTES,
                "ratio": TARGET_BYTES / slope,
                "unit": "bytes/row",
                "rows": peaks[1]["rows"],
                "peak_mib": peaks[1]["peak"] / 2**20,
            }
        )
    return results


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="molecules of the comparison with RDKit")
    parser.add_argument("--memory-rows", type=int, default=3_000_000, help="rows of the larger memory run")
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child, source, preset = args.child
        CHILDREN[child](source, preset)
        return
    data = Path(os.environ["ISD_DATA"]) / SOURCE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = cpu_times(data, args.rows, args.presets.split(","), folder)
        results += memory_slopes(data, args.memory_rows, folder)
    print(f"{'':62}{'ours':>8}{'baseline':>10}{'ratio':>7}")
    for result in results:
        numbers = f"{result['ours']:8.1f}{result['baseline']:10.1f}{result['ratio']:7.2f}"
        print(f"{result['name']:62}{numbers}  {result['unit']}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
