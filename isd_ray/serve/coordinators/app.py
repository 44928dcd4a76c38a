"""The service of coordinators as an ASGI application, and serving it.

Calls come in, are done in threads, and are asked for until they are answered.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from isd_ray.config import ComputeConfig
from isd_ray.errors import ClusterError, ConfigError, IsdError, ResourceError
from isd_ray.ops.calls import CHANGES, LOOKS, SentFile, VerbCall
from isd_ray.ops.reach import wait_until_up
from isd_ray.remote import wire
from isd_ray.remote.joblog import error_to_json
from isd_ray.remote.tokens import Tokens
from isd_ray.remote.transport import Transport
from isd_ray.serve.coordinators.calls import Call, Calls
from isd_ray.serve.coordinators.campaigns import Campaigns
from isd_ray.serve.coordinators.guard import MAX_CALL_BYTES, TokenGuard, refused
from isd_ray.serve.listening import check_tls, listening, uvicorn_of
from isd_ray.serve.sessions import name_of
from isd_ray.serve.settings import EVERY_ADDRESS, LOCAL_HOSTS
from isd_ray.serve.uploads import file_name
from isd_ray.storage.files import sha256_file

WAIT_S = 20.0
"""A request of a call that is under way is answered after so long at the latest: proxies give up after 30 s or more."""
_FIRST_LOOK_S, _LAST_LOOK_S = 0.01, 0.2
"""From one look at a call to the next: most are answered soon."""


def create_app(campaigns: Campaigns, tokens: Tokens, scratch: Path) -> ASGIApp:
    """The service of some campaigns.

    Parameters
    ----------
    scratch:
        An empty folder of this process alone, for files on their way to callers.
    """
    service = _Service(campaigns, Calls(scratch))
    app = Starlette(
        routes=[
            Route("/v1/campaigns", service.campaigns),
            Route("/v1/calls", service.begin, methods=["POST"]),
            Route("/v1/calls/{key}", service.go_on),
            Route("/v1/calls/{key}/file", service.file),
        ],
        exception_handlers={IsdError: _refused, HTTPException: _misplaced, ClientDisconnect: _gone},
    )
    return TokenGuard(app, tokens)


class _Service:
    def __init__(self, campaigns: Campaigns, calls: Calls) -> None:
        self._campaigns = campaigns
        self._calls = calls

    async def campaigns(self, request: Request) -> Response:
        """The campaigns that are served."""
        paths = await run_in_threadpool(self._campaigns.paths)
        return _json({"campaigns": [{"name": name, "path": path} for name, path in sorted(paths.items())]})

    async def begin(self, request: Request) -> Response:
        """Begin a call, or go on with the one of its key."""
        async with request.form(max_files=1, max_fields=1, max_part_size=MAX_CALL_BYTES) as form:
            said, file = _read(form.get("call")), form.get("file")
            sent = None
            if isinstance(file, UploadFile):
                sent = SentFile(file_name(file.filename or ""), await file.read())
        work, key = self._work(said, sent, request.state.holder)
        return await self._answer(self._calls.begin(key, work), request)

    async def go_on(self, request: Request) -> Response:
        """What has become of a call."""
        call = self._calls.find(request.path_params["key"])
        return _json({"state": wire.UNKNOWN, "steps": []}) if call is None else await self._answer(call, request)

    async def file(self, request: Request) -> Response:
        """The file that a call has written."""
        call = self._calls.find(request.path_params["key"])
        if call is None or not call.file.is_file():
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return FileResponse(call.file, media_type="application/octet-stream")

    def _work(self, said: dict[str, Any], sent: SentFile | None, holder: str) -> tuple[Callable[[Call], Any], str]:
        """What a call does, and its key."""
        name, output, verb = str(said.pop("campaign", "")), file_name(str(said.pop("output", ""))), said.get("verb")
        if verb in (wire.ATTACH, wire.DETACH):
            do = self._campaigns.attach if verb == wire.ATTACH else self._campaigns.stop
            return lambda _: {"value": do(name)}, str(said.get("key"))
        call = wire.call_from_json({**said, "who": holder or name_of(str(said.get("who", "")))}, sent)
        return lambda place: self._do(self._campaigns.transport(name), call, output, place), call.key

    def _do(self, transport: Transport, call: VerbCall, output: str, place: Call) -> dict[str, Any]:
        if call.verb in CHANGES:
            return {"value": transport.change(call, place.steps.append if call.verb == "ask" else None)}
        if call.verb in LOOKS:
            return {"value": transport.look(call)}
        returned = transport.write(call, output, place.file)
        return {"value": returned, "sha256": sha256_file(place.file)}

    async def _answer(self, call: Call, request: Request) -> Response:
        """The answer of a call, once it is there; its steps behind those that were seen, as soon as there are any."""
        seen = request.query_params.get("seen", "0")
        n_seen, ends = int(seen) if seen.isdecimal() else 0, time.monotonic() + WAIT_S
        pause = _FIRST_LOOK_S
        while not call.answer.done() and len(call.steps) <= n_seen and time.monotonic() < ends:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK_S)
        is_done = call.answer.done()  # before its steps are read: none comes later
        said = {"state": wire.DONE if is_done else wire.RUNNING, "steps": wire.value_to_json(call.steps[n_seen:])}
        error = call.answer.exception() if is_done else None
        if isinstance(error, IsdError):
            return _json({"error": error_to_json(error)})
        answer = call.answer.result() if is_done else {}
        return _json({**said, **await run_in_threadpool(wire.value_to_json, answer)})


def _read(text: Any) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (TypeError, ValueError):
        said = None
    if not isinstance(said, dict):
        raise ClusterError("a request holds no call", "the service", "call by `isd.attach`, of this version of isd_ray")
    return said


def _json(content: dict[str, Any]) -> Response:
    return Response(json.dumps(content), media_type="application/json")  # Starlette's refuses numbers without a bound


async def _refused(request: Request, error: Any) -> Response:
    is_busy = isinstance(error, ResourceError)
    return refused(error, HTTPStatus.SERVICE_UNAVAILABLE if is_busy else HTTPStatus.BAD_REQUEST)


async def _misplaced(request: Request, error: Any) -> Response:
    words = ClusterError(f"nothing is served so ({error.detail})", request.url.path, "call by `isd.attach`")
    return refused(words, HTTPStatus(error.status_code))


async def _gone(request: Request, error: Any) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody hears it: who called is away


@dataclass(frozen=True, slots=True)
class Served:
    """Where the service listens, and who ends the TLS of its callers.

    Attributes
    ----------
    host, port:
        Of the socket; port 0 takes a free one.
    certificate, key:
        PEM files; None where a proxy ends TLS, or where only this machine reaches the service.
    behind_proxy:
        Whether such a proxy stands before a service that others reach.

    Raises
    ------
    ConfigError
        If tokens and readouts would travel in the clear.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    def __post_init__(self) -> None:
        check_tls(self.certificate, self.key)
        if not (self.host in LOCAL_HOSTS or self.certificate or self.behind_proxy):
            raise ConfigError(
                f"at {self.host} others reach the service, and its tokens would travel in the clear",
                "--host",
                "give --tls-cert and --tls-key, or say --behind-proxy if a proxy ends TLS and nobody else reaches it",
            )

    def url(self, port: int) -> str:
        """Where the service is reached, as far as it knows."""
        host = "HOST" if self.host in EVERY_ADDRESS else f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.certificate is None else 'https'}://{host}:{port}"


def serve(
    places: Sequence[str],
    address: str,
    tokens: Tokens,
    place: Served,
    started: Callable[[str, dict[str, str]], None],
    say: Callable[[str], None],
) -> None:
    """Serve coordinators until the process is asked to end; they stay.

    A cluster that is just starting, as that of the same pod, is waited for.

    Parameters
    ----------
    places, address:
        See `isd_ray.serve.coordinators.campaigns.Campaigns`.
    started:
        Called with the URL and the campaigns' paths by name, once the service can be reached.
    say:
        Told if the cluster is waited for.

    Raises
    ------
    StoreError, ResourceError, ClusterError
        As `Campaigns`; or if the port is taken.
    """
    wait_until_up(address, ComputeConfig().start_timeout_s, say)
    campaigns = Campaigns(places, address)
    with tempfile.TemporaryDirectory(prefix="isd-coordinators-") as scratch:
        socket = listening(place.host, place.port)
        started(place.url(socket.getsockname()[1]), campaigns.paths())
        app = create_app(campaigns, tokens, Path(scratch))
        uvicorn.Server(uvicorn_of(app, place.certificate, place.key)).run(sockets=[socket])
