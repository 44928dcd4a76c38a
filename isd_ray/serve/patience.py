"""How long a connection may keep still, a request may take to come in, and how much it says that it sends."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.types import Message, Receive
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

IDLE_S = 20.0
"""A connection that sends nothing for so long, or asks for nothing whole, is closed."""
SENDING_S = 900.0
"""Until a request is in, however steadily it comes: 64 MiB at 0.6 Mbit/s."""


class Connection(H11Protocol):
    """A connection of uvicorn's that is closed once it asks for nothing.

    uvicorn closes those that are idle after an answer; not those that never ask, or send a header letter by letter.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self.loop.call_later(IDLE_S, self._look, None)

    def _look(self, before: RequestResponseCycle | None) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is before and (before is None or before.response_complete):
            self.transport.close()
        else:
            self.loop.call_later(IDLE_S, self._look, self.cycle)


def announced_length(request: Request) -> int | None:
    """Bytes of the body, to which the server holds it; None where it is sent in pieces until its sender ends it.

    A sender that says both is held to the pieces (RFC 9112, 6.3), so that the length says nothing.
    """
    length = request.headers.get("content-length", "")
    return None if "transfer-encoding" in request.headers or not length.isdecimal() else int(length)


def impatient(receive: Receive) -> Receive:
    """What a request sends; one that stops in its midst, or never ends, counts as gone."""
    ends: float | None = asyncio.get_running_loop().time() + SENDING_S

    async def next_message() -> Message:
        nonlocal ends
        if ends is None:  # it is in; what comes now is only that somebody has left
            return await receive()
        try:
            left = ends - asyncio.get_running_loop().time()
            message = await asyncio.wait_for(receive(), min(IDLE_S, left))
        except TimeoutError:
            return {"type": "http.disconnect"}
        if not message.get("more_body"):
            ends = None
        return message

    return next_message
