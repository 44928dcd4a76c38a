"""A process that is killed at one of its writes, in this process: nothing it does afterwards reaches the disk."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq
import pytest

from isd_ray.campaign import scoring


class Killed(BaseException):
    """Stands for SIGKILL; no handler of ours may catch it."""


class Disk:
    """Counts writes, and ends the process at one of them.

    Attributes
    ----------
    n_writes:
        Writes so far.
    die_at:
        Number of the write that the process does not live to do, or leaves half done.
    torn:
        Leave half of a bulk file behind, as a machine does that loses power.
    tore:
        Whether it did.
    """

    def __init__(self, die_at: int | None = None, torn: bool = False) -> None:
        self.n_writes = 0
        self.die_at = die_at
        self.torn = torn
        self.dead = False
        self.tore = False

    def around(self, write: Any, bulk_file: int | None = None) -> Any:
        """The same function, which counts as a write; `bulk_file` is the place of the file among its arguments."""

        def counted(*arguments: Any, **options: Any) -> Any:
            if self.dead:
                raise Killed
            if self.n_writes == self.die_at:
                self.dead = True
                if self.torn and bulk_file is not None and isinstance(arguments[bulk_file], str | os.PathLike):
                    write(*arguments, **options)
                    self.tore = True
                    os.truncate(arguments[bulk_file], os.path.getsize(arguments[bulk_file]) // 2)
                raise Killed
            self.n_writes += 1
            return write(*arguments, **options)

        return counted


@contextmanager
def writing_to(disk: Disk) -> Iterator[Disk]:
    """Let every write of a campaign in this process go through `disk`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", disk.around(os.link))
        for name in ("mkdir", "unlink", "replace"):
            patch.setattr(pathlib.Path, name, disk.around(getattr(pathlib.Path, name)))
        for name in ("write_bytes", "write_text"):
            patch.setattr(pathlib.Path, name, disk.around(getattr(pathlib.Path, name), 0))
        patch.setattr(pq, "write_table", disk.around(pq.write_table, 1))
        patch.setattr(scoring, "write_features", disk.around(scoring.write_features, 1))
        yield disk
