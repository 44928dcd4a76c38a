"""A reader drops files in a folder; the campaign goes on by itself."""

from __future__ import annotations

import csv
import threading
import time

import pyarrow.csv
import pytest

from isd_ray.errors import ClusterError
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


def drop(inbox, campaign, truth, path="readouts.csv", text=None):
    """A file as a reader writes it, by default of the first three compounds of the batch."""
    file = inbox / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text or "name,bbb\n" + "".join(f"{name},{truth[name]}\n" for name in campaign.ask().ids[:3]))
    return file


def once(campaign, tmp_path):
    return list(watch(campaign, tmp_path / "inbox", tmp_path / "outbox", every_s=0.01, until_empty=True))


def test_a_file_that_was_refused_while_its_writer_paused_is_read_when_it_has_grown(campaign, truth, tmp_path):
    """A reader writes its heading, then measures for minutes; the file may have been moved meanwhile."""
    inbox = tmp_path / "inbox"
    file = drop(inbox, campaign, truth, text="name,bbb\n")
    writer = file.open("a")
    assert [found.told for found in once(campaign, tmp_path)] == [None]
    assert once(campaign, tmp_path) == []  # as it was
    lines = [f"{name},{truth[name]}\n" for name in campaign.ask().ids]
    for line in lines[:2]:
        writer.write(line)
    writer.close()
    [found] = once(campaign, tmp_path)
    assert (found.file, found.told.n_new) == ("refused/readouts.csv", 2)
    assert list((inbox / "refused").iterdir()) == []
    with (inbox / "told" / "readouts.csv").open("a") as writer:
        writer.write(lines[2])
    assert [found.told.n_new for found in once(campaign, tmp_path)] == [1]
    assert once(campaign, tmp_path) == []


def test_a_file_that_is_refused_again_stays_with_its_new_reason(campaign, truth, tmp_path):
    inbox = tmp_path / "inbox"
    drop(inbox, campaign, truth, text="this is no table\n")
    once(campaign, tmp_path)
    (inbox / "refused" / "readouts.csv").write_text("name,other\nx,1\n")
    assert [found.told for found in once(campaign, tmp_path)] == [None]
    assert {file.name for file in (inbox / "refused").iterdir()} == {"readouts.csv", "readouts.csv.txt"}
    assert "'other'" in (inbox / "refused" / "readouts.csv.txt").read_text()


def test_files_in_folders_are_read_and_keep_their_place(campaign, truth, tmp_path):
    inbox = tmp_path / "inbox"
    drop(inbox, campaign, truth, "2026-01-05/plate 1.csv")
    drop(inbox, campaign, truth, "2026-01-06/plate 1.csv", "this is no table\n")
    drop(inbox, campaign, truth, ".partial/plate 2.csv")
    found = once(campaign, tmp_path)
    assert [(one.file, one.told is not None) for one in found] == [
        ("2026-01-05/plate 1.csv", True),
        ("2026-01-06/plate 1.csv", False),
    ]
    assert (inbox / "told" / "2026-01-05" / "plate 1.csv").is_file()
    assert (inbox / "refused" / "2026-01-06" / "plate 1.csv.txt").is_file()
    assert (inbox / ".partial" / "plate 2.csv").is_file()


def test_lines_that_do_not_count_are_in_a_text_beside_the_file_which_is_told_once(campaign, truth, tmp_path):
    inbox = tmp_path / "inbox"
    first = campaign.ask().ids[0]
    drop(inbox, campaign, truth, text=f"name,bbb\n{first},{truth[first]}\nnobody,BBB+\n{campaign.ask().ids[1]},maybe\n")
    [found] = once(campaign, tmp_path)
    assert found.told.n_new == 1
    lines = (inbox / "told" / "readouts.csv.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["line 3 refused", "line 4 refused"]
    assert "nobody" in lines[0]
    drop(inbox, campaign, truth, "again.csv", (inbox / "told" / "readouts.csv").read_text())
    assert [(one.file, one.told.n_new) for one in once(campaign, tmp_path)] == [("again.csv", 0)]


def test_what_is_not_the_fault_of_a_file_refuses_none(campaign, truth, tmp_path, monkeypatch):
    file = drop(tmp_path / "inbox", campaign, truth)

    def away(self, readouts, **how):
        raise ClusterError("cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr(Campaign, "tell", away)
        with pytest.raises(ClusterError):
            once(campaign, tmp_path)
    assert file.is_file()
    assert [found.told.n_new for found in once(campaign, tmp_path)] == [3]
