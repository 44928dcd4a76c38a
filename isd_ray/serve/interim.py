"""A screen under way as a file, made apart from the page, which fetches it when it is there."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import Future, wait
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from isd_ray.errors import IsdError
from isd_ray.serve.apart import Order
from isd_ray.serve.downloads import archive
from isd_ray.serve.site import PATIENCE_S, Site, about, acting, check_form

if TYPE_CHECKING:
    from isd_ray.ops.interim import Interim


@dataclass(frozen=True, slots=True)
class Making:
    """A file that is being made, or is there."""

    key: str
    file: Path
    work: Future[Interim]


def interim(site: Site, scratch: Path) -> APIRouter:
    """Asking for the file, and waiting for it.

    Parameters
    ----------
    scratch:
        As of `isd_ray.serve.app.create_app`.
    """
    router = APIRouter(prefix="/c/{key}/interim")
    makings: dict[str, Making] = {}

    @router.post("", dependencies=[Depends(check_form)])
    def begin(
        request: Request,
        key: str,
        ending: Annotated[Literal["csv", "sdf", "parquet"], Form()] = "csv",
        hits: Annotated[bool, Form()] = False,
    ) -> Response:
        """Have the file made; the same one, as long as the log is as long, once for everybody."""
        with site.campaign(key) as held:
            n_events = len(held.campaign.store.events())
        name = hashlib.sha256(repr((key, n_events, ending, hits)).encode()).hexdigest()
        known = makings.get(name)
        if known is None or (known.work.done() and known.work.exception() is not None):
            for old in [each for each, making in makings.items() if making.key == key and making.work.done()]:
                shutil.rmtree(makings.pop(old).file.parent, ignore_errors=True)
            file = scratch / f"interim-{name}" / f"interim-{n_events:06d}{'-hits' if hits else ''}.{ending}"
            file.parent.mkdir(exist_ok=True)
            order = Order("export_interim", site.shelf.address(key), file, {"hits": hits}, acting(request))
            makings[name] = Making(key, file, site.readers.make(order))
        return RedirectResponse(f"/c/{key}/interim/{name}", HTTPStatus.SEE_OTHER)

    @router.get("/{name}")
    def waiting(request: Request, key: str, name: str) -> Response:
        """That it is being made, or what it holds."""
        making = _making(key, name)
        is_at_work, problem, made = not wait([making.work], PATIENCE_S).done, None, None
        if not is_at_work:
            try:
                made = making.work.result()
            except IsdError as error:
                problem = error
        with site.campaign(key) as held:
            said: dict[str, Any] = {"made": made, "is_at_work": is_at_work, "refusal": problem, "making": name}
            page = site.show(request, "interim", **about(held), **said)
        if is_at_work:
            page.headers["Refresh"] = "2"
        return page

    @router.get("/{name}/file")
    def file(key: str, name: str) -> Response:
        """The file, with the text that says what it is."""
        making = _making(key, name)
        if not making.work.done() or making.work.exception() is not None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "This file is not made yet.")
        files = [making.file, making.work.result().notice]
        return archive(f"{making.file.stem}-NOT-CERTIFIED.zip", files)

    def _making(key: str, name: str) -> Making:
        found = makings.get(name)
        if found is None or found.key != key or not site.shelf.has(key):
            raise HTTPException(HTTPStatus.NOT_FOUND, "This file is not kept any more. Ask for it again.")
        return found

    return router
