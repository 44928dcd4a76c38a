"""Reading a campaign again: whether it is what was written, and every compound is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.amend import certificate_differences, objection, recounted
from isd_ray.campaign.committees import load_committee
from isd_ray.campaign.confirmed import check as check_confirmed
from isd_ray.campaign.events import Event
from isd_ray.campaign.ledger import SAYINGS
from isd_ray.campaign.round_files import RoundFiles, look_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.undone import UNDO, came_too_late, is_evidence
from isd_ray.campaign.versions import check_blocks, extension_problems, newest, open_library
from isd_ray.campaign.whole import DECISIONS
from isd_ray.card import card, pairs, paragraphs
from isd_ray.data.layout import METADATA_FILE, content_hash
from isd_ray.data.library import Library
from isd_ray.errors import CorruptFileError, IsdError
from isd_ray.ops.reconcile import hybrid_problems
from isd_ray.ops.results import check_rounds, stored_summary
from isd_ray.storage.files import check_hash, read_json

T = TypeVar("T")
_TABLES = (
    *("readouts_sha256", "readings_sha256", "quality_sha256", "refused_sha256"),
    *("audits_sha256", "audit_rest_sha256"),
)
MIN_HEAD = 8
"""Fewest letters of a head."""
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

    def _repr_html_(self) -> str:
        read = [("Events", self.n_events), ("Files", self.n_files), ("Compounds", self.n_rows)]
        counts = pairs((what, f"{n:,}") for what, n in read)
        return card("No problem" if self.is_sound else "PROBLEMS", counts, paragraphs([*self.problems, *self.notes]))

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
            if (problem := str(error).splitlines()[0]) not in self.problems:  # several checks may meet one problem
                self.problems.append(problem)
            return None

    def say(self, path: Path, problem: str) -> None:
        self.problems.append(f"{path}: {problem}")


def verify(store: CampaignStore, head: str | None = None) -> Verified:
    """Read everything again that decisions rest on, whatever is broken already.

    The chain of events, without a gap and from what the campaign began with; that each decision is in it, and each file
    that an event names there; hashes of batches, features, plate maps, frozen predictions, models, readouts,
    certificate, second readouts and library; that its blocks are those that the campaign began with; that each version
    of it that was taken up begins with the one before, and joined in no round of a look; that the sets partition the
    library; that the hybrid screen says what was measured and, of all other compounds, what was frozen before; and that
    a certificate agrees with the readouts on record, counted again (`isd_ray.campaign.recount`).

    Parameters
    ----------
    head:
        Of the log, as `Status.head` once was, or its beginning: the log has to hold it, so that nothing before it was
        changed or removed since. Without one, a log whose last events were removed, or that was made anew as a whole,
        is none that this can tell from another.
    """
    findings = _Findings()
    events = findings.check(store.events)
    if head is not None and events is not None:
        _verify_head(findings, store, head)
    began = store.manifest
    library = findings.check(
        Library.open,
        began["library"] if events is None else store.library,
        began["library_hash"] if events is None else newest(store).hash,
    )
    if library is not None:
        findings.check(library.verify)
        for problem in _description_problems(library.metadata):
            findings.say(library.path / METADATA_FILE, problem)
    if library is not None and events is not None:
        for name, sha256 in newest(store).blocks.items():
            findings.check(check_blocks, {name: sha256}, library)
    rounds = findings.check(store.rounds)
    if rounds is None:  # a part is missing, or cannot be read: what is there is read all the same
        rounds = findings.check(lambda: store.rounds(whole=False)) or []
    for files in rounds:
        _verify_round(findings, store, files)
    if events is not None and library is not None:
        for problem in findings.check(lambda: list(extension_problems(store, library, rounds))) or ():
            findings.say(store.path / "events", problem)
    # Of a log that cannot be read nothing more is said: all else would seem not to be in it.
    notes = [] if events is None else _verify_log(findings, store, events, rounds)
    if events is not None:
        findings.check(store.certificate)
        notes += findings.check(_verify_counts, findings, store) or []
        findings.check(check_confirmed, store)
        findings.check(check_rounds, store)
        findings.check(stored_summary, store)
    if events is not None and library is not None and store.is_delivered():
        delivered = findings.check(open_library, store) or library
        for problem in findings.check(lambda: list(hybrid_problems(store, delivered, rounds))) or ():
            findings.say(store.hybrid_dir, problem)
    n_rows = 0 if library is None else library.n_rows
    return Verified(tuple(findings.problems), tuple(notes), len(events or ()), findings.n_files, n_rows)


def _verify_head(findings: _Findings, store: CampaignStore, head: str) -> None:
    wanted = head.strip().lower()
    if len(wanted) < MIN_HEAD or not any(known.startswith(wanted) for known in store.heads()):
        findings.say(
            store.path / "events",
            f"the log was never at head {head!r}: events were changed or removed since, or this is not its head",
        )


def _description_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the description of a library whose parts are sound."""
    parts = metadata["parts"]
    hashes = [part["sha256"] for part in parts]
    if metadata["hash"] != content_hash(metadata["features"], metadata["n_rows"], metadata["block_rows"], hashes):
        yield "was altered: its hash is not that of what it describes"
    firsts = [0, *(part["first_row"] + part["n_rows"] for part in parts)]
    if firsts != [*(part["first_row"] for part in parts), metadata["n_rows"]]:
        yield "was altered: the rows of its parts are not those of the library"
    counts = metadata["counts"]
    n_out = counts["kept"] + counts["duplicates"] + sum(counts["rejected"].values())
    if counts["kept"] != metadata["n_rows"] or counts["read"] != n_out:
        yield f"was altered: of {counts['read']:,} records that were read {n_out:,} are accounted for"


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
    for kind, found in (("withdraw", store.withdrawn), ("deliver", store.delivered)):
        event = next((event for event in events if event["kind"] == kind), None)
        file = store.path / _LASTING[kind]
        if event is not None and file.is_file() and (said := findings.check(found)) is not None:
            noted = event.get("reason") if kind == "withdraw" else {name: event.get(name) for name in said}
            if said != noted:
                findings.say(file, "does not say what the log says")
    unnoted = list(_verify_undos(findings, store, events, rounds))
    if store.is_delivered() and not store.noted_hybrid():
        # The command that delivered it was cut off just before: its lines are compared with the record all the same.
        unnoted.append(f"{store.hybrid_dir}: no event tells of the hybrid screen; `isd resume` adds it")
    for name, sha256 in store.noted_hybrid().items():
        findings.check(check_hash, store.hybrid_dir / name, sha256)
    for file in sorted(store.hybrid_dir.glob("part-*.parquet")):
        if store.noted_hybrid() and file.name not in store.noted_hybrid():
            findings.say(file, "is no part of the hybrid screen that the log tells of")
    return [
        *unnoted,
        *(
            f"{store.path / 'readouts' / sha256}.parquet: no event names this table: its command was cut off before it "
            "was on record, or its event was removed; give the command again if what it said is missing"
            for sha256 in sorted(kept - named)
        ),
    ]


