"""What happened: events and faults, the rounds in numbers, and what the campaign was run with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from isd_ray.campaign.events import Event
from isd_ray.campaign.versions import in_force, open_library, taken_up, taken_words
from isd_ray.config_file import to_toml
from isd_ray.core.trips import trips_made
from isd_ray.errors import IsdError
from isd_ray.report.blocks import Block, Code, Facts, ReportSection, Table, Text
from isd_ray.report.numbers import counted
from isd_ray.report.record import Record, Rows
from isd_ray.report.words import setting_lines

N_EVENTS = 200
"""Events that are shown; all of them lie in the campaign's folder."""
N_FILES = 8
"""Files of the hybrid screen whose hashes are shown."""
ROUTINE = ("freeze", "release", "decision", "hybrid")
"""Events that every round or delivery brings; they are counted, not listed."""
EVENTS = {
    "release": "batch frozen and released",
    "decision": "round decided",
    "freeze": "predictions of the whole inference set frozen",
    "dispatch": "files of a batch written for the laboratory",
    "tell": "readouts taken in",
    "refuse": "lines of a file refused",
    "fail": "compounds without a readout",
    "close": "round ended without missing readouts",
    "stop": "stopped by a person",
    "undo": "taken back before it was used",
    "exclude": "compounds taken out of the target set",
    "include": "compounds asked for by people",
    "amend": "readouts corrected",
    "certificate": "certificate written",
    "withdraw": "certificate withdrawn",
    "confirm-ask": "hits drawn to be measured again",
    "confirm-tell": "second readouts taken in",
    "confirmed": "recall of confirmed hits decided",
    "deliver": "hybrid screen delivered",
    "relocate": "library or other files have moved",
    "reconfigure": "files of readouts read otherwise from here on",
    "extend": "compounds added to the library taken up",
    "software": "other software from here on",
    "claim": "the claim tried once more, as its code is another",
    "hybrid": "files of the hybrid screen noted",
}
TRIPS = "trips"
"""Trips to the laboratory until the end of a round: no column of ``rounds.parquet``, but counted from one."""
COLUMNS = {
    "round": "round",
    TRIPS: "trips",
    "n_observed": "observed",
    "n_batch": "batch",
    "n_audit": "audit",
    "n_errors_audit": "errors in it",
    "n_finish": "cut of finish",
    "n_lost": "no readout",
    "n_repeated": "once more",
    "batch_accuracy": "batch accuracy",
    "alpha": "α",
    "system_bound": "bound",
    "inference_accuracy": "inference accuracy (true)",
    "system_accuracy": "system accuracy (true)",
    "delivered_accuracy": "delivered (true)",
    "test_accuracy": "test accuracy",
    "inference_mse": "inference MSE (true)",
}
DECISIONS = {
    "round": "round",
    "fit_seconds": "fit (s)",
    "score_seconds": "score (s)",
    "decision": "decision",
    "reason": "reason",
}
"""Columns of ``rounds.parquet`` that the page shows in two tables, and their headings."""


def events(record: Record) -> ReportSection:
    """The log by kind, what people did, and what was begun anew."""
    kinds = Counter(event["kind"] for event in record.events)
    count = {"event": [EVENTS.get(kind, kind) for kind in kinds], "times": list(kinds.values())}
    blocks: list[Block] = [Text(_faults(record)), Table.of("Events by kind", count)]
    listed = [event for event in record.events if event["kind"] not in ROUTINE]
    if len(listed) > N_EVENTS:
        blocks.append(Text(f"The last {N_EVENTS:,} of {len(listed):,}; all lie in the folder events/ of the campaign."))
    shown = listed[-N_EVENTS:]
    if shown:
        columns: dict[str, list[Any]] = {
            "time (UTC)": [str(event["time"])[:19].replace("T", " ") for event in shown],
            "event": [EVENTS.get(event["kind"], event["kind"]) for event in shown],
            "who": [event["who"] for event in shown],
            "round": [event.get("round") for event in shown],
            "compounds": [event.get("n") for event in shown],
            "file or reason": list(map(_about, shown)),
        }
        blocks.append(Table.of("What happened beside the rounds", columns, words=("event", "who", "file or reason")))
    return ReportSection("Events and faults", "events", tuple(blocks))


