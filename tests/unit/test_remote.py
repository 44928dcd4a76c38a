"""Sources and libraries behind a URI are those of the local disk; a damaged or unreachable store is said.

The stores here are file:// and a file system of pyarrow that refuses; s3:// goes the same way.
"""

from __future__ import annotations

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs as pafs

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import ComputeConfig, LibraryConfig
from isd_ray.data.blocks.add import add_block
from isd_ray.data.blocks.descriptors import Descriptors
from isd_ray.data.ingest import sources
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.sources import open_source, resolve_source, resolve_sources
from isd_ray.data.library import Library
from isd_ray.errors import CorruptFileError, InputFileError, LibraryError
from isd_ray.ops import build as ops_build
from isd_ray.ops.prepare import open_or_build
from isd_ray.storage import client

N = 70


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def compounds(store):
    path = store / "x.csv"
    path.write_text("smiles,id\n" + "".join(f"{'C' * (i % 9 + 1)}N{'C' * (i // 9 + 10)},c{i}\n" for i in range(N)))
    return path


def config_of(source, **options):
    settings = {"id_column": "id", "features": "light", "block_rows": 16, "part_blocks": 2, "workers": 1}
    return LibraryConfig.model_validate({"source": source, **settings, **options})


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def published(config, store):
    return ops_build.build_library(config, f"file://{store}/lib")


def test_a_source_behind_a_uri_gives_the_library_of_the_file(compounds, tmp_path):
    local = build_library(config_of(str(compounds)), tmp_path / "local", base_dir=tmp_path)
    other = build_library(config_of(f"file://{compounds}"), tmp_path / "other", base_dir=tmp_path)
    assert files(other.path) == files(local.path)


@pytest.mark.parametrize("name", ["x.csv", "x.smi.gz", "x.parquet", "x.sdf"])
def test_every_format_is_read_from_any_file_system_of_pyarrow(store, name):
    if name.endswith("parquet"):
        pq.write_table(pa.table({"smiles": ["CCO", "CCN"]}), store / name)
    else:
        from gzip import compress

        text = {"x.csv": "smiles\nCCO\nCCN\n", "x.smi.gz": "CCO\nCCN\n", "x.sdf": "\n\n\nM  END\n$$$$\n" * 2}[name]
        (store / name).write_bytes(compress(text.encode()) if name.endswith("gz") else text.encode())
    inner = pafs.SubTreeFileSystem(str(store), pafs.LocalFileSystem())
    source = open_source(SourceFile(inner, name, f"test://{name}"))
    column = source.structure_column("smiles")
    assert sum(len(records) for records in source.read((column,))) == 2


def test_a_published_library_reads_as_the_local_one(compounds, store, tmp_path, cache):
    local = build_library(config_of(str(compounds)), tmp_path / "local", base_dir=tmp_path)
    library = published(config_of(str(compounds)), store)
    assert files(store / "lib") == files(local.path)
    assert [path.name for path in cache.iterdir()] == [library.hash], "the build's own copy serves as cache"
    assert library.address == f"file://{store}/lib"
    assert library.ids().tolist() == local.ids().tolist()


def test_parts_are_fetched_when_they_are_read_and_once(compounds, store, cache, monkeypatch):
    address = published(config_of(str(compounds)), store).address
    monkeypatch.setenv("ISD_CACHE", str(cache / "elsewhere"))
    library = pickle.loads(pickle.dumps(Library.open(address)))  # noqa: S301
    parts = library.path / "parts"
    assert not parts.exists()
    assert library.ids(np.array([40])).tolist() == ["c40"]
    assert [path.name for path in parts.iterdir()] == ["part-00001.arrow"]
    (store / "lib/parts/part-00001.arrow").unlink()
    assert Library.open(address).ids(np.array([41])).tolist() == ["c41"]
    assert library.features(np.array([3])).width == library.width
    library = Library.open(address)
    library.verify()
    assert len(list(parts.iterdir())) == 3


