"""Mutated files for every reader: whatever is in them, the answer is a result or an error of ours, soon.

A target is a name, files to begin with, and what to do with one. To add readers append to `TARGETS`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
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

from isd_ray.config import CampaignConfig, LabelsConfig, LibraryConfig
from isd_ray.config.readouts import SHAPES
from isd_ray.config_file import load_config
from isd_ray.data.ingest.build import build_library
from isd_ray.data.label_table import read_labels
from isd_ray.data.labels import labels_for
from isd_ray.data.library import Library
from isd_ray.errors import IsdError
from isd_ray.ops.campaign import Campaign
from isd_ray.plates.wells import names_of, row_letters
from tests.unit.plates import exports_helpers

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


_LABORATORY = {
    "name": "fuzz",
    "library": {"id_column": "id", "features": "ecfp4", "workers": 1},
    "labels": {"column": "signal", "classes": ["low", "high"]},
    "model": {"members": 1, "epochs": 1, "hidden_size": 8},
    "acquisition": {"batch_size": 80},
    "plates": {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}},
    "compute": {"backend": "local"},
}
_CAMPAIGNS = {
    "plates": {"hits": {"method": "percent_inhibition", "cut": 50.0, "min_z_prime": 0.0}},
    "cut": {"labels": {"column": "signal", "transform": "threshold", "threshold": 50.0}, "plates": None},
    "classes": {"labels": {"column": "signal", "classes": ["a", "b"]}, "plates": None},
}
"""A laboratory that calls hits of whole plates, one with a cut of compounds, and one that tells classes."""


@lru_cache(maxsize=len(_CAMPAIGNS))
def _laboratory(name: str) -> Campaign:
    """A campaign with a batch out: one plate, or compounds."""
    folder = Path(tempfile.mkdtemp(prefix="isd-fuzz-"))
    chains = "".join(f"C{length}{tail},{'C' * length + tail}\n" for length in range(1, 31) for tail in "ONSF")
    (folder / "a.csv").write_text("id,smiles\n" + chains)
    settings = {**_LABORATORY, **_CAMPAIGNS[name]}
    settings["library"] = {**_LABORATORY["library"], "source": str(folder / "a.csv")}
    config = CampaignConfig.model_validate({key: table for key, table in settings.items() if table is not None})
    campaign = Campaign.create(folder / "run", config)
    campaign.ask()
    return campaign


_KIND_OF_READOUTS = re.compile(r"(cut|classes)-")


def tell(path: Path) -> None:
    """What a file of readouts would change: every line and well has its fate, or the answer is an error."""
    kind = _KIND_OF_READOUTS.match(path.name)
    shape = path.name.split(".")[0].split("-")[-1]
    told = _laboratory(kind[1] if kind else "plates").preview(
        path, plate="P00001" if path.name.startswith("plate-") else None, shape=shape if shape in SHAPES else None
    )
    assert sum(told.fates.values()) == told.n_read


def _lines(rows: Iterable[Iterable[object]], delimiter: str = ",") -> bytes:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in rows).encode()


@lru_cache(maxsize=1)
def readout_seeds() -> dict[str, bytes]:
    """Files of readouts of every shape, exports of every make, and transfer reports."""
    values = {name: str(1000 - at if at % 3 else 60 + at) for at, name in enumerate(names_of(96))}
    values["A02"], values["B03"], values["C04"] = "OVRFLW", ">2000", ""
    wells = [("P00001", well, value) for well, value in values.items()]
    flags = [(*line, "No" if at % 40 else "Yes") for at, line in enumerate(wells)]
    ids = _laboratory("cut").batch().ids
    grid = [["P00001"], *([row_letters(at), *list(values.values())[12 * at : 12 * at + 12]] for at in range(8))]
    transfers = ["Source Well", "Destination Plate Barcode", "Destination Well", "Transfer Volume", "Actual Volume"]
    echo = [
        ["Run ID", "7"], [], ["[EXCEPTIONS]"], [*transfers, "Transfer Status"],
        ["A1", "P00001", "C3", 25, 0, "MM0202007: Transducer error"], [], ["[DETAILS]"], transfers,
        *(["A1", "P00001", name, 25, 25 if at % 9 else 20] for at, name in enumerate(names_of(96))),
    ]  # fmt: skip
    seeds = {
        "a-tidy.csv": _lines([("plate", "well", "signal"), *wells]),
        "f-tidy.csv": _lines([("plate", "well", "signal", "flag"), *flags]),
        "t-tidy.tsv": _lines([("Plate", "Well", "Signal"), *wells], "\t"),
        "a-cellhts2.txt": _lines(wells, "\t"),
        "a-matrix.csv": _lines(grid),
        "echo.csv": _lines(echo),
        "cut-a.csv": _lines([("id", "signal"), *zip(ids, [">90", "12.5", "<1", "~50"] * len(ids), strict=False)]),
        "classes-a.csv": _lines([("id", "signal", "timestamp"), *((name, "a", "2026-03-01T10:00Z") for name in ids)]),
    }  # fmt: skip
    for layout, lines in exports_helpers.LAYOUTS.items():
        text = "\n".join(lines(values, 96, "P00001")) + "\n"
        seeds[f"{layout.replace(' ', '_')}.txt"] = text.encode()
        seeds[f"plate-{layout.replace(' ', '_')}.txt"] = text.encode("utf-16")
    texts = [pa.array(column) for column in zip(*wells, strict=True)]
    numbers = pa.array([float(value) if value.isdigit() else None for value in values.values()])
    n = len(wells)
    odd = [
        numbers, texts[2].dictionary_encode(), texts[2].cast(pa.binary()), pa.array([b"\xff"] * n), pa.nulls(n),
        pa.array([2**62] * n, pa.timestamp("us")), numbers.cast(pa.float16()), pa.array([{"a": 1}] * n),
        pa.array([[1.0]] * n), pa.array([True] * n), texts[2].cast(pa.string_view()),
    ]  # fmt: skip
    for place, column in enumerate([texts[2], *odd]):
        for which in range(3):
            columns = [*texts[:2], numbers]
            columns[which] = column
            sink = io.BytesIO()
            pq.write_table(pa.table(dict(zip(("plate", "well", "signal"), columns, strict=True))), sink)
            seeds[f"{place}-{which}-tidy.parquet"] = sink.getvalue()
    return seeds


TARGETS: list[Target] = [
    Target("readouts", readout_seeds, tell),
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


def run(
    n: int, seed: int = 0, targets: Iterable[Target] = (), seconds: float = float("inf"), folder: Path | None = None
) -> Outcome:
    """Give mutated files to readers, until there were `n` or the time is over; the one under way lies in `folder`."""
    outcome = Outcome()
    end = time.monotonic() + seconds
    for target, name, data in inputs(n, seed, targets or TARGETS):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            path = Path(own) / name
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
