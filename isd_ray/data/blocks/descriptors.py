"""Descriptors of a library's molecules as a block: computed from its canonical SMILES, part by part, on all cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.chem.descriptor_sets import descriptor_set
from isd_ray.chem.smiles import rdkit_version
from isd_ray.data.blocks.description import BlockSource
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.ingest.molecules import CHUNK_ROWS, done
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.errors import LibraryError

N_INFINITE = "n_infinite"
"""Among what was found: values that RDKit computes as infinite, which count as missing."""


@dataclass(frozen=True, slots=True)
class MoleculeRows:
    """Consecutive molecules of one part.

    Attributes
    ----------
    part, first:
        Where their rows lie: the part, and the row counted from its first.
    n_left:
        Molecules of the part behind these.
    """

    structures: list[str | None]
    options: str
    label: str
    part: int
    first: int
    n_left: int


Describe: TypeAlias = Callable[[Iterable[MoleculeRows]], Iterator[tuple[MoleculeRows, NDArray[np.float64]]]]
"""Computes descriptors, wherever and however many at a time, and gives them back in their order."""


def describe(structures: list[str | None], name: str) -> NDArray[np.float64]:
    """The descriptors of a set (n, width)."""
    return descriptor_set(name).of(structures)


class Descriptors:
    """Makes the block of a set of descriptors; a `BlockMaker`.

    Parameters
    ----------
    run:
        Where descriptors are computed; default: in this process.
    progress:
        Called in this process after every chunk of molecules.
    """

    source: ClassVar[BlockSource] = "descriptors"
    takes_logs: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        run: Describe | None = None,
        progress: Callable[[BuildProgress], None] | None = None,
    ) -> None:
        self.name = name
        self.columns = descriptor_set(name).names
        self.definition = descriptors_definition(name)
        self.rdkit = rdkit_version()
        self._run = run or (lambda chunks: done(describe, chunks, 1))
        self._progress = progress

    def fill(self, spool: Spool, library: Library) -> None:
        """Compute the missing parts.

        Raises
        ------
        LibraryError
            If the library has no structures.
        ResourceError, ActorLostError
            If processes or Ray tasks died.
        """
        if library.metadata["options"].get("smiles_column") is None:
            raise LibraryError(
                f"descriptors {self.name!r} need structures, and the library has none",
                str(library.path),
                "leave them out of library.descriptors, or build the library from a source with SMILES",
            )
        missing = spool.missing
        n_total = sum(stop - first for first, stop in (spool.rows[part] for part in missing))
        n_done, n_infinite, started = 0, 0, time.monotonic()
        for chunk, values in self._run(self._chunks(missing, library)):
            is_infinite = np.isinf(values)
            n_infinite += int(is_infinite.sum())
            spool.write(chunk.part, chunk.first, np.where(is_infinite, np.nan, values))
            if not chunk.n_left:
                spool.complete(chunk.part, **{N_INFINITE: n_infinite})
                n_infinite = 0
            n_done += len(chunk.structures)
            if self._progress is not None:
                self._progress(BuildProgress(n_done, n_done, 0, n_done / n_total, time.monotonic() - started))

    def found(self) -> dict[str, Any]:
        """Nothing beside the counts."""
        return {}

    def _chunks(self, parts: list[int], library: Library) -> Iterator[MoleculeRows]:
        for part in parts:
            start, stop = library.part_rows_range(part)
            for block in library.part_blocks(part):
                first_of_block, _ = library.block_rows_range(block)
                smiles: list[str | None] = library.block_table(block)["smiles"].to_pylist()
                for at in range(0, len(smiles), CHUNK_ROWS):
                    texts, first = smiles[at : at + CHUNK_ROWS], first_of_block + at
                    end = first + len(texts)
                    label = f"{library.path}, rows {first} to {end - 1}"
                    yield MoleculeRows(texts, self.name, label, part, first - start, stop - end)


def descriptors_definition(name: str) -> dict[str, Any]:
    """What makes two blocks of descriptors the same, before either is computed."""
    return {"descriptors": name, "version": descriptor_set(name).version}
