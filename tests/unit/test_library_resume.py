"""A build that was cut off goes on behind its last complete part and ends in the same bytes.

Invariants: wherever it was cut, and however often; other sources or another configuration are never mixed in; nothing
stays behind an error that would come again.
"""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray.config import LibraryConfig
from isd_ray.data.ingest import intake
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.origins import Origins
from isd_ray.data.writer import LibraryWriter, RejectsWriter, join_rejects
from isd_ray.errors import InputFileError, LibraryError

PART_ROWS = 32


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 7)


def compounds(n, start=0):
    """Lines with distinct molecules, every fifth of them again under the same id, and what does not parse."""
    lines = ["smiles,id,cost"]
    for i in range(start, start + n):
        chain = "FC" + "".join(f"{'CNOS'[i >> shift & 3]}C" for shift in (6, 4, 2, 0)) + "Cl"
        lines.append(f"{chain},c{i},{i / 4}")
        if i % 5 == 0:
            lines.append(f"{chain},c{i},{i / 4}")
        if i % 11 == 0:
            lines.append(f"C1CC,bad{i},0")
    return lines


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name, lines in {"a.csv": compounds(90), "b.csv": compounds(40, start=80)}.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def config_of(sources, **options):
    settings = {"id_column": "id", "columns": ["cost"], "features": "ecfp4", "block_rows": 16, "part_blocks": 2}
    source = [str(sources / name) for name in ("a.csv", "b.csv")]
    return LibraryConfig.model_validate({"source": source, "workers": 1, **settings, **options})


def build(config, out, progress=None):
    return build_library(config, out, base_dir=out.parent, progress=progress)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class CutError(Exception):
    """The build ends here."""


def cut_at(n_read):
    def progress(seen):
        if seen.n_read >= n_read:
            raise CutError

    return progress


def cut_off(config, out, n_read):
    with pytest.raises(CutError):
        build(config, out, cut_at(n_read))
    return out.parent / f".{out.name}.building"


@pytest.fixture(scope="module")
def undisturbed(sources, tmp_path_factory):
    return build(config_of(sources), tmp_path_factory.mktemp("undisturbed") / "library")


@pytest.mark.parametrize("by", ["smiles", "features"])
def test_records_that_are_looked_up_together_become_the_same_rows_and_rejects(sources, tmp_path, monkeypatch, by):
    config = config_of(sources, duplicates_by=by)
    one_by_one = build(config, tmp_path / "one-by-one")
    monkeypatch.setattr(intake, "_ONE_IN", 1)
    for n_together in (8, 30, 1000):
        monkeypatch.setattr(intake, "_MOST_AT_ONCE", n_together)
        seen = []
        together = build(config, tmp_path / f"by-{n_together}", seen.append)
        assert files(together.path) == files(one_by_one.path)
        assert seen[-1].n_read == one_by_one.metadata["counts"]["read"]
        assert len({progress.n_read for progress in seen}) < len(seen), "some waited for others"


def test_a_build_that_is_cut_while_records_wait_for_others_ends_in_the_same_bytes(
    sources, undisturbed, tmp_path, monkeypatch
):
    monkeypatch.setattr(intake, "_ONE_IN", 1)
    monkeypatch.setattr(intake, "_MOST_AT_ONCE", 20)
    for cut in range(7, 150, 14):
        cut_off(config_of(sources), tmp_path / f"cut-{cut}", cut)
        assert files(build(config_of(sources), tmp_path / f"cut-{cut}").path) == files(undisturbed.path), cut


@pytest.mark.parametrize("by", ["smiles", "features"])
def test_wherever_a_build_is_cut_the_library_is_the_same(sources, tmp_path, by):
    config = config_of(sources, duplicates_by=by)
    whole = build(config, tmp_path / "whole")
    expected = files(whole.path)
    n_read = whole.metadata["counts"]["read"]
    assert whole.n_rows > 2 * PART_ROWS
    for cut in range(7, n_read, 14):
        out = tmp_path / f"cut-{cut}"
        folder = cut_off(config, out, cut)
        assert folder.exists() == (cut >= 42), "42 records make the first part"
        assert not out.exists()
        assert files(build(config, out).path) == expected, cut
        assert not folder.exists()


