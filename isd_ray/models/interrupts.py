"""Ctrl-C where a library calls Python back: it must not meet the signal half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Have Ctrl-C, and being asked to end, wait until the block is done.

    What the handler of a signal raises in a function that a library of C calls is lost there: the library takes it for
    the end of the data and goes on with half of it, to an error of its own or into memory that is not its. Signals go
    to the main thread, so that in others there is nothing to hold.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _HELD}
    held = {number: handler for number, handler in before.items() if handler is not None}  # None: not set by Python
    for number in held:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
