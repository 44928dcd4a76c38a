"""What all pages share: who asks, what is served, how it is shown."""

from __future__ import annotations

import gzip
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Form, HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from isd_ray.campaign.events import user
from isd_ray.errors import IsdError
from isd_ray.report.page import environment, plotly_script
from isd_ray.report.words import percent
from isd_ray.serve.apart import Readers
from isd_ray.serve.sessions import Attempts, Session, Sessions
from isd_ray.serve.settings import Settings
from isd_ray.serve.shelf import Held, Shelf
from isd_ray.serve.uploads import Uploads

_OWN, _REPORT = files("isd_ray.serve") / "static", files("isd_ray.report") / "templates"
_SCRIPT, _STYLE = "text/javascript", "text/css"
PATIENCE_S = 1.0
"""How long a request waits for what is made apart from the page; then the page says so, and asks again."""
NEW_YEARS = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of what never changes under its address: files whose address has their hash, drawings of a batch that is frozen."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages name; gzipped, as every browser takes it."""

    content: bytes
    media_type: str
    version: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Asset:
        """An asset with the given content."""
        return cls(gzip.compress(content, mtime=0), media_type, hashlib.sha256(content).hexdigest()[:12])


@cache
def assets() -> Mapping[str, Asset]:
    """What pages name, by name: nothing else is ever sent, and no name is taken for a path."""
    return {
        "page.css": Asset.of((_REPORT / "page.css").read_bytes(), _STYLE),
        "serve.css": Asset.of((_OWN / "serve.css").read_bytes(), _STYLE),
        "htmx.js": Asset.of((_OWN / "htmx.min.js").read_bytes(), _SCRIPT),
        "page.js": Asset.of((_REPORT / "page.js").read_bytes(), _SCRIPT),
        "serve.js": Asset.of((_OWN / "serve.js").read_bytes(), _SCRIPT),
        "plotly.js": Asset.of(plotly_script().encode(), _SCRIPT),
    }


def address_of(name: str) -> str:
    """The address of an asset, another one for another content: browsers may keep it."""
    return f"/static/{name}?{assets()[name].version}"


class Site:
    """The page of one laboratory."""

    def __init__(self, settings: Settings, shelf: Shelf, uploads: Uploads) -> None:
        self.settings = settings
        self.shelf = shelf
        self.uploads = uploads
        self.readers = Readers()
        self.sessions = Sessions(settings.token)
        self.attempts = Attempts()
        self._environment = environment("isd_ray.serve")

    def show(self, request: Request, template: str, code: HTTPStatus = HTTPStatus.OK, **content: Any) -> HTMLResponse:
        """A page."""
        session: Session | None = request.state.session
        page = self._environment.get_template(f"{template}.html.j2").render(
            session=session,
            notice=session.take_notice() if session else None,
            can_write=session is not None and not self.settings.read_only and content.get("in_laboratory", True),
            read_only=self.settings.read_only,
            asset=address_of,
            **content,
        )
        return HTMLResponse(page, code)

    def say(self, request: Request, title: str, words: str, code: HTTPStatus, where: str = "") -> HTMLResponse:
        """A page that says one thing, and which file or folder it is about."""
        return self.show(request, "message", code, title=title, words=words, where=where)

    @contextmanager
    def campaign(self, key: str) -> Iterator[Held]:
        """A campaign, held as `Shelf.hold` does it; not found if there is none of this name."""
        if not self.shelf.has(key):
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such campaign here.")
        with self.shelf.hold(key) as held:
            yield held


def about(held: Held) -> dict[str, Any]:
    """What all pages of a campaign say of it."""
    status, campaign = held.status(), held.campaign
    n_acquired = status.counts["OBSERVED"] + status.counts["EXTERNAL"]
    return {
        "key": held.key,
        "name": campaign.config.name,
        "address": campaign.store.address,
        "in_laboratory": bool(campaign.store.manifest["in_laboratory"]),
        "status": status,
        "n_acquired": n_acquired,
        "share": percent(n_acquired / status.n_library),
        "n_events": held.n_events,
        "problem": None,
    }


def sentence(error: IsdError) -> str:
    """What failed, and what to do."""
    return f"{error.what}. {error.remedy}".rstrip(". ") + "."


def unknown(error: Exception) -> IsdError:
    """An error that is not one of ours, in words."""
    return IsdError(
        f"an error that isd_ray does not know: {type(error).__name__}: {error}",
        remedy="nothing that is on record is lost; `isd verify` says whether the folder is sound; the whole error is "
        "in the terminal where the page was started: report it",
    )


def session_of(request: Request) -> Session:
    """Who asks; `isd_ray.serve.guard.Guard` has seen to it that there is somebody."""
    session: Session = request.state.session
    return session


def acting(request: Request) -> str:
    """The actor of an event: the name that was given at the login, or who runs the page; said here, proved nowhere."""
    return f"{session_of(request).who or user()} (web page)"


def check_form(request: Request, form_token: Annotated[str, Form()] = "") -> None:
    """Refuse a form that was not made for this session."""
    if not secrets.compare_digest(form_token.encode(), session_of(request).form_token.encode()):
        raise HTTPException(HTTPStatus.FORBIDDEN, "This form is of another login. Load the page again.")
