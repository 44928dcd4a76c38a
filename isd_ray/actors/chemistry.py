"""The chemistry of a library build as Ray tasks: any cluster, the same bytes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

import ray
from ray.exceptions import RayTaskError

from isd_ray.actors.failure import FailureDecision, FailurePolicy
from isd_ray.actors.losses import LOSSES, cause_of, remedy_for, unwrap
from isd_ray.data.ingest.molecules import ChunkT, Do, PreparedChunk, ResultT, WorkT, prepare_chunk
from isd_ray.errors import ActorLostError

AHEAD = 4
"""Chunks under way for each CPU of the cluster: enough to hide transfers, and a bound on what waits in memory."""
TASK_CPUS = 1.0
FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
"""Before a lost chunk is done again; doubled each time."""


def prepare_on_ray(
    chunks: Iterable[ChunkT], policy: FailurePolicy, timeout_s: float
) -> Iterator[tuple[ChunkT, PreparedChunk]]:
    """Prepare chunks on the connected cluster and give them back in their order.

    Parameters
    ----------
    policy:
        How often one chunk may be lost with its worker or node before the build gives up; each time it is done again. A
        node takes all its chunks with it, so they are not counted together, and Ray's own retries are off.
    timeout_s:
        Longest wait for the next chunk.

    Raises
    ------
    ActorLostError
        If the policy gives up, or no chunk comes back in time.
    IsdError
        What the chemistry raised on purpose.
    """
    return done_on_ray(prepare_chunk, chunks, policy, timeout_s)


def done_on_ray(
    do: Do[ResultT], work: Iterable[WorkT], policy: FailurePolicy, timeout_s: float
) -> Iterator[tuple[WorkT, ResultT]]:
    """Do any work on structures on the connected cluster; parameters, order and errors as of `prepare_on_ray`."""
    task = ray.remote(do).options(num_cpus=TASK_CPUS, max_retries=0, scheduling_strategy="SPREAD")
    pending: deque[tuple[WorkT, ray.ObjectRef]] = deque()

    def next_result() -> tuple[WorkT, ResultT]:
        n_lost = 0
        while True:
            chunk, reference = pending[0]
            ready, _ = ray.wait([reference], timeout=timeout_s)
            if not ready:
                raise ActorLostError(
                    f"no answer within {timeout_s:g} s from a task of the library build; it asks for "
                    f"{TASK_CPUS:g} CPU, free is {ray.available_resources().get('CPU', 0.0):g}",
                    chunk.label,
                    "look for a hung or busy cluster, or raise compute.call_timeout_s",
                )
            try:
                result: ResultT = ray.get(reference)
            except RayTaskError as error:
                raise unwrap(error) from error
            except LOSSES as error:
                n_lost += 1
                if policy.decide(n_lost) is FailureDecision.GIVE_UP:
                    raise ActorLostError(
                        f"{n_lost} tasks of the library build were lost, all with these records; the last: "
                        f"{cause_of(error)}",
                        chunk.label,
                        remedy_for(error, "start Ray on them with fewer CPUs (--num-cpus)")
                        + "; if always these records are named, a structure among them crashes RDKit",
                    ) from error
                # Until Ray notices that a node is gone, after some 15 s, it may send there what it is given.
                time.sleep(min(_LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (n_lost - 1)))
                pending[0] = (chunk, task.remote(chunk.structures, chunk.options))
                continue
            pending.popleft()
            return chunk, result

    for chunk in work:
        pending.append((chunk, task.remote(chunk.structures, chunk.options)))
        # Asked anew each time: nodes come and go.
        if len(pending) >= AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1.0))):
            yield next_result()
    while pending:
        yield next_result()
