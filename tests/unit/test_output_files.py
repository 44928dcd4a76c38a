"""Files and folders that a user names to be written: what is in the way is told, and nothing half written stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import isd_ray
from isd_ray.cli import app
from isd_ray.data.library import Library
from isd_ray.errors import OutputFileError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate
from isd_ray.storage.folder import RemoteFolder
from isd_ray.storage.output_files import replacing, written


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


@pytest.mark.parametrize(
    ("command", "ending"), [("export", ".csv"), ("export", ".sdf"), ("export", ".parquet"), ("report", ".html")]
)
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


def write(file: Path, text: str) -> None:
    with replacing(file) as place:
        place.write_text(text)


@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_link_points_to_is_written_and_the_link_stays(tmp_path, is_there):
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "o.csv"
    if is_there:
        target.write_text("old")
    (tmp_path / "first").symlink_to("data/o.csv")
    link = tmp_path / "second"
    link.symlink_to(tmp_path / "first")
    write(link, "new")
    assert target.read_text() == "new"
    assert link.is_symlink()
    assert (tmp_path / "first").readlink() == Path("data/o.csv")
    assert list(target.parent.iterdir()) == [target]


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OutputFileError, match="a: cannot be written"):
        write(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_there_keeps_its_mode_also_while_it_is_written(tmp_path, mode):
    file = tmp_path / "o.csv"
    file.write_text("old")
    file.chmod(mode)
    with replacing(file) as partial:
        assert partial.stat().st_mode & 0o777 == mode
        partial.write_text("new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", mode)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("place", ["/proc/self/fd/1", "link"])
def test_standard_output_that_goes_to_a_file_is_written_in_place(tmp_path, place):
    # Never /dev/stdout itself: root, and code that renames, would take it from the machine.
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "import os, sys; from pathlib import Path; from isd_ray.storage.output_files import replacing\n"
        "with replacing(Path(sys.argv[1])) as place: place.write_text('new')\n"
        "assert os.fstat(1).st_ino == os.stat('o.csv').st_ino"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(isd_ray.__file__).parents[1])}
    with (tmp_path / "o.csv").open("w") as stream:
        subprocess.run([sys.executable, "-c", code, place], cwd=tmp_path, env=environment, stdout=stream, check=True)
    assert (tmp_path / "o.csv").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_file_in_a_folder_that_takes_no_new_ones_is_written_in_place(tmp_path, monkeypatch):
    def refuse(path: Path, *_, **__) -> None:  # root may write everywhere
        raise PermissionError(errno.EACCES, "", str(path))

    (tmp_path / "o.csv").write_text("old")
    monkeypatch.setattr(Path, "touch", refuse)
    write(tmp_path / "o.csv", "new")
    assert (tmp_path / "o.csv").read_text() == "new"
    with pytest.raises(OutputFileError, match=r"p\.csv: cannot be written \(Permission denied\)"):
        write(tmp_path / "p.csv", "new")


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    file = tmp_path / "o.csv"

    def fail() -> None:
        with replacing(file) as second:
            second.write_text("second")
            assert len({first, second, file}) == 3
            raise KeyboardInterrupt

    with replacing(file) as first:
        first.write_text("first")
        with pytest.raises(KeyboardInterrupt):
            fail()
        assert (first.name[0], first.suffix, first.parent) == (".", ".partial", tmp_path)
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    file = tmp_path / ("o" * 251 + ".csv")
    write(file, "new")
    assert file.read_text() == "new"


@pytest.mark.parametrize("read", [Path.read_text, pq.read_schema, Path.iterdir], ids=["python", "arrow", "folder"])
@pytest.mark.parametrize("guard", [replacing, written])
def test_an_input_that_is_missing_is_not_blamed_on_the_output(tmp_path, read, guard):
    with pytest.raises(FileNotFoundError, match=r"input\.csv"), guard(tmp_path / "o.csv"):
        list(read(tmp_path / "input.csv"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("guard", [replacing, written])
def test_a_disk_that_is_full_is_the_output_s(tmp_path, guard):
    with pytest.raises(OutputFileError, match=r"o\.csv: cannot be written \(No space left"), guard(tmp_path / "o.csv"):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")  # names no file, as of a stream


def test_a_uri_is_refused_and_makes_no_folder(screen, campaign, make_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    ended, said = Campaign.open(screen), r"^s3://b/o\.csv: is a URI.*\n.*write it here, then copy it there"
    for write_to in (ended.export, ended.report):
        for place in ("s3://user:secret@b/o.csv", Path("s3://b/o.csv")):
            with pytest.raises(OutputFileError, match=said):
                write_to(place)
    library = campaign.library.path
    for words in (
        ("ask", campaign.path),
        ("export", screen),
        ("report", screen),
        ("library", "split", library),
        ("watch", campaign.path, "inbox"),
        ("phenomics", "x.parquet"),
        ("reference-energy", "x.csv", "--column", "e"),
    ):
        assert "s3://b/o.csv: is a URI" in refused(*words, "--out", "s3://b/o.csv")
    assert "s3://b/o.csv: is a URI" in refused("init", "s3://b/o.csv")
    batch = campaign.ask()
    for write_to in (batch.to_csv, batch.to_parquet, batch.write, campaign.dispatch):
        with pytest.raises(OutputFileError, match=said):
            write_to("s3://b/o.csv")
    assert Library.exists(library)
    assert set(tmp_path.iterdir()) == before


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


def test_what_a_killed_writer_left_is_not_sent_to_the_object_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ISD_CACHE", str(tmp_path))
    sent: list[str] = []
    monkeypatch.setattr("isd_ray.storage.folder.list_objects", lambda address: {})
    monkeypatch.setattr("isd_ray.storage.folder.send", lambda file, address: sent.append(file.name))
    folder = RemoteFolder("s3://b/run")
    place = folder.path / "attempt-0" / "predictions"
    place.mkdir(parents=True)
    for name in ("part-00000.parquet", ".part-00000.parquet.12-0badcafe.partial"):
        (place / name).write_text("")
    folder.keep(folder.path / "attempt-0")
    assert sent == ["part-00000.parquet"]