def test_what_the_store_gives_is_checked(compounds, store, cache, monkeypatch):
    address = published(config_of(str(compounds)), store).address
    monkeypatch.setenv("ISD_CACHE", str(cache / "elsewhere"))
    part = store / "lib/parts/part-00000.arrow"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    library = Library.open(address)
    with pytest.raises(CorruptFileError, match=r"part-00000.arrow: is not what was written"):
        library.block(0)
    part.unlink()
    with pytest.raises(LibraryError, match=r"part-00000.arrow cannot be fetched"):
        library.block(0)
    assert not list((library.path / "parts").iterdir())


@pytest.mark.parametrize(
    "change", [{"hash": "../../x"}, {"parts": [{"file": "../x", "bytes": 1, "sha256": "", "first_row": 0}]}]
)
def test_names_that_lead_out_of_the_cache_are_refused(compounds, store, change):
    address = published(config_of(str(compounds)), store).address
    file = store / "lib/library.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CorruptFileError, match="not a library description"):
        Library.open(address)


def test_a_library_that_is_there_is_not_overwritten(compounds, store):
    published(config_of(str(compounds)), store)
    before = files(store / "lib")
    with pytest.raises(LibraryError, match="already exists"):
        published(config_of(str(compounds), features="ecfp4"), store)
    assert files(store / "lib") == before


