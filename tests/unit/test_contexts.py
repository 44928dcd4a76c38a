"""Rows that are pairs of a compound and a context: the context is one more on-bit, and tells duplicates.

Invariants: the vocabulary depends on the values alone; fingerprints are those of the compound; without contexts nothing
changes; what has no place in the vocabulary is a reject or an error that says so.
"""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import LibraryConfig, SplitConfig
from isd_ray.config_file import parse_config
from isd_ray.data.ingest import contexts, molecules
from isd_ray.data.ingest.build import build_library
from isd_ray.data.split import split_library
from isd_ray.errors import InputFileError, LibraryError
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate

DRUGS = ["CCO", "CCN", "CC(=O)Oc1ccccc1C(=O)O", "c1ccncc1", "CCCCCCCl", "FC(F)F", "C1CCOCC1"]
CELLS = ["MCF7", "A549", "HeLa", "7"]
ECFP4 = {"kind": "on_bits", "fingerprints": [{"kind": "morgan"}]}
WIDE = {"kind": "on_bits", "fingerprints": [{"kind": "morgan", "size": 1 << 16}]}
"""Bits of the fingerprint fit 16 bits, those of the contexts do not."""


def product():
    """A line for each pair, ordered by drug."""
    return [f"{drug},{place}|{cell},{cell}" for place, drug in enumerate(DRUGS) for cell in CELLS]


def write(folder, lines, name="pairs.csv"):
    path = folder / name
    path.write_text("\n".join(["smiles,id,cell", *lines]) + "\n")
    return str(path)


def config_of(source, **options):
    settings = {"id_column": "id", "context_columns": ["cell"], "features": "ecfp4", "block_rows": 8, "part_blocks": 1}
    return LibraryConfig.model_validate({"source": source, "workers": 1, **settings, **options})


def build(folder, source, name="library", progress=None, **options):
    return build_library(config_of(source, **options), folder / name, base_dir=folder, progress=progress)


def bits_by_id(library):
    bits = library.features(np.arange(library.n_rows))
    rows = [bits.values[start:stop].tolist() for start, stop in zip(bits.offsets[:-1], bits.offsets[1:], strict=True)]
    return dict(zip(library.ids(), rows, strict=True))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rejects_of(library):
    return [(r["record"], r["reason"], r["row"]) for r in pq.read_table(library.path / "rejects.parquet").to_pylist()]


@pytest.fixture
def source(tmp_path):
    return write(tmp_path, product())


def test_a_pair_has_the_bits_of_its_compound_and_one_for_its_context(source, tmp_path):
    library = build(tmp_path, source)
    compounds = build(tmp_path, write(tmp_path, [f"{d},{d}," for d in DRUGS], "c.csv"), "compounds", context_columns=[])
    assert library.metadata["features"]["contexts"] == [{"column": "cell", "values": sorted(CELLS)}]
    assert library.width == compounds.width + 4 == library.spec.width
    alone, found = bits_by_id(compounds), bits_by_id(library)
    for place, drug in enumerate(DRUGS):
        for cell in CELLS:
            assert found[f"{place}|{cell}"] == [*alone[drug], 2048 + sorted(CELLS).index(cell)]
    assert library.column("cell").tolist() == CELLS * len(DRUGS)


def test_several_contexts_lie_one_behind_the_other(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("smiles,cell,dose\nCCO,b,10\nCCO,a,10\nCCO,b,2\nCCO,b,10\n")
    library = build(tmp_path, str(path), id_column=None, context_columns=["dose", "cell"])
    assert [context.values for context in library.spec.contexts] == [("10", "2"), ("a", "b")]
    ethanol = next(iter(bits_by_id(build(tmp_path, str(path), "c", id_column=None, context_columns=[])).values()))
    assert list(bits_by_id(library).values()) == [[*ethanol, 2048 + d, 2050 + c] for d, c in [(0, 1), (0, 0), (1, 1)]]
    assert rejects_of(library) == [(4, "duplicate of row 0", 0)]
    assert library.metadata["columns"] == {"dose": "int64", "cell": "string"}


def test_the_vocabulary_does_not_depend_on_the_order_of_records_or_sources(source, tmp_path):
    shuffled = product()
    random.Random(3).shuffle(shuffled)
    first, second = write(tmp_path, shuffled[:9], "a.csv"), write(tmp_path, shuffled[9:], "b.csv")
    whole = build(tmp_path, source)
    for number, sources in enumerate([(first, second), (second, first)]):
        other = build(tmp_path, sources, f"library-{number}")
        assert other.spec == whole.spec
        assert bits_by_id(other) == bits_by_id(whole)


def test_the_library_does_not_depend_on_the_number_of_processes(source, tmp_path, monkeypatch):
    monkeypatch.setattr(molecules, "SERIAL_CHUNKS", 0)
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 5)
    assert files(build(tmp_path, source, "one").path) == files(build(tmp_path, source, "two", workers=2).path)


