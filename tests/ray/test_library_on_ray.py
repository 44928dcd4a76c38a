"""A library built by Ray tasks is the library that one process builds, whatever dies on the way.

Invariants: same bytes for any number of workers and any order of their answers; a lost worker's chunk is done again,
within a budget; only a bounded number of chunks is under way.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from ray.exceptions import OutOfMemoryError

from isd_ray.actors import chemistry
from isd_ray.actors.chemistry import prepare_on_ray
from isd_ray.actors.failure import FailurePolicy
from isd_ray.actors.losses import LOSSES
from isd_ray.config import ComputeConfig, LibraryConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.molecules import MoleculeOptions, prepare_chunk
from isd_ray.errors import ActorLostError, ConfigError
from isd_ray.ops import build as ops_build


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bytes_are_those_of_a_local_build(compounds, ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 50)
    monkeypatch.setattr(chemistry, "AHEAD", 1)
    settings = {"id_column": "name", "context_columns": ("bbb",), "features": "standard", "block_rows": 64}
    config = LibraryConfig(source=str(compounds), workers=1, **settings)
    local = build_library(config, tmp_path / "local", base_dir=tmp_path)
    seen = []
    remote = ops_build.build_library(config, tmp_path / "remote", ComputeConfig(address="auto"), seen.append)
    assert files(remote.path) == files(local.path)
    assert seen[-1].n_read == 900


def test_descriptors_and_matched_structures_are_those_of_a_local_build(compounds, ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.blocks.descriptors.CHUNK_ROWS", 50)
    monkeypatch.setattr("isd_ray.data.blocks.history.CHUNK_ROWS", 50)
    monkeypatch.setattr(chemistry, "AHEAD", 1)
    history = {"source": str(compounds), "smiles_column": "smiles", "columns": ("bbb",)}
    settings = {"id_column": "name", "features": "ecfp4", "block_rows": 64, "part_blocks": 4}
    config = LibraryConfig.model_validate(
        {"source": str(compounds), "workers": 1, "descriptors": ["rdkit2d"], "history": history, **settings}
    )
    local = ops_build.build_library(config, tmp_path / "local")
    remote = ops_build.build_library(config, tmp_path / "remote", ComputeConfig(address="auto"))
    assert local.block_names == ("fingerprints", "rdkit2d", "history")
    assert files(remote.path) == files(local.path)


@dataclass
class Piece:
    structures: list[str | None]
    options: MoleculeOptions
    label: str = "somewhere"


OPTIONS = MoleculeOptions("smiles", None, True, False, "smiles")


def test_answers_come_in_order_and_few_chunks_are_under_way(ray_cluster, monkeypatch):
    monkeypatch.setattr(chemistry, "AHEAD", 1)  # 16 CPUs
    drawn = []

    def source():
        for i in range(60):
            drawn.append(i)
            yield Piece(["C" * (i + 2)], OPTIONS)

    for n_done, (piece, prepared) in enumerate(prepare_on_ray(source(), FailurePolicy(0), 60.0)):
        assert prepared.canonical == piece.structures == ["C" * (n_done + 2)]
        assert len(drawn) <= n_done + 16


def dies_once(marker):
    def task(structures, options):
        if structures == ["CCCCC"] and not Path(marker).exists():
            Path(marker).touch()
            os._exit(1)
        return prepare_chunk(structures, options)

    return task


def always_dies(structures, options):
    os._exit(1)


def fails(structures, options):
    raise ConfigError("no such thing", "library.features", "mend it")


def pieces(n):
    return [Piece(["C" * (i + 2)], OPTIONS, f"records {i}") for i in range(n)]


def test_a_lost_task_is_done_again_in_its_place(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(chemistry, "prepare_chunk", dies_once(str(tmp_path / "marker")))
    found = [prepared.canonical[0] for _, prepared in prepare_on_ray(pieces(8), FailurePolicy(1), 60.0)]
    assert (tmp_path / "marker").exists()
    assert found == ["C" * (i + 2) for i in range(8)]


def test_tasks_that_keep_dying_end_the_build_and_name_their_records(ray_cluster, monkeypatch):
    monkeypatch.setattr(chemistry, "prepare_chunk", always_dies)
    with pytest.raises(ActorLostError, match=r"records 0: 3 tasks of the library build were lost"):
        list(prepare_on_ray(pieces(1), FailurePolicy(2), 60.0))


def test_a_node_takes_its_chunks_with_it_and_nothing_else(ray_cluster, monkeypatch):
    """More chunks than may be lost of each: every one of them is answered by a loss at first."""
    get, losses, asked = ray.get, itertools.cycle(LOSSES), itertools.count()

    def get_or_lose(reference):
        if next(asked) % 2 == 0:
            loss = next(losses)
            raise loss.__new__(loss)
        return get(reference)

    monkeypatch.setattr(chemistry, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr("ray.get", get_or_lose)
    n = len(LOSSES) + 1
    found = [prepared.canonical[0] for _, prepared in prepare_on_ray(pieces(n), FailurePolicy(1), 60.0)]
    assert next(asked) == 2 * n
    assert found == ["C" * (i + 2) for i in range(n)]


def test_memory_that_ran_out_is_named_with_what_helps(ray_cluster, monkeypatch):
    def get(reference):
        raise OutOfMemoryError("90 lines of Ray's")

    monkeypatch.setattr(chemistry, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr("ray.get", get)
    with pytest.raises(ActorLostError, match="for the memory of its node was running out") as error:
        list(prepare_on_ray(pieces(1), FailurePolicy(2), 60.0))
    assert "90 lines" not in str(error.value)
    assert "more memory, or start Ray on them with fewer CPUs" in str(error.value)


def test_our_own_errors_keep_their_type(ray_cluster, monkeypatch):
    monkeypatch.setattr(chemistry, "prepare_chunk", fails)
    with pytest.raises(ConfigError, match=r"library\.features: no such thing"):
        list(prepare_on_ray(pieces(1), FailurePolicy(2), 60.0))
