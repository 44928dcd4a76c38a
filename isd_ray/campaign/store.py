"""The campaign directory: append-only, and the truth. Decisions are files that exist or do not.

Only ``batch.json``, ``round.json`` and ``events/<seq>.json`` decide, and each is made by `put_if_absent`. Everything
else is bulk data that a decision names together with its hash; an attempt that was never named is rubbish and ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.data.layout import sha256_file
from isd_ray.errors import CorruptFileError, StoreError

SCHEMA_VERSION = 1


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def put_if_absent(path: Path, data: bytes) -> bool:
    """Create `path` with `data`, whole or not at all; False if it exists already.

    A temporary file is written and synced, then linked to its name: `os.link` fails if the name is taken, on local and
    on shared POSIX file systems.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise StoreError(
                f"this file system cannot create a file exclusively ({error.strerror})",
                str(path.parent),
                "keep the campaign on a local or shared POSIX file system with hard links",
            ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)
    return True


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a round: a folder that counts only once a ``batch.json`` names it."""

    round: int
    path: Path

    @property
    def committee_dir(self) -> Path:
        """Where the members' weights lie."""
        return self.path / "committee"

    @property
    def features_file(self) -> Path:
        """The features of the batch, for the trainers."""
        return self.path / "features.arrow"

    @property
    def batch_file(self) -> Path:
        """The frozen batch."""
        return self.path / "batch.parquet"

    @property
    def predictions_dir(self) -> Path:
        """Frozen predictions of the inference set."""
        return self.path / "predictions"


@dataclass(frozen=True, slots=True)
class RoundFiles:
    """What the store holds of one round."""

    round: int
    attempt: Attempt
    released: Mapping[str, Any]
    committed: Mapping[str, Any] | None

    def read_batch(self) -> pa.Table:
        """The frozen batch, its hash checked against the release."""
        return read_checked(self.attempt.batch_file, self.released["batch_sha256"])


def read_checked(path: Path, sha256: str) -> pa.Table:
    """A Parquet file whose bytes must have the given hash (raises as `check_hash`)."""
    check_hash(path, sha256)
    return pq.read_table(path)


