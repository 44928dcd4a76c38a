"""Whose error it is that a process on another node has raised."""

from __future__ import annotations

import errno
import os
import socket

import pytest
from ray.exceptions import RayTaskError

from isd_ray.actors.losses import unwrap
from isd_ray.errors import StoreError


def raised(cause: Exception) -> RayTaskError:
    """As Ray raises it here."""
    said = "ray::Trainer.fit() (pid=7, ip=192.0.2.7)\n  File ...\n"
    error: RayTaskError = RayTaskError("fit", said, cause).as_instanceof_cause()
    return error


def system_error(number: int, *file: str) -> OSError:
    return OSError(number, os.strerror(number), *file)


@pytest.mark.parametrize(
    ("cause", "where"),
    [
        (system_error(errno.ENOSPC), "node 192.0.2.7"),  # as of Arrow, which names no file
        (system_error(errno.EIO), "node 192.0.2.7"),
        (system_error(errno.ENOENT, "/data/part"), "/data/part, node 192.0.2.7"),
        (system_error(errno.ETIMEDOUT, "/nfs/part"), "/nfs/part, node 192.0.2.7"),
    ],
)
def test_an_error_of_a_file_names_it_and_its_node(cause, where):
    found = unwrap(raised(cause))
    assert isinstance(found, StoreError)
    assert found.where == where


@pytest.mark.parametrize(
    "cause",
    [
        system_error(errno.ECONNREFUSED),
        system_error(errno.ETIMEDOUT),
        system_error(errno.EHOSTUNREACH),
        system_error(errno.ENOMEM),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        OSError("no number"),
        ValueError("of a model"),
    ],
)
def test_what_is_of_no_file_stays_rays_error_with_its_traceback(cause):
    error = raised(cause)
    assert unwrap(error) is error
