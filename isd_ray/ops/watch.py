"""A watched folder: a reader drops files, the campaign takes them in and hands out the next batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from isd_ray.errors import InputFileError, LabelError
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
    file:
        Its path in the inbox.
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

    Files of a batch go to `outbox`. A file in `inbox` or a folder in it is read once its size and time have not changed
    between two looks and moved to ``told/`` or ``refused/``, where a text beside it says what does not count and why.
    Should its writer only have paused, what it adds to the file there is read too. Names that begin with a dot are left
    alone. Killed at any moment, the same call goes on: readouts told twice count once.

    Parameters
    ----------
    every_s:
        Seconds between two looks.
    until_empty:
        End when the inbox holds nothing more, instead of waiting.

    Raises
    ------
    IsdError
        If something else than a file is wrong, as a cluster that cannot be reached. The file stays where it is.
    """
    refuse_file_as_folder(outbox)
    with written(inbox):
        inbox.mkdir(parents=True, exist_ok=True)
    there = _Inbox(campaign, inbox)
    while _hand_out(campaign, outbox):
        while campaign.status().state == "waiting":
            settled, pending = there.look()
            for file in settled:
                yield there.take_in(file)
            if settled:
                continue
            if until_empty and not pending:
                return
            time.sleep(every_s)


class _Inbox:
    """The folder with its files, which are new, or have grown, and are no longer written, or were read."""

    def __init__(self, campaign: Verbs, inbox: Path) -> None:
        self._campaign = campaign
        self._inbox = inbox
        self._told, self._refused = inbox / TOLD, inbox / REFUSED
        self._before: dict[Path, tuple[int, int]] = {}
        self._read: dict[Path, tuple[int, int]] = {}

    def look(self) -> tuple[list[Path], int]:
        """Files to be read now, and how many are waiting until nobody writes them."""
        states = {file: state for file in self._files() if (state := _state(file)) is not None}
        now = {file: state for file, state in states.items() if self._read.get(file) != state}
        settled = [file for file, state in now.items() if self._before.get(file) == state]
        self._before = now
        self._read |= {file: now[file] for file in settled}
        on_record = self._campaign.told_files()
        new = [file for file in settled if self._told not in file.parents or sha256_file(file) not in on_record]
        return new, len(now) - len(settled)

    def take_in(self, file: Path) -> Dropped:
        """Tell a file, and put it where it belongs."""
        path, state = file.relative_to(self._inbox), _state(file)
        try:
            found = Dropped(str(path), self._campaign.tell(file))
        except (InputFileError, LabelError) as error:
            found = Dropped(str(path), None, str(error))
        if state is None:
            return found  # somebody took it away
        place = next((folder for folder in (self._told, self._refused) if folder in file.parents), self._inbox)
        wanted = self._told if place == self._told or found.told is not None else self._refused
        target = file if place == wanted else _free_name(wanted / file.relative_to(place))
        target.parent.mkdir(parents=True, exist_ok=True)
        if reasons := [found.reason] if found.told is None else _not_counted(found.told):
            text = _reason_of(target)
            text.write_text("\n".join(reasons) + "\n", encoding="utf-8")
            os.utime(text, ns=(state[1], state[1]))
        file.rename(target)
        self._read[target] = state
        if place == self._refused != wanted:
            _reason_of(file).unlink()
        return found

    def _files(self) -> list[Path]:
        """All but hidden ones, and refused ones that are as they were."""
        paths = [path.relative_to(self._inbox) for path in sorted(self._inbox.rglob("*"))]
        shown = [self._inbox / path for path in paths if not any(part.startswith(".") for part in path.parts)]
        texts = {_reason_of(file) for file in shown if self._told in file.parents}
        return [file for file in shown if file not in texts and (self._refused not in file.parents or _has_grown(file))]


def _state(file: Path) -> tuple[int, int] | None:
    """Size and time of a file; None of what is none, or no longer there."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if S_ISREG(stat.st_mode) else None


def _reason_of(file: Path) -> Path:
    """The text that says why a file, or lines of it, were refused; its time is that of the file when it was read."""
    return file.with_name(f"{file.name}.txt")


def _has_grown(file: Path) -> bool:
    """Whether a refused file was written since."""
    now, then = _state(file), _state(_reason_of(file))
    return now is not None and then is not None and now[1] > then[1]


def _hand_out(campaign: Verbs, outbox: Path) -> bool:
    batch = campaign.ask()
    if batch is None:
        return False
    if not campaign.is_dispatched(batch.round):
        campaign.dispatch(outbox)
    return True


def _not_counted(told: Told) -> list[str]:
    """Why lines and plates of a file that was told do not count."""
    lines = [(line.line, what, line.reason) for what, some in told.not_counted.items() for line in some]
    plates = [f"plate {plate} does not count: {reason}" for plate, reason in told.failed_plates]
    return [*plates, *(f"line {line} {what}: {reason}" for line, what, reason in sorted(lines))]


def _free_name(path: Path) -> Path:
    """The path, or the first of its numbered neighbours that is free: nothing that was dropped is overwritten."""
    number, free = 1, path
    while free.exists() or _reason_of(free).exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
