"""Files of readouts between their preview and its confirmation."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.serve.apart import Reading
from isd_ray.storage.files import sha256_file

UPLOAD_S = 1800.0
"""How long a file waits for its confirmation."""
MAX_UPLOADS = 32
"""Files that wait at a time; the oldest goes first."""
_NAME_LETTERS = 80


@dataclass(slots=True)
class Upload:
    """A file of readouts that somebody has sent.

    Attributes
    ----------
    id:
        SHA-256 of the file, of what was said of it, and of who sent it to which campaign.
    file:
        The file; its name is made of the sender's and goes into the log.
    options:
        How it is to be told (`Campaign.tell`).
    work:
        The preview that was begun last, or its being told; None before.
    n_events:
        Length of the log when that was begun.
    is_telling:
        Whether it is not a preview.
    lock:
        Of who begins it.
    previewed:
        What its sender saw would become of it.
    """

    id: str
    key: str
    session: str
    file: Path
    sha256: str
    n_bytes: int
    options: Mapping[str, Any]
    ends: float
    work: Future[Reading] | None = None
    n_events: int = -1
    is_telling: bool = False
    previewed: Reading | None = None
    lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def told(self) -> Reading | None:
        """What became of it; None unless it is told."""
        work = self.work if self.is_telling else None
        return work.result() if work is not None and work.done() and work.exception() is None else None

    @property
    def is_at_work(self) -> bool:
        """Whether it is being read."""
        return self.work is not None and not self.work.done()

    def check(self) -> None:
        """Refuse a file whose bytes are not those that were sent.

        Raises
        ------
        CorruptFileError
            If they have changed, or are gone.
        """
        if not self.file.is_file() or sha256_file(self.file) != self.sha256:
            raise CorruptFileError("the file has changed since it was sent", self.file.name, "send it again")


class Uploads:
    """Files that wait, each in a folder of its own.

    Parameters
    ----------
    folder:
        Of this process alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._waiting: dict[str, Upload] = {}

    def put(self, key: str, session: str, name: str, content: BinaryIO, options: Mapping[str, Any]) -> Upload:
        """Keep a file for a campaign and a session; the same one again, until it is told, is the same upload.

        Raises
        ------
        StoreError
            If there is no room for it.
        """
        file = self._folder / secrets.token_hex(16) / file_name(name)
        try:
            file.parent.mkdir()
            with file.open("xb") as sink:
                shutil.copyfileobj(content, sink)
        except OSError as error:
            shutil.rmtree(file.parent, ignore_errors=True)
            raise StoreError(
                f"the file cannot be kept until it is confirmed ({error.strerror})",
                str(self._folder),
                "make room there, or start the page with another TMPDIR, and send it again: nothing was told",
            ) from error
        sha256 = sha256_file(file)
        said = repr((key, session, file.name, sha256, sorted(options.items())))
        upload_id = hashlib.sha256(said.encode()).hexdigest()
        with self._lock:
            self._forget(MAX_UPLOADS - 1)
            known = self._waiting.pop(upload_id, None)
            if known is not None and known.told is None:
                shutil.rmtree(file.parent)
                self._waiting[upload_id] = known
                return known
            ends = time.monotonic() + UPLOAD_S
            if known is not None:
                shutil.rmtree(known.file.parent)
            upload = Upload(upload_id, key, session, file, sha256, file.stat().st_size, options, ends)
            self._waiting[upload_id] = upload
            return upload

    def find(self, upload_id: str, key: str, session: str) -> Upload | None:
        """A file that this session sent to this campaign; None if it is not there, or not any more."""
        with self._lock:
            self._forget(MAX_UPLOADS)
            upload = self._waiting.get(upload_id)
            return upload if upload is not None and (upload.key, upload.session) == (key, session) else None

    def _forget(self, n_kept: int) -> None:
        now = time.monotonic()
        for n_left, (name, upload) in zip(range(len(self._waiting), 0, -1), list(self._waiting.items()), strict=True):
            if upload.ends < now or n_left > n_kept:
                shutil.rmtree(self._waiting.pop(name).file.parent, ignore_errors=True)


def file_name(name: str) -> str:
    """The name of a file as a sender gives it, of letters that no path is made of; readers go by its ending."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", re.split(r"[/\\]", name)[-1]).lstrip(".-")
    stem, dot, ending = plain.rpartition(".")
    return f"{stem[:_NAME_LETTERS]}{dot}{ending[:_NAME_LETTERS]}" if stem else plain[:_NAME_LETTERS] or "readouts.csv"
