"""Building a library where the configuration says: on the cores of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isd_ray.config import ComputeConfig, LibraryConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.data.ingest.molecules import PreparedChunk
from isd_ray.data.ingest.pieces import Piece
from isd_ray.data.ingest.progress import BuildProgress
from isd_ray.data.library import Library
from isd_ray.ops.connect import ray_session


def build(
    config: LibraryConfig,
    compute: ComputeConfig,
    out: Path,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Library:
    """Build a library; relative source paths start from the working directory.

    Parameters
    ----------
    compute:
        With an `address` the chemistry runs as tasks on that Ray cluster; without one, in processes of this machine,
        for which no Ray is needed. Reading, deduplication and writing stay in this process either way, and the bytes
        of the library are the same.

    Raises
    ------
    IsdError
        As `build_library` and `prepare_on_ray`; ResourceError if the cluster cannot be reached.
    """
    if compute.address is None:
        return build_library(config, out, base_dir=Path.cwd(), progress=progress)
    from isd_ray.actors.chemistry import prepare_on_ray
    from isd_ray.actors.failure import FailurePolicy

    policy = FailurePolicy(compute.lost_actor_retries)

    def prepare(chunks: Iterable[Piece]) -> Iterator[tuple[Piece, PreparedChunk]]:
        return prepare_on_ray(chunks, policy, compute.call_timeout_s)

    with ray_session(compute):
        return build_library(config, out, base_dir=Path.cwd(), progress=progress, prepare=prepare)
