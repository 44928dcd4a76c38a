"""Whether a screen fits into the memory of this machine, before it starts."""

from __future__ import annotations

import psutil

from isd_ray.config import RESMLP, ComputeConfig, ModelConfig
from isd_ray.core.features import Features, OnBits
from isd_ray.core.memory import ScreenSize, memory_in_one, memory_together, network_bytes
from isd_ray.data.library import Library
from isd_ray.errors import ResourceError


def memory_needed(compute: ComputeConfig, size: ScreenSize) -> float:
    """Bytes that a screen needs on this machine, if it runs here: on an embedded Ray, or in this process."""
    if compute.backend == "ray":
        return memory_together(size, int(compute.object_store_memory))
    return memory_in_one(size)


def n_bytes(library: Library) -> int:
    """Bytes of all part files of a library, those of added blocks too."""
    parts = [*library.metadata["parts"], *(part for block in library.added_blocks for part in block.parts)]
    return sum(part["bytes"] for part in parts)


def values_of_row(library: Library) -> float:
    """Set bits, or values, of a row in all blocks, by the first block of the grid."""
    columns = 2 * sum(library.block_width(block.name) for block in library.added_blocks)  # a value and a flag each
    return columns + n_values(library.block(0))


def n_values(features: Features) -> float:
    """Set bits, or values, of a row, on average."""
    return len(features.values) / len(features) if isinstance(features, OnBits) else float(features.width)


def check_memory(
    compute: ComputeConfig,
    model: ModelConfig,
    n_most: int,
    target: Library,
    n_outputs: int,
    *,
    has_numbers: bool = False,
) -> None:
    """Refuse a run whose processes on this machine cannot fit, were all measured that the limits allow.

    Parameters
    ----------
    n_most:
        Compounds that may be measured at most.
    n_outputs:
        Of a panel; else 0.

    Raises
    ------
    ResourceError
        What is needed, and what there is.
    """
    has_matrix = any(family != RESMLP for family in model.families)
    size = ScreenSize(
        n_rows=target.n_rows,
        n_observed=n_most,
        n_outputs=n_outputs,
        members=model.n_members,
        member_bytes=network_bytes(target.width, model.hidden_size, model.residual_blocks, n_outputs),
        row_values=values_of_row(target) if has_matrix else 0.0,
        block_rows=target.block_rows,
        part_rows=max(part["n_rows"] for part in target.metadata["parts"]),
        trainers=min(compute.trainers, model.n_members),
        scorers=compute.scorers,
        resident_bytes=float(min(int(compute.resident), n_bytes(target))),
        has_numbers=has_numbers,
    )
    need = memory_needed(compute, size)
    limit = int(compute.memory) if compute.memory is not None else psutil.virtual_memory().available
    if need > limit:
        workers = f"{size.trainers} trainers and {size.scorers} scorers" if compute.backend == "ray" else "one process"
        raise ResourceError(
            f"the run may need {need / 2**30:.1f} GiB of memory: {size.n_rows:,} rows, up to "
            f"{n_most / size.n_rows:.0%} of them measured, in {workers}; there are {limit / 2**30:.1f} GiB",
            "compute.memory" if compute.memory is not None else "this machine",
            "use fewer trainers or scorers, smaller features (ecfp4), a lower stopping.max_fraction, a smaller "
            "library.block_rows for a wide panel, or more memory",
        )
