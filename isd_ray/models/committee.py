"""Members on disk, as safetensors (no pickle anywhere), and the hash that names a committee."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from isd_ray.config import RESMLP
from isd_ray.errors import CorruptFileError, InputFileError
from isd_ray.messages import Weights


def member_bytes(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """The safetensors file of one member; the same weights give the same bytes."""
    data: bytes = save({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)})
    return data


def member_from_bytes(data: bytes, where: str = "") -> Weights:
    """Read what `member_bytes` wrote.

    Raises
    ------
    CorruptFileError
        If `data` is not a whole safetensors file; `where` names it in the message.
    """
    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptFileError(
            f"not a whole safetensors file of {len(data)} bytes ({error})",
            where,
            "delete it and resume: the round is fitted again with the same result unless it was frozen already",
        ) from error


def save_member(path: str | Path, weights: Mapping[str, NDArray[Any]]) -> None:
    """Write one member to a local file."""
    Path(path).write_bytes(member_bytes(weights))


def load_member(path: str | Path) -> Weights:
    """Read one member from a local file.

    Raises
    ------
    InputFileError
        If there is no such file.
    CorruptFileError
        If it is truncated or altered beyond its format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputFileError(
            f"cannot read the member ({error})", str(path), "restore the campaign's folder from a backup"
        ) from error
    return member_from_bytes(data, str(path))


def committee_hash(
    committee: Sequence[Mapping[str, NDArray[Any]]],
    families: Sequence[str] = (),
    shares: Mapping[str, float] | None = None,
) -> str:
    """SHA-256 over members in order, and of each the names in sorted order, dtypes, shapes and bytes; hexadecimal.

    Families and their shares count where there are others than the residual networks, of which alone it is the same
    as before there were others.
    """
    digest = hashlib.sha256()
    if set(families) - {RESMLP}:
        parts = [f"{name}={float((shares or {})[name]).hex()}" for name in sorted(shares or {})]
        digest.update("\0".join((*families, *parts)).encode())
    for index, weights in enumerate(committee):
        for name in sorted(weights):
            array = np.ascontiguousarray(weights[name])
            digest.update(f"{index}\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(array.reshape(-1).data)
    return digest.hexdigest()