def test_a_build_may_be_cut_again_and_again(sources, undisturbed, tmp_path):
    seen = []
    for n_read in (60, 90, 91, 130):
        folder = cut_off(config_of(sources), tmp_path / "library", n_read)
        seen.append(len((folder / "build.jsonl").read_text().splitlines()))
    assert files(build(config_of(sources), tmp_path / "library").path) == files(undisturbed.path)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_a_killed_build_continues_and_does_no_part_again(sources, undisturbed, tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from isd_ray.config import LibraryConfig
        from isd_ray.data.ingest import pieces
        from isd_ray.data.ingest.build import build_library

        def progress(seen):
            if seen.n_read > 90:
                os.kill(os.getpid(), signal.SIGKILL)

        pieces.CHUNK_ROWS = 7
        config = LibraryConfig.model_validate_json({config_of(sources).model_dump_json()!r})
        build_library(config, Path({str(tmp_path / "library")!r}), base_dir=Path("."), progress=progress)
        """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    part = tmp_path / ".library.building/library/parts/part-00000.arrow"
    written = part.stat().st_mtime_ns
    seen = []
    library = build(config_of(sources), tmp_path / "library", seen.append)
    assert files(library.path) == files(undisturbed.path)
    assert (library.path / "parts/part-00000.arrow").stat().st_mtime_ns == written
    assert seen[0].n_read_before >= 42
    assert seen[0].n_read - seen[0].n_read_before <= 7
    assert 0 < seen[0].share_before < seen[0].share < seen[-1].share == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"standardise": False}, "standardise"),
        ({"features": "light"}, "features"),
        ({"columns": []}, "columns"),
        ({"block_rows": 8, "part_blocks": 4}, "block_rows, part_blocks"),
    ],
)
def test_another_configuration_is_refused_and_the_parts_stay(sources, undisturbed, tmp_path, options, named):
    out = tmp_path / "library"
    folder = cut_off(config_of(sources), out, 90)
    with pytest.raises(LibraryError, match=rf"unfinished build of other {named} lies here[\s\S]*remove this directory"):
        build(config_of(sources, **options), out)
    assert (folder / "build.jsonl").exists()
    assert files(build(config_of(sources), out).path) == files(undisturbed.path)


def test_a_changed_source_is_refused(sources, tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes((sources / name).read_bytes())
    out = tmp_path / "library"
    cut_off(config_of(tmp_path), out, 90)
    text = (tmp_path / "b.csv").read_text()
    (tmp_path / "b.csv").write_text(text.replace("c118", "d118"))  # the same size
    with pytest.raises(LibraryError, match="unfinished build of other sources"):
        build(config_of(tmp_path), out)


def test_a_source_that_changes_during_the_build_is_an_error(sources, tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes((sources / name).read_bytes())

    def progress(seen):
        with (tmp_path / "a.csv").open("a") as stream:
            stream.write("CCO,x,1\n")

    with pytest.raises(InputFileError, match=r"a\.csv: changed while it was read"):
        build(config_of(tmp_path), tmp_path / "library", progress)
    assert not (tmp_path / ".library.building").exists()


def test_the_number_of_processes_may_change_on_the_way(sources, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.ingest.molecules.SERIAL_CHUNKS", 0)
    cut_off(config_of(sources), tmp_path / "library", 90)
    assert files(build(config_of(sources, workers=2), tmp_path / "library").path) == files(undisturbed.path)


@pytest.mark.parametrize("damage", ["short part", "altered part", "no rejects", "torn line", "stray part"])
def test_what_a_crash_left_half_written_is_done_again(sources, undisturbed, tmp_path, damage):
    out = tmp_path / "library"
    folder = cut_off(config_of(sources), out, 105)
    journal, part = folder / "build.jsonl", folder / "library/parts/part-00001.arrow"
    assert len(journal.read_text().splitlines()) == 3
    match damage:
        case "short part":
            part.write_bytes(part.read_bytes()[:-8])
        case "altered part":
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 1
            part.write_bytes(data)
        case "no rejects":
            (folder / "rejects/part-00001.parquet").unlink()
        case "torn line":
            journal.write_text(journal.read_text()[:-30])
        case "stray part":
            (folder / "library/parts/part-00007.arrow").write_bytes(b"x")
    assert files(build(config_of(sources), out).path) == files(undisturbed.path)


def test_two_processes_do_not_build_one_library(sources, tmp_path):
    out = tmp_path / "library"
    folder = cut_off(config_of(sources), out, 90)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LibraryError, match="another process is building it"):
            build(config_of(sources), out)
    assert build(config_of(sources), out).n_rows


def test_an_error_that_would_come_again_leaves_nothing(sources, tmp_path):
    text = (sources / "b.csv").read_text()
    (tmp_path / "a.csv").write_bytes((sources / "a.csv").read_bytes())
    (tmp_path / "b.csv").write_text(text + "CCO,c3,1\n")
    with pytest.raises(
        InputFileError, match=r"'c3' belongs to two compounds: record 6 of a.csv and record 52 \(line 53"
    ):
        build(config_of(tmp_path), tmp_path / "library")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_after_a_cut_ids_are_still_told_apart_from_those_before(sources, tmp_path):
    text = (sources / "b.csv").read_text()
    (tmp_path / "a.csv").write_bytes((sources / "a.csv").read_bytes())
    (tmp_path / "b.csv").write_text(text + "CCO,c3,1\n")
    cut_off(config_of(tmp_path), tmp_path / "library", 120)
    with pytest.raises(InputFileError, match=r"'c3' belongs to two compounds: record 6 of a.csv and record 52"):
        build(config_of(tmp_path), tmp_path / "library")


def test_a_refused_duplicate_names_a_record_of_a_finished_part(sources, tmp_path):
    lines = [line for line in compounds(90) if "bad" not in line]
    distinct = list(dict.fromkeys(lines))
    (tmp_path / "a.csv").write_text("\n".join([*distinct, distinct[4].replace("c3", "again")]) + "\n")
    config = config_of(tmp_path, source=str(tmp_path / "a.csv"), duplicates="refuse")
    with pytest.raises(LibraryError, match=r"line 92 \(record 91\) repeats record 4"):
        build(config, tmp_path / "library")


def test_a_finished_library_holds_nothing_but_itself(undisturbed):
    parts = [f"parts/part-{index:05d}.arrow" for index in range(undisturbed.n_parts)]
    assert sorted(files(undisturbed.path)) == ["library.json", *parts, "rejects.parquet"]
    described = json.loads((undisturbed.path / "library.json").read_text())["parts"]
    assert [part["n_rows"] for part in described][:-1] == [PART_ROWS] * (undisturbed.n_parts - 1)


def test_only_records_of_unfinished_parts_are_remembered(tmp_path):
    (tmp_path / "parts").mkdir()
    writer = LibraryWriter(tmp_path, block_rows=8, part_blocks=2)
    origins = Origins(tmp_path, writer, [(0, 0), (30, 20)], 0)
    records = np.concatenate([np.arange(1, 21) * 2, np.arange(1, 13) * 5])
    for start in range(0, 32, 4):
        origins.add(records[start : start + 4])
        writer.append(pa.table({"record": records[start : start + 4]}))
        if writer.room == 16:
            origins.flushed(start + 4)
        assert sum(map(len, origins._records)) < 16
    assert [origins.of(row) for row in (0, 9, 19, 20, 31)] == [(0, 2), (0, 20), (0, 40), (1, 5), (1, 60)]


def test_rejects_lie_the_same_way_wherever_their_files_were_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("isd_ray.data.writer._REJECTS_BUFFER", 5)
    for n_cut in (0, 3, 7, 12, 17):
        with_cut = [range(n_cut), range(n_cut, 17)]
        for index, records in enumerate(with_cut):
            writer = RejectsWriter(tmp_path / f"{index}.parquet")
            for record in records:
                writer.add(file="a", line=record, record=record, id=None, smiles=None, reason="x", row=None)
            writer.close()
        joined = tmp_path / f"joined-{n_cut}.parquet"
        join_rejects([tmp_path / "0.parquet", tmp_path / "1.parquet"], joined)
        with pq.ParquetFile(joined) as file:
            assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [5, 5, 5, 2]
            assert file.read()["record"].to_pylist() == list(range(17))
        assert joined.read_bytes() == (tmp_path / "joined-0.parquet").read_bytes()
