"""The models of a round in its folder: written in the background, read back and checked."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from pathlib import Path

from isd_ray.errors import CorruptFileError
from isd_ray.messages import Committee
from isd_ray.models.committee import committee_hash, load_member, save_member


def save_committee(committee: Committee | None, folder: Path, executor: Executor) -> list[Future[None]]:
    """Begin to write the members, one file each; done when all that is returned is."""
    members = () if committee is None else committee.members
    return [
        executor.submit(save_member, folder / f"member-{number:03d}.safetensors", weights)
        for number, weights in enumerate(members)
    ]


def load_committee(folder: Path, expected_hash: str | None) -> Committee | None:
    """The members that `save_committee` wrote; None where there are none.

    Raises
    ------
    CorruptFileError
        If they are not those of `expected_hash`.
    """
    weights = tuple(load_member(file) for file in sorted(folder.glob("*.safetensors")))
    found = committee_hash(weights) if weights else None
    if found != expected_hash:
        raise CorruptFileError(
            f"the stored model has hash {found}, its release says {expected_hash}",
            str(folder),
            "restore the folder from a backup",
        )
    return Committee(found, weights) if found else None
