"""Files are read, and made, in processes of their own: none, whatever it holds, keeps the page from answering."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from isd_ray.campaign.events import acting_for
from isd_ray.config.limits import MAX_MAKING_SECONDS, MAX_READING_BYTES, MAX_READING_SECONDS
from isd_ray.data.ingest.guard import hidden_main, initialise
from isd_ray.errors import InputFileError, IsdError, of_system
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.telling import Told

if TYPE_CHECKING:
    from isd_ray.ops.interim import Interim

N_LISTED = 200
"""Refused lines that are handed over and shown; the others are counted."""
_N_AT_A_TIME = 2
_NAME = "isd-reader"
_STARTING = Lock()
"""Of who starts a process: `hidden_main` is for one at a time."""
_NICE = 5
"""Processes that read give way to the page."""
_BY_COMMAND = "check the file; if it is right, tell it by the command: isd tell"
_BY_EXPORT = "have it made by the command: isd export --interim"


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of a file, or would; of its refused lines the first `N_LISTED`, and the number of all."""

    told: Told
    n_refused: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with a file: `Campaign.preview`, `tell` or `export_interim`, in somebody's name."""

    verb: Literal["preview", "tell", "export_interim"]
    address: str
    file: Path
    options: Mapping[str, Any]
    who: str


class Readers:
    """Reads files apart from the page, a few at a time, and makes some, one at a time; the others in turn."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_N_AT_A_TIME, "reader")
        self._makers = ThreadPoolExecutor(1, "maker")

    def begin(self, order: Order) -> Future[Reading]:
        """Have a file read; the future raises the `IsdError` that `Campaign` raises, or one of `read_apart`."""
        return self._pool.submit(read_apart, order)

    def make(self, order: Order) -> Future[Interim]:
        """Have a file made, as `begin`."""
        return self._makers.submit(make_apart, order)

    def end(self) -> None:
        """Read nothing more: what is being told stays on record as far as it came, as after any crash."""
        for pool in (self._pool, self._makers):
            pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            if process.name == _NAME:
                process.kill()


def read_apart(
    order: Order, limit_s: float = MAX_READING_SECONDS, opened: Callable[[str], Campaign] = Campaign.open
) -> Reading:
    """Read a file in a new process.

    Parameters
    ----------
    opened:
        The campaign at an address.

    Raises
    ------
    IsdError
        As `Campaign.tell`; or if it takes too long, needs too much memory, or ends the process.
    """
    read: Reading = _apart(order, limit_s, opened, _BY_COMMAND)
    return read


def make_apart(order: Order) -> Interim:
    """Make a file in a new process; raises as `read_apart`."""
    made: Interim = _apart(order, MAX_MAKING_SECONDS, Campaign.open, _BY_EXPORT)
    return made


def _apart(order: Order, limit_s: float, opened: Callable[[str], Campaign], remedy: str) -> Any:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_read, args=(theirs, order, opened), name=_NAME, daemon=True)
    with _STARTING, hidden_main():
        process.start()
    theirs.close()
    try:
        if not ours.poll(limit_s):
            raise InputFileError(f"takes longer than {limit_s:g} seconds", order.file.name, remedy)
        answer: Reading | Interim | IsdError = ours.recv()
    except EOFError as error:
        raise InputFileError("ended the process that was at work on it", order.file.name, remedy) from error
    finally:
        ours.close()
        process.kill()
        process.join()
    if isinstance(answer, IsdError):
        raise answer
    return answer


def _read(pipe: Connection, order: Order, opened: Callable[[str], Campaign]) -> None:
    initialise()
    os.nice(_NICE)
    # What is made is of the campaign's own files, and its models may need more.
    if order.verb != "export_interim":
        with suppress(ValueError, OSError):  # a lower limit is set already
            resource.setrlimit(resource.RLIMIT_DATA, (MAX_READING_BYTES, MAX_READING_BYTES))
    try:
        campaign = opened(order.address)
        with acting_for(order.who):
            answer = getattr(campaign, order.verb)(order.file, **order.options)
    except IsdError as error:
        pipe.send(error)
    except OSError as error:
        pipe.send(of_system(error))
    except (MemoryError, pa.ArrowMemoryError):
        what = f"needs more than {MAX_READING_BYTES >> 30} GiB of memory to be read"
        pipe.send(InputFileError(what, order.file.name, _BY_COMMAND))
    else:
        pipe.send(_listed(answer) if isinstance(answer, Told) else answer)


def _listed(told: Told) -> Reading:
    listed = replace(told, refused=told.refused[:N_LISTED], lost=told.lost[:N_LISTED])
    return Reading(listed, len(told.refused))
