"""What can be said on the page: who one is, that a batch is under way, what was read or failed, that a round ends.

Also what changes the course of a screen: something is taken back, or a person stops it. Each asks again first.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import wait
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, HTTPException, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from isd_ray.campaign.events import acting_for
from isd_ray.campaign.refused import refused_events
from isd_ray.campaign.status import IN_PART, MISSING, awaited_of
from isd_ray.errors import IsdError, LabelError
from isd_ray.ops.opened import need
from isd_ray.report.numbers import counted
from isd_ray.report.plate_quality import quality_table
from isd_ray.serve.apart import N_LISTED, Order
from isd_ray.serve.downloads import CSV, ZIP, attachment, zipped
from isd_ray.serve.guard import LOGIN, cookie_name
from isd_ray.serve.log import entry_of
from isd_ray.serve.sessions import SESSION_S
from isd_ray.serve.site import PATIENCE_S, Site, about, acting, check_form, session_of
from isd_ray.serve.uploads import Upload

N_IDS = 5
"""Wrong ids that a message names."""


def doors(site: Site) -> APIRouter:
    """Logging in and out."""
    router = APIRouter()

    @router.get(LOGIN)
    def form(request: Request, token: str = "") -> Response:
        """The form; the address that is printed at the start fills in the token."""
        if request.state.session is not None:
            return RedirectResponse("/", HTTPStatus.SEE_OTHER)
        return site.show(request, "login", token=token, problem=None)

    @router.post(LOGIN)
    def log_in(request: Request, token: Annotated[str, Form()] = "", who: Annotated[str, Form()] = "") -> Response:
        """Log in."""
        address = request.client.host if request.client else ""
        if site.attempts.are_too_many(address):
            words = "Too many wrong tokens came from this address. Wait five minutes."
            return site.show(request, "login", HTTPStatus.TOO_MANY_REQUESTS, token="", problem=words)
        cookie = site.sessions.begin(token, who)
        if cookie is None:
            site.attempts.note(address)
            words = "This is not the token. It was printed when the page was started."
            return site.show(request, "login", HTTPStatus.FORBIDDEN, token="", problem=words)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            cookie_name(request),
            cookie,
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=site.settings.is_encrypted,
        )
        return answer

    @router.post("/logout", dependencies=[Depends(check_form)])
    def log_out(request: Request) -> Response:
        """Log out."""
        site.sessions.end(session_of(request))
        answer = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(cookie_name(request))
        return answer

    return router


def actions(site: Site) -> APIRouter:
    """What is said of a campaign."""
    router = APIRouter(prefix="/c/{key}", dependencies=[Depends(check_form)])

    @router.post("/dispatch")
    def dispatch(request: Request, key: str, file: Annotated[str, Form()] = "") -> Response:
        """Download the files of the batch, or one of them, and note that it is under way."""
        with site.campaign(key) as held, tempfile.TemporaryDirectory() as folder, acting_for(acting(request)):
            if not file:
                written = held.campaign.dispatch(folder)
                name = written[0].name.replace("-batch.csv", ".zip")
                return attachment(name, ZIP, zipped(written))
            batch = held.campaign.batch()
            if batch is None or file not in batch.file_names:
                raise HTTPException(HTTPStatus.NOT_FOUND, "The batch that is out has no such file.")
            found = next(path for path in batch.write(folder) if path.name == file)
            held.campaign.note_dispatch(batch.round, [found.name])
            return attachment(found.name, CSV, found.read_bytes())

    @router.post("/uploads")
    def upload(
        request: Request,
        key: str,
        file: Annotated[UploadFile, File()],
        external: Annotated[bool, Form()] = False,
        plate: Annotated[str, Form()] = "",
        assay: Annotated[str, Form()] = "",
        read: Annotated[str, Form()] = "",
    ) -> Response:
        """Take a file of readouts to look at; nothing is told."""
        if not site.shelf.has(key):
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such campaign here.")
        options = {"external": external, "plate": plate.strip() or None, "assay": assay or None}
        options |= {"read": read.strip()} if read.strip() else {}
        kept = site.uploads.put(key, session_of(request).id, file.filename or "", file.file, options)
        return RedirectResponse(f"/c/{key}/uploads/{kept.id}", HTTPStatus.SEE_OTHER)

    @router.post("/uploads/{upload_id}")
    def confirm(request: Request, key: str, upload_id: str) -> Response:
        """Tell a file that was looked at; once, however often this is sent."""
        found, _, n_events = _upload(site, request, key, upload_id)
        with found.lock:
            if found.told is None and not (found.is_telling and found.is_at_work):
                found.check()
                _begin(site, request, found, "tell", n_events)
        return RedirectResponse(f"/c/{key}/uploads/{upload_id}", HTTPStatus.SEE_OTHER)

    @router.post("/fail")
    def fail(
        request: Request,
        key: str,
        compound: Annotated[list[str] | None, Form()] = None,
        others: Annotated[str, Form()] = "",
        reason: Annotated[str, Form()] = "",
        assay: Annotated[str, Form()] = "",
        abandon: Annotated[bool, Form()] = False,
        confirmed: Annotated[bool, Form()] = False,
    ) -> Response:
        """Note that compounds gave no readout: first what that would do, then, confirmed, for good."""
        written = [line.strip() for line in others.splitlines() if line.strip()]
        ids = list(dict.fromkeys([*(compound or ()), *written]))
        if not ids:
            raise LabelError("no compound is named", remedy="mark compounds in the list, or write ids, one a line")
        assays = [assay] if assay else []
        with site.campaign(key) as held, acting_for(acting(request)):
            if confirmed:
                n_new = held.campaign.fail(ids, reason, abandon=abandon, assays=assays)
                return _done(request, key, f"{counted(n_new, 'readout' if assay else 'compound')} noted as failed.")
            need(reason)
            states = awaited_of(held.campaign.store)
            if outside := [name for name in ids if name not in states]:
                words = f"{len(outside):,} compounds are not in the batch that is out: {', '.join(outside[:N_IDS])}"
                raise LabelError(words, remedy="correct the ids; nothing was noted")
            n_out = sum(states[name] in (MISSING, IN_PART) for name in ids)
            said: dict[str, Any] = {"ids": ids, "reason": reason, "assay": assay, "abandon": abandon, "n_out": n_out}
            return site.show(request, "fail", **about(held), **said)

    @router.post("/close")
    def close(
        request: Request,
        key: str,
        reason: Annotated[str, Form()] = "",
        confirmed: Annotated[bool, Form()] = False,
    ) -> Response:
        """End the round without what is missing: first what that would do, then, confirmed, for good."""
        with site.campaign(key) as held, acting_for(acting(request)):
            if confirmed:
                n_missing = held.campaign.close(reason)
                return _done(request, key, f"The round was closed without {counted(n_missing, 'readout')}.")
            need(reason)
            return site.show(request, "close", reason=reason, n_missing=held.status().n_missing, **about(held))

    return router


def previews(site: Site) -> APIRouter:
    """What would become of a file, or, once it is confirmed, what became of it."""
    router = APIRouter()

    @router.get("/c/{key}/uploads/{upload_id}")
    def preview(request: Request, key: str, upload_id: str) -> Response:
        """A file of readouts before and after its confirmation."""
        found, name, n_events = _upload(site, request, key, upload_id)
        with found.lock:
            is_stale = found.told is None and found.n_events != n_events
            if found.work is None or (is_stale and not found.is_at_work):
                _begin(site, request, found, "preview", n_events)
            assert found.work is not None
            work, is_telling = found.work, found.is_telling
        # As it is now: while the page is made, the file may be read to its end.
        said: dict[str, Any] = {"is_telling": is_telling, "told": None, "problem": None, "quality_table": quality_table}
        said["is_at_work"] = not wait([work], PATIENCE_S).done
        if not said["is_at_work"]:
            try:
                if is_telling:
                    said["told"] = work.result()
                else:
                    found.previewed = work.result()
            except IsdError as error:
                said["problem"] = error
        said["refused_at"] = _refused_at(site, found) if said["told"] is not None else None
        page = site.show(request, "upload", key=key, name=name, upload=found, n_listed=N_LISTED, **said)
        if said["is_at_work"]:
            page.headers["Refresh"] = "1"
        return page

    return router


def _upload(site: Site, request: Request, key: str, upload_id: str) -> tuple[Upload, str, int]:
    """A file that was sent, the name of its campaign, and the length of its log."""
    with site.campaign(key) as held:
        name, n_events = held.campaign.config.name, len(held.campaign.store.events())
    found = site.uploads.find(upload_id, key, session_of(request).id)
    if found is None:
        words = "This file is not kept any more. Send it again: what was told already is not told twice."
        raise HTTPException(HTTPStatus.NOT_FOUND, words)
    return found, name, n_events


def _refused_at(site: Site, found: Upload) -> int | None:
    """The entry of the log with the refused lines of a file; None without any."""
    with site.campaign(found.key) as held:
        events = refused_events(held.campaign.store)
    return next((event["sequence"] for event in reversed(events) if event["file_sha256"] == found.sha256), None)


def _begin(site: Site, request: Request, found: Upload, verb: Literal["preview", "tell"], n_events: int) -> None:
    order = Order(verb, site.shelf.address(found.key), found.file, found.options, acting(request))
    found.work, found.n_events, found.is_telling = site.readers.begin(order), n_events, verb == "tell"


def _done(request: Request, key: str, words: str) -> Response:
    session_of(request).notice = words
    return RedirectResponse(f"/c/{key}/batch", HTTPStatus.SEE_OTHER)


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
