"""The page as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from isd_ray.errors import IsdError
from isd_ray.serve.actions import actions, doors, previews
from isd_ray.serve.batch_pages import batch_pages
from isd_ray.serve.changes import changes
from isd_ray.serve.guard import Guard
from isd_ray.serve.interim import interim
from isd_ray.serve.pages import pages
from isd_ray.serve.settings import Settings
from isd_ray.serve.shelf import Shelf
from isd_ray.serve.site import Site
from isd_ray.serve.uploads import Uploads


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
        words = f"{error.what}. {error.remedy}".rstrip(". ") + "."
        return site.say(request, "This was refused", words, HTTPStatus.CONFLICT)

    @app.exception_handler(HTTPException)
    def not_found(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        return site.say(request, status.phrase, error.detail, status)

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        return site.say(request, "This form is incomplete", "A field is missing or wrong.", HTTPStatus.BAD_REQUEST)

    return Guard(app, settings, site.sessions)
