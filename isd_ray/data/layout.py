"""The target library's files: names, schema version, hashes, and features as Arrow arrays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.config import DenseFeatures, FeatureSpec, OnBitFeatures
from isd_ray.config.limits import MAX_DESCRIPTION_BYTES
from isd_ray.core.features import Dense, Features, OnBits
from isd_ray.errors import CorruptFileError, LibraryError

SCHEMA_VERSION = 1
METADATA_FILE = "library.json"
PARTS_DIRECTORY = "parts"
BLOCKS_DIRECTORY = "blocks"
"""Further blocks of features, a folder for each."""
REJECTS_FILE = "rejects.parquet"
ROW, ID, SMILES, RECORD, FEATURES = "row", "id", "smiles", "record", "features"
RESERVED_COLUMNS = (ROW, ID, SMILES, RECORD, FEATURES)
"""Columns that every library has, in this order; kept columns of the source stand before `features`."""
NO_LIBRARY = (
    "build one: isd library build; or, if that of a campaign has moved, say where to: isd relocate RUN --library PLACE"
)
REBUILD = "restore the file from a copy, or build the library again"
"""Remedy for damaged files."""
_LARGEST_OFFSET = (1 << 31) - 1


def content_hash(spec: dict[str, Any], n_rows: int, block_rows: int, part_hashes: list[str]) -> str:
    """The identity of a library: SHA-256 over the canonical JSON of what decides its content."""
    identity = {"features": spec, "n_rows": n_rows, "block_rows": block_rows, "parts": part_hashes}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_metadata(folder: Path) -> dict[str, Any]:
    """The description of the library in `folder`.

    Raises
    ------
    LibraryError
        If there is none, or it has another schema version.
    CorruptFileError
        If it cannot be read.
    """
    file = folder / METADATA_FILE
    if not file.is_file():
        raise LibraryError(f"no library here ({METADATA_FILE} is missing)", str(folder), NO_LIBRARY)
    try:
        if (size := file.stat().st_size) > MAX_DESCRIPTION_BYTES:
            raise CorruptFileError(f"{size:,} bytes are no description of a library", str(file), REBUILD)
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CorruptFileError(f"cannot be read: {error}", str(file), REBUILD) from error
    return check_version(metadata, str(file))


def check_version(metadata: Any, where: str) -> dict[str, Any]:
    """A description that was read from `where`, if this version understands it.

    Raises
    ------
    LibraryError
        If it has another schema version.
    CorruptFileError
        If it has none.
    """
    if not isinstance(metadata, dict) or "schema_version" not in metadata:
        raise CorruptFileError("cannot be read: there is no schema_version", where, REBUILD)
    version = metadata["schema_version"]
    if version != SCHEMA_VERSION:
        raise LibraryError(
            f"schema version {version}, this isd_ray reads {SCHEMA_VERSION}",
            where,
            "build the library again with this version, or install the one that built it",
        )
    return metadata


def spec_from_json(data: dict[str, Any]) -> FeatureSpec:
    """The feature spec stored in library.json."""
    model = OnBitFeatures if data.get("kind") == "on_bits" else DenseFeatures
    return model.model_validate(data)


def features_to_arrow(features: Features) -> pa.Array:
    """Features as the array stored in a part: list<uint> for on-bits, fixed_size_list for dense rows.

    Raises
    ------
    ValueError
        If the on-bits exceed what one Arrow list array can address (2^31 - 1).
    """
    if isinstance(features, Dense):
        flat = np.ascontiguousarray(features.values).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), features.width)
    start, stop = int(features.offsets[0]), int(features.offsets[-1])
    if stop - start > _LARGEST_OFFSET:
        raise ValueError(f"{stop - start} on-bits exceed one Arrow list array; use a smaller block_rows")
    offsets = pa.array((features.offsets - start).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(features.values[start:stop]))


def arrow_to_features(array: pa.Array, width: int) -> Features:
    """Features of one record batch, without copying values.

    Raises
    ------
    ValueError
        If lists do not fit `width` or each other: the file was altered.
    """
    array.validate()  # buffers as long as they should be: an altered file must not crash the process
    if pa.types.is_fixed_size_list(array.type):
        if array.type.list_size != width or array.null_count:
            raise ValueError(f"rows of {array.type.list_size} values instead of {width}")
        flat = array.flatten().to_numpy(zero_copy_only=True)
        if len(flat) != len(array) * width:
            raise ValueError("the feature values end early")
        return Dense(flat.reshape(len(array), width))
    offsets = array.offsets.to_numpy(zero_copy_only=True).astype(np.int64)
    values = array.values.to_numpy(zero_copy_only=True)
    if array.null_count or offsets[0] < 0 or offsets[-1] > len(values) or (np.diff(offsets) < 0).any():
        raise ValueError("offsets of the on-bits are not in order")
    if len(values) and int(values.max()) >= width:
        raise ValueError(f"on-bit {int(values.max())} outside the vocabulary of {width}")
    return OnBits(values, offsets, width)