def _verify_counts(findings: _Findings, store: CampaignStore) -> list[str]:
    """Whether the certificate agrees with what is on record; returns what differs and leaves its claim standing."""
    if (certificate := store.certificate()) is None or store.withdrawn() is not None:
        return []
    file = store.path / "certificate.json"
    if (why := objection(store)) is not None:
        findings.say(file, f"{why}. Nothing is proved: do not use it. `isd resume {store.address}` withdraws it")
        return []
    counted = recounted(store)
    differences = [*certificate_differences(store, certificate), *(counted.differences if counted else ())]
    if not differences:
        return []
    words = "; ".join(differences)
    if counted is None or not counted.passes:
        findings.say(file, f"{words}. Nothing is proved: do not use it, and restore the folder from a backup")
        return []
    return [f"{file}: {words}. Its look passes by these as well: the claim stands, with the numbers on record"]


def _verify_undos(
    findings: _Findings, store: CampaignStore, events: Sequence[Event], rounds: Sequence[RoundFiles]
) -> Iterator[str]:
    """Each undo names earlier entries that people made, and each once; yields notes of those without an effect."""
    seen = set[int]()
    for event in events:
        if event["kind"] != UNDO:
            continue
        numbers, file = event["undone"], store.path / "events" / f"{event['sequence']:06d}.json"
        if not numbers or max(numbers) >= event["sequence"] or any(events[n]["kind"] not in SAYINGS for n in numbers):
            findings.say(file, f"undoes entries {numbers}, which are not all earlier readouts or words of people")
        elif came_too_late(event, rounds):
            late = "has no effect, nor has what was told in its place"
            yield f"{file}: this undo came when a decision had used what it names, and {late}"
        elif not seen.isdisjoint(numbers):
            findings.say(file, f"undoes entries {numbers} a second time")
        elif any(findings.check(is_evidence, events[number], store, rounds) for number in numbers):
            findings.say(file, f"undoes entries {numbers}, by which a look is judged: nobody may replace its readouts")
        else:
            seen.update(numbers)


