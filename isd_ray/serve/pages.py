"""What there is to see: campaigns, where each stands, its events, its report."""

from __future__ import annotations

import hashlib
import logging
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import IsdError, of_system
from isd_ray.ops.results import report_of
from isd_ray.report.page import figures_of
from isd_ray.report.record import Record
from isd_ray.report.sections.accuracy import accuracy, batch_accuracy
from isd_ray.report.words import status_lines
from isd_ray.serve.log import log_of
from isd_ray.serve.shelf import Held
from isd_ray.serve.site import NEW_YEARS, Site, about, assets, unknown

_LOGGER = logging.getLogger(__name__)
_SEEN = 16
"""Letters of the hash that says what was seen of the list."""
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-downloads allow-modals"
)
"""Beside the report's own, which names its two scripts by their hashes: the report can do nothing to this page."""


def pages(site: Site) -> APIRouter:
    """The pages of a site."""
    router = APIRouter()

    @router.get("/static/{name}")
    def asset(name: str) -> Response:
        """A style or a script."""
        found = assets().get(name)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
        return Response(found.content, 200, {"Content-Encoding": "gzip", **NEW_YEARS}, found.media_type)

    @router.get("/")
    def campaigns(request: Request) -> HTMLResponse:
        """All campaigns."""
        return site.show(request, "campaigns", **_campaigns(site))

    @router.get("/live")
    def campaigns_live(request: Request, seen: str) -> Response:
        """The same, once something has happened."""
        found = _campaigns(site)
        if found["seen"] == seen:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return site.show(request, "shelf", **found)

    @router.get("/c/{key}")
    def campaign(request: Request, key: str) -> HTMLResponse:
        """Where a campaign stands."""
        with site.campaign(key) as held:
            return site.show(request, "campaign", **about(held), **_live(held))

    @router.get("/c/{key}/live")
    def live(request: Request, key: str, seen: int) -> Response:
        """What changes on the page of a campaign; nothing while its log is as long as it was."""
        with site.campaign(key) as held:
            if len(held.campaign.store.events()) == seen:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return site.show(request, "live", **about(held), **_live(held))

    @router.get("/c/{key}/events")
    def events(request: Request, key: str, page: int = 1, who: str = "", kind: str = "") -> HTMLResponse:
        """What happened, newest first."""
        with site.campaign(key) as held:
            return site.show(request, "events", **about(held), **log_of(held, page, who, kind))

    @router.get("/c/{key}/events/live")
    def events_live(request: Request, key: str, seen: int, page: int = 1, who: str = "", kind: str = "") -> Response:
        """The same, once it has grown."""
        with site.campaign(key) as held:
            if len(held.campaign.store.events()) == seen:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return site.show(request, "log", **about(held), **log_of(held, page, who, kind))

    @router.get("/c/{key}/report")
    def report(key: str) -> HTMLResponse:
        """The report as it stands, as `isd report` makes it."""
        with site.campaign(key) as held:
            address = held.campaign.store.address
        return HTMLResponse(report_of(CampaignStore.open(address)), headers={"Content-Security-Policy": REPORT_POLICY})

    return router


def _campaigns(site: Site) -> dict[str, Any]:
    lines = [_line(site, key) for key in site.shelf.names()]
    seen = hashlib.sha256(repr([(line["key"], line.get("n_events")) for line in lines]).encode()).hexdigest()[:_SEEN]
    return {"lines": lines, "seen": seen}


def _line(site: Site, key: str) -> dict[str, Any]:
    """A campaign in the list; of one that cannot be read, why: whatever it is, the others are shown."""
    try:
        with site.campaign(key) as held:
            return about(held)
    except IsdError as error:
        problem = error
    except OSError as error:
        problem = of_system(error)
    except Exception as error:
        _LOGGER.exception("a campaign cannot be shown")
        problem = unknown(error)
    return {"key": key, "address": site.shelf.address(key), "in_laboratory": True, "problem": problem}


def _live(held: Held) -> dict[str, Any]:
    store = held.campaign.store
    record = Record.read(store, None)
    sections = [section for make in (accuracy, batch_accuracy) if (section := make(record)) is not None]
    certificate, status = store.certificate(), held.status()
    return {
        "lines": status_lines(status),
        "sections": sections,
        "figures": figures_of(sections),
        "certificate": certificate_lines(certificate) if certificate else [],
        "withdrawn": status.withdrawn,
        "is_stopped": any(event["kind"] == "stop" for event in store.events()),
        "takes_last_look": held.campaign.config.takes_last_look,
    }
