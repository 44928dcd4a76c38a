"""What Ray raises when a process, its node or an object that it owned is gone: calls are idempotent and repeated."""

from __future__ import annotations

import errno
import re

from ray import exceptions

from isd_ray.errors import IsdError, ResourceError, StoreError

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
_OF_FILES = frozenset(
    {
        *(errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM),
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE),
    }
)
"""Errors that are of a file also where they name none, as those of Arrow; connections and processes have others."""


def unwrap(error: exceptions.RayTaskError) -> Exception:
    """The error that the process raised itself, when it is one of ours or of its node's disk; else Ray's.

    Ray's holds the remote traceback. A disk is that of one node among many, so the error says of which.
    """
    cause = error.cause
    if isinstance(cause, IsdError):
        return cause
    if isinstance(cause, OSError) and (cause.filename is not None or cause.errno in _OF_FILES):
        return StoreError(
            f"a file cannot be written or read ({cause.strerror})",
            ", ".join(filter(None, (str(cause.filename or ""), _node_of(error)))),
            "make room or give access there, and repeat the command: it continues where this one stopped",
        )
    if isinstance(cause, exceptions.OutOfDiskError | exceptions.ObjectStoreFullError):
        return ResourceError(
            "the object store is full, and there is no room on the disk for what does not fit into it",
            _node_of(error),
            "make room in Ray's folder there (--temp-dir, /tmp/ray by default) or start Ray with more "
            "(--object-store-memory), and repeat the command: it continues where this one stopped",
        )
    return error


def _node_of(error: exceptions.RayTaskError) -> str:
    """The node on which it was raised, as Ray says it in words only."""
    found = re.search(r"\bip=([^,)\s]+)", str(error))
    return f"node {found[1]}" if found else ""


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
