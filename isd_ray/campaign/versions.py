"""Which version of its library a campaign speaks of: the one that it began with, and those that it took up later.

A version is taken up by an event, and joins with the next round that begins: a release says by how many events of the
log its round went (``n_events``). So the target set changes before a batch is chosen, and never while a look is out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.data.library import Library
from isd_ray.errors import LibraryChangedError
from isd_ray.messages import WorkerSpec

EXTEND = "extend"
"""Kind of the event that takes up a version."""
BLOCK_ORDER = "block_order"
"""Key of the manifest: names of the blocks in the order in which models see their columns. JSON keeps their hashes
sorted by name."""


@dataclass(frozen=True, slots=True)
class TakenVersion:
    """A version of the library, as a campaign took it up.

    Attributes
    ----------
    hash, n_rows:
        Of the library.
    n_added:
        Rows that came with it.
    blocks:
        Hashes of the feature blocks in use, by name, in the order in which models see their columns.
    n_events:
        Events of the log up to the one that took it up; 0 of the version that the campaign began with.
    number:
        Of the version in the library; None of the one that the campaign began with, which does not say.
    reason:
        Of the event.
    """

    hash: str
    n_rows: int
    n_added: int
    blocks: Mapping[str, str]
    n_events: int = 0
    number: int | None = None
    reason: str = ""


def versions_on_record(store: CampaignStore) -> list[TakenVersion]:
    """The version that the campaign began with, and those that it took up, oldest first."""
    manifest = store.manifest
    n_rows = int(manifest["n_target"])
    blocks = _ordered(manifest.get("blocks") or {}, manifest)
    began = TakenVersion(str(manifest["library_hash"]), n_rows, n_rows, blocks)
    taken = [
        TakenVersion(
            hash=event["library_hash"],
            n_rows=event["n_rows"],
            n_added=event["n"],
            blocks=_ordered(event["blocks"], manifest),
            n_events=event["sequence"] + 1,
            number=event["version"],
            reason=event["reason"],
        )
        for event in store.events()
        if event["kind"] == EXTEND
    ]
    return [began, *taken]


def _ordered(blocks: Mapping[str, str], manifest: Mapping[str, Any]) -> dict[str, str]:
    """Blocks in the order on record; without one by name, as every command of a laboratory then read them."""
    return {name: blocks[name] for name in manifest.get(BLOCK_ORDER, sorted(blocks)) if name in blocks}


def checked_blocks(store: CampaignStore, version: TakenVersion, library: Library) -> dict[str, str]:
    """The blocks of a version in the order in which the campaign's models were fitted, if they are the library's still.

    Without an order on record simulations were fitted in the library's own.

    Raises
    ------
    LibraryChangedError
        If one is gone, or another one.
    """
    check_blocks(version.blocks, library)
    if BLOCK_ORDER in store.manifest or store.manifest["in_laboratory"]:
        return dict(version.blocks)
    return {name: version.blocks[name] for name in library.block_names if name in version.blocks}


def check_blocks(blocks: Mapping[str, str], library: Library) -> None:
    """Refuse a library whose blocks are not those that a campaign began with (raises LibraryChangedError)."""
    main, *added = library.block_names
    for name, sha256 in blocks.items():
        # The hash of the main block is that of the library, which is compared wherever one is opened.
        if name != main and (name not in added or library.block_hash(name) != sha256):
            how = "another one than when the campaign began" if name in added else "gone, and its models see it"
            raise LibraryChangedError(
                f"the block {name!r} of the library is {how}",
                str(library.path),
                "restore the library, or begin a new campaign in another folder",
            )


def newest(store: CampaignStore) -> TakenVersion:
    """The last version on record."""
    return versions_on_record(store)[-1]


def version_by(store: CampaignStore, n_events: int) -> TakenVersion:
    """The version in force by the first so many events of the log."""
    return [version for version in versions_on_record(store) if version.n_events <= n_events][-1]


def in_force(store: CampaignStore, rounds: Sequence[RoundFiles] | None = None) -> TakenVersion:
    """The version whose compounds are the target set now: by the last round, or before the first by the whole log."""
    rounds = store.rounds() if rounds is None else rounds
    if not rounds:
        return newest(store)
    return version_by(store, _n_events(rounds))


def to_come(store: CampaignStore) -> TakenVersion:
    """The version that the screen goes on with: the last on record; of a screen that has ended the one in force."""
    return in_force(store) if store.is_delivered() else newest(store)


def taken_up(store: CampaignStore, rounds: Sequence[RoundFiles] | None = None) -> list[dict[str, Any]]:
    """What joined the target set after the beginning, oldest first, as plain values.

    Of each version its hash, `version`, `n_rows` and `n` (rows that came with it), the reason, and the `round` with
    which they joined: None of those that wait for the next one, or came too late.
    """
    rounds = store.rounds() if rounds is None else rounds
    return [
        {
            "library_hash": version.hash,
            "version": version.number,
            "n_rows": version.n_rows,
            "n": version.n_added,
            "reason": version.reason,
            "round": next((one.round for one in rounds if one.released.get("n_events", 0) >= version.n_events), None),
        }
        for version in versions_on_record(store)[1:]
    ]


def taken_words(taken: Mapping[str, Any], *, has_ended: bool = False) -> str:
    """One entry of `taken_up` in words."""
    n, compounds = taken["n"], "compound" if taken["n"] == 1 else "compounds"
    late = "came too late and are no part of the screen" if has_ended else "wait for the next batch"
    when = late if taken["round"] is None else f"joined in round {taken['round']}"
    return f"version {taken['version']} of the library: {n:,} {compounds} {when} ({taken['reason']})"


def open_library(store: CampaignStore, version: TakenVersion | None = None) -> Library:
    """The library of a campaign where it lies now, in the version that is in force, or in another one.

    Raises
    ------
    LibraryChangedError
        If another library lies there.
    LibraryError, CorruptFileError
        As `Library.open`.
    """
    return Library.open(store.library, (version or in_force(store)).hash)


def target_of(spec: WorkerSpec) -> Library:
    """The target library of workers, whose blocks are those of the campaign (raises as `Library.open`)."""
    library = Library.open(spec.libraries["target"], spec.version)
    check_blocks(spec.blocks, library)
    return library


def _n_events(rounds: Sequence[RoundFiles]) -> int:
    """By how many events the last round went; further rounds of a look go by those of its first."""
    known = (files.released.get("n_events") for files in reversed(rounds))
    return next((n for n in known if n is not None), 0)


def extension_problems(store: CampaignStore, library: Library, rounds: Sequence[RoundFiles]) -> Iterator[str]:
    """What is wrong with the versions on record, and with what the certificate says of them.

    Parameters
    ----------
    library:
        The last version on record.
    """
    before, *taken = versions_on_record(store)
    known = {version.hash: version for version in library.versions}
    for version in taken:
        file, noted = f"event {version.n_events - 1}", known.get(version.hash)
        if noted is None or noted.n_rows != version.n_rows or noted.number != version.number:
            yield f"{file} takes up a version that the library never was"
        elif version.n_rows - before.n_rows != version.n_added or version.n_added <= 0:
            yield f"{file} does not take up the rows behind those of the version before"
        elif (parts := _parts(store, before)) != _parts(store, version)[: len(parts)]:
            yield f"{file} takes up a version that does not begin with the rows of the one before"
        before = version
    for files in rounds:
        first = files.goes_on_from
        if first is not None and version_by(store, _n_events(rounds[: files.round + 1])).hash != (
            version_by(store, _n_events(rounds[: first + 1])).hash
        ):
            yield f"compounds joined in round {files.round}, which goes on with the look of round {first}"
    if (certificate := store.certificate()) is not None:
        version = version_by(store, _n_events(rounds[: certificate["look"]["round"] + 1]))
        n_rows = certificate["n_target"] + certificate["n_excluded"]
        if certificate["library_hash"] != version.hash or n_rows != version.n_rows:
            yield f"the certificate is not about version {version.hash[:12]} of the library, which its look was of"


def _parts(store: CampaignStore, version: TakenVersion) -> list[str]:
    return [part["sha256"] for part in Library.describe(store.library, version.hash).metadata["parts"]]
