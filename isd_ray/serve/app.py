"""The page as an ASGI application, and serving it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from isd_ray.errors import IsdError, of_system
from isd_ray.serve.actions import actions, changes, doors, previews
from isd_ray.serve.batch_pages import batch_pages
from isd_ray.serve.guard import Guard
from isd_ray.serve.interim import interim
from isd_ray.serve.listening import listening, uvicorn_of
from isd_ray.serve.pages import pages
from isd_ray.serve.settings import Settings
from isd_ray.serve.shelf import Shelf
from isd_ray.serve.site import Site, sentence, unknown
from isd_ray.serve.uploads import Uploads


def serve(places: Sequence[str], settings: Settings, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve the page until the process is asked to end.

    Parameters
    ----------
    places:
        See `isd_ray.serve.shelf.Shelf`.
    port:
        0 takes a free one.
    started:
        Called with the address of the page, without a slash at its end, once it can be reached.

    Raises
    ------
    StoreError
        If a place holds no campaigns.
    ResourceError
        If the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="isd-serve-") as scratch:
        socket = listening(host, port)
        scheme = "https" if settings.is_encrypted else "http"
        name = settings.names[0]
        started(f"{scheme}://{name}:{socket.getsockname()[1]}")
        uvicorn.Server(configuration(places, settings, Path(scratch))).run(sockets=[socket])


def configuration(places: Sequence[str], settings: Settings, scratch: Path) -> uvicorn.Config:
    """How uvicorn serves the page; `scratch` as of `create_app`."""
    app = create_app(places, settings, scratch)
    return uvicorn_of(app, settings.certificate, settings.key, settings.proxies)


def login_address(address: str, token: str) -> str:
    """The page's address with the token filled in."""
    return f"{address}/login?token={quote(token)}"


def create_app(places: Sequence[str], settings: Settings, scratch: Path) -> ASGIApp:
    """The page of some campaigns.

    Parameters
    ----------
    places:
        See `isd_ray.serve.shelf.Shelf`.
    scratch:
        An empty folder of this process alone, for files that wait for their confirmation.

    Raises
    ------
    StoreError
        If a place holds no campaigns.
    """
    site = Site(settings, Shelf(places), Uploads(scratch))

    @asynccontextmanager
    async def until_the_end(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.readers.end()

    app = FastAPI(openapi_url=None, redirect_slashes=False, lifespan=until_the_end)
    seen = (pages(site), batch_pages(site), previews(site))
    for router in (doors(site), *seen, actions(site), changes(site), interim(site, scratch)):
        app.include_router(router)

    @app.exception_handler(IsdError)
    def refused(request: Request, error: IsdError) -> Response:
        return site.say(request, "This was refused", sentence(error), HTTPStatus.CONFLICT, error.where)

    @app.exception_handler(OSError)
    def out_of_reach(request: Request, error: OSError) -> Response:
        said = of_system(error)
        return site.say(request, "A file is out of reach", sentence(said), HTTPStatus.SERVICE_UNAVAILABLE, said.where)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        # It is raised again behind this answer, so that the terminal of the page has the whole of it.
        return site.say(request, "This page failed", sentence(unknown(error)), HTTPStatus.INTERNAL_SERVER_ERROR)

    @app.exception_handler(HTTPException)
    def not_found(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        return site.say(request, status.phrase, error.detail, status)

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        return site.say(request, "This form is incomplete", "A field is missing or wrong.", HTTPStatus.BAD_REQUEST)

    return Guard(app, settings, site.sessions)
