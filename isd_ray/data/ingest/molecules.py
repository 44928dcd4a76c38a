"""Structures to canonical SMILES, features and hashes: the part of a build that runs on all cores."""

from __future__ import annotations

import os
import signal
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.chem.descriptors import DESCRIPTORS
from isd_ray.chem.fingerprints import OnBitsMaker
from isd_ray.chem.smiles import StructureFormat, prepare, prepare_mol_block, silenced
from isd_ray.config import Descriptor, OnBitFeatures
from isd_ray.core.features import OnBits
from isd_ray.data.ingest.dedupe import hash_features, hash_keys
from isd_ray.errors import ResourceError

CHUNK_ROWS = 1024
"""Records of one unit of work: long enough to make messages cheap, short enough to keep the cores level."""
SERIAL_CHUNKS = 2
"""Inputs of at most this many chunks are done in this process: starting others takes longer."""
_CHUNKS_AHEAD = 3
"""Chunks waiting or finished for each process; bounds memory when one chunk is slow."""


@dataclass(frozen=True, slots=True)
class MoleculeOptions:
    """What to make of a structure; `fingerprints` None for canonical SMILES only."""

    structure: StructureFormat
    fingerprints: OnBitFeatures | None
    standardise: bool
    drop_single_atoms: bool
    hash_by: Literal["smiles", "features"] | None
    descriptors: tuple[Descriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """What became of n structures, p of which passed.

    Attributes
    ----------
    canonical:
        Canonical SMILES of the structures that passed, in order (p).
    passed:
        int64, shape (p,): their indices among the n.
    reasons:
        Why the others were rejected, by index.
    features:
        On-bits of the p, or None.
    hashes:
        uint64, shape (p, 2), of what duplicates are told by, or None.
    descriptors:
        float64, shape (p, d): those of the options, in their order.
    """

    canonical: list[str]
    passed: NDArray[np.int64]
    reasons: dict[int, str]
    features: OnBits | None
    hashes: NDArray[np.uint64] | None
    descriptors: NDArray[np.float64]


def prepare_chunk(structures: list[str | None], options: MoleculeOptions) -> PreparedChunk:
    """Prepare structures one after another, equal ones once; a bad one is a reason, never an exception."""
    place_of = {text: place for place, text in enumerate(dict.fromkeys(structures))}
    prepared = _prepare_distinct(list(place_of), options)
    if len(place_of) == len(structures):
        return prepared
    distinct = np.array([place_of[text] for text in structures], dtype=np.int64)
    among_passed = np.full(len(place_of), -1, dtype=np.int64)
    among_passed[prepared.passed] = np.arange(len(prepared.passed))
    taken = among_passed[distinct]
    passed = np.flatnonzero(taken >= 0)
    taken = taken[passed]
    return PreparedChunk(
        canonical=[prepared.canonical[place] for place in taken.tolist()],
        passed=passed,
        reasons={
            index: prepared.reasons[place] for index, place in enumerate(distinct.tolist()) if place in prepared.reasons
        },
        features=None if prepared.features is None else prepared.features.take(taken),
        hashes=None if prepared.hashes is None else prepared.hashes[taken],
        descriptors=prepared.descriptors[taken],
    )


def _prepare_distinct(structures: list[str | None], options: MoleculeOptions) -> PreparedChunk:
    read = prepare if options.structure == "smiles" else prepare_mol_block
    maker = OnBitsMaker(options.fingerprints) if options.fingerprints is not None else None
    canonical: list[str] = []
    passed: list[int] = []
    reasons: dict[int, str] = {}
    numbers: list[list[float]] = []
    with silenced():
        for index, structure in enumerate(structures):
            result = read(structure, standardise=options.standardise, drop_single_atoms=options.drop_single_atoms)
            if isinstance(result, str):
                reasons[index] = result
                continue
            if maker is not None:
                maker.add(result.mol)
            numbers.append([DESCRIPTORS[name](result.mol) for name in options.descriptors])
            canonical.append(result.canonical)
            passed.append(index)
    features = maker.finish() if maker is not None else None
    hashes = None
    if options.hash_by == "smiles":
        hashes = hash_keys(text.encode() for text in canonical)
    elif options.hash_by == "features" and features is not None:
        hashes = hash_features(features)
    descriptors = np.array(numbers, dtype=np.float64).reshape(len(canonical), len(options.descriptors))
    return PreparedChunk(canonical, np.array(passed, dtype=np.int64), reasons, features, hashes, descriptors)


class Chunk(Protocol):
    """A unit of work."""

    @property
    def structures(self) -> list[str | None]:
        """The texts to prepare."""

    @property
    def options(self) -> MoleculeOptions:
        """How to prepare them."""

    @property
    def label(self) -> str:
        """Where they come from, for messages."""


class Work(Protocol):
    """A piece of any work on structures."""

    @property
    def structures(self) -> list[str | None]:
        """The texts."""

    @property
    def options(self) -> Any:
        """What to do with them."""

    @property
    def label(self) -> str:
        """Where they come from, for messages."""


ChunkT = TypeVar("ChunkT", bound=Chunk)
WorkT = TypeVar("WorkT", bound=Work)
ResultT = TypeVar("ResultT")
Do: TypeAlias = Callable[[list["str | None"], Any], ResultT]
"""What is done with the structures and options of a piece of work; a function that processes find by its module."""


def prepare_chunks(chunks: Iterable[ChunkT], n_processes: int) -> Iterator[tuple[ChunkT, PreparedChunk]]:
    """Prepare chunks on `n_processes` cores and give them back in their order.

    Raises
    ------
    ResourceError
        If a process died (killed for memory, or by a crash inside RDKit).
    """
    return done(prepare_chunk, chunks, n_processes)


def done(do: Do[ResultT], work: Iterable[WorkT], n_processes: int) -> Iterator[tuple[WorkT, ResultT]]:
    """Do any work on structures on `n_processes` cores; results come in the order of the work. Raises as above."""
    source = iter(work)
    head = list(islice(source, SERIAL_CHUNKS + 1))
    if n_processes == 1 or len(head) <= SERIAL_CHUNKS:
        for chunk in chain(head, source):
            yield chunk, do(chunk.structures, chunk.options)
        return
    # Processes are spawned, not forked: torch and ray keep threads that a fork would tear.
    pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=_initialise)
    pending: deque[tuple[WorkT, Future[ResultT]]] = deque()
    try:
        for chunk in chain(head, source):
            with _hidden_main():
                pending.append((chunk, pool.submit(do, chunk.structures, chunk.options)))
            if len(pending) >= _CHUNKS_AHEAD * n_processes:
                yield _result(pending)
        while pending:
            yield _result(pending)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(pending: deque[tuple[WorkT, Future[ResultT]]]) -> tuple[WorkT, ResultT]:
    chunk, future = pending.popleft()
    try:
        return chunk, future.result()
    except BrokenProcessPool as error:
        raise ResourceError(
            "a process of the library build died, by lack of memory or a crash inside RDKit",
            chunk.label,
            "set library.workers = 1 to see which: if it dies again there, a structure near these records is the cause",
        ) from error


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned processes from running the user's script again.

    A spawned process imports `__main__` first, so a plain script without the ``if __name__ == "__main__"`` guard would
    start its campaign once more in each. Nothing here needs it: what is done is found by its own module.
    """
    main = sys.modules.get("__main__")
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        if main is not None:
            sys.modules["__main__"] = main


def _initialise() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
