"""An addition to a library while it goes on: raw values of each part, finished parts, and a journal of both.

It lies in the library, in ``blocks/.NAME.building``, until the block is complete. An addition that was cut off keeps
what the journal speaks of, if it is intact.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.core.features import Dense
from isd_ray.data.blocks.description import part_name
from isd_ray.data.blocks.standard import Moments, signed_log
from isd_ray.data.layout import BLOCKS_DIRECTORY, FEATURES, features_to_arrow
from isd_ray.data.writer import sync
from isd_ray.errors import LibraryError
from isd_ray.storage.files import sha256_file

_JOURNAL = "add.jsonl"
_RAW, _PARTS = "raw", "parts"


class Spool:
    """Raw values in, part by part in any order; finished parts out.

    Parameters
    ----------
    library:
        Folder of the library.
    name, width:
        Of the block.
    rows:
        First row of each part, and the row after its last.
    block_rows:
        Rows of one record batch.
    takes_logs:
        Whether values are kept as signed logarithms.
    identity:
        What the parts depend on, as plain values by name.

    Raises
    ------
    LibraryError
        If an unfinished addition of another identity lies there.
    """

    def __init__(
        self,
        library: Path,
        name: str,
        width: int,
        rows: Sequence[tuple[int, int]],
        block_rows: int,
        *,
        takes_logs: bool,
        identity: dict[str, Any],
    ) -> None:
        self.rows = rows
        self.width = width
        self._name = name
        self._block_rows = block_rows
        self._takes_logs = takes_logs
        self._home = library / BLOCKS_DIRECTORY / name
        self._folder = library / BLOCKS_DIRECTORY / f".{name}.building"
        self._open: dict[int, np.memmap] = {}
        self._raw: dict[int, dict[str, Any]] = {}
        self._done: dict[int, dict[str, Any]] = {}
        for part in (_RAW, _PARTS):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        if self._home.is_dir():  # put in place, but not described any more before a crash
            shutil.rmtree(self._folder / _PARTS)
            self._home.rename(self._folder / _PARTS)
        self._read_journal(json.loads(json.dumps(identity)))

    @property
    def missing(self) -> list[int]:
        """Parts whose raw values are needed."""
        return [part for part in range(len(self.rows)) if part not in self._raw and part not in self._done]

    def write(self, part: int, first: int, values: NDArray[np.floating]) -> None:
        """Put raw values (m, width) at the rows of a part that begin with `first`, counted in the part."""
        self._values(part)[first : first + len(values)] = signed_log(values) if self._takes_logs else values

    def scatter(self, rows: NDArray[np.int64], values: NDArray[np.floating]) -> None:
        """Put raw values (m, width) at rows of the library; those of parts that are not missing are left."""
        missing = set(self.missing)
        for part, (first, stop) in enumerate(self.rows):
            here = np.flatnonzero((rows >= first) & (rows < stop))
            if len(here) and part in missing:
                taken = values[here]
                self._values(part)[rows[here] - first] = signed_log(taken) if self._takes_logs else taken

    def complete(self, part: int, **counts: int) -> None:
        """Say that all raw values of a part are written; rows that were not are missing throughout.

        Parameters
        ----------
        counts:
            What people should know, to be summed over the parts.
        """
        values = self._values(part)
        steps = range(0, len(values), self._block_rows)
        moments = Moments.merged(Moments.of(values[start : start + self._block_rows]) for start in steps)
        values.flush()
        del self._open[part], values
        file = self._raw_file(part)
        sync(file)
        self._note({"raw": part, "sha256": sha256_file(file), "moments": moments.to_json(), "counts": counts})

    @property
    def moments(self) -> Moments:
        """Of the values as they are kept, over all parts in their order."""
        return Moments.merged(Moments.from_json(self._seen[part]["moments"]) for part in range(len(self.rows)))

    @property
    def counts(self) -> dict[str, int]:
        """Sums of the counts of all parts."""
        total: dict[str, int] = {}
        for part in range(len(self.rows)):
            for name, count in self._seen[part]["counts"].items():
                total[name] = total.get(name, 0) + count
        return total

    def raw(self, part: int, start: int) -> NDArray[np.float32]:
        """The values of a block of a part, as they are kept, from row `start` of the part on."""
        return self._values(part)[start : start + self._block_rows]

    def is_done(self, part: int) -> bool:
        """Whether a part is finished."""
        return part in self._done

    def finish(self, part: int, blocks: Iterable[NDArray[np.float16]]) -> None:
        """Write a part as it stays: one record batch for each block of rows."""
        path = self._part_file(part)
        schema = pa.schema([(FEATURES, pa.list_(pa.float16(), self.width))])
        n_missing = 0
        with pa.ipc.new_file(path, schema, options=pa.ipc.IpcWriteOptions(compression=None)) as sink:
            for values in blocks:
                sink.write_batch(pa.record_batch([features_to_arrow(Dense(values))], schema=schema))
                n_missing += int(np.isnan(values).sum())
        sync(path)
        first, stop = self.rows[part]
        described = {"file": part_name(self._name, part), "first_row": first, "n_rows": stop - first}
        described.update(bytes=path.stat().st_size, sha256=sha256_file(path))
        self._note({"done": part, "part": described, "n_missing": n_missing})
        self._open.pop(part, None)
        self._raw_file(part).unlink(missing_ok=True)

    @property
    def parts(self) -> tuple[dict[str, Any], ...]:
        """Descriptions of the finished parts."""
        return tuple(self._done[part]["part"] for part in range(len(self.rows)))

    @property
    def n_missing(self) -> int:
        """Missing values of the finished parts."""
        return sum(entry["n_missing"] for entry in self._done.values())

    def put_in_place(self) -> None:
        """Move the finished parts to where the description will say that they are."""
        (self._folder / _PARTS).rename(self._home)

    def discard(self) -> None:
        """Remove what is left of the addition."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _values(self, part: int) -> np.memmap:
        if part not in self._open:
            file, (first, stop) = self._raw_file(part), self.rows[part]
            shape = (stop - first, self.width)
            is_new = part not in self._raw
            self._open[part] = np.memmap(file, np.float32, "w+" if is_new else "r", shape=shape)
            if is_new:
                self._open[part][:] = np.nan
        return self._open[part]

    def _raw_file(self, part: int) -> Path:
        return self._folder / _RAW / f"part-{part:05d}.f32"

    def _part_file(self, part: int) -> Path:
        return self._folder / _PARTS / Path(part_name(self._name, part)).name

    def _read_journal(self, identity: dict[str, Any]) -> None:
        file = self._folder / _JOURNAL
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.is_file() else []
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        header, *entries = entries or [identity]
        if entries and header != identity:
            changed = sorted(key for key in header.keys() | identity.keys() if header.get(key) != identity.get(key))
            raise LibraryError(
                f"an unfinished addition of block {self._name!r} with other {', '.join(changed)} lies here",
                str(self._folder),
                "remove this directory to begin anew, or finish that addition as it was begun",
            )
        # A part may have been done again: the last line of each is true.
        self._seen: dict[int, dict[str, Any]] = {entry["raw"]: entry for entry in entries if "raw" in entry}
        for part, entry in {entry["done"]: entry for entry in entries if "done" in entry}.items():
            path = self._part_file(part)
            if path.is_file() and sha256_file(path) == entry["part"]["sha256"]:
                self._done[part] = entry
        for part, entry in self._seen.items():
            path = self._raw_file(part)
            if path.is_file() and sha256_file(path) == entry["sha256"]:
                self._raw[part] = entry
        replacement = file.with_suffix(".new")
        kept = [identity, *self._seen.values(), *self._done.values()]
        replacement.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        sync(replacement)
        replacement.replace(file)

    def _note(self, entry: dict[str, Any]) -> None:
        with (self._folder / _JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        if "raw" in entry:
            self._raw[entry["raw"]] = self._seen[entry["raw"]] = entry
        else:
            self._done[entry["done"]] = entry
