"""The models of a round in its folder: written in the background, read back and checked."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from pathlib import Path

from isd_ray.config import RESMLP
from isd_ray.errors import CorruptFileError
from isd_ray.messages import Committee
from isd_ray.models.committee import committee_hash, load_member, save_member
from isd_ray.storage.files import canonical_json, read_json

_DESCRIPTION = "committee.json"


def save_committee(committee: Committee | None, folder: Path, executor: Executor) -> tuple[Future[None], ...]:
    """Begin to write the members, one file each, and which family each is of; done when all that is returned is."""
    if committee is None:
        return ()
    description = {"families": list(committee.families), "shares": dict(committee.shares)}
    return (
        executor.submit(_write, folder / _DESCRIPTION, canonical_json(description)),
        *(
            executor.submit(save_member, folder / f"member-{number:03d}.safetensors", weights)
            for number, weights in enumerate(committee.members)
        ),
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def load_committee(folder: Path, expected_hash: str | None) -> Committee | None:
    """The members that `save_committee` wrote; None where there are none.

    Raises
    ------
    CorruptFileError
        If they are not those of `expected_hash`.
    """
    weights = tuple(load_member(file) for file in sorted(folder.glob("*.safetensors")))
    # Before there were other families nothing was written beside the members.
    description = read_json(folder / _DESCRIPTION) if (folder / _DESCRIPTION).is_file() else {}
    families = tuple(description.get("families", [RESMLP] * len(weights)))
    shares = description.get("shares", {RESMLP: 1.0})
    found = committee_hash(weights, families, shares) if weights else None
    if found != expected_hash or len(families) != len(weights):
        raise CorruptFileError(
            f"the stored model has hash {found}, its release says {expected_hash}",
            str(folder),
            "restore the folder from a backup",
        )
    return Committee(found, weights, families, shares) if found else None
