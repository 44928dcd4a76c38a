"""A working folder that was deleted, as that of a job is cleared away, is said in words."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import isd_ray as isd
from isd_ray.config_file import to_toml
from isd_ray.errors import InputFileError
from isd_ray.remote.attempts import run_job
from isd_ray.storage.addresses import absolute, working_folder
from tests.unit.test_laboratory import isd as command
from tests.unit.test_layers import MODULES, ROOT


@pytest.fixture
def gone(tmp_path, monkeypatch):
    """A deleted folder that this process works in."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    return folder


def test_a_working_folder_that_was_deleted_is_said(gone, make_config, compounds, tmp_path):
    file = tmp_path / "campaign.toml"
    file.write_text(to_toml(make_config()))
    for words in (
        ("init", tmp_path / "new.toml", "--from", compounds),
        ("library", "build", compounds, "--out", tmp_path / "lib"),
        ("plan", file),
        ("simulate", file, "--out", tmp_path / "run"),
    ):
        with pytest.raises(InputFileError, match="the working folder was deleted"):
            command(*words)
    with pytest.raises(InputFileError, match="the working folder was deleted"):
        isd.submit(make_config(), address="127.0.0.1:1", out="run")
    with pytest.raises(InputFileError, match="the working folder was deleted"):
        run_job(["true"])


def test_an_absolute_path_needs_no_working_folder(gone):
    assert absolute("/shared//runs/./kinase") == "/shared/runs/kinase"
    assert absolute("s3://bucket/kinase") == "s3://bucket/kinase"


def test_relative_paths_start_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert working_folder() == Path(os.getcwd())
    assert absolute("runs/../kinase") == f"{tmp_path}/runs/../kinase"


def test_nothing_asks_for_the_working_folder_in_another_way():
    for path in MODULES:
        asked = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.Call)
        }
        if path != Path("storage/addresses.py"):
            assert not asked & {"Path.cwd", "os.getcwd", "os.path.abspath"}, path
