"""What every request must pass before anything of it is read: host, session, origin, size; and headers of answers."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isd_ray.config.limits import MAX_FORM_BYTES, MAX_UPLOAD_BYTES
from isd_ray.serve.patience import announced_length, impatient
from isd_ray.serve.sessions import Session, Sessions
from isd_ray.serve.settings import Settings

LOGIN, STATIC, UPLOADS = "/login", "/static/", "/uploads"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: under it browsers send the forms of this page with the Origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


def cookie_name(request: Request) -> str:
    """By port: browsers keep the cookies of all ports of a host together."""
    return f"isd_session_{request.url.port or request.url.scheme}"


class Guard:
    """Lets pass what somebody who has logged in sent from a page of this server; the others may only log in.

    Whether a form was made for the session (`Session.form_token`) is seen once it is read, by the routes.
    """

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions) -> None:
        self._app = app
        self._settings = settings
        self._sessions = sessions
        self._by_host = TrustedHostMiddleware(self._answer, allowed_hosts=settings.names, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    for name, value in HEADERS.items():
                        headers.setdefault(name, value)
                    if self._settings.is_encrypted:
                        headers["Strict-Transport-Security"] = "max-age=31536000"
                await send(message)

            await self._by_host(scope, impatient(receive), send_with_headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        session = self._sessions.find(request.cookies.get(cookie_name(request)))
        request.state.session = session
        refusal = self._refusal(request, session)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request, session: Session | None) -> Response | None:
        path, is_login = request.url.path, request.url.path == LOGIN
        if request.method not in ("GET", "HEAD", "POST"):
            return _refused(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and POST are answered here.")
        if session is None and not is_login and not path.startswith(STATIC):
            if "HX-Request" in request.headers:
                return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": LOGIN})
            return RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        if request.method != "POST":
            return None
        origin = urlsplit(request.headers.get("origin", ""))
        if not origin.netloc or origin.netloc != request.headers.get("host"):
            return _refused(HTTPStatus.FORBIDDEN, "This form was not sent from a page of this server.")
        if self._settings.read_only and path not in (LOGIN, "/logout"):
            return _refused(HTTPStatus.FORBIDDEN, "This page is read-only: nothing can be said here.")
        return _too_large(request, MAX_UPLOAD_BYTES if path.endswith(UPLOADS) else MAX_FORM_BYTES)


def _too_large(request: Request, limit: int) -> Response | None:
    length = announced_length(request)
    if length is None:
        return _refused(HTTPStatus.LENGTH_REQUIRED, "The length of what is sent has to be announced.")
    if length > limit:
        words = f"More than {limit >> 20} MiB were sent. Tell large files by the command: isd tell."
        return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
    return None


def _refused(status: HTTPStatus, words: str) -> Response:
    # The body is not read, so the connection cannot be used again.
    return Response(f"{words}\n", status, {"Connection": "close"}, "text/plain")
