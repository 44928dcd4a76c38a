"""A build turns every record into a row or a reject, the same way for any number of processes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from isd_ray.config import LibraryConfig, SplitConfig
from isd_ray.data import writer
from isd_ray.data.ingest import dedupe, molecules
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.dedupe import DuplicateIndex, hash_keys
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, InputFileError, LibraryError


def config_of(source, **options):
    settings = {"smiles_column": "smiles", "features": "ecfp4", "block_rows": 16, "part_blocks": 2, "workers": 1}
    return LibraryConfig.model_validate({"source": str(source), **settings, **options})


def build(folder, source, name="library", **options):
    return build_library(config_of(source, **options), folder / name, base_dir=folder)


def rejects_of(library):
    return pq.read_table(library.path / "rejects.parquet").to_pylist()


def write_csv(folder, lines, name="compounds.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def alkanes(n):
    """Distinct molecules: chains with one nitrogen at a place of its own."""
    return [("C" * (i % 7 + 1)) + "N" + ("C" * (i // 7 + 8)) for i in range(n)]


def test_every_input_line_is_a_row_or_a_reject_with_its_reason(tmp_path):
    lines = ["smiles,id", "CCO,a", "OCC,b", "C1CC,c", ",d", "CCN,", "CCC,e,extra", "", "C,f", "CCS,g"]
    library = build(tmp_path, write_csv(tmp_path, lines), id_column="id", drop_single_atoms=True)
    assert library.ids().tolist() == ["a", "g"]
    assert library.smiles().tolist() == ["CCO", "CCS"]
    assert library.column("record").tolist() == [1, 9]
    assert [(r["line"], r["record"], r["id"], r["reason"], r["row"]) for r in rejects_of(library)] == [
        (3, 2, "b", "duplicate of row 0", 0),
        (4, 3, "c", "does not parse", None),
        (5, 4, "d", "empty SMILES", None),
        (6, 5, None, "no id", None),
        (7, 6, None, "wrong number of fields: 3 instead of 2", None),
        (8, 7, None, "blank line", None),
        (9, 8, "f", "single atom", None),
    ]
    counts = library.metadata["counts"]
    assert counts["read"] == 9 == counts["kept"] + counts["duplicates"] + sum(counts["rejected"].values())
    assert counts["rejected"]["wrong number of fields"] == 1


def test_records_without_a_required_value_are_rejected_before_any_chemistry(tmp_path, monkeypatch):
    parsed = []
    original = molecules.prepare

    def spy(text, **options):
        parsed.append(text)
        return original(text, **options)

    monkeypatch.setattr(molecules, "prepare", spy)
    lines = ["smiles,active", "CCO,1", "CCN,", "CCS,NA", "CCC,0"]
    library = build(tmp_path, write_csv(tmp_path, lines), columns=["active"], required=["active"])
    assert library.smiles().tolist() == ["CCO", "CCC"]
    assert [(r["line"], r["smiles"], r["reason"]) for r in rejects_of(library)] == [
        (3, None, "no value in required column active"),
        (4, None, "no value in required column active"),
    ]
    assert [text for text in parsed if text] == ["CCO", "CCC"]
    with pytest.raises(ValueError, match="'active' is not kept; add it to `columns`"):
        config_of("x.csv", required=["active"])


def test_rows_are_blocks_and_blocks_are_parts(tmp_path):
    smiles = alkanes(70)
    library = build(tmp_path, write_csv(tmp_path, ["smiles", *smiles]), standardise=False)
    assert library.n_rows == 70
    assert [part["n_rows"] for part in library.metadata["parts"]] == [32, 32, 6]
    assert [library.block_rows_range(i) for i in (0, 4)] == [(0, 16), (64, 70)]
    with pa.memory_map(str(library.path / "parts/part-00000.arrow")) as file:
        reader = pa.ipc.open_file(file)
        assert [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)] == [16, 16]
        assert reader.schema.names == ["row", "id", "smiles", "record", "features"]
        assert reader.schema.field("features").type == pa.list_(pa.uint16())
    assert library.column("row").tolist() == list(range(70))
    assert library.ids().tolist() == [str(i) for i in range(1, 71)]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = library.features(np.arange(70))
    for row, text in enumerate(smiles):
        expected = list(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits())
        assert bits.values[bits.offsets[row] : bits.offsets[row + 1]].tolist() == expected


def test_the_library_does_not_depend_on_the_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(molecules, "SERIAL_CHUNKS", 0)
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 7)
    smiles = alkanes(40) * 2 + ["not a molecule", "CCO"]
    source = write_csv(tmp_path, ["smiles", *smiles])
    alone = build(tmp_path, source, "alone", workers=1)
    together = build(tmp_path, source, "together", workers=2)
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 1024)
    in_one_go = build(tmp_path, source, "in_one_go", workers=1)
    assert alone.hash == together.hash == in_one_go.hash
    assert rejects_of(alone) == rejects_of(together) == rejects_of(in_one_go)
    assert alone.metadata == together.metadata == in_one_go.metadata
    assert alone.n_rows == 41


def test_a_script_without_a_main_guard_can_build_in_parallel(tmp_path):
    write_csv(tmp_path, ["smiles", *alkanes(40)])
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        print("script runs")
        from pathlib import Path
        from isd_ray.config import LibraryConfig
        from isd_ray.data.ingest import molecules, pieces
        from isd_ray.data.ingest.build import build_library
        molecules.SERIAL_CHUNKS, pieces.CHUNK_ROWS = 0, 20
        folder = Path({str(tmp_path)!r})
        config = LibraryConfig(source="compounds.csv", features="ecfp4", workers=2)
        print(build_library(config, folder / "library", base_dir=folder).n_rows)
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split("\n")[:2] == ["script runs", "40"], done.stderr
    assert done.stdout.count("script runs") == 1


def test_duplicates_are_told_by_smiles_or_by_features(tmp_path):
    # Long chains differ as molecules, but ECFP4 without counts cannot tell them apart.
    source = write_csv(tmp_path, ["smiles,id", "CCCCCCCCCC,a", "CCCCCCCCCCCC,b", "C(CCCCCCCCC),c"])
    assert build(tmp_path, source, "s", id_column="id").ids().tolist() == ["a", "b"]
    assert build(tmp_path, source, "f", id_column="id", duplicates_by="features").ids().tolist() == ["a"]


def test_duplicates_can_be_kept_or_refused(tmp_path):
    source = write_csv(tmp_path, ["smiles,id", "CCO,a", "CCN,b", "OCC,c"])
    assert build(tmp_path, source, "kept", id_column="id", duplicates="keep").ids().tolist() == ["a", "b", "c"]
    with pytest.raises(LibraryError, match=r"line 4 \(record 3\) repeats record 1"):
        build(tmp_path, source, "refused", duplicates="refuse")
    assert not (tmp_path / "refused").exists()


def test_rejected_records_do_not_shift_the_row_a_duplicate_points_to(tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 4)
    smiles = ["bad", "CCO", "bad", "CCN", "bad", "CCS", "OCC", "NCC", "SCC", "CCF", "FCC"]
    library = build(tmp_path, write_csv(tmp_path, ["smiles", *smiles]))
    assert library.smiles().tolist() == ["CCO", "CCN", "CCS", "CCF"]
    duplicates = [(r["record"], r["row"]) for r in rejects_of(library) if r["row"] is not None]
    assert duplicates == [(7, 0), (8, 1), (9, 2), (11, 3)]


def test_an_id_that_two_compounds_share_is_an_error_with_both_records(tmp_path):
    source = write_csv(tmp_path, ["smiles,id", "CCO,a", "CCN,b", "CCS,a"])
    with pytest.raises(InputFileError, match=r"'a' belongs to two compounds: record 1 and record 3 \(line 4\)"):
        build(tmp_path, source, id_column="id")
    # The second record of one compound is a duplicate, so its id is free.
    twice = write_csv(tmp_path, ["smiles,id", "CCO,a", "OCC,a"], "twice.csv")
    assert build(tmp_path, twice, "twice", id_column="id").n_rows == 1


def test_several_sources_are_one_library_with_ids_of_their_own(tmp_path):
    first = write_csv(tmp_path, ["smiles,n", "CCO,1", "CCN,2"], "first.csv")
    second = write_csv(tmp_path, ["smiles,n", "OCC,1.5", "CCS,x"], "second.csv")
    config = config_of(first).model_copy(update={"source": (str(first), str(second)), "columns": ("n",)})
    library = build_library(config, tmp_path / "library", base_dir=tmp_path)
    assert library.ids().tolist() == ["first:1", "first:2", "second:2"]
    assert library.column("n").tolist() == ["1", "2", "x"]  # numbers in one file, words in the other
    assert [(r["file"], r["record"], r["row"]) for r in rejects_of(library)] == [("second.csv", 1, 0)]
    assert [source["name"] for source in library.metadata["sources"]] == ["first.csv", "second.csv"]
    named = config.model_copy(update={"duplicates": "refuse"})
    with pytest.raises(LibraryError, match=r"line 2 \(record 1\) repeats record 1 of first.csv"):
        build_library(named, tmp_path / "refused", base_dir=tmp_path)


def test_kept_columns_are_numbers_where_all_values_are(tmp_path):
    lines = ["smiles,stock,cost,code,half,part", "CCO,1,0.5,007,,0", "CCN,2,NA,008,3,1", "CCS,-3,2e3,x y,,2"]
    split = {"column": "part"}
    columns = ["stock", "cost", "code", "half"]
    library = build(tmp_path, write_csv(tmp_path, lines), columns=columns, split=split)
    assert library.metadata["columns"] == {
        "stock": "int64",
        "cost": "float64",
        "code": "string",
        "half": "int64",
        "part": "int64",
    }
    assert library.column("stock").tolist() == [1, 2, -3]
    np.testing.assert_array_equal(library.column("cost"), [0.5, np.nan, 2000.0])
    assert library.column("code").tolist() == ["007", "008", "x y"]
    np.testing.assert_array_equal(library.column("half"), [np.nan, 3, np.nan])


def test_parquet_columns_keep_their_type(tmp_path):
    table = pa.table(
        {
            "smiles": pa.array(["CCO", "CCN"], pa.large_string()),
            "id": pa.array([5, 7], pa.int16()),
            "flag": pa.array([True, False]),
            "score": pa.array([0.5, None], pa.float32()),
            "word": pa.array(["x", "y"]).dictionary_encode(),
            "vector": pa.array([[1.0], [2.0]]),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    library = build(tmp_path, tmp_path / "x.parquet", id_column="id", columns=["flag", "score", "word"])
    assert library.ids().tolist() == ["5", "7"]
    assert library.column("flag").tolist() == [1, 0]
    np.testing.assert_array_equal(library.column("score"), [0.5, np.nan])
    assert library.column("word").tolist() == ["x", "y"]
    with pytest.raises(InputFileError, match="'vector' holds"):
        build(tmp_path, tmp_path / "x.parquet", "other", columns=["vector"])


def test_sdf_and_smi_build(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    (tmp_path / "x.sdf").write_text(f"{block}> <name>\nethanol\n\n$$$$\n" + "rubbish\n$$$$\n" + f"{block}$$$$\n")
    library = build(tmp_path, tmp_path / "x.sdf", "sdf", id_column="name")
    assert (library.ids().tolist(), library.smiles().tolist()) == (["ethanol"], ["CCO"])
    assert [r["reason"] for r in rejects_of(library)] == ["no 'M  END' line", "no id"]
    (tmp_path / "x.smi").write_text("CCO ethanol\nC1C bad\n")
    library = build(tmp_path, tmp_path / "x.smi", "smi", id_column="id")
    assert library.ids().tolist() == ["ethanol"]


@pytest.mark.parametrize("kind", ["binary", "fixed_binary", "list", "fixed_list"])
def test_dense_features_come_back_as_they_were(tmp_path, kind):
    rows = np.random.default_rng(0).integers(0, 256, (40, 6), dtype=np.uint8)
    types = {
        "binary": pa.binary(),
        "fixed_binary": pa.binary(6),
        "list": pa.list_(pa.int32()),
        "fixed_list": pa.list_(pa.float64(), 6),
    }
    values = [row.tobytes() for row in rows] if "binary" in kind else [row.tolist() for row in rows]
    pq.write_table(pa.table({"image": pa.array(values, types[kind])}), tmp_path / "x.parquet")
    features = {"kind": "dense", "column": "image", "width": 6, "dtype": "uint8"}
    options = {"smiles_column": None, "duplicates": "keep", "features": features}
    library = build(tmp_path, tmp_path / "x.parquet", **options)
    assert library.block(1).values.dtype == np.uint8
    np.testing.assert_array_equal(library.features(np.arange(40)).values, rows)
    assert library.smiles(np.array([3])).tolist() == [None]


def test_dense_rows_that_do_not_fit_are_rejects(tmp_path):
    values = [[1.0, 2.0], None, [1.0], [np.nan, 1.0], [1.0, None], [1e6, 0.0], [1.0, 2.0], [3.0, 4.0]]
    pq.write_table(pa.table({"v": pa.array(values, pa.list_(pa.float64()))}), tmp_path / "x.parquet")
    features = {"kind": "dense", "column": "v", "width": 2, "dtype": "float16"}
    options = {"smiles_column": None, "duplicates_by": "features", "features": features}
    library = build(tmp_path, tmp_path / "x.parquet", **options)
    np.testing.assert_array_equal(library.features(np.arange(2)).values, np.array([[1, 2], [3, 4]], np.float16))
    assert [r["reason"] for r in rejects_of(library)] == [
        "no feature vector",
        "wrong feature length: 1 instead of 2",
        "non-finite or missing feature value",
        "non-finite or missing feature value",
        "feature value outside float16",
        "duplicate of row 0",
    ]


def test_bytes_are_only_for_uint8(tmp_path):
    pq.write_table(pa.table({"v": pa.array([b"ab"])}), tmp_path / "x.parquet")
    features = {"kind": "dense", "column": "v", "width": 2, "dtype": "float32"}
    with pytest.raises(ConfigError, match="uint8"):
        build(tmp_path, tmp_path / "x.parquet", smiles_column=None, duplicates="keep", features=features)


def test_nothing_is_left_of_a_build_that_fails_and_nothing_is_overwritten(tmp_path):
    source = write_csv(tmp_path, ["smiles", "CCO"])
    bad = write_csv(tmp_path, ["smiles", "rubbish", "more"], "bad.csv")
    with pytest.raises(InputFileError, match=r"none of 2 records is valid: does not parse \(2\)"):
        build(tmp_path, bad)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "compounds.csv"]
    (tmp_path / "library").mkdir()
    first = build(tmp_path, source)  # an empty directory is fine
    with pytest.raises(LibraryError, match="already exists"):
        build(tmp_path, bad)
    assert Library.open(first.path).hash == first.hash


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"smiles_column": "SMILE"}, InputFileError, "did you mean 'smiles'"),
        ({"id_column": "nr"}, InputFileError, "id_column = 'nr'"),
        ({"columns": ["costs"]}, InputFileError, "did you mean 'cost'"),
        ({"split": {"column": "fold"}}, InputFileError, "'fold' is no column"),
        ({"columns": ["row"]}, ConfigError, "rename"),
    ],
)
def test_wrong_columns_are_said_before_anything_is_built(tmp_path, options, error, message):
    source = write_csv(tmp_path, ["smiles,cost,row", "CCO,1,1"])
    with pytest.raises(error, match=message):
        build(tmp_path, source, **options)


def test_progress_counts_every_record(tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 2)
    seen = []
    config = config_of(write_csv(tmp_path, ["smiles", "CCO", "bad", "OCC", "CCN", "CCS"]))
    build_library(config, tmp_path / "library", base_dir=tmp_path, progress=seen.append)
    assert [(p.n_read, p.n_kept, p.n_merged, p.n_refused) for p in seen] == [(2, 1, 0, 1), (4, 2, 1, 1), (5, 3, 1, 1)]


def test_metadata_say_what_was_built_from_what(tmp_path):
    source = write_csv(tmp_path, ["smiles", "CCO"])
    library = build(tmp_path, source, split=SplitConfig())
    stored = json.loads((library.path / "library.json").read_text())
    assert stored["sources"][0]["bytes"] == source.stat().st_size
    assert stored["width"] == 2048
    assert stored["options"]["standardise"] is True
    other = build(tmp_path, source, "other", features="light")
    assert other.hash != library.hash
    assert library.info().counts["kept"] == 1


def test_the_duplicate_index_finds_what_a_dictionary_finds_in_16_bytes_a_key(monkeypatch):
    monkeypatch.setattr(dedupe, "_N_RECENT", 3000)
    rng = np.random.default_rng(0)
    index, rows = DuplicateIndex(), {}
    for _ in range(60):
        keys = rng.integers(0, 30_000, 500)
        found = index.add(hash_keys(str(key).encode() for key in keys), len(rows))
        expected = []
        for key in keys.tolist():
            expected.append(rows.get(key, -1))
            rows.setdefault(key, len(rows))
        assert found.tolist() == expected
    assert index.nbytes <= 16 * len(rows)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=40), st.data())
def test_texts_are_stored_alike_however_they_came_about(texts, data):
    def stored(array):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, pa.schema({"text": array.type})) as stream:
            stream.write_batch(pa.record_batch({"text": array}))
        return sink.getvalue().to_pybytes()

    before, behind = (data.draw(st.lists(st.none() | st.text(max_size=5), max_size=20)) for _ in range(2))
    cut = pa.array([*before, *texts, *behind], pa.string()).slice(len(before), len(texts))
    _, offsets, content = pa.array([text or "beneath" for text in texts]).buffers()
    is_valid = pa.array([text is not None for text in texts]).buffers()[1]
    masked = pa.StringArray.from_buffers(len(texts), offsets, content, is_valid)
    filled = [None if text is None else text or "beneath" for text in texts]
    for array, expected in ((cut, texts), (masked, filled)):
        assert stored(writer._canonical(array)) == stored(pa.array(expected, pa.string()))


def test_keys_that_agree_in_64_bits_are_told_apart():
    hashes = np.array([[7, tag << 48] for tag in (3, 1, 2)] + [[9, 0]], dtype=np.uint64)
    index = DuplicateIndex()
    assert index.add(hashes[:2], 0).tolist() == [-1, -1]
    assert index.add(hashes[[2, 1, 0, 3]], 2).tolist() == [-1, 1, 0, -1]
    assert index.add(hashes[[3, 2]], 4).tolist() == [3, 2]


def test_reasons_are_counted_by_kind(tmp_path):
    lines = ["smiles,id", "CCO,a", "C,b,c", "C,b,c,d", "x,e"]
    library = build(tmp_path, write_csv(tmp_path, lines))
    assert Counter(library.metadata["counts"]["rejected"]) == {"wrong number of fields": 2, "does not parse": 1}
