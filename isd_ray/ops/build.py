"""Building a library where the configuration says: on the cores of this machine, or on a Ray cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isd_ray.config import ComputeConfig, LibraryConfig
from isd_ray.data.ingest.build import build_library as build_main_block
from isd_ray.data.ingest.molecules import PreparedChunk
from isd_ray.data.ingest.pieces import Piece
from isd_ray.data.ingest.plan import open_sources
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.data.remote import keep_as_cache, publish, refuse_published
from isd_ray.ops.blocks import check_blocks, with_blocks
from isd_ray.ops.connect import ray_session
from isd_ray.storage.addresses import address_of, is_uri, working_folder
from isd_ray.storage.copies import cache_folder

_HERE = ComputeConfig()


def build_library(
    config: LibraryConfig,
    out: str | Path,
    compute: ComputeConfig = _HERE,
    progress: Callable[[BuildProgress], None] | None = None,
    *,
    say: Callable[[str], None] | None = None,
    like: Library | None = None,
) -> Library:
    """Build a library with the blocks of its configuration; relative source paths start from the working directory.

    Parameters
    ----------
    out:
        A directory, or a URI such as ``s3://bucket/library``: then it is built in the cache folder of this machine,
        copied there when it is complete, and stays in the cache.
    compute:
        Default: this machine. With an `address` the chemistry runs as tasks on that Ray cluster; without one, in
        processes of this machine, for which no Ray is needed. Reading, deduplication and writing stay in this process
        either way, and the bytes of the library are the same.
    say:
        Told of the blocks that are added, once the library itself is there; without it broken records of theirs are a
        `UserWarning`.
    like:
        The target set, for held-out sets: its statistics standardise their blocks.

    Raises
    ------
    IsdError
        As `isd_ray.data.ingest.build.build_library`, `with_blocks`, `publish` and `prepare_on_ray`; ResourceError if
        the cluster cannot be reached.
    """
    check_blocks(config)
    uri = address_of(out)
    if not is_uri(uri):
        library = build_rows(config, compute, Path(out), progress)
        return with_blocks(library, config, compute, say=say, progress=progress, like=like)
    refuse_published(uri)
    local = cache_folder() / f"build-{_key(config, uri)}"
    # A copy that was cut off finds the library finished.
    library = Library.open(local) if local.is_dir() else build_rows(config, compute, local, progress)
    library = with_blocks(library, config, compute, say=say, progress=progress, like=like)
    publish(library.path, uri)
    keep_as_cache(library.path, library.metadata)
    return Library.open(uri)


def _key(config: LibraryConfig, uri: str) -> str:
    """Tells the builds of one cache folder apart: address, configuration, and state of the source files."""
    stamps = [(str(source.file), source.file.stamp) for source in open_sources(config, working_folder())]
    text = json.dumps([uri, config.model_dump(mode="json", exclude={"workers"}), stamps])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def build_rows(
    config: LibraryConfig,
    compute: ComputeConfig,
    out: Path,
    progress: Callable[[BuildProgress], None] | None,
    onto: Library | None = None,
) -> Library:
    """Build rows with the main features (`isd_ray.data.ingest.build.build_library`), where `compute` says."""
    if compute.address is None:
        return build_main_block(config, out, base_dir=working_folder(), progress=progress, onto=onto)
    from isd_ray.actors.chemistry import prepare_on_ray
    from isd_ray.actors.failure import FailurePolicy

    policy = FailurePolicy(compute.lost_actor_retries)

    def prepare(chunks: Iterable[Piece]) -> Iterator[tuple[Piece, PreparedChunk]]:
        return prepare_on_ray(chunks, policy, compute.call_timeout_s)

    with ray_session(compute):
        return build_main_block(config, out, base_dir=working_folder(), progress=progress, prepare=prepare, onto=onto)
