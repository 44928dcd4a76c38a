"""Structures to canonical SMILES, features and hashes: the part of a build that runs on all cores."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.chem.descriptors import DESCRIPTORS
from isd_ray.chem.fingerprints import OnBitsMaker
from isd_ray.chem.parents import require_chembl
from isd_ray.chem.smiles import (
    MAX_HEAVY_ATOMS,
    Parent,
    StructureFormat,
    prepare,
    prepare_mol_block,
    silenced,
    tautomer_key,
)
from isd_ray.config import Descriptor, OnBitFeatures
from isd_ray.core.features import OnBits
from isd_ray.data.ingest import guard
from isd_ray.data.ingest.dedupe import hash_features, hash_keys
from isd_ray.data.ingest.guard import hidden_main, initialise
from isd_ray.errors import ResourceError

CHUNK_ROWS = 1024
"""Records of one unit of work: long enough to make messages cheap, short enough to keep the cores level."""
SERIAL_CHUNKS = 2
"""Inputs of at most this many chunks are done in this process: starting others takes longer."""
CHUNK_SECONDS = 600.0
"""For one chunk in a process, which takes seconds; then it is taken for hung."""
_LARGE: dict[StructureFormat, int] = {"smiles": 400, "mol_block": 20_000}
"""Characters above which a structure is tried in a process of its own first: an ordinary one has a tenth of them."""
_CHUNKS_AHEAD = 3
"""Chunks waiting or finished for each process; bounds memory when one chunk is slow."""


@dataclass(frozen=True, slots=True)
class MoleculeOptions:
    """What to make of a structure; `fingerprints` None for canonical SMILES only."""

    structure: StructureFormat
    fingerprints: OnBitFeatures | None
    standardise: bool
    drop_single_atoms: bool
    hash_by: Literal["smiles", "tautomer", "features"] | None
    descriptors: tuple[Descriptor, ...] = ()
    parent: Parent = "largest"
    max_heavy_atoms: int = MAX_HEAVY_ATOMS

    @classmethod
    def like(
        cls, library: Mapping[str, Any], structure: StructureFormat, fingerprints: OnBitFeatures | None = None
    ) -> MoleculeOptions:
        """To prepare other structures as those of a library were.

        Parameters
        ----------
        library:
            The ``options`` of its description.
        fingerprints:
            To be made, without contexts.

        Raises
        ------
        ConfigError
            If the library has ChEMBL's parents, and the package with their rules is not installed.
        """
        if library["standardise"] and library.get("parent") == "chembl":
            require_chembl()
        # Libraries of earlier versions have no word of what did not exist then.
        stored = {name: library[name] for name in ("parent", "max_heavy_atoms") if name in library}
        return cls(structure, fingerprints, library["standardise"], library["drop_single_atoms"], None, **stored)


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
    steps:
        uint8, shape (p,): what standardisation did, as bits (`isd_ray.chem.parents.STEPS`).
    """

    canonical: list[str]
    passed: NDArray[np.int64]
    reasons: dict[int, str]
    features: OnBits | None
    hashes: NDArray[np.uint64] | None
    descriptors: NDArray[np.float64]
    steps: NDArray[np.uint8]


def prepare_chunk(
    structures: list[str | None], options: MoleculeOptions, *, on_trial: Literal["large", "all", "none"] = "large"
) -> PreparedChunk:
    """Prepare structures one after another, equal ones once; a bad one is a reason, never an exception.

    Large structures are tried in a process of their own first (`isd_ray.data.ingest.guard`): one that crashes RDKit, or
    keeps it busy for longer than `MAX_STRUCTURE_SECONDS`, is a reason too.

    Parameters
    ----------
    on_trial:
        Which structures are tried so; "all" where some process died or hung in these.
    """
    place_of = {text: place for place, text in enumerate(dict.fromkeys(structures))}
    prepared = _prepare_distinct(list(place_of), options, on_trial)
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
        steps=prepared.steps[taken],
    )


