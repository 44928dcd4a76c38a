"""Who is logged in, and how often somebody may try."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from itsdangerous import BadSignature, TimestampSigner

SESSION_S = 12 * 3600
"""How long a login lasts: a working day."""
MAX_ATTEMPTS = 10
ATTEMPTS_WINDOW_S = 300.0
"""So many wrong tokens from one address within so many seconds, then none is looked at."""
MAX_ADDRESSES = 10_000
"""Addresses whose attempts are remembered; the oldest are forgotten."""
MAX_NAME_LETTERS = 60


@dataclass(slots=True)
class Session:
    """Somebody who has logged in.

    Attributes
    ----------
    id:
        Unique; the cookie holds it, signed.
    who:
        The name that was given, which nobody proves; empty without one.
    form_token:
        What a form of this session's pages sends along, and a page elsewhere does not know.
    notice:
        What the next page should say of what was done.
    """

    id: str
    who: str
    ends: float
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    notice: str | None = None

    def take_notice(self) -> str | None:
        """The notice, once."""
        notice, self.notice = self.notice, None
        return notice


class Sessions:
    """Sessions of the people who have logged in since the page was started; they end with it.

    Parameters
    ----------
    token:
        What people log in with.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._signer = TimestampSigner(secrets.token_bytes(32), digest_method=hashlib.sha256)
        self._open: dict[str, Session] = {}

    def begin(self, token: str, who: str) -> str | None:
        """Log in; returns the value of the cookie, or None if the token is wrong."""
        if not secrets.compare_digest(token.strip().encode(), self._token.encode()):
            return None
        now = time.time()
        self._open = {name: session for name, session in self._open.items() if session.ends > now}
        session = Session(secrets.token_urlsafe(32), name_of(who), now + SESSION_S)
        self._open[session.id] = session
        return self._signer.sign(session.id).decode()

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None if it was not made here, has ended or is too old."""
        if cookie is None:
            return None
        try:
            return self._open.get(self._signer.unsign(cookie, max_age=SESSION_S).decode())
        except BadSignature:
            return None

    def end(self, session: Session) -> None:
        """Log out: the cookie is worth nothing any more, whoever has it."""
        self._open.pop(session.id, None)


class Attempts:
    """Wrong tokens by address."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def are_too_many(self, address: str) -> bool:
        """Whether an address has to wait."""
        times = self._times.get(address, ())
        start = time.monotonic() - ATTEMPTS_WINDOW_S
        return sum(moment > start for moment in times) >= MAX_ATTEMPTS

    def note(self, address: str) -> None:
        """A token was wrong."""
        self._times.setdefault(address, deque(maxlen=MAX_ATTEMPTS)).append(time.monotonic())
        self._times.move_to_end(address)
        while len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)


def name_of(text: str) -> str:
    """A name as it was given, in printable letters on one line."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:MAX_NAME_LETTERS]
