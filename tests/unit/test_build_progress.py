"""A build says how far it is, how fast, and how long it will take."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from isd_ray.config import LibraryConfig
from isd_ray.data.ingest import readers
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.report.progress import BUILD_LINE_SECONDS, LiveProgress
from isd_ray.report.steps import ShownGoal


def test_rate_and_time_left_are_of_this_run_not_of_the_one_it_continues():
    progress = BuildProgress(
        n_read=900, n_kept=800, n_merged=60, share=0.9, seconds=10.0, n_read_before=400, share_before=0.4
    )
    assert progress.rate == 50
    assert progress.n_refused == 40
    assert progress.n_total == 1000
    assert progress.seconds_left == pytest.approx(2.0)
    assert BuildProgress(0, 0, 0, 0.0, 0.0).seconds_left is None


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.csv.gz", "x.smi", "x.sdf"])
def test_the_share_read_grows_to_one_and_foretells_the_total(tmp_path, monkeypatch, name):
    monkeypatch.setattr("isd_ray.data.ingest.pieces.CHUNK_ROWS", 10)
    monkeypatch.setattr("isd_ray.data.ingest.readers.READ_ROWS", 20)
    monkeypatch.setattr("isd_ray.data.ingest.parquet.READ_ROWS", 20)
    monkeypatch.setattr("isd_ray.data.ingest.sdf.READ_ROWS", 20)
    monkeypatch.setattr("isd_ray.data.ingest.sdf._READ_BYTES", 2000)
    monkeypatch.setattr(readers, "CSV_BLOCK_BYTES", 600)
    monkeypatch.setattr("isd_ray.data.ingest.texts.BUFFER_BYTES", 400)
    rng = np.random.default_rng(0)
    n, path = 400, tmp_path / name
    smiles = ["C" * int(k) + "O" for k in rng.integers(10, 30, n)]
    if name == "x.parquet":
        pq.write_table(pa.table({"smiles": smiles}), path)
    elif name == "x.sdf":
        block = "\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n" + f"{0:10.4f}" * 3 + " C   0  0\nM  END\n$$$$\n"
        path.write_text(block * n)
    else:
        text = "smiles\n" + "\n".join(smiles) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    seen = []
    config = LibraryConfig(source=str(path), features="ecfp4", duplicates="keep", block_rows=64, workers=1)
    build_library(config, tmp_path / "library", base_dir=tmp_path, progress=seen.append)
    shares = [progress.share for progress in seen]
    if "csv" not in name:  # the size of what is still packed, or read ahead, is an estimate
        assert shares == sorted(shares)
    assert shares[-1] == 1
    assert seen[-1].n_total == n
    exact = name == "x.parquet"
    middle = [progress.n_total for progress in seen if n / 2 <= progress.n_read]
    # So small a file is fetched as a whole before its first record is unpacked.
    assert name.endswith("gz") or all(abs(total - n) <= (0 if exact else n / 4) for total in middle)


def test_without_a_terminal_a_line_a_minute_says_where_the_build_is():
    text = io.StringIO()
    live = LiveProgress(Console(file=text, width=200), ShownGoal())
    for seconds in (1.0, 2.0, BUILD_LINE_SECONDS + 1.0, BUILD_LINE_SECONDS + 2.0):
        n_read = 1000 + round(100 * seconds)
        live.building(BuildProgress(n_read, n_read - 5, 2, n_read / 100_000, seconds, 1000, 0.01))
    assert text.getvalue().splitlines() == [
        "library: continues behind record 1,000",
        "library: 1,100 of 100,000 records read, 2 merged, 3 refused, 100 records/s, about 16.5 min left",
        "library: 7,100 of 100,000 records read, 2 merged, 3 refused, 100 records/s, about 15.5 min left",
    ]
