"""What there is to see: campaigns, where each stands, its batch, its events, its report."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.events import Event
from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.status import awaited_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.config.limits import MAX_UPLOAD_BYTES
from isd_ray.errors import IsdError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import report_of
from isd_ray.report.page import figures_of
from isd_ray.report.record import Record
from isd_ray.report.sections.accuracy import accuracy, batch_accuracy
from isd_ray.report.sections.history import EVENTS
from isd_ray.report.words import percent, status_lines
from isd_ray.serve.batch import STATES, WORDS, plates_of
from isd_ray.serve.shelf import Held
from isd_ray.serve.site import Site, assets

EVENTS_A_PAGE = 50
PLATES_A_PAGE = 4
COMPOUNDS_A_PAGE = 100
NEW_YEARS = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of files whose address changes with their content."""
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
        return site.show(request, "campaigns", campaigns=[_line(site, key) for key in site.shelf.names()])

    @router.get("/c/{key}")
    def campaign(request: Request, key: str) -> HTMLResponse:
        """Where a campaign stands."""
        with site.campaign(key) as held:
            return site.show(request, "campaign", **_about(held), **_live(held))

    @router.get("/c/{key}/live")
    def live(request: Request, key: str, seen: int) -> Response:
        """What changes on the page of a campaign; nothing while its log is as long as it was."""
        with site.campaign(key) as held:
            if len(held.campaign.store.events()) == seen:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return site.show(request, "live", **_about(held), **_live(held))

    @router.get("/c/{key}/batch")
    def batch(request: Request, key: str, page: int = 1, plates: int = 1) -> HTMLResponse:
        """The batch that is out."""
        with site.campaign(key) as held:
            return site.show(request, "batch", **_about(held), **_batch(held.campaign, page, plates))

    @router.get("/c/{key}/batch/live")
    def batch_live(request: Request, key: str, seen: int, plates: int = 1) -> Response:
        """What changes on the page of a batch."""
        with site.campaign(key) as held:
            if len(held.campaign.store.events()) == seen:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return site.show(request, "wells", **_about(held), **_batch(held.campaign, 1, plates))

    @router.get("/c/{key}/events")
    def events(request: Request, key: str, page: int = 1) -> HTMLResponse:
        """What happened, newest first."""
        with site.campaign(key) as held:
            return site.show(request, "events", **_about(held), **_events(held, page))

    @router.get("/c/{key}/report")
    def report(key: str) -> HTMLResponse:
        """The report as it stands, as `isd report` makes it."""
        with site.campaign(key) as held:
            address = held.campaign.store.address
        return HTMLResponse(report_of(CampaignStore.open(address)), headers={"Content-Security-Policy": REPORT_POLICY})

    return router


def _line(site: Site, key: str) -> dict[str, Any]:
    """A campaign in the list; of one that cannot be read, why."""
    try:
        with site.campaign(key) as held:
            return _about(held)
    except IsdError as error:
        return {"key": key, "address": site.shelf.address(key), "problem": error}


def _about(held: Held) -> dict[str, Any]:
    """What all pages of a campaign say of it."""
    status, campaign = held.status(), held.campaign
    n_acquired = status.counts["OBSERVED"] + status.counts["EXTERNAL"]
    return {
        "key": held.key,
        "name": campaign.config.name,
        "address": campaign.store.address,
        "status": status,
        "n_acquired": n_acquired,
        "share": percent(n_acquired / status.n_library),
        "n_events": held.n_events,
        "problem": None,
    }


def _live(held: Held) -> dict[str, Any]:
    store = held.campaign.store
    record = Record.read(store, None)
    sections = [section for make in (accuracy, batch_accuracy) if (section := make(record)) is not None]
    certificate = store.certificate()
    return {
        "lines": status_lines(held.status()),
        "sections": sections,
        "figures": figures_of(sections),
        "certificate": certificate_lines(certificate) if certificate else [],
        "withdrawn": store.withdrawn(),
    }


def _batch(campaign: Campaign, page: int, plates_page: int) -> dict[str, Any]:
    out = campaign.batch()
    if out is None:
        return {"batch": None}
    states = awaited_of(campaign.store)
    plates, lines = plates_of(out, states), out.table.to_pylist()
    config = campaign.config
    return {
        "batch": out,
        "is_dispatched": campaign.is_dispatched(out.round),
        "counts": {state: n for state in STATES if (n := sum(found == state for found in states.values()))},
        "states": states,
        "words": WORDS,
        "plates": _page(plates, plates_page, PLATES_A_PAGE),
        "plates_pages": _pages(plates, plates_page, PLATES_A_PAGE),
        "compounds": _page(lines, page, COMPOUNDS_A_PAGE),
        "pages": _pages(lines, page, COMPOUNDS_A_PAGE),
        "outputs": tuple(campaign.store.manifest["outputs"]),
        "readouts": config.readouts,
        "takes_external": not config.stopping.in_force.is_reserved,
        "max_bytes": MAX_UPLOAD_BYTES,
    }


def _events(held: Held, page: int) -> dict[str, Any]:
    store = held.campaign.store
    # That predictions were frozen says that the batch that is out is an audit.
    secret = unjudged(store.rounds())
    every = [
        {
            **event,
            "words": EVENTS.get(event["kind"], event["kind"]),
            "about": event.get("reason") or event.get("file") or _names(event),
        }
        for event in reversed(store.events())
        if not (event["kind"] == "freeze" and event["round"] in secret)
    ]
    return {"events": _page(every, page, EVENTS_A_PAGE), "pages": _pages(every, page, EVENTS_A_PAGE)}


def _names(event: Event) -> str:
    """The files that were written for the laboratory; those of the hybrid screen are too many."""
    return ", ".join(event["files"]) if event["kind"] == "dispatch" else ""


def _pages(every: list[Any], page: int, size: int) -> tuple[int, int]:
    """Number of the page that is shown, and of the last."""
    last = max(1, -(-len(every) // size))
    return min(max(page, 1), last), last


def _page(every: list[Any], page: int, size: int) -> list[Any]:
    number, _ = _pages(every, page, size)
    return every[(number - 1) * size : number * size]
