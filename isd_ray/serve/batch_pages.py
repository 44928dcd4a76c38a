"""A batch: its compounds with their structures, its plates, and the lines that were refused."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
from fastapi import APIRouter, HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from isd_ray.campaign.judged_plates import judged_plates
from isd_ray.campaign.refused import refused_lines
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.chem.draw import draw_svg
from isd_ray.config.limits import MAX_UPLOAD_BYTES
from isd_ray.formulas import escaped
from isd_ray.report.plate_quality import quality_table
from isd_ray.serve.batch import STATES, WORDS, Plate, plates_of
from isd_ray.serve.downloads import CSV, attachment
from isd_ray.serve.lines import BatchLine, View, lines_of
from isd_ray.serve.paging import number_of, page_of, pages_of
from isd_ray.serve.shades import BY_STATE, Shading, shading_of
from isd_ray.serve.shelf import Held
from isd_ray.serve.site import NEW_YEARS, Site, about

COMPOUNDS_A_PAGE = 100
LINES_A_PAGE = 200
WELLS_A_PAGE, MAX_PLATES = 1536, 4
"""So many wells are drawn on a page, on so many plates at most."""
OTHERS = ("round", "show", "plates")
"""What an address of the list says beside what it picks."""
_WIDTH, _HEIGHT = 160, 110
_NOT_DRAWN = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
    f'<text x="{_WIDTH // 2}" y="{_HEIGHT // 2}" text-anchor="middle" font-family="sans-serif" font-size="13" '
    'fill="#566069">not drawn</text></svg>'
)
_DRAWINGS_KEPT = 4096
_VERSION = 12
"""Letters of the hash of a batch by which the addresses of its drawings differ from those of another."""
_DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Of a drawing, whose lines have styles of their own and which runs nothing."""


def batch_pages(site: Site) -> APIRouter:
    """The pages of batches."""
    router = APIRouter(prefix="/c/{key}")

    @router.get("/batch")
    def batch(request: Request, key: str) -> HTMLResponse:
        """The batch that is out, or that of a round."""
        with site.campaign(key) as held:
            return site.show(request, "batch", is_live=False, **about(held), **_batch(held, request))

    @router.get("/batch/live")
    def batch_live(request: Request, key: str, seen: int) -> Response:
        """What changes on the page of a batch."""
        with site.campaign(key) as held:
            if len(held.campaign.store.events()) == seen:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return site.show(request, "wells", is_live=True, **about(held), **_batch(held, request))

    @router.get("/rounds/{number}/structures/{place}")
    def structure(key: str, number: int, place: int) -> Response:
        """The drawing of a compound of a batch, by its place."""
        with site.campaign(key) as held:
            lines = _lines(held, _round(held, number))
        if not 0 <= place < len(lines):
            raise HTTPException(HTTPStatus.NOT_FOUND, "The batch has no such compound.")
        headers = {"Content-Security-Policy": _DRAWING_POLICY, **NEW_YEARS}
        return Response(_drawn(lines[place].smiles), 200, headers, "image/svg+xml")

    @router.get("/refused/{sequence}")
    def refused(request: Request, key: str, sequence: int, page: int = 1) -> HTMLResponse:
        """The lines of a file that were refused."""
        with site.campaign(key) as held:
            event, table = _refused(held, sequence)
            lines = table.to_pylist()
            shown, pages = page_of(lines, page, LINES_A_PAGE), pages_of(lines, page, LINES_A_PAGE)
            return site.show(request, "refused", event=event, lines=shown, pages=pages, **about(held))

    @router.get("/refused/{sequence}/csv")
    def refused_csv(key: str, sequence: int) -> Response:
        """The same as a file."""
        with site.campaign(key) as held:
            _, table = _refused(held, sequence)
        sink = io.BytesIO()
        pc.write_csv(escaped(table), sink)
        return attachment(f"refused-{sequence:06d}.csv", CSV, sink.getvalue())

    return router


