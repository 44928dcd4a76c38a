"""Ctrl-C where a library calls Python back: it must not meet the signal half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Have Ctrl-C, and being asked to end, wait until the block is done.

    What the handler of a signal raises in a function that a library of C calls is lost there: the library takes it for
    the end of the data and goes on with half of it, to an error of its own or into memory that is not its. Signals go
    to the main thread, so that in others there is nothing to hold; and what has no handler of Python raises nothing.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with ExitStack() as after:  # whatever a signal raises meanwhile, every handler is set back
        after.callback(_raise_all, came)
        for number in _HELD:
            if callable(handler := signal.getsignal(number)):
                after.callback(signal.signal, number, handler)
                signal.signal(number, note)
        yield


def _raise_all(came: list[int]) -> None:
    """Have signals that came handled, each once; one whose handler raises ends it."""
    for number in dict.fromkeys(came):
        signal.raise_signal(number)
