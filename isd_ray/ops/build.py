"""Building a library where the configuration says: on the cores of this machine, or on a Ray cluster."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isd_ray.config import ComputeConfig, LibraryConfig
from isd_ray.data.filesystem import is_uri
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.molecules import PreparedChunk
from isd_ray.data.ingest.pieces import Piece
from isd_ray.data.ingest.plan import open_sources
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.data.remote import cache_folder, publish, refuse_published
from isd_ray.ops.connect import ray_session


def build(
    config: LibraryConfig,
    compute: ComputeConfig,
    out: str | Path,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Library:
    """Build a library; relative source paths start from the working directory.

    Parameters
    ----------
    out:
        A directory, or a URI such as ``s3://bucket/library``: then it is built in the cache folder of this machine,
        copied there when it is complete, and stays in the cache.
    compute:
        With an `address` the chemistry runs as tasks on that Ray cluster; without one, in processes of this machine,
        for which no Ray is needed. Reading, deduplication and writing stay in this process either way, and the bytes
        of the library are the same.

    Raises
    ------
    IsdError
        As `build_library`, `publish` and `prepare_on_ray`; ResourceError if the cluster cannot be reached.
    """
    if not is_uri(str(out)):
        return _build(config, compute, Path(out), progress)
    uri = str(out)
    refuse_published(uri)
    local = cache_folder() / f"build-{_key(config, uri)}"
    # A copy that was cut off finds the library finished.
    library = Library.open(local) if local.is_dir() else _build(config, compute, local, progress)
    publish(library.path, uri)
    cached = cache_folder() / library.hash
    if cached.exists():
        shutil.rmtree(local)
    else:
        local.rename(cached)
    return Library.open(uri)


def _key(config: LibraryConfig, uri: str) -> str:
    """Tells the builds of one cache folder apart: address, configuration, and state of the source files."""
    stamps = [(str(source.file), source.file.stamp) for source in open_sources(config, Path.cwd())]
    text = json.dumps([uri, config.model_dump(mode="json", exclude={"workers"}), stamps])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _build(
    config: LibraryConfig, compute: ComputeConfig, out: Path, progress: Callable[[BuildProgress], None] | None
) -> Library:
    if compute.address is None:
        return build_library(config, out, base_dir=Path.cwd(), progress=progress)
    from isd_ray.actors.chemistry import prepare_on_ray
    from isd_ray.actors.failure import FailurePolicy

    policy = FailurePolicy(compute.lost_actor_retries)

    def prepare(chunks: Iterable[Piece]) -> Iterator[tuple[Piece, PreparedChunk]]:
        return prepare_on_ray(chunks, policy, compute.call_timeout_s)

    with ray_session(compute):
        return build_library(config, out, base_dir=Path.cwd(), progress=progress, prepare=prepare)