def test_a_copy_that_was_cut_off_is_made_again_without_building_again(compounds, store, monkeypatch):
    def refuse(folder, uri):
        raise LibraryError("cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr("isd_ray.ops.build.publish", refuse)
        with pytest.raises(LibraryError, match="cannot be written"):
            published(config_of(str(compounds)), store)
    monkeypatch.setattr("isd_ray.ops.build.build_main_block", None)
    assert published(config_of(str(compounds)), store).n_rows == N


def test_where_there_is_no_library_it_says_how_to_make_one(store):
    with pytest.raises(LibraryError, match=r"no library here[\s\S]*isd library build"):
        Library.open(f"file://{store}/none")


def refuse(*arguments):
    raise OSError("no route to host")


Unreachable = type(
    "Unreachable", (pafs.FileSystemHandler,), dict.fromkeys(pafs.FileSystemHandler.__abstractmethods__, refuse)
)
"""A store that cannot be reached."""


def test_an_unreachable_store_is_our_error(monkeypatch, compounds, store, tmp_path):
    def unreachable(uri):
        return pafs.PyFileSystem(Unreachable()), "bucket/x"

    monkeypatch.setattr(client, "file_system_of", unreachable)
    monkeypatch.setattr(sources, "file_system_of", unreachable)
    with pytest.raises(LibraryError, match=r"s3://bucket/x: cannot be reached: no route to host"):
        Library.open("s3://user:secret@bucket/x?region=mars")
    with pytest.raises(LibraryError, match="cannot be reached"):
        ops_build.build_library(config_of(str(compounds)), "s3://bucket/x")
    with pytest.raises(InputFileError, match=r"s3://bucket/x.csv: cannot be reached"):
        resolve_source("s3://bucket/x.csv", tmp_path)


def test_an_address_without_a_file_system_says_which_there_are(tmp_path):
    with pytest.raises(InputFileError, match=r"no file system for this address[\s\S]*s3://"):
        resolve_source("gopher://host/x.csv", tmp_path)


def test_missing_and_empty_files_behind_a_uri_are_said(store, tmp_path):
    (store / "empty.csv").touch()
    with pytest.raises(InputFileError, match="no such file"):
        resolve_source(f"file://{store}/none.csv", tmp_path)
    with pytest.raises(InputFileError, match="empty"):
        resolve_source(f"file://{store}/empty.csv", tmp_path)


def test_wildcards_name_many_files_in_order(store, tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(store))
    for name, smiles in {"p10.csv": "CCO", "p02.csv": "CCN", "q.csv": "CCS", "p1.txt": "C"}.items():
        (store / name).write_text(f"smiles\n{smiles}\n")
    (store / "p3.csv").mkdir()
    names = [file.name for file in resolve_sources("${HERE}/p*.csv", tmp_path)]
    assert names == ["p02.csv", "p10.csv"]
    config = config_of([f"{store}/p*.csv", f"{store}/q.csv"], id_column=None)
    library = build_library(config, tmp_path / "library", base_dir=tmp_path)
    assert library.ids().tolist() == ["p02:1", "p10:1", "q:1"]
    assert library.smiles().tolist() == ["CCN", "CCO", "CCS"]
    with pytest.raises(InputFileError, match=r"z\*\.csv: no file matches"):
        resolve_sources("z*.csv", store)
    (store / "odd[1].csv").write_text("smiles\nC\n")
    assert [file.name for file in resolve_sources("odd[1].csv", store)] == ["odd[1].csv"]


def test_blocks_of_features_are_published_and_fetched_with_the_library(compounds, store, tmp_path, cache, monkeypatch):
    config = config_of(str(compounds), descriptors=["rdkit2d"])
    local = ops_build.build_library(config, tmp_path / "local")
    library = published(config, store)
    assert files(store / "lib") == files(local.path)
    assert [path.name for path in cache.iterdir()] == [library.hash]
    (store / "lib/blocks/rdkit2d/part-00002.arrow").rename(store / "part-00002.arrow")
    rows = np.array([69, 3, 40])
    expected = local.features_of(rows, ["rdkit2d"])["rdkit2d"].values
    found = library.features_of(rows, ["rdkit2d"])["rdkit2d"].values
    np.testing.assert_array_equal(found, expected, "the build's own copy serves as cache")
    monkeypatch.setenv("ISD_CACHE", str(cache / "elsewhere"))
    library = pickle.loads(pickle.dumps(Library.open(library.address)))  # noqa: S301
    assert not library.path.exists()
    np.testing.assert_array_equal(library.features_of(rows[1:2], ["rdkit2d"])["rdkit2d"].values, expected[1:2])
    assert [path.name for path in library.path.rglob("*.arrow")] == ["part-00000.arrow"]
    with pytest.raises(LibraryError, match=r"blocks/rdkit2d/part-00002.arrow cannot be fetched"):
        library.features_of(rows, ["rdkit2d"])
    (store / "part-00002.arrow").rename(store / "lib/blocks/rdkit2d/part-00002.arrow")
    Library.open(library.address).verify()


def test_copies_of_blocks_of_one_name_are_kept_apart(compounds, store, cache, monkeypatch):
    """Two stores hold libraries of the same main features with different blocks of one name."""
    addresses = []
    for number in (1, 2):
        lines = [f"c{i},{i * 7 % (11 + number)}" for i in range(N)]
        (store / f"history-{number}.csv").write_text("id,score\n" + "\n".join(lines) + "\n")
        history = {"source": str(store / f"history-{number}.csv"), "columns": ["score"]}
        library = ops_build.build_library(config_of(str(compounds), history=history), f"file://{store}/lib-{number}")
        addresses.append(library.address)
    monkeypatch.setenv("ISD_CACHE", str(cache / "elsewhere"))
    first, second = (Library.open(address) for address in addresses)
    assert (first.hash, first.path) == (second.hash, second.path)
    assert first.block_hash("history") != second.block_hash("history")
    rows = np.arange(N)
    values = [one.features_of(rows, ["history"])["history"].values for one in (first, second, first)]
    np.testing.assert_array_equal(values[0], values[2])
    assert not np.array_equal(values[0], values[1])


def test_a_published_library_is_not_given_blocks(compounds, store):
    address = published(config_of(str(compounds)), store).address
    config = config_of(str(compounds), descriptors=["rdkit2d"])
    with pytest.raises(LibraryError, match=r"published library lacks block 'rdkit2d'[\s\S]*at another address"):
        open_or_build(config, ComputeConfig(), address, Watcher())
    with pytest.raises(LibraryError, match="cannot be added to a published library"):
        add_block(Library.open(address), Descriptors("rdkit2d"))


@pytest.mark.parametrize("change", [{"name": "../../x"}, {"hash": "x"}, {"parts": [{"file": "../../x"}]}])
def test_blocks_whose_names_lead_out_of_the_cache_are_refused(compounds, store, change):
    address = published(config_of(str(compounds), descriptors=["rdkit2d"]), store).address
    file = store / "lib/library.json"
    metadata = json.loads(file.read_text())
    metadata["blocks"][0].update(change)
    file.write_text(json.dumps(metadata))
    with pytest.raises(CorruptFileError, match="block"):
        Library.open(address)
