"""A reader drops files in a folder; the campaign goes on by itself."""

from __future__ import annotations

import csv
import threading
import time

import pyarrow.csv
import pytest

from isd_ray.ops.campaign import Campaign
from isd_ray.ops.watch import watch

LABORATORY = {
    "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
    "model": {"hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 150},
    "stopping": {"rule": "none", "max_rounds": 2},
}


@pytest.fixture
def campaign(make_config, tmp_path) -> Campaign:
    return Campaign.create(tmp_path / "run", make_config(**LABORATORY))


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, str]:
    table = pyarrow.csv.read_csv(compounds)
    return dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))


def test_files_that_are_dropped_carry_a_campaign_to_its_end(campaign, truth, tmp_path):
    """The robot waits for a batch, writes half of a file, then the rest, and nonsense in between."""
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"

    def robot():
        for number in range(2):
            file = outbox / f"round-{number:05d}-batch.csv"
            while not file.is_file():
                time.sleep(0.02)
            time.sleep(0.1)
            with file.open(newline="") as source:
                ids = [line["id"] for line in csv.DictReader(source)]
            (inbox / ".hidden.csv").write_text("name,bbb\n")
            (inbox / f"note-{number}.csv").write_text("this is no table\n")
            with (inbox / "readouts.csv").open("w") as sink:
                sink.write("name,bbb\n")
                for name in ids:
                    sink.write(f"{name},{truth[name]}\n")
                    if name == ids[70]:
                        sink.flush()
                        time.sleep(0.15)

    worker = threading.Thread(target=robot)
    worker.start()
    dropped = list(watch(campaign, inbox, outbox, every_s=0.1))
    worker.join()
    assert campaign.has_ended
    assert sum(found.told.n_new for found in dropped if found.told) == 300
    assert [found.file for found in dropped if found.told is None] == ["note-0.csv", "note-1.csv"]
    # The writer's pause was longer than a look: the file was taken for complete, and read again when it had grown.
    assert {file.name for file in inbox.iterdir()} == {".hidden.csv", "told", "refused"}
    assert {file.name for file in (inbox / "refused").iterdir()} >= {"note-0.csv", "note-0.csv.txt"}
    assert len(list((inbox / "told").iterdir())) >= 2


def test_without_files_it_ends_when_asked_to(campaign, tmp_path):
    assert list(watch(campaign, tmp_path / "inbox", tmp_path / "outbox", every_s=0.01, until_empty=True)) == []
    assert campaign.is_dispatched(0)
    assert campaign.status().counts["RUNNING"] == 150
