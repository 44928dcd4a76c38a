"""Reading a campaign again: whether it is what was written, and every compound is accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from isd_ray.campaign.committees import load_committee
from isd_ray.campaign.events import Event
from isd_ray.campaign.files import canonical_json, check_hash
from isd_ray.campaign.store import DECISIONS, CampaignStore, RoundFiles
from isd_ray.data.library import Library
from isd_ray.errors import IsdError
from isd_ray.ops.reconcile import hybrid_problems

T = TypeVar("T")
_TABLES = ("readouts_sha256", "readings_sha256", "quality_sha256")
_LASTING = {"certificate": "certificate.json", "withdraw": "withdrawn.json", "deliver": "delivered.json"}
"""Files that stay for ever, by the kind of the event that tells of them."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a second reading found.

    Attributes
    ----------
    problems:
        In words, each with the file it is about; empty for a sound campaign.
    notes:
        As `problems`, of what a command leaves that is cut off: tables that no event names.
    n_events, n_files, n_rows:
        Events, files and compounds that were read.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    n_events: int
    n_files: int
    n_rows: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class _Findings:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.n_files = 0

    def check(self, work: Callable[..., T], *arguments: Any) -> T | None:
        """Do a check; what it raises is a finding. None if it raised."""
        self.n_files += 1
        try:
            return work(*arguments)
        except (IsdError, OSError, pa.ArrowException, KeyError, ValueError, IndexError) as error:
            self.problems.append(str(error).splitlines()[0])
            return None

    def say(self, path: Path, problem: str) -> None:
        self.problems.append(f"{path}: {problem}")


def verify(store: CampaignStore) -> Verified:
    """Read everything again that decisions rest on, whatever is broken already.

    The chain of events, without a gap and from what the campaign began with; that each decision is in it, and each file
    that an event names there; hashes of batches, features, plate maps, frozen predictions, models, readouts,
    certificate and library; that the sets partition the library; and that the hybrid screen says what was measured and,
    of all other compounds, what was frozen before.
    """
    findings = _Findings()
    events = findings.check(store.events)
    library = findings.check(Library.open, store.manifest["library"])
    if library is not None:
        findings.check(library.verify)
        if library.hash != store.manifest["library_hash"]:
            findings.say(library.path, f"is another library than {store.manifest['library_hash'][:12]}")
    rounds = findings.check(store.rounds) or []
    for files in rounds:
        _verify_round(findings, store, files)
    # Of a log that cannot be read nothing more is said: all else would seem not to be in it.
    notes = [] if events is None else _verify_log(findings, store, events, rounds)
    certificate = findings.check(store.certificate)
    if certificate is not None:
        content = {name: value for name, value in certificate.items() if name != "certificate_id"}
        if hashlib.sha256(canonical_json(content)).hexdigest()[:16] != certificate["certificate_id"]:
            findings.say(store.path / "certificate.json", "was altered: its id is not the hash of its content")
        told = {event["certificate_id"] for event in events or () if event["kind"] == "certificate"}
        if told - {certificate["certificate_id"]}:
            findings.say(store.path / "certificate.json", "is another certificate than the log tells of")
    if events is not None and library is not None and store.is_delivered():
        for problem in findings.check(lambda: list(hybrid_problems(store, library, rounds))) or ():
            findings.say(store.hybrid_dir, problem)
    n_rows = 0 if library is None else library.n_rows
    return Verified(tuple(findings.problems), tuple(notes), len(events or ()), findings.n_files, n_rows)


def _verify_log(
    findings: _Findings, store: CampaignStore, events: Sequence[Event], rounds: Sequence[RoundFiles]
) -> list[str]:
    """What the log names is there, as every event comes after its files, and what is there is in it; returns notes."""
    kept = store.kept()  # listed before the log is read again: of a command that ran meanwhile both are there
    named = {event[name] for event in store.events() for name in _TABLES if event.get(name) is not None}
    for sha256 in sorted(named):
        findings.check(store.read_readouts, sha256)
    decided = dict(store.decided())
    for file, sha256 in decided.items():
        findings.check(store.check, file, sha256)
    for files in rounds:
        for kind, name in DECISIONS.items():
            file = store.round_dir(files.round) / name
            if file.is_file() and file not in decided:
                findings.say(file, f"no event tells of this {kind}; `isd resume` adds it")
    for kind in sorted({event["kind"] for event in events} & _LASTING.keys()):
        if not store.latest(_LASTING[kind]).is_file():
            findings.say(store.path / _LASTING[kind], "is missing, but the log tells of it; restore it from a backup")
    for name, sha256 in store.noted_hybrid().items():
        findings.check(check_hash, store.hybrid_dir / name, sha256)
    return [
        f"{store.path / 'readouts' / sha256}.parquet: no event names this table: its command was cut off before it was "
        "on record, or its event was removed; give the command again if what it said is missing"
        for sha256 in sorted(kept - named)
    ]


def _verify_round(findings: _Findings, store: CampaignStore, files: RoundFiles) -> None:
    attempt, released = files.attempt, files.released
    batch = findings.check(files.read_batch)
    findings.check(files.read_plates)
    findings.check(store.check, attempt.features_file, released["features_sha256"])
    if "external_sha256" in released:
        findings.check(store.check, attempt.external_file, released["external_sha256"])
    if "forecasts_sha256" in released:
        findings.check(store.check, attempt.forecasts_file, released["forecasts_sha256"])
    for name, sha256 in (released.get("predictions") or {}).items():
        findings.check(store.check, attempt.predictions_dir / name, sha256)
    findings.check(store.bring_committee, attempt)
    findings.check(load_committee, attempt.committee_dir, released["committee_hash"])
    if files.committed is None or batch is None:
        return
    readouts = findings.check(store.read_readouts, files.committed["readouts_sha256"])
    if readouts is not None and not readouts["row"].equals(batch["row"]):
        findings.say(attempt.batch_file, f"round {files.round} has readouts of other compounds than were asked for")
