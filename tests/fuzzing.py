"""Mutated files for every reader: whatever is in them, the answer is a result or an error of ours, soon.

A target is a name, files to begin with, and what to do with one. To add readers append to `TARGETS`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem

from isd_ray.config import LabelsConfig, LibraryConfig
from isd_ray.config_file import load_config
from isd_ray.data.ingest.build import build_library
from isd_ray.data.label_table import read_labels
from isd_ray.data.labels import labels_for
from isd_ray.data.library import Library
from isd_ray.errors import IsdError

_SHARE_TYPED = 0.5


@dataclass(frozen=True)
class Target:
    """Something that reads a file: its name, the files to mutate by name, and the reading of one."""

    name: str
    seeds: Callable[[], dict[str, bytes]]
    call: Callable[[Path], object]


@dataclass
class Outcome:
    """What came of some inputs: how many ended in a result, in an error of ours, and otherwise."""

    n_inputs: int = 0
    n_refused: int = 0
    slowest: tuple[float, str] = (0.0, "")
    failures: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Target and file name, traceback, and content of each input that raised something else."""


SMILES = [
    "CCO", "OCC", "C[C@H](F)O |&1:1|", "[Na+].CC(=O)[O-]", "N.N.Cl[Pt]Cl", "[CH3:1][CH2:2]O", "*CC", "c1ccccc1C(=O)N",
    "CC(=O)Oc1ccccc1C(=O)O.Cl", "C1CC", "", "CN(C)C=O", "[2H]C", "C[N+](=O)[O-]",
]  # fmt: skip
_SPECIAL = (
    b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b">", b"> <a>\n", b"$$$$\n",
    b"M  END\n", b"  0  0  0  0  0  0  0  0  0  0999 V2000\n", b"V3000", b"|", b"[", b"(", b"%99", b"1e999", b"-",
    b"nan", b">10", b"1,000", b"\xb5", b"RESULT_TYPE", b"=", b"[[", b"{", b"999999999999999999999",
)  # fmt: skip


def table(delimiter: str, quote: str = "") -> bytes:
    """A small table of compounds."""
    lines = [("id", "smiles", "x", "label")]
    lines += [(f"C{i}", s, str(i / 2), "ab"[i % 2]) for i, s in enumerate(SMILES)]
    return "".join(delimiter.join(quote + v + quote for v in line) + "\n" for line in lines).encode()


def sdf(version: str = "V2000") -> bytes:
    """A small SDF."""
    records = []
    for i, smiles in enumerate(SMILES):
        mol = Chem.MolFromSmiles(smiles, sanitize=False) or Chem.Mol()
        block = Chem.MolToMolBlock(mol, kekulize=False, forceV3000=version == "V3000")
        records.append(
            f"C{i}{block}> <id>\nC{i}\n\n> <x>\n{'>' * (i % 3 == 0)}{i}\n\n> <label>\n{'ab'[i % 2]}\n\n$$$$\n"
        )
    return "".join(records).encode()


def parquet(*columns: pa.Array) -> bytes:
    """A small Parquet file with columns id, smiles, x, label."""
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(("id", "smiles", "x", "label"), columns, strict=True))), sink)
    return sink.getvalue()


@lru_cache(maxsize=1)
def library_seeds() -> dict[str, bytes]:
    """Sources of libraries in every format."""
    n = len(SMILES)
    numbers, texts = pa.array(range(n)), pa.array([f"C{i}" for i in range(n)])
    labels = pa.array(["ab"[i % 2] for i in range(n)])
    smiles = pa.array(SMILES)
    odd = [
        pa.nulls(n), smiles.cast(pa.binary()), pa.array([None] * n, pa.list_(pa.float64())), numbers.cast(pa.uint64()),
        pa.array([2**31 - 1] * n, pa.int32()).cast(pa.date32()), pa.array([{"a": 1}] * n),
        numbers.cast(pa.duration("s")),
        pa.array([b"\xff"] * n), smiles.dictionary_encode(), smiles.cast(pa.large_string()),
        pa.array([2**64 - 1] * n, pa.uint64()), pa.array([2**62] * n, pa.timestamp("us")), numbers.cast(pa.float16()),
        pa.array([b"ab"] * n, pa.binary(2)), smiles.cast(pa.string_view()), numbers.dictionary_encode(),
    ]  # fmt: skip
    seeds = {
        "a.csv": table(","), "q.csv": table(",", '"'), "a.tsv": table("\t"), "s.csv": table(";"),
        "a.smi": "".join(f"{s} C{i}\n" for i, s in enumerate(SMILES)).encode(),
        "a.sdf": sdf(), "v.sdf": sdf("V3000"), "a.parquet": parquet(texts, smiles, numbers, labels),
        "c.cxsmiles": table("\t"),
    }  # fmt: skip
    seeds["a.csv.gz"] = gzip.compress(seeds["a.csv"], mtime=0)
    seeds["a.csv.bz2"] = bz2.compress(seeds["a.csv"])
    seeds["a.sdf.xz"] = lzma.compress(seeds["a.sdf"])
    zstd = pa.BufferOutputStream()
    with pa.CompressedOutputStream(zstd, "zstd") as stream:
        stream.write(seeds["a.csv"])
    seeds["a.csv.zst"] = zstd.getvalue().to_pybytes()
    for place, column in enumerate(odd):
        for which in range(4):
            columns = [texts, smiles, numbers, labels]
            columns[which] = column
            seeds[f"{place}-{which}.parquet"] = parquet(*columns)
    return seeds


