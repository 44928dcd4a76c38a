"""Temporary files of writers that were killed go with the next step of their campaign, and nothing else does."""

from __future__ import annotations

import os
import time

from isd_ray.ops.campaign import Campaign
from isd_ray.storage.files import sweep
from tests.unit.test_laboratory import LABORATORY

LONG_AGO = time.time() - 3 * 24 * 3600


def test_what_killed_writers_left_goes_after_a_day_and_nothing_else(tmp_path):
    inner = tmp_path / "rounds" / "00001"
    inner.mkdir(parents=True)
    left = [inner / ".round.json.0123456789abcdef", tmp_path / ".rounds.parquet.0123abcd"]
    left.append(tmp_path / ".report.html.77-0123abcd.partial")
    kept = [tmp_path / ".hidden", inner / "round.json", tmp_path / ".notes.txt", inner / ".round.json.0123456789abcdeX"]
    for file in (*left, *kept):
        file.write_text("x")
        os.utime(file, (LONG_AGO, LONG_AGO))
    being_written = inner / ".batch.json.0123456789abcdef"
    being_written.write_text("x")
    (tmp_path / ".folder.0123abcd").mkdir()
    os.utime(tmp_path / ".folder.0123abcd", (LONG_AGO, LONG_AGO))
    sweep(tmp_path)
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in (*kept, being_written, tmp_path / ".folder.0123abcd"))


def test_a_host_whose_clock_is_days_ahead_leaves_what_others_are_writing(tmp_path, monkeypatch):
    being_written = tmp_path / ".batch.json.0123456789abcdef"
    being_written.write_text("x")
    later = time.time() + 3 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [being_written.name]


def test_a_campaign_clears_up_behind_a_killed_process(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    left = tmp_path / "run" / ".campaign.json.0123456789abcdef"
    left.write_text("half of")
    os.utime(left, (LONG_AGO, LONG_AGO))
    campaign.ask()
    assert not left.exists()