def check_hash(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one that was recorded.

    Raises
    ------
    CorruptFileError
        If the file is missing or its bytes differ.
    """
    if not path.is_file() or sha256_file(path) != sha256:
        raise CorruptFileError(
            "the file is missing or its bytes are not those that were recorded",
            str(path),
            "restore it from a backup; the campaign cannot go on without it",
        )


class CampaignStore:
    """A campaign directory on a local or shared file system.

    Parameters
    ----------
    path:
        The directory; `create` makes it, `open` reads it.
    manifest:
        The content of ``campaign.json``.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> CampaignStore:
        """Begin a campaign in an empty or new directory.

        Raises
        ------
        StoreError
            If a campaign is there already, or the path is on an object store.
        """
        _refuse_url(path)
        manifest = {"schema_version": SCHEMA_VERSION, **manifest}
        if not put_if_absent(path / "campaign.json", canonical_json(manifest)):
            raise StoreError("a campaign is there already", str(path), "choose another folder")
        return cls(path, manifest)

    @classmethod
    def open(cls, path: Path) -> CampaignStore:
        """Open an existing campaign.

        Raises
        ------
        StoreError
            If there is none, or it was written by a later version.
        CorruptFileError
            If ``campaign.json`` does not parse.
        """
        _refuse_url(path)
        file = path / "campaign.json"
        if not file.is_file():
            raise StoreError("there is no campaign here", str(path), "check the path")
        try:
            manifest = json.loads(file.read_bytes())
            version = int(manifest["schema_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFileError(f"not a campaign manifest ({error})", str(file), "restore it") from error
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"schema version {version} is newer than {SCHEMA_VERSION}, which this isd_ray knows",
                str(file),
                "upgrade isd_ray",
            )
        return cls(path, manifest)

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether a campaign was begun in `path`."""
        return (path / "campaign.json").is_file()

    def _round_dir(self, round_number: int) -> Path:
        return self.path / "rounds" / f"{round_number:05d}"

    def new_attempt(self, round_number: int, plan: Mapping[str, Any]) -> Attempt:
        """A fresh folder for one try at a round, with its ``plan.json``."""
        parent = self._round_dir(round_number)
        epoch = 1 + sum(1 for _ in parent.glob("attempt-*"))
        attempt = Attempt(round_number, parent / f"attempt-{epoch}-{secrets.token_hex(4)}")
        attempt.committee_dir.mkdir(parents=True)
        (attempt.path / "plan.json").write_bytes(canonical_json(plan))
        return attempt

    def release(self, attempt: Attempt, batch: pa.Table, details: Mapping[str, Any]) -> Mapping[str, Any]:
        """Freeze a batch: write it, then name it in ``batch.json``. Only after that may it be measured.

        Raises
        ------
        StoreError
            If another coordinator has released this round.
        """
        pq.write_table(batch, attempt.batch_file)
        released = {
            **details,
            "round": attempt.round,
            "attempt": attempt.path.name,
            "n_batch": batch.num_rows,
            "batch_sha256": sha256_file(attempt.batch_file),
            "features_sha256": sha256_file(attempt.features_file),
        }
        self._decide(self._round_dir(attempt.round) / "batch.json", released)
        self.append_event("release", {"round": attempt.round, "batch_sha256": released["batch_sha256"]})
        return released

    def commit(self, round_number: int, record: Mapping[str, Any]) -> None:
        """Commit a round: its metrics, timings and decision."""
        self._decide(self._round_dir(round_number) / "round.json", record)
        self.append_event("decision", {"round": round_number, "decision": record["decision"]})

    def _decide(self, path: Path, record: Mapping[str, Any]) -> None:
        if not put_if_absent(path, canonical_json(record)):
            raise StoreError(
                "this was decided already: another coordinator works on the campaign",
                str(path),
                "let one of them finish; resume reads what was decided",
            )

    def rounds(self) -> list[RoundFiles]:
        """The released rounds, oldest first."""
        return list(self._read_rounds())

    def _read_rounds(self) -> Iterator[RoundFiles]:
        round_number = 0
        while (file := self._round_dir(round_number) / "batch.json").is_file():
            released = _read_json(file)
            attempt = Attempt(round_number, file.parent / released["attempt"])
            commit = file.parent / "round.json"
            yield RoundFiles(round_number, attempt, released, _read_json(commit) if commit.is_file() else None)
            round_number += 1

    def tell(self, readouts: pa.Table, round_number: int) -> str:
        """Keep readouts for ever, named by their content; returns the hash. The same readouts twice change nothing."""
        sink = pa.BufferOutputStream()
        pq.write_table(readouts, sink)
        data = sink.getvalue().to_pybytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if put_if_absent(self._readouts(sha256), data):
            self.append_event("tell", {"round": round_number, "readouts_sha256": sha256})
        return sha256

    def read_readouts(self, sha256: str) -> pa.Table:
        """Readouts by their hash."""
        return read_checked(self._readouts(sha256), sha256)

    def _readouts(self, sha256: str) -> Path:
        return self.path / "readouts" / f"{sha256}.parquet"

    def amend(self, readouts: Sequence[Mapping[str, Any]], reason: str) -> int:
        """Put corrected readouts (row, label, value) on record for ever; returns the number of the amendment."""
        content = canonical_json({"reason": reason, "readouts": [dict(readout) for readout in readouts]})
        number = self.n_amendments
        while not put_if_absent(self.path / "amendments" / f"{number:06d}.json", content):
            number += 1
        self.append_event("amend", {"amendment": number, "n": len(readouts), "reason": reason})
        return number

    @property
    def n_amendments(self) -> int:
        """Amendments on record."""
        return len(self._amendments())

    def amended(self, since: int = 0) -> dict[int, tuple[float, float | None]]:
        """Label and value of every row corrected by amendment `since` or a later one; of several corrections the last.

        The value is None where the readout is a class name.
        """
        return {
            line["row"]: (line["label"], line["value"])
            for file in self._amendments()[since:]
            for line in _read_json(file)["readouts"]
        }

    def amendment_reasons(self, since: int = 0) -> list[str]:
        """Why readouts were corrected, by amendment `since` and the later ones."""
        return [_read_json(file)["reason"] for file in self._amendments()[since:]]

    def _amendments(self) -> list[Path]:
        return sorted((self.path / "amendments").glob("*.json"))

    def append_event(self, kind: str, details: Mapping[str, Any]) -> None:
        """Append to the hash-chained log; each event holds the hash of the one before."""
        folder = self.path / "events"
        sequence = sum(1 for _ in folder.glob("*.json"))
        while True:
            before = folder / f"{sequence - 1:06d}.json"
            event = {
                "sequence": sequence,
                "kind": kind,
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "previous_sha256": sha256_file(before) if sequence else None,
                **details,
            }
            if put_if_absent(folder / f"{sequence:06d}.json", canonical_json(event)):
                return
            sequence += 1

    @property
    def hybrid_dir(self) -> Path:
        """Where the hybrid screen lies."""
        return self.path / "hybrid"

    def certify(self, certificate: Mapping[str, Any]) -> None:
        """Write the certificate; a resumed campaign finds its own there."""
        if put_if_absent(self.path / "certificate.json", canonical_json(certificate)):
            self.append_event("certificate", {"certificate_id": certificate["certificate_id"]})

    def certificate(self) -> dict[str, Any] | None:
        """The content of ``certificate.json``; None without one."""
        file = self.path / "certificate.json"
        return _read_json(file) if file.is_file() else None

    def withdraw(self, reason: str) -> bool:
        """Withdraw the certificate, which stays on record; False if it was withdrawn before."""
        is_new = put_if_absent(self.path / "withdrawn.json", canonical_json({"reason": reason}))
        if is_new:
            self.append_event("withdraw", {"reason": reason})
        return is_new

    def withdrawn(self) -> str | None:
        """Why the certificate was withdrawn; None if it was not."""
        file = self.path / "withdrawn.json"
        return str(_read_json(file)["reason"]) if file.is_file() else None

    def mark_delivered(self, details: Mapping[str, Any]) -> None:
        """Note that the hybrid screen is complete."""
        if put_if_absent(self.path / "delivered.json", canonical_json(details)):
            self.append_event("deliver", details)

    def is_delivered(self) -> bool:
        """Whether the hybrid screen is complete."""
        return (self.path / "delivered.json").is_file()

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
        """Replace a derived table (never a decision) atomically."""
        temporary = self.path / f".{name}.{secrets.token_hex(4)}"
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), temporary)
        temporary.replace(self.path / name)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptFileError(f"does not parse as JSON ({error})", str(path), "restore it from a backup") from error
    if not isinstance(value, dict):
        raise CorruptFileError("is not a JSON object", str(path), "restore it from a backup")
    return value


def _refuse_url(path: Path) -> None:
    if ":/" in str(path):
        raise StoreError(
            f"campaigns live on local or shared file systems so far, not on {str(path)!r}",
            remedy="give a folder; exclusive creation is what keeps two coordinators apart",
        )
