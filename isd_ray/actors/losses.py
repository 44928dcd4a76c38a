"""What Ray raises when a process, its node or an object that it owned is gone: calls are idempotent and repeated."""

from __future__ import annotations

from ray import exceptions

from isd_ray.errors import IsdError

LOSSES = (
    exceptions.ActorDiedError,
    exceptions.ActorUnavailableError,
    exceptions.LocalRayletDiedError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.WorkerCrashedError,
)
"""All of them, with their subclasses: an owner that died is an object that is lost."""


def unwrap(error: exceptions.RayTaskError) -> Exception:
    """The error that the process raised itself, when it is one of ours; else Ray's, with the remote traceback."""
    return error.cause if isinstance(error.cause, IsdError) else error


def cause_of(error: Exception) -> str:
    """What a loss came from, in words where Ray knows it."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return "Ray ended it, for the memory of its node was running out"
    if isinstance(error, exceptions.NodeDiedError | exceptions.LocalRayletDiedError):
        return "its node died"
    return type(error).__name__


def remedy_for(error: Exception, smaller: str) -> str:
    """What to do about losses of which this was the last; `smaller` is how to have less in the memory of a node."""
    memory = f"give the nodes more memory, or {smaller}"
    if isinstance(error, exceptions.OutOfMemoryError):
        return f"{memory}; Ray ends processes where a node uses more than RAY_memory_usage_threshold (0.95) of it"
    return f"see the Ray logs; where memory was short, {memory}; on spot nodes raise compute.lost_actor_retries"
