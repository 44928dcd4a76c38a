"""Files and folders that a user names to be written: what is in the way is told, and nothing half written stays."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.data.output_files import replacing
from isd_ray.errors import OutputFileError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate


@pytest.fixture(scope="module")
def screen(make_config, tmp_path_factory):
    """A screen that has ended."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    changes = {"model": {"hidden_size": 8, "epochs": 1}, "stopping": {"rule": "none", "max_fraction": 0.2}}
    simulate(make_config(**changes), folder)
    return folder


@pytest.fixture
def campaign(make_config, tmp_path) -> Campaign:
    labels = {"column": "bbb", "classes": ["BBB+", "BBB-"]}
    return Campaign.create(tmp_path / "run", make_config(labels=labels))


def refused(*arguments) -> str:
    """What the command line says; anything but the error of files is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is not None, result.output
    if not isinstance(result.exception, OutputFileError):
        raise result.exception
    return str(result.exception)


@pytest.mark.parametrize("command", ["export", "report"])
@pytest.mark.parametrize("ending", [".csv", ".sdf", ".parquet"])
def test_a_file_cannot_lie_in_no_folder_or_take_the_place_of_one(screen, tmp_path, command, ending):
    name = f"d{ending}"
    missing = refused(command, screen, "--out", tmp_path / "nodir" / name)
    assert "cannot be written (No such file or directory)" in missing
    assert "make the folder" in missing
    (tmp_path / name).mkdir()
    assert "name a file in it" in refused(command, screen, "--out", tmp_path / name)
    (tmp_path / "plain").write_text("")
    assert "cannot be written (Not a directory)" in refused(command, screen, "--out", tmp_path / "plain" / name)
    assert {path.name for path in tmp_path.iterdir()} == {name, "plain"}


def test_nothing_stays_of_a_file_that_was_not_finished(tmp_path):
    def fail_half_way() -> None:
        with replacing(tmp_path / "half.csv") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with replacing(pipe) as place:
        assert place == pipe
    assert pipe.is_fifo()


def test_a_batch_goes_into_a_folder_that_can_be_made_and_is_not_asked_for_before(campaign, tmp_path):
    file = tmp_path / "my.csv"
    file.write_text("")
    assert "is a file, and a folder is to be written" in refused("ask", campaign.path, "--out", file)
    assert campaign.batch() is None
    assert "cannot be written" in refused("ask", campaign.path, "--out", "/proc/foo")
    batch = campaign.ask()
    for write in (batch.to_csv, batch.to_parquet, campaign.dispatch):
        with pytest.raises(OutputFileError, match="cannot be written"):
            write(file / "batch.csv")
    assert not campaign.is_dispatched(0)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "my.csv"}


def test_what_is_to_be_a_folder_is_refused_before_anything_is_computed(compounds, make_config, tmp_path):
    file = tmp_path / "my.csv"
    file.write_text("")
    for out in (file, file / "deeper"):
        with pytest.raises(OutputFileError, match=r"my\.csv: is a file, and a folder is to be written here"):
            simulate(make_config(), out)
        with pytest.raises(OutputFileError, match=r"my\.csv: is a file"):
            Campaign.create(out, make_config(labels={"column": "bbb", "classes": ["BBB+", "BBB-"]}))
    assert "is a file" in refused("reference-energy", compounds, "--column", "size", "--out", file)
    assert "is a file" in refused("phenomics", compounds, "--out", file)


def test_a_template_needs_a_folder_to_lie_in(tmp_path):
    assert "cannot be written" in refused("init", tmp_path / "nodir" / "x.toml")