def _check_plan(store: CampaignStore, files: RoundFiles) -> None:
    """Refuse a plan that is not that of the round that was released."""
    file, config = files.attempt.path / "plan.json", store.manifest["config"]
    if not file.is_file():
        return  # only decisions and what they rest on are copied everywhere
    plan = read_json(file)
    known = {"round": files.round, "seed": config["seed"], "look": files.released.get("look")}
    if wrong := [name for name, value in known.items() if name in plan and plan[name] != value]:
        raise CorruptFileError(
            f"{wrong[0]} is {plan[wrong[0]]!r}, and what was released says {known[wrong[0]]!r}",
            str(file),
            "restore it from a backup",
        )


def _check_portion(store: CampaignStore, files: RoundFiles, batch: pa.Table) -> None:
    """That a further portion of an audit is the one that was put on record with the first."""
    rest = store.read_readouts(files.released["audit_rest_sha256"])["row"]
    [*before, portion] = [0, *files.released["rest_sizes"]][: look_of(files.released)[0]["portion"]]
    expected = rest.slice(sum(before), portion)
    if not pc.all(pc.is_in(expected, batch["row"])).as_py():
        raise CorruptFileError(
            f"round {files.round} has not asked for the portion of the audit that was drawn",
            str(files.attempt.batch_file),
            "restore it from a backup",
        )


def _verify_round(findings: _Findings, store: CampaignStore, files: RoundFiles) -> None:
    attempt, released = files.attempt, files.released
    batch = findings.check(files.read_batch)
    findings.check(files.read_plates)
    findings.check(_check_plan, store, files)
    findings.check(store.check, attempt.features_file, released["features_sha256"])
    if "external_sha256" in released:
        findings.check(store.check, attempt.external_file, released["external_sha256"])
    if "forecasts_sha256" in released:
        findings.check(store.check, attempt.forecasts_file, released["forecasts_sha256"])
    for name, sha256 in (released.get("predictions") or {}).items():
        findings.check(store.check, attempt.predictions_dir / name, sha256)
    findings.check(store.bring_committee, attempt)
    findings.check(load_committee, attempt.committee_dir, released["committee_hash"])
    if batch is not None and "continues" in released:
        findings.check(_check_portion, store, files, batch)
    if files.committed is None or batch is None:
        return
    readouts = findings.check(store.read_readouts, files.committed["readouts_sha256"])
    if readouts is not None and not readouts["row"].equals(batch["row"]):
        findings.say(attempt.batch_file, f"round {files.round} has readouts of other compounds than were asked for")