@pytest.mark.parametrize("by", ["smiles", "features"])
def test_duplicates_are_equal_pairs(tmp_path, monkeypatch, by):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 3)
    source = write(tmp_path, ["C1CC,0,b", "CCO,1,a", "OCC,2,b", "CCN,3,a", "OCC,4,a", "CCN,5,b", "NCC,6,a", "CCO,7,b"])
    library = build(tmp_path, source, duplicates_by=by)
    assert library.ids().tolist() == ["1", "2", "3", "5"]
    merged = [(n, f"duplicate of row {row}", row) for n, row in [(5, 0), (7, 2), (8, 1)]]
    assert rejects_of(library) == [(1, "does not parse", None), *merged]
    assert build(tmp_path, source, "compounds", duplicates_by=by, context_columns=[]).ids().tolist() == ["1", "3"]
    with pytest.raises(LibraryError, match=r"record 5\) repeats record 2"):
        build(tmp_path, source, "refused", duplicates_by=by, duplicates="refuse")


@pytest.mark.parametrize("by", ["smiles", "features"])
@pytest.mark.parametrize("features", [ECFP4, WIDE], ids=["16 bits", "32 bits"])
def test_a_build_that_was_cut_off_knows_the_pairs_of_its_parts(tmp_path, monkeypatch, by, features):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 5)
    source = write(tmp_path, product() + [line.replace("|", "x") for line in product()])
    options = {"duplicates_by": by, "features": features}
    whole = build(tmp_path, source, "whole", **options)
    assert whole.n_rows == len(product()), "all of the second half are duplicates"

    def cut(seen):
        if seen.n_read >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, source, "cut", cut, **options)
    assert len((tmp_path / ".cut.building/build.jsonl").read_text().splitlines()) == 3, "two parts are complete"
    with pytest.raises(LibraryError, match="unfinished build of other columns, features"):
        build(tmp_path, source, "cut", **options, context_columns=[])
    assert files(build(tmp_path, source, "cut", **options).path) == files(whole.path)


def test_equal_structures_are_prepared_once_in_a_chunk(source, tmp_path, monkeypatch):
    seen = []
    original = molecules.prepare

    def spy(text, **options):
        seen.append(text)
        return original(text, **options)

    monkeypatch.setattr(molecules, "prepare", spy)
    lines = [*product(), "C1CC,bad1,A549", "C1CC,bad2,7", ",none,7"]
    library = build(tmp_path, write(tmp_path, lines, "more.csv"), descriptors=["n_heavy_atoms"])
    assert seen == [*DRUGS, "C1CC", ""]
    reasons = {29: "does not parse", 30: "does not parse", 31: "empty SMILES"}
    assert rejects_of(library) == [(record, reason, None) for record, reason in reasons.items()]
    heavy = [3, 3, 13, 6, 7, 4, 6]
    assert library.column("n_heavy_atoms").tolist() == np.repeat(heavy, len(CELLS)).tolist()


def test_without_contexts_descriptions_and_hashes_are_as_they_were(source, tmp_path):
    library = build(tmp_path, source, context_columns=[], duplicates="keep")
    text = (library.path / "library.json").read_text()
    assert "context" not in text
    assert json.loads(text)["features"] == config_of(source, context_columns=[]).features.model_dump(mode="json")


def test_records_without_a_context_are_rejected_before_any_chemistry(tmp_path):
    library = build(tmp_path, write(tmp_path, ["CCO,1,a", "CCO,2,", "CCO,3,  ", "C1CC,4,"]))
    assert library.ids().tolist() == ["1"]
    assert rejects_of(library) == [(n, "no value in context column cell", None) for n in (2, 3, 4)]


def test_a_fixed_vocabulary_rejects_what_is_not_in_it(source, tmp_path):
    features = {**ECFP4, "contexts": [{"column": "cell", "values": ["HeLa", "A549", "unseen"]}]}
    library = build(tmp_path, source, features=features)
    assert {bits[-1] for bits in bits_by_id(library).values()} == {2048, 2049}
    assert library.width == 2051
    assert set(library.metadata["counts"]["rejected"]) == {"unknown value of context column cell"}
    assert (1, "unknown value of context column cell: 'MCF7'", None) in rejects_of(library)


