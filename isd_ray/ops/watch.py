"""A watched folder: a reader drops files, the campaign takes them in and hands out the next batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isd_ray.errors import IsdError
from isd_ray.ops.measuring import Verbs
from isd_ray.ops.telling import Told
from isd_ray.storage.files import sha256_file
from isd_ray.storage.output_files import refuse_file_as_folder, written

TOLD, REFUSED = "told", "refused"
"""Folders in the inbox that files are moved to."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that was taken in or refused.

    Attributes
    ----------
    told:
        What became of it; None if nothing in it could be used.
    reason:
        Why it was refused; empty if it was not.
    """

    file: str
    told: Told | None
    reason: str = ""


def watch(
    campaign: Verbs, inbox: Path, outbox: Path, *, every_s: float = 5.0, until_empty: bool = False
) -> Iterator[Dropped]:
    """Ask, hand out, and tell what is dropped, to the end of the screen.

    Files of a batch go to `outbox`. A file in `inbox` is read once its size and time have not changed between two looks
    and moved to ``told/`` or, with a text that says why, ``refused/``. Should its writer only have paused, what it adds
    to the file in ``told/`` is read too. Names that begin with a dot are left alone. Killed at any moment, the same
    call goes on: readouts told twice count once.

    Parameters
    ----------
    every_s:
        Seconds between two looks.
    until_empty:
        End when the inbox holds nothing more, instead of waiting.
    """
    refuse_file_as_folder(outbox)
    with written(inbox):
        inbox.mkdir(parents=True, exist_ok=True)
    looks = _Looks(campaign, inbox)
    while _hand_out(campaign, outbox):
        while campaign.status().state == "waiting":
            settled, pending = looks.look()
            for file in settled:
                yield _take_in(campaign, file)
            if settled:
                continue
            if until_empty and not pending:
                return
            time.sleep(every_s)


class _Looks:
    """Which files are new, or have grown, and are no longer written."""

    def __init__(self, campaign: Verbs, inbox: Path) -> None:
        self._campaign = campaign
        self._inbox = inbox
        self._before: dict[Path, tuple[int, int]] = {}
        self._read: dict[Path, tuple[int, int]] = {}

    def look(self) -> tuple[list[Path], int]:
        """Files to be read now, and how many are waiting until nobody writes them."""
        files = sorted([*self._inbox.iterdir(), *(self._inbox / TOLD).glob("*")])
        states = {file: _state(file) for file in files if file.is_file() and not file.name.startswith(".")}
        now = {file: state for file, state in states.items() if self._read.get(file) != state}
        settled = [file for file, state in now.items() if self._before.get(file) == state]
        self._before = now
        for file in settled:
            self._read[file] = now[file]
        on_record = self._campaign.told_files()
        new = [file for file in settled if file.parent == self._inbox or sha256_file(file) not in on_record]
        return new, len(now) - len(settled)


def _state(file: Path) -> tuple[int, int]:
    """Size and time of a file."""
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _hand_out(campaign: Verbs, outbox: Path) -> bool:
    batch = campaign.ask()
    if batch is None:
        return False
    if not campaign.is_dispatched(batch.round):
        campaign.dispatch(outbox)
    return True


def _take_in(campaign: Verbs, file: Path) -> Dropped:
    try:
        found = Dropped(file.name, campaign.tell(file))
    except IsdError as error:
        found = Dropped(file.name, None, str(error))
    if file.parent.name == TOLD:
        return found
    folder = file.parent / (TOLD if found.told is not None else REFUSED)
    folder.mkdir(exist_ok=True)
    target = _free_name(folder / file.name)
    if found.told is None:
        target.with_name(f"{target.name}.txt").write_text(found.reason + "\n", encoding="utf-8")
    file.rename(target)
    return found


def _free_name(path: Path) -> Path:
    """The path, or the first of its numbered neighbours that is free: nothing that was dropped is overwritten."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