def _about(event: Event) -> str | None:
    settings = [f"{line}:" for line in setting_lines(event.get("settings", {}))]
    return " ".join((*settings, event.get("reason") or event.get("file") or _versions(event.get("versions")))) or None


def _versions(software: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted((software or {}).items()))


def _faults(record: Record) -> str:
    """Rounds that were begun more than once: a process had died, or readouts had been corrected."""
    numbers = {files.round: int(files.attempt.path.name.split("-")[1]) for files in record.files}
    again = {number: attempt - 1 for number, attempt in numbers.items() if attempt > 1}
    lost = sum(row["n_lost"] or 0 for row in record.rounds)
    words = (
        f"{counted(lost, 'well')} gave no readout. " if lost else "Every well of the decided rounds gave a readout. "
    )
    if not record.rounds:
        words = "No round is decided yet. "
    if not again:
        return words + "No round had to be begun anew."
    named = ", ".join(f"round {number} ({n} times)" for number, n in again.items())
    return (
        words
        + f"Begun anew, because a process ended early or the record had changed: {named}. Nothing frozen was lost."
    )


def rounds(record: Record) -> ReportSection | None:
    """All rounds in numbers."""
    if not record.rounds:
        return None
    words = (
        "Observed, and all accuracies but the delivered one, speak of the moment at which the model of a round was "
        "fitted; the batch and the decision come after it. Trips to the laboratory are counted with that batch."
    )
    made = trips_made(record.rounds)
    rows = [{**row, TRIPS: trips} for row, trips in zip(record.rounds, made, strict=True)]
    numbers = Table.of("Rounds", _columns(rows, COLUMNS))
    decisions = Table.of("Times and decisions", _columns(rows, DECISIONS), words=("decision", "reason"))
    return ReportSection("Rounds in numbers", "rounds", (Text(words), numbers, decisions))


def _columns(rows: Rows, named: Mapping[str, str]) -> dict[str, list[Any]]:
    """Columns in which there is something, by heading."""
    return {
        heading: [row.get(name) for row in rows]
        for name, heading in named.items()
        if name == "round" or any(row.get(name) for row in rows)
    }


def configuration(record: Record) -> ReportSection:
    """Configuration, hashes and versions."""
    manifest = record.store.manifest
    last = record.files[-1].released if record.files else {}
    certificate = record.store.certificate()
    pairs = [
        ("Campaign", manifest["campaign_id"]),
        ("Seed", str(record.config.seed)),
        ("Library (SHA-256)", in_force(record.store, record.files).hash),
        *(
            ("Library since", taken_words(taken, has_ended=record.summary is not None))
            for taken in taken_up(record.store, record.files)
        ),
        *_records(record),
        ("Last model (SHA-256)", last.get("committee_hash") or "none yet"),
        ("Last batch (SHA-256)", last.get("batch_sha256") or "none yet"),
        ("Certificate", certificate["certificate_id"] if certificate else "none"),
        ("Events in the log", f"{len(record.events):,}, each holding the hash of the one before"),
        ("Software at the start", _versions(manifest["software"])),
    ]
    files = record.store.noted_hybrid()
    if len(files) > N_FILES:
        pairs.append(("Hybrid screen", f"{len(files):,} files; their hashes are in the log"))
    else:
        pairs += [(f"Hybrid screen, {name} (SHA-256)", sha256) for name, sha256 in files.items()]
    blocks = (Facts(tuple(pairs), "Identity of the campaign"), Code(to_toml(record.config), "Configuration"))
    return ReportSection("Configuration and hashes", "configuration", blocks)


def _records(record: Record) -> list[tuple[str, str]]:
    """What became of the records of the library's sources; nothing where the library is out of reach."""
    try:
        counts = open_library(record.store).metadata["counts"]
    except IsdError:
        return []
    words = f"{counts['read']:,} read, {counts['kept']:,} of them the library"
    if counts["duplicates"]:
        words += f"; {counts['duplicates']:,} merged with equal ones"
    left_out = "".join(f"; {n:,} left out: {reason}" for reason, n in counts["rejected"].items())
    return [("Records of its sources", f"{words}{left_out} (rejects.parquet beside the library names them)")]
