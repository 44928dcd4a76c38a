"""The campaign directory: append-only, and the truth. Decisions are files that exist or do not.

Only ``batch.json``, ``round.json`` and ``events/<seq>.json`` decide, and each is created exclusively. Everything
else is bulk data that a decision names together with its hash; an attempt that was never named is rubbish and ignored.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.events import Event, EventLog
from isd_ray.campaign.manifest import (
    MANIFEST,
    RELOCATE,
    SCHEMA_VERSION,
    config_in_force,
    library_at,
    origin_of,
    read_manifest,
)
from isd_ray.campaign.round_files import Attempt, Release, RoundFiles, RoundRecord, as_stored
from isd_ray.campaign.whole import DECISIONS, require_whole
from isd_ray.errors import CorruptFileError, StoreError
from isd_ray.storage.files import (
    canonical_json,
    check_hash,
    identity_of,
    parquet_bytes,
    read_checked,
    read_json,
    replace_table,
    replace_text,
    sha256_file,
    sweep,
)
from isd_ray.storage.folder import Folder, folder_at

_DELIVERED = ("round", "n_measured", "n_predicted", "frozen")
"""Keys of ``delivered.json`` that every version has written."""


class CampaignStore:
    """A campaign directory: a local or shared folder, or one on an object store.

    Parameters
    ----------
    folder:
        The directory; `create` makes it, `open` reads it.
    manifest:
        The content of ``campaign.json``.

    Attributes
    ----------
    path:
        The directory on this machine: itself, or the copy of what is on the object store.
    address:
        Path or URI of the directory.
    """

    def __init__(self, folder: Folder, manifest: Mapping[str, Any]) -> None:
        self._folder = folder
        self.path = folder.path
        self.address = folder.address
        self.manifest = manifest
        self._log = EventLog(folder, folder.path / "events", origin_of(manifest))

    @classmethod
    def create(cls, path: str | Path, manifest: Mapping[str, Any]) -> CampaignStore:
        """Begin a campaign in an empty or new directory.

        Raises
        ------
        StoreError
            If a campaign is there already, or the place has no exclusive creation.
        """
        folder, manifest = folder_at(path), {"schema_version": SCHEMA_VERSION, **manifest}
        data = canonical_json(manifest)
        if not folder.create(folder.path / MANIFEST, data):
            raise StoreError("a campaign is there already", folder.address, "choose another folder")
        folder.refuse_overwriting(folder.path / MANIFEST, data)
        return cls(folder, manifest)

    @classmethod
    def open(cls, path: str | Path) -> CampaignStore:
        """Open an existing campaign.

        Raises
        ------
        StoreError
            If there is none, or it was written by a later version, or by one from before the first release.
        CorruptFileError
            If ``campaign.json`` does not parse.
        """
        folder = folder_at(path)
        return cls(folder, read_manifest(folder))

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Whether a campaign was begun in `path`."""
        folder = folder_at(path)
        return folder.names_it(folder.path / MANIFEST)

    @property
    def library(self) -> str:
        """Path or URI of the target library, where it lies now."""
        moved = [event for event in self.events() if event["kind"] == RELOCATE]
        return library_at(str(moved[-1]["library"] if moved else self.manifest["library"]), self.address)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration in force (`isd_ray.campaign.manifest.config_in_force`)."""
        return config_in_force(self.manifest, self.events())

    def address_of(self, path: Path) -> str:
        """What workers on other machines know a file or folder of this campaign as."""
        return self._folder.address_of(path)

    def check(self, file: Path, sha256: str) -> None:
        """Refuse a file that is not the one that was recorded (raises as `check_hash`)."""
        self._folder.holds(file)
        check_hash(file, sha256)

    def hash_of(self, file: Path) -> str:
        """SHA-256 of a file that a worker has written."""
        self._folder.holds(file)
        return sha256_file(file)

    def round_dir(self, round_number: int) -> Path:
        """Folder of a round."""
        return self.path / "rounds" / f"{round_number:05d}"

    def new_attempt(self, round_number: int) -> Attempt:
        """A fresh folder for one try at a round."""
        parent = self.round_dir(round_number)
        epoch = 1 + sum(1 for _ in parent.glob("attempt-*"))
        attempt = Attempt(round_number, parent / f"attempt-{epoch}-{secrets.token_hex(4)}")
        attempt.committee_dir.mkdir(parents=True)
        return attempt

    def release(self, attempt: Attempt, batch: pa.Table, details: Release) -> Release:
        """Freeze a batch: write it, then name it in ``batch.json``. Only after that may it be measured.

        Raises
        ------
        StoreError
            If another process has released this round.
        """
        pq.write_table(batch, attempt.batch_file)
        self._folder.keep(attempt.path)
        released: Release = {
            **details,
            "round": attempt.round,
            "attempt": attempt.path.name,
            "n_batch": batch.num_rows,
            "batch_sha256": sha256_file(attempt.batch_file),
            "features_sha256": self.hash_of(attempt.features_file),
        }
        self._decide(self.round_dir(attempt.round) / "batch.json", released)
        self._log_release(released)
        return released

    def note_frozen(self, round_number: int, files: Mapping[str, str]) -> None:
        """Log what was frozen, before it is released: freezing other predictions in its place is seen.

        The same predictions frozen again, after a crash, are noted once.
        """
        sha256 = hashlib.sha256(canonical_json(dict(files))).hexdigest()
        self._log_once("freeze", {"round": round_number, "predictions_sha256": sha256})

    def commit(self, round_number: int, record: RoundRecord) -> None:
        """Commit a round: its metrics, timings and decision."""
        self._decide(self.round_dir(round_number) / "round.json", record)
        self._log_decision(record)

    def _decide(self, path: Path, record: Mapping[str, Any]) -> None:
        if not self._folder.create(path, canonical_json(record)):
            raise StoreError(
                "another process asked at the same time, and has decided this already",
                str(path),
                "give `isd ask` again, which goes on from there; of a simulation let the other process end",
            )

    def rounds(self, *, whole: bool = True) -> list[RoundFiles]:
        """The released rounds, oldest first; with `whole` none is missing that the log tells of (`require_whole`)."""
        events = self.events() if whole else []  # before the rounds: each event comes after what it tells of
        rounds: list[RoundFiles] = []
        while self._folder.holds(file := self.round_dir(len(rounds)) / "batch.json"):
            released = as_stored(Release, read_json(file), file)
            attempt = Attempt(len(rounds), file.parent / released["attempt"])
            commit = file.parent / "round.json"
            committed = as_stored(RoundRecord, read_json(commit), commit) if self._folder.holds(commit) else None
            rounds.append(RoundFiles(len(rounds), attempt, released, committed, self._folder))
        if whole:
            require_whole(rounds, events, len(self.events()), self.path)
        return rounds

    def keep(self, readouts: pa.Table) -> str:
        """Keep a table of readouts, or of rows, for ever, named by its content; returns the hash."""
        data = parquet_bytes(readouts)
        sha256 = hashlib.sha256(data).hexdigest()
        self._folder.create(self._readouts(sha256), data)
        return sha256

    def read_readouts(self, sha256: str) -> pa.Table:
        """What `keep` kept."""
        self._folder.holds(self._readouts(sha256))
        return read_checked(self._readouts(sha256), sha256)

    def kept(self) -> set[str]:
        """Hashes of all that `keep` kept."""
        names = map(Path, self._folder.names(self.path / "readouts"))
        return {name.stem for name in names if name.suffix == ".parquet"}

    def _readouts(self, sha256: str) -> Path:
        return self.path / "readouts" / f"{sha256}.parquet"

    def events(self) -> list[Event]:
        """The log, oldest first."""
        return list(self._log.read())

    def append_event(self, kind: str, details: Mapping[str, Any], *, after: int | None = None) -> bool:
        """Append to the hash-chained log; see `EventLog.append`."""
        return self._log.append(kind, details, after=after)

    def heads(self) -> list[str]:
        """SHA-256 of the log as it was after each event (`EventLog.hashes`)."""
        return self._log.hashes()

    def head(self) -> str | None:
        """SHA-256 of the log as it is, to be noted elsewhere: who has it sees whether anything before was changed."""
        heads = self.heads()
        return heads[-1] if heads else None

    def settle(self) -> None:
        """Log decisions whose event is missing: their writer was killed between the two; and clear up behind others.

        Raises
        ------
        CorruptFileError
            If a decision is gone whose event is there: it would be taken again, and otherwise.
        """
        sweep(self.path)
        for file, sha256 in self.decided():
            self.check(file, sha256)
        for files in self.rounds():
            self._log_release(files.released)
            if files.committed is not None:
                self._log_decision(files.committed)
        if (certificate := self.certificate()) is not None:
            self._log_once("certificate", {"certificate_id": certificate["certificate_id"]})
        if (reason := self.withdrawn()) is not None:
            self._log_once("withdraw", {}, reason=reason)
        if self.is_delivered():
            self._log_once("deliver", {}, **self.delivered())
            if not self.noted_hybrid():
                self.note_hybrid()

    def decided(self) -> Iterator[tuple[Path, str]]:
        """The files of the decisions that the log names, with their hashes, oldest first."""
        for event in self.events():
            if (name := DECISIONS.get(event["kind"])) is not None:
                yield self.round_dir(event["round"]) / name, event["file_sha256"]

    def _log_release(self, released: Release) -> None:
        file = self.round_dir(released["round"]) / "batch.json"
        # Of a batch of wells that were lost before, the round that lost them; and the later portions of its audit.
        named = {name: value for name, value in released.items() if name in ("repeats", "audit_rest_sha256")}
        self._log_once("release", {"round": released["round"]}, file_sha256=sha256_file(file), **named)

    def _log_decision(self, record: RoundRecord) -> None:
        file = self.round_dir(record["round"]) / "round.json"
        names = ("decision", "readouts_sha256", "audits_sha256")  # the last of a look
        named = {name: record.get(name) for name in names if name in record}
        self._log_once("decision", {"round": record["round"]}, file_sha256=sha256_file(file), **named)

    def _log_once(self, kind: str, key: Mapping[str, Any], **details: Any) -> None:
        """Log what happens once: unless there is an event of that kind and key."""
        while not self._log.has(kind, **key):
            self._log.append(kind, {**key, **details}, after=len(self._log.read()))

    @property
    def hybrid_dir(self) -> Path:
        """Where the hybrid screen lies."""
        return self.path / "hybrid"

    def certify(self, certificate: Mapping[str, Any]) -> None:
        """Write the certificate; a resumed campaign finds its own there."""
        self._folder.create(self.path / "certificate.json", canonical_json(certificate))
        self._log_once("certificate", {"certificate_id": certificate["certificate_id"]})

    def certificate(self) -> dict[str, Any] | None:
        """The content of ``certificate.json``; None without one.

        Raises
        ------
        CorruptFileError
            If it is not what was issued: its id is the hash of its content, and the log has the id.
        """
        file = self.path / "certificate.json"
        if not self._folder.holds(file):
            return None
        found = read_json(file)
        if identity_of(found, "certificate_id") != found.get("certificate_id"):
            raise CorruptFileError(
                "was altered: its id is not the hash of its content", str(file), "restore it from a backup"
            )
        issued = {event["certificate_id"] for event in self.events() if event["kind"] == "certificate"}
        if issued - {found["certificate_id"]}:
            raise CorruptFileError(
                "is another certificate than the log tells of", str(file), "restore it from a backup"
            )
        return found

    def withdraw(self, reason: str) -> None:
        """Withdraw the certificate, which stays on record; a second reason changes nothing."""
        self._folder.create(self.path / "withdrawn.json", canonical_json({"reason": reason}))
        self._log_once("withdraw", {}, reason=self.withdrawn())

    def withdrawn(self) -> str | None:
        """Why the certificate was withdrawn; None if it was not."""
        file = self.path / "withdrawn.json"
        return str(read_json(file)["reason"]) if self._folder.holds(file) else None

    @property
    def _delivered(self) -> Path:
        return self.path / "delivered.json"

    def mark_delivered(self, details: Mapping[str, Any]) -> None:
        """Note that the hybrid screen is complete."""
        self._folder.bring(self.hybrid_dir)  # by workers, elsewhere
        self._folder.keep(self.hybrid_dir)
        self._folder.create(self._delivered, canonical_json(details))
        self._log_once("deliver", {}, **self.delivered())
        self.note_hybrid()

    def note_hybrid(self) -> None:
        """Log the hashes of the hybrid screen's files, if they are not those that were logged last."""
        files = {file.name: sha256_file(file) for file in sorted(self.hybrid_dir.glob("part-*.parquet"))}
        if self.noted_hybrid() != files:
            self._log.append("hybrid", {"files": files})

    def noted_hybrid(self) -> dict[str, str]:
        """The hashes that `note_hybrid` logged last, by file."""
        noted: list[dict[str, str]] = [event["files"] for event in self.events() if event["kind"] == "hybrid"]
        return noted[-1] if noted else {}

    def bring_committee(self, attempt: Attempt) -> None:
        """Have the models of an attempt on this machine."""
        self._folder.bring(attempt.committee_dir)

    def bring_hybrid(self) -> None:
        """Have the files of the hybrid screen on this machine, as they are now."""
        self._folder.bring(self.hybrid_dir)

    def check_hybrid(self) -> None:
        """Refuse files of the hybrid screen that are not those that were logged last (raises as `check_hash`)."""
        if not (noted := self.noted_hybrid()):
            return
        for name, sha256 in noted.items():
            check_hash(self.hybrid_dir / name, sha256)
        if foreign := sorted({file.name for file in self.hybrid_dir.glob("part-*.parquet")} - noted.keys()):
            raise CorruptFileError(
                "is no part of the hybrid screen that the log tells of", str(self.hybrid_dir / foreign[0]), "remove it"
            )

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
        """Replace a derived table, never a decision."""
        replace_table(rows, schema, self.path / name)
        self.keep_file(self.path / name)

    def write_text(self, name: str, text: str) -> None:
        """Write a file for people, whole or not at all."""
        replace_text(self.path / name, text)
        self.keep_file(self.path / name)

    def keep_file(self, file: Path) -> None:
        """Have others see a file that was written anew."""
        self._folder.keep_file(file)

    def latest(self, name: str) -> Path:
        """Where a derived file or one for people lies on this machine, as it is now; it need not exist."""
        self._folder.holds_now(self.path / name)
        return self.path / name

    def delivered(self) -> dict[str, Any]:
        """What `mark_delivered` noted."""
        return read_json(self._delivered, _DELIVERED)

    def is_delivered(self) -> bool:
        """Whether the hybrid screen is complete."""
        return self._folder.holds(self._delivered)