def build(path: Path) -> None:
    """Build a library of a file, with whatever columns it should have."""
    has_items = path.name.split(".")[1] not in ("smi",)
    config = LibraryConfig(
        source=str(path),
        features="ecfp4",
        workers=1,
        id_column="id",
        columns=("x",) if has_items else (),
        duplicates_by="tautomer" if path.name < "b" else "smiles",
    )
    library = build_library(config, path.parent / "library", base_dir=path.parent)
    counts = library.metadata["counts"]
    assert counts["read"] == counts["kept"] + counts["duplicates"] + sum(counts["rejected"].values())


@lru_cache(maxsize=1)
def _labelled() -> Library:
    folder = Path(tempfile.mkdtemp(prefix="isd-fuzz-"))
    (folder / "a.csv").write_bytes(table(","))
    config = LibraryConfig(source=str(folder / "a.csv"), features="ecfp4", workers=1, id_column="id")
    return build_library(config, folder / "library", base_dir=folder)


def label(path: Path) -> None:
    """Read labels of a file, as words and as numbers."""
    library_config = LibraryConfig(source="unused.csv", id_column="id")
    for task, column in (("classification", "label"), ("regression", "x")):
        found = read_labels(LabelsConfig(source=str(path), column=column), library_config, path.parent)
        labels_for(found, _labelled(), task, allow_missing=True)


def label_seeds() -> dict[str, bytes]:
    """Files with labels: sources of libraries but those without columns."""
    return {name: data for name, data in library_seeds().items() if ".smi" not in name}


def config_seeds() -> dict[str, bytes]:
    """Campaign files: the examples."""
    examples = sorted((Path(__file__).parents[1] / "examples").rglob("*.toml"))
    return {path.name: path.read_bytes() for path in examples}


TARGETS: list[Target] = [
    Target("library", library_seeds, build),
    Target("labels", label_seeds, label),
    Target("config", config_seeds, load_config),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A file with a few faults: bytes changed, pieces lost, doubled, moved, or special ones put in."""
    value = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(value) + 1)
        length = min(rng.choice((1, 1, 2, 8, 40, 200)), len(value) - at)
        kind = rng.randrange(7)
        if kind == 0 and at < len(value):
            value[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del value[at : at + length]
        elif kind == 2:
            value[at:at] = value[at : at + length] * rng.choice((1, 1, 2, 50))
        elif kind == 3:
            del value[at:]
        elif kind == 4:
            to = rng.randrange(len(value) + 1)
            value[to:to] = value[at : at + length]
        elif kind == 5:
            value[at : at + length] = rng.choice(_SPECIAL) * rng.choice((1, 1, 1, 3, 300))
        else:
            value[at:at] = rng.choice(_SPECIAL)
    return bytes(value)


def inputs(n: int, seed: int, targets: Iterable[Target]) -> Iterator[tuple[Target, str, bytes]]:
    """Some inputs, the same for the same seed: each target in turn."""
    rng = random.Random(seed)
    chosen = [(target, list(target.seeds().items())) for target in targets]
    for index in range(n):
        target, seeds = chosen[index % len(chosen)]
        # There are many Parquet files, for every type in every column: they get half of the inputs.
        is_typed = rng.random() < _SHARE_TYPED
        name, data = rng.choice([seed for seed in seeds if (".parquet" in seed[0]) == is_typed] or seeds)
        yield target, name, mutated(data, rng)


def run(n: int, seed: int = 0, targets: Iterable[Target] = (), seconds: float = float("inf")) -> Outcome:
    """Give mutated files to readers, until there were `n` or the time is over."""
    outcome = Outcome()
    end = time.monotonic() + seconds
    for target, name, data in inputs(n, seed, targets or TARGETS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            started = time.monotonic()
            try:
                target.call(path)
            except IsdError:
                outcome.n_refused += 1
            except Exception:
                outcome.failures.append((f"{target.name}: {name}", traceback.format_exc(), data))
            took = time.monotonic() - started
        outcome.n_inputs += 1
        outcome.slowest = max(outcome.slowest, (took, f"{target.name}: {name}, input {outcome.n_inputs}"))
        if time.monotonic() > end:
            break
    return outcome
