"""What is on disk of an unfinished build: complete parts, and a line for each that says how to go on behind it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isd_ray.data.layout import METADATA_FILE, PARTS_DIRECTORY, REJECTS_FILE
from isd_ray.data.writer import refuse_existing, sync
from isd_ray.errors import LibraryError
from isd_ray.storage.files import sha256_file

_JOURNAL = "build.jsonl"
_LOCK = "lock"
_LIBRARY = "library"
_REJECTS = "rejects"


@dataclass(slots=True)
class Tally:
    """What a build has counted up to a record; all that continuing needs beside the parts themselves.

    Attributes
    ----------
    changes:
        What standardisation did to structures that passed, duplicates included, and to how many.
    starts:
        For each source reached: position of its first record among those of all sources, and the row it would be.
    """

    n_read: int = 0
    n_kept: int = 0
    n_duplicates: int = 0
    share: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    starts: list[tuple[int, int]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """From `to_json`."""
        starts = [(position, row) for position, row in data["starts"]]
        counters = {name: Counter(data[name]) for name in ("reasons", "changes")}
        return cls(**{**data, **counters, "starts": starts})


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """The directory beside `out` where it is built, locked; it stays behind an error if it holds a complete part.

    Raises
    ------
    LibraryError
        If `out` exists with content, its parent cannot be written, or another process builds it.
    """
    refuse_existing(out)
    folder = out.parent / f".{out.name}.building"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise LibraryError(f"cannot be created: {error}", str(out), "choose a directory that can be written") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LibraryError(
                f"another process is building it ({error})", str(out), "wait for that one, or choose another directory"
            ) from error
        try:
            yield folder
        finally:
            if not _entries(folder / _JOURNAL)[1:]:
                shutil.rmtree(folder, ignore_errors=True)


class Journal:
    """The parts that are complete, and the tally behind each.

    Parameters
    ----------
    folder:
        Of `unfinished`.
    identity:
        What the parts depend on, as plain values by name.

    Attributes
    ----------
    stripped:
        Rows of the complete parts whose structure was more than its parent, and the steps that made it (`Stripped`).

    Raises
    ------
    LibraryError
        If the directory holds parts of another identity: neither going on nor throwing hours away is ours to decide.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self._folder = folder
        self._file = folder / _JOURNAL
        self.library = folder / _LIBRARY
        self.parts: list[dict[str, Any]] = []
        self.tally = Tally()
        self.stripped: list[tuple[int, int]] = []
        identity = json.loads(json.dumps(identity))
        header, *entries = _entries(self._file) or [identity]
        if entries and header != identity:
            changed = sorted(key for key in header.keys() | identity.keys() if header.get(key) != identity.get(key))
            raise LibraryError(
                f"an unfinished build of other {', '.join(changed)} lies here, with {len(entries)} complete parts",
                str(folder),
                "remove this directory to begin anew, or finish that build with its own sources and configuration",
            )
        for entry in entries:
            if not self._is_intact(entry["part"]):
                break
            self.parts.append(entry["part"])
            self.tally = Tally.from_json(entry["tally"])
            self.stripped += [(row, steps) for row, steps in entry["stripped"]]
        self._clear()
        lines = [identity, *entries[: len(self.parts)]]
        replacement = self._file.with_suffix(".new")
        replacement.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        sync(replacement)
        replacement.replace(self._file)

    def rejects(self, part: int) -> Path:
        """The file for the records that stand behind the part before, up to the last of this one."""
        return self._folder / _REJECTS / f"part-{part:05d}.parquet"

    def all_rejects(self) -> list[Path]:
        """The files of all parts, and the one for what stands behind the last complete part."""
        return [self.rejects(index) for index in range(len(self.parts) + 1)]

    def record(self, part: dict[str, Any], tally: Tally, stripped: list[tuple[int, int]]) -> None:
        """Note a complete part; its files must be on disk already. `stripped`: see `Intake`."""
        sync(self.rejects(len(self.parts)))
        self.parts.append(part)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"part": part, "tally": tally.to_json(), "stripped": stripped}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def discard(self) -> None:
        """Remove all: these sources can never become a library."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def finish(self, out: Path) -> None:
        """Put the library in its place.

        Raises
        ------
        LibraryError
            If `out` was taken meanwhile.
        """
        refuse_existing(out)
        try:
            if out.exists():
                out.rmdir()
            self.library.rename(out)
        except OSError as error:
            raise LibraryError(f"cannot be put in place: {error}", str(out), "give the same command again") from error
        self.discard()

    def _is_intact(self, part: dict[str, Any]) -> bool:
        path = self.library / part["file"]
        complete = path.is_file() and path.stat().st_size == part["bytes"] and self.rejects(len(self.parts)).is_file()
        return complete and sha256_file(path) == part["sha256"]

    def _clear(self) -> None:
        """Remove what no line speaks of: the part that was being written, and what comes at the end of a build."""
        known = {self.library / part["file"] for part in self.parts}
        known |= {self.rejects(index) for index in range(len(self.parts))}
        for folder in (self.library / PARTS_DIRECTORY, self._folder / _REJECTS):
            folder.mkdir(parents=True, exist_ok=True)
            for path in set(folder.iterdir()) - known:
                path.unlink()
        for name in (METADATA_FILE, REJECTS_FILE):
            (self.library / name).unlink(missing_ok=True)


def _entries(file: Path) -> list[dict[str, Any]]:
    """The lines of a journal, without one that a crash cut short: it lacks its end."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