def _batch(held: Held, request: Request) -> dict[str, Any]:
    """What the page of a batch shows."""
    campaign, query = held.campaign, request.query_params
    rounds = held.once("rounds", campaign.store.rounds)
    out = held.once("batch", campaign.batch) if campaign.store.manifest["in_laboratory"] else None
    if out is not None and out.round >= len(rounds):
        out = None  # released in this moment: the log says so next
    asked = query.get("round", "")
    numbers = [files.round for files in rounds]
    if asked:
        files = _round(held, number_of(asked, -1))
    elif out is not None:
        files = rounds[out.round]
    else:
        return {"batch": None, "is_out": False, "rounds": numbers}
    view, lines = View.of(query, OTHERS), _lines(held, files)
    picked, page = view.pick(lines), number_of(query.get("page", ""))
    states = [line.state for line in lines]
    plates: Sequence[Plate] = ()
    plates_pages, shading = (1, 1), None
    plate_map, format_ = files.read_plates(), campaign.config.plates
    if plate_map is not None and format_ is not None:
        shading = _shading(held, files, query.get("show", ""), lines, plate_map)
        kept = ("plates", files.round, shading.show)
        every = held.once(kept, lambda: plates_of(plate_map, format_.format, lines, shading))
        size, at = max(1, min(MAX_PLATES, WELLS_A_PAGE // format_.format)), number_of(query.get("plates", ""))
        plates, plates_pages = page_of(every, at, size), pages_of(every, at, size)
    quality = held.once("quality", lambda: judged_plates(campaign.store)) if plates else {}
    judged = [quality[plate.barcode] for plate in plates if plate.barcode in quality]
    return {
        "batch": out if out is not None and out.round == files.round else files,
        "is_out": out is not None and out.round == files.round,
        "rounds": numbers,
        "is_dispatched": campaign.is_dispatched(files.round),
        "version": files.released["batch_sha256"][:_VERSION],
        "n_lines": len(lines),
        "counts": {state: n for state in STATES if (n := states.count(state))},
        "roles": sorted({line.role for line in lines if line.role}),
        "words": WORDS,
        "view": view,
        "n_picked": len(picked),
        "shading": shading,
        "plates": plates,
        "plates_pages": plates_pages,
        "quality": quality_table(judged) if judged else None,
        "has_plates": plate_map is not None,
        "compounds": page_of(picked, page, COMPOUNDS_A_PAGE),
        "pages": pages_of(picked, page, COMPOUNDS_A_PAGE),
        "outputs": tuple(campaign.store.manifest["outputs"]),
        "readouts": campaign.config.readouts,
        "takes_external": not campaign.config.stopping.in_force.is_reserved,
        "max_bytes": MAX_UPLOAD_BYTES,
    }


def _shading(held: Held, files: RoundFiles, show: str, lines: list[BatchLine], plate_map: pa.Table) -> Shading:
    """What the wells show; made once for each that there is, not for whatever an address asks."""

    def of(each: str) -> Shading:
        name = ("shading", files.round, each)
        return held.once(name, lambda: shading_of(each, held.campaign.store, lines, plate_map))

    return of(show) if show in dict(of(BY_STATE).options) else of(BY_STATE)


def _lines(held: Held, files: RoundFiles) -> list[BatchLine]:
    return held.once(("lines", files.round), lambda: lines_of(held.campaign.store, files))


def _round(held: Held, number: int) -> RoundFiles:
    rounds = held.once("rounds", held.campaign.store.rounds)
    if not 0 <= number < len(rounds):
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such round.")
    return rounds[number]


def _refused(held: Held, sequence: int) -> tuple[Any, Any]:
    events = held.campaign.store.events()
    if not 0 <= sequence < len(events) or "refused_sha256" not in events[sequence]:
        raise HTTPException(HTTPStatus.NOT_FOUND, "Nothing was refused by this entry of the log.")
    return events[sequence], refused_lines(held.campaign.store, events[sequence])


@lru_cache(_DRAWINGS_KEPT)
def _drawn(smiles: str) -> str:
    return draw_svg(smiles, _WIDTH, _HEIGHT) or _NOT_DRAWN