def _prepare_distinct(structures: list[str | None], options: MoleculeOptions, on_trial: str) -> PreparedChunk:
    read = prepare if options.structure == "smiles" else prepare_mol_block
    least = {"large": _LARGE[options.structure], "all": 0, "none": sys.maxsize}[on_trial]
    maker = OnBitsMaker(options.fingerprints) if options.fingerprints is not None else None
    canonical: list[str] = []
    keys: list[str] = []
    passed: list[int] = []
    steps: list[int] = []
    reasons: dict[int, str] = {}
    numbers: list[list[float]] = []
    with silenced():
        for index, structure in enumerate(structures):
            if structure is not None and len(structure) > least and (reason := guard.failure(structure, options)):
                reasons[index] = reason
                continue
            result = read(
                structure,
                standardise=options.standardise,
                drop_single_atoms=options.drop_single_atoms,
                parent=options.parent,
                max_heavy_atoms=options.max_heavy_atoms,
            )
            if isinstance(result, str):
                reasons[index] = result
                continue
            try:
                computed = [DESCRIPTORS[name](result.mol) for name in options.descriptors]
                key = tautomer_key(result) if options.hash_by == "tautomer" else ""
                if maker is not None:
                    maker.add(result.mol)
            except (ValueError, RuntimeError, OverflowError) as error:  # RDKit's own checks
                reasons[index] = f"RDKit fails: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
                continue
            numbers.append(computed)
            keys.append(key)
            canonical.append(result.canonical)
            steps.append(result.steps)
            passed.append(index)
    features = maker.finish() if maker is not None else None
    hashes = None
    if options.hash_by in ("smiles", "tautomer"):
        hashes = hash_keys(text.encode() for text in (canonical if options.hash_by == "smiles" else keys))
    elif options.hash_by == "features" and features is not None:
        hashes = hash_features(features)
    descriptors = np.array(numbers, dtype=np.float64).reshape(len(canonical), len(options.descriptors))
    return PreparedChunk(
        canonical=canonical,
        passed=np.array(passed, dtype=np.int64),
        reasons=reasons,
        features=features,
        hashes=hashes,
        descriptors=descriptors,
        steps=np.array(steps, dtype=np.uint8),
    )


def try_one(structure: str, options: MoleculeOptions) -> None:
    """Do all the chemistry of one structure, for the guard: whether it comes back is the answer."""
    prepare_chunk([structure], options, on_trial="none")


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

    A chunk whose process died or hung is done again in this one, each structure on trial.
    """
    return done(prepare_chunk, chunks, n_processes, again=partial(prepare_chunk, on_trial="all"))


def done(
    do: Do[ResultT], work: Iterable[WorkT], n_processes: int, *, again: Do[ResultT] | None = None
) -> Iterator[tuple[WorkT, ResultT]]:
    """Do any work on structures on `n_processes` cores; results come in the order of the work.

    Parameters
    ----------
    again:
        What is done here with a chunk whose process died or hung; without it that is an error.

    Raises
    ------
    ResourceError
        If a process died (most often killed for memory) or hung.
    """
    source = iter(work)
    head = list(islice(source, SERIAL_CHUNKS + 1))
    if n_processes == 1 or len(head) <= SERIAL_CHUNKS:
        for chunk in chain(head, source):
            yield chunk, do(chunk.structures, chunk.options)
        return
    yield from _in_processes(do, chain(head, source), n_processes, again)


def _in_processes(
    do: Do[ResultT], work: Iterable[WorkT], n_processes: int, again: Do[ResultT] | None
) -> Iterator[tuple[WorkT, ResultT]]:
    pending: deque[tuple[WorkT, Future[ResultT]]] = deque()
    pool = _pool(n_processes)

    def submit(chunk: WorkT) -> Future[ResultT]:
        with hidden_main():
            return pool.submit(do, chunk.structures, chunk.options)

    def next_result() -> tuple[WorkT, ResultT]:
        nonlocal pool
        chunk, future = pending.popleft()
        try:
            return chunk, future.result(timeout=CHUNK_SECONDS)
        except (BrokenProcessPool, TimeoutError, FutureTimeoutError) as error:
            _end(pool)
            if again is None:
                raise ResourceError(
                    "a process died or hung, most likely by lack of memory",
                    chunk.label,
                    "give the command again, which goes on; set library.workers = 1 if memory is short",
                ) from error
            pool = _pool(n_processes)
            # One that is done stays so; the others were lost with the pool.
            is_done = [other.done() and other.exception() is None for _, other in pending]
            resubmitted = [
                (other, future if done else submit(other))
                for (other, future), done in zip(pending, is_done, strict=True)
            ]
            pending.clear()
            pending.extend(resubmitted)
        return chunk, again(chunk.structures, chunk.options)

    try:
        for chunk in work:
            try:
                pending.append((chunk, submit(chunk)))
            except BrokenProcessPool:  # between two results
                broken: Future[ResultT] = Future()
                broken.set_exception(BrokenProcessPool())
                pending.append((chunk, broken))
            if len(pending) >= _CHUNKS_AHEAD * n_processes:
                yield next_result()
        while pending:
            yield next_result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(n_processes: int) -> ProcessPoolExecutor:
    # Processes are spawned, not forked: torch and ray keep threads that a fork would tear.
    return ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=initialise)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool, also those that hang."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)
