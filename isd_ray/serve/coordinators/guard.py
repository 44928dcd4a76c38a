"""What every request to the service must pass before anything of it is read: token, then size."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isd_ray.errors import ClusterError, InputFileError, IsdError
from isd_ray.ops.calls import MAX_SENT_BYTES
from isd_ray.remote.joblog import error_to_json
from isd_ray.remote.tokens import Tokens
from isd_ray.remote.wire import VERSION_HEADER
from isd_ray.serve.patience import announced_length, impatient

HEALTH = "/healthz"
"""Answered to everybody, for those who watch whether the service lives."""
MAX_CALL_BYTES = 16 << 20
"""A call without its file: names of some hundred thousand compounds."""


class TokenGuard:
    """Lets pass what shows one of the tokens; the name of who holds it is ``request.state.holder``."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, impatient(receive), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        holder = self._holder(request.headers)
        if request.url.path == HEALTH:
            await PlainTextResponse("ok\n")(scope, receive, send)
        elif holder is None:
            error = ClusterError(
                "a token is asked for, and none of the service's was shown", "the service", "ask who runs it for one"
            )
            headers = {"WWW-Authenticate": 'Bearer realm="isd_ray"', "Connection": "close"}
            await refused(error, HTTPStatus.UNAUTHORIZED, headers)(scope, receive, send)
        else:

            async def send_with_version(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(
                        {VERSION_HEADER: version("isd_ray"), "Cache-Control": "no-store"}
                    )
                await send(message)

            request.state.holder = holder
            await (_refusal(request) or self._app)(scope, receive, send_with_version)

    def _holder(self, headers: Headers) -> str | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return self._tokens.holder(token.strip()) if scheme.lower() == "bearer" else None


def refused(error: IsdError, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    """An error as the answer to a request."""
    return JSONResponse({"error": error_to_json(error)}, status, headers)


def _refusal(request: Request) -> Response | None:
    if request.method != "POST":
        return None
    length = announced_length(request)
    if length is not None and length <= MAX_SENT_BYTES + MAX_CALL_BYTES:
        return None
    said = "an unknown number of" if length is None else f"{length:,}"
    error = InputFileError(
        f"{said} bytes are more than the {MAX_SENT_BYTES:,} that are sent to a cluster",
        "the request",
        "split the file, and announce its length",
    )
    # The body is not read, so the connection cannot be used again.
    return refused(error, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"Connection": "close"})
