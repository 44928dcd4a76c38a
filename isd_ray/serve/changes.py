"""What changes the course of a screen: something is taken back, or a person stops it. Each asks again first."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from isd_ray.campaign.events import acting_for
from isd_ray.ops.opened import need
from isd_ray.report.numbers import counted
from isd_ray.serve.log import entry_of
from isd_ray.serve.site import Site, about, acting, check_form, session_of


def changes(site: Site) -> APIRouter:
    """Undoing and stopping."""
    router = APIRouter(prefix="/c/{key}", dependencies=[Depends(check_form)])

    @router.post("/undo")
    def undo(
        request: Request,
        key: str,
        number: Annotated[int, Form()],
        reason: Annotated[str, Form()] = "",
        confirmed: Annotated[bool, Form()] = False,
    ) -> Response:
        """Take back what no decision has used: first what that is, then, with a reason, for good."""
        with site.campaign(key) as held, acting_for(acting(request)):
            if confirmed:
                n = held.campaign.undo(number, reason)
                what = "readout or compound" if n == 1 else "readouts or compounds"
                session_of(request).notice = f"Entry {number} was taken back: {n:,} {what}."
                return RedirectResponse(f"/c/{key}/events", HTTPStatus.SEE_OTHER)
            entry = next((found for found in held.campaign.undoable() if found.number == number), None)
            if entry is None:
                raise HTTPException(
                    HTTPStatus.CONFLICT,
                    "This cannot be taken back: a decision has used it by now, or a look is judged by it.",
                )
            return site.show(request, "undo", entry=entry, words=entry_of(entry.kind), **about(held))

    @router.post("/stop")
    def stop(
        request: Request,
        key: str,
        reason: Annotated[str, Form()] = "",
        last_look: Annotated[bool, Form()] = False,
        confirmed: Annotated[bool, Form()] = False,
    ) -> Response:
        """Stop the screen: first what that would do, then, confirmed, for good."""
        with site.campaign(key) as held, acting_for(acting(request)):
            if confirmed:
                n_lost = held.campaign.stop(reason, last_look=last_look)
                lost = f" The batch that was out is closed without {counted(n_lost, 'readout')}." if n_lost else ""
                session_of(request).notice = f"The screen is stopped.{lost}"
                return RedirectResponse(f"/c/{key}", HTTPStatus.SEE_OTHER)
            need(reason)
            return site.show(request, "stop", reason=reason, last_look=last_look, **about(held))

    return router
