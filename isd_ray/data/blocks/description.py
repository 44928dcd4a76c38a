"""What library.json says of the blocks beside the main features."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from isd_ray.data.layout import BLOCKS_DIRECTORY, REBUILD
from isd_ray.errors import CorruptFileError, LibraryError

BlockSource: TypeAlias = Literal["descriptors", "columns", "history", "table"]
"""Where the values come from: computed, columns of the library's own source, earlier screens, another table."""
BLOCK_DTYPE = "float16"
MAIN_ON_BITS, MAIN_DENSE, TEXTS = "fingerprints", "vectors", "smiles"
"""Names of the main features, and of the block of texts."""
RESERVED_NAMES = (MAIN_ON_BITS, MAIN_DENSE, TEXTS, "features")
"""The last is the column of the main features in their files."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


def remedy_of(name: str) -> str:
    """What helps against damage to a block."""
    return f"restore the file from a copy, or drop it with `isd library remove-block PATH {name}` and add it again"


@dataclass(frozen=True, slots=True)
class BlockColumn:
    """A column, and what its values were standardised by: mean and standard deviation of their signed logarithms."""

    name: str
    mean: float = 0.0
    sd: float = 1.0


@dataclass(frozen=True, slots=True)
class BlockDescription:
    """A block of dense features beside the main ones.

    Attributes
    ----------
    name:
        Letters, digits, ``_`` and ``-``; unique in the library.
    columns:
        In the order of the values.
    library:
        Hash of the library that it was made for.
    parts:
        As of the library, with the same rows: file, first_row, n_rows, bytes, sha256.
    n_missing:
        Values that are missing, over all rows and columns.
    definition:
        What was asked for, as plain values: a block of another definition is another block.
    found:
        What people should know of it: assays and their hits, values counted as missing.
    rdkit:
        Version that computed it; empty where none did.
    """

    name: str
    source: BlockSource
    columns: tuple[BlockColumn, ...]
    library: str
    parts: tuple[dict[str, Any], ...]
    n_missing: int
    definition: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    rdkit: str = ""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(int(part["bytes"]) for part in self.parts)

    @property
    def hash(self) -> str:
        """SHA-256 that identifies the values, what they are called, and the library that they belong to."""
        identity = {
            "name": self.name,
            "source": self.source,
            "dtype": BLOCK_DTYPE,
            "columns": [[column.name, column.mean, column.sd] for column in self.columns],
            "library": self.library,
            "parts": [part["sha256"] for part in self.parts],
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As plain values, for library.json."""
        return {**asdict(self), "width": self.width, "dtype": BLOCK_DTYPE, "hash": self.hash}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BlockDescription:
        """From `to_json`; raises KeyError, TypeError or ValueError where it is none."""
        fields = {name: data[name] for name in cls.__slots__}
        columns = tuple(BlockColumn(str(c["name"]), float(c["mean"]), float(c["sd"])) for c in data["columns"])
        block = cls(**{**fields, "columns": columns, "parts": tuple(data["parts"])})
        if data["dtype"] != BLOCK_DTYPE or data["width"] != block.width or data["hash"] != block.hash:
            raise ValueError(f"width, dtype or hash of block {block.name!r} are not those of its content")
        return block


def part_name(block: str, part: int) -> str:
    """File of a part of a block, in the library's folder."""
    return f"{BLOCKS_DIRECTORY}/{block}/part-{part:05d}.arrow"


def cached_block(block: BlockDescription) -> str:
    """Folder of the parts in a cache: libraries of the same main features may differ in a block of one name."""
    return f"{BLOCKS_DIRECTORY}/{block.hash}"


def require_name(name: str) -> None:
    """Raise LibraryError unless a block may have this name."""
    if not _NAME.fullmatch(name):
        raise LibraryError(
            f"{name!r} is no name of a block", remedy="begin with a letter; letters, digits, '_' and '-', at most 64"
        )
    if name in RESERVED_NAMES:
        raise LibraryError(
            f"a block cannot be called {name!r}", remedy=f"choose another name; taken: {', '.join(RESERVED_NAMES)}"
        )


def described_blocks(metadata: dict[str, Any], where: str) -> tuple[BlockDescription, ...]:
    """The blocks of a library's description; none in one that was written before there were any.

    Nothing here trusts the description: it may come from somebody else's store.

    Raises
    ------
    CorruptFileError
        If it is none, two blocks have one name, or the parts of a block are not those of the library.
    LibraryError
        If a block was made for another library.
    """
    try:
        blocks = tuple(BlockDescription.from_json(data) for data in metadata.get("blocks", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFileError(f"is not a library description: its blocks: {error!r}", where, REBUILD) from error
    rows = [(part["first_row"], part["n_rows"]) for part in metadata["parts"]]
    seen: set[str] = set()
    for block in blocks:
        if not _NAME.fullmatch(str(block.name)) or block.name in RESERVED_NAMES or not block.columns:
            raise CorruptFileError(f"is not a library description: block {block.name!r}", where, REBUILD)
        if block.name in seen:
            raise CorruptFileError(f"two blocks are called {block.name!r}", where, remedy_of(block.name))
        seen.add(block.name)
        if block.library != metadata["hash"]:
            raise LibraryError(
                f"block {block.name!r} was made for another library: {str(block.library)[:12]}… instead of "
                f"{metadata['hash'][:12]}…",
                where,
                remedy_of(block.name),
            )
        _check_parts(block, rows, where)
    return blocks


def _check_parts(block: BlockDescription, rows: Sequence[tuple[int, int]], where: str) -> None:
    try:
        found = [(part["first_row"], part["n_rows"]) for part in block.parts]
        named = all(part["file"] == part_name(block.name, index) for index, part in enumerate(block.parts))
        hashed = all(_HASH.fullmatch(part["sha256"]) and int(part["bytes"]) > 0 for part in block.parts)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"parts of block {block.name!r} are none: {error!r}", where, REBUILD) from error
    if not named or not hashed or found != list(rows):
        raise CorruptFileError(
            f"the parts of block {block.name!r} are not those of the library", where, remedy_of(block.name)
        )