def test_columns_that_cannot_be_contexts_are_refused_before_the_build(source, tmp_path, monkeypatch):
    with pytest.raises(InputFileError, match=r"context_columns = 'cel' is no column[\s\S]*did you mean 'cell'"):
        build(tmp_path, source, context_columns=["cel"])
    with pytest.raises(InputFileError, match="context column 'cell' holds no value"):
        build(tmp_path, write(tmp_path, ["CCO,1,", "CCN,2, "], "empty.csv"))
    monkeypatch.setattr(contexts, "MAX_VALUES", 3)
    with pytest.raises(InputFileError, match=r"'cell' holds more than 3 distinct values[\s\S]*column of categories"):
        build(tmp_path, source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.csv", "pairs.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": {"kind": "dense", "column": "x", "width": 3}}, "context_columns go with fingerprints"),
        ({"context_columns": ["cell", "cell"]}, "repeat one"),
        ({"features": {**ECFP4, "contexts": [{"column": "dose", "values": ["1"]}]}}, "set context_columns to the same"),
        ({"features": {**ECFP4, "contexts": [{"column": "cell", "values": ["1", "1"]}]}}, "'1' stands there twice"),
    ],
)
def test_contexts_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        config_of("x.csv", **options)


def test_parts_of_a_split_share_the_vocabulary(source, tmp_path):
    library = build(tmp_path, source, split={"column": "cell", "target": ["MCF7"], "validation": "A549", "test": "x"})
    config = SplitConfig(column="cell", target=["MCF7", "7"], validation="A549", test="HeLa")
    for part in split_library(library, config, tmp_path / "split").values():
        assert part.spec == library.spec
        assert bits_by_id(part).items() <= bits_by_id(library).items()


@pytest.fixture
def campaign(tmp_path):
    """Twelve compounds in 20 contexts; the label is that of the context alone."""
    lines = ["smiles,id,cell,label"]
    lines += [f"{'C' * n}{end},{n}{end}|{c},line {c},{c % 2}" for n in range(2, 8) for end in "NO" for c in range(20)]
    (tmp_path / "screen.csv").write_text("\n".join(lines) + "\n")
    held_out = [lines[0], "CCS,h1,line 3,1", "CCS,h2,line 4,0", "CCS,h3,line 99,0"]
    (tmp_path / "test.csv").write_text("\n".join(held_out) + "\n")

    def make(**library):
        settings = {"source": str(tmp_path / "screen.csv"), "id_column": "id", "features": "ecfp4", "workers": 1}
        return parse_config(
            {
                "library": {**settings, "duplicates": "keep", "block_rows": 64, **library},
                "labels": {"column": "label"},
                "test": {"file": str(tmp_path / "test.csv")},
                "model": {"families": ["resmlp"], "hidden_size": 32, "epochs": 40, "batch_size": 32},
                "acquisition": {"batch_size": 120},
                "stopping": {"rule": "none", "max_fraction": 0.5},
                "compute": {"backend": "local"},
            }
        )

    return make


def test_a_campaign_on_pairs_learns_what_depends_on_the_context(campaign, tmp_path):
    found = simulate(campaign(context_columns=["cell"]), tmp_path / "pairs").summary["system_accuracy"]
    blind = simulate(campaign(), tmp_path / "compounds").summary["system_accuracy"]
    assert found == 1.0
    assert blind < 0.85


def test_held_out_files_are_built_with_the_vocabulary_of_the_target(campaign, tmp_path):
    setup = prepare(campaign(context_columns=["cell"]), tmp_path / "run", Watcher())
    assert setup.test_labels.tolist() == [1, 0]
    test = json.loads((tmp_path / "run/library-test/library.json").read_text())
    assert test["counts"]["rejected"] == {"unknown value of context column cell": 1}
    assert len(test["features"]["contexts"][0]["values"]) == 20
    prepare(campaign(context_columns=["cell"]), tmp_path / "run", Watcher())


@pytest.mark.parametrize(
    "other", [{}, {"context_columns": ["label"]}, {"context_columns": ["cell"], "features": "light"}]
)
def test_a_library_with_other_contexts_is_not_taken_for_the_one_meant(campaign, tmp_path, other):
    prepare(campaign(columns=["label"], context_columns=["cell"]), tmp_path / "run", Watcher())
    with pytest.raises(LibraryError, match=r"other features than[\s\S]*context_columns"):
        prepare(campaign(columns=["cell", "label"], **other), tmp_path / "run", Watcher())


def test_info_counts_the_values_of_a_context(source, tmp_path):
    info = build(tmp_path, source).info()
    assert info.features["contexts"] == [{"column": "cell", "n_values": 4}]
