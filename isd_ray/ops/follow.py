"""Following a campaign: each entry of its log, in order and without a gap, told to a function or posted to an address.

The log is what is followed, not a process: whoever follows may start late, stop and go on, and slows nothing down. An
entry that was told and not noted, as the follower was killed in between, is told once more with the same number.
Nothing that is told names a compound, nor why one was chosen or what is predicted of it; the reasons that people gave
are told as they wrote them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from isd_ray.campaign.events import Event
from isd_ray.campaign.round_files import RoundFiles, look_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.card import card, pairs
from isd_ray.errors import ConfigError, InputFileError, WebhookError
from isd_ray.storage.files import replace_text

SECRET = "ISD_WEBHOOK_SECRET"
"""Variable of the environment with the secret that posts are signed by."""
_PREFIX = "whsec_"
_SPOKEN_OF = (
    *("reason", "n", "n_refused", "undone", "file", "files", "versions", "library", "settings", "certificate_id"),
)
"""Entries of events that are told as they are."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRIES, _WAIT_S, _TIMEOUT_S = 6, 1.0, 10.0
_OK, _GONE = range(200, 300), 410


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would ask the other address for a page, whose answer says nothing of the entry."""

    def redirect_request(self, *_: Any) -> None:
        """None."""


_OPENER = urllib.request.build_opener(_Stay)


@dataclass(frozen=True, slots=True)
class Notice:
    """An entry of the log.

    Attributes
    ----------
    campaign, sequence:
        Which campaign, and the number of the entry: together they name it for ever.
    kind:
        `release` (a batch is out), `tell`, `refuse`, `fail`, `undo`, `exclude`, `include`, `amend`, `close`,
        `dispatch`, `freeze`, `decision`, `certificate`, `withdraw`, `deliver` and so on.
    time, who:
        When by the clock of the machine, ISO 8601, and who.
    facts:
        Counts, and of a decision what was decided and shown.
    """

    campaign: str
    sequence: int
    kind: str
    time: str
    who: str
    facts: Mapping[str, Any]

    def _repr_html_(self) -> str:
        lines = [("Campaign", self.campaign), ("Time", self.time), ("Who", self.who)]
        facts = [(what, str(value)) for what, value in self.facts.items()]
        return card(f"Entry {self.sequence}: {self.kind}", pairs([*lines, *facts]))


def notices(store: CampaignStore, since: int = 0) -> list[Notice]:
    """The entries of a campaign's log from a number on."""
    events = store.events()[since:]
    rounds = store.rounds() if events else []
    name = str(store.manifest["campaign_id"])
    return [
        Notice(name, event["sequence"], event["kind"], event["time"], event["who"], _facts(event, rounds))
        for event in events
    ]


def _facts(event: Event, rounds: Sequence[RoundFiles]) -> dict[str, Any]:
    facts = {name: event[name] for name in _SPOKEN_OF if event.get(name) is not None}
    number = event.get("round")
    if number is None:
        return facts
    facts["round"] = number
    files = rounds[number] if number < len(rounds) else None
    if files is None:
        return facts
    if event["kind"] == "release":
        facts["n_batch"] = files.released["n_batch"]
    if event["kind"] == "decision" and (record := files.committed) is not None:
        facts |= {
            "decision": record["decision"],
            "reason": record["reason"],
            "n_acquired": record["n_acquired"],
            "n_lost": record.get("n_lost"),
            "bound": record.get("system_bound"),
        }
        if look := look_of(record):
            facts["look"] = {"number": look[0]["number"], "n": record["n_audit"], "n_errors": record["n_errors_audit"]}
    return facts


def follow(
    path: str | Path,
    tell: Callable[[Notice], object],
    *,
    since: int | None = None,
    noted: Path | None = None,
    poll_s: float = 5.0,
    wait: bool = True,
) -> int:
    """Tell a function every entry of a campaign's log, oldest first, until the screen has ended.

    Parameters
    ----------
    path:
        Folder or URI of the campaign.
    tell:
        Called with one after the other. What it raises ends the following; the entry counts as not told.
    since:
        Number of the first entry to be told; default: the one that `noted` says, or 0.
    noted:
        File that keeps the number of the next entry, so that a later call goes on there.
    poll_s:
        Seconds from one reading of the log to the next.
    wait:
        Wait for further entries; else return once those that are there are told.

    Returns
    -------
    int
        Number of the next entry.

    Raises
    ------
    StoreError
        If there is no campaign.
    InputFileError
        If `noted` is there and holds no number.
    OutputFileError
        If it cannot be written.
    """
    store = CampaignStore.open(path)
    number = _noted(noted) if since is None else since
    if noted is not None:
        replace_text(noted, f"{number}\n")  # what is told could not be noted otherwise
    while True:
        # Asked before the log is read, of the entry that an ended screen logs last: it is told as well.
        has_ended = bool(store.noted_hybrid())
        for notice in notices(store, number):
            tell(notice)
            number = notice.sequence + 1
            if noted is not None:
                replace_text(noted, f"{number}\n")
        if has_ended or not wait:
            return number
        time.sleep(poll_s)


def _noted(file: Path | None) -> int:
    if file is None or not file.exists():
        return 0
    try:
        text = file.read_text(errors="replace").strip()
    except OSError as error:
        raise InputFileError(f"cannot be read: {error.strerror}", str(file), "name a file") from error
    if not text.isdecimal():
        raise InputFileError(f"holds {text[:40]!r}, not the number of an entry", str(file), "remove it to begin anew")
    return int(text)


class Webhook:
    """Posts entries as JSON, signed as Standard Webhooks 1.0 asks (https://www.standardwebhooks.com).

    Headers: ``webhook-id`` (campaign and number: the same whenever it is posted), ``webhook-timestamp`` and
    ``webhook-signature``. An address that does not answer, or with an error, is asked again with growing pauses. One
    that answers with another address takes nothing: what is signed goes to the address that was named alone.

    Parameters
    ----------
    url:
        https; http on this machine only.
    secret:
        As the receiver has it, ``whsec_`` and base64.

    Raises
    ------
    ConfigError
        If the address is not one that may be posted to, or the secret is none.
    """

    def __init__(self, url: str, secret: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ConfigError(f"{url!r} is not posted to", "--webhook", "give an https:// address")
        try:
            self._key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except ValueError as error:
            raise ConfigError("the secret is not base64", SECRET, "take it over from the receiver as it is") from error
        if not self._key:
            raise ConfigError("there is no secret to sign by", SECRET, "set it to what the receiver shows, as whsec_…")
        self._url, self._host = url, parts.hostname

    def __call__(self, notice: Notice) -> None:
        """Post an entry.

        Raises
        ------
        WebhookError
            If it was not taken, after six tries within a minute; or at once, if the receiver says it is gone (410).
        """
        fields = asdict(notice)
        body = json.dumps({"type": f"isd_ray.{notice.kind}", "timestamp": notice.time, "data": fields}).encode()
        answer = ""
        for pause in (0.0, *(_WAIT_S * 2**n for n in range(_TRIES - 1))):
            time.sleep(pause)
            code, answer = self._post(f"{notice.campaign}.{notice.sequence}", body)
            if code in _OK:
                return
            if code == _GONE:
                break
        raise WebhookError(
            f"entry {notice.sequence} ({notice.kind}) was not taken: {answer}",
            str(self._host),
            "see to the receiver and give the command again: it goes on with this entry",
        )

    def _post(self, name: str, body: bytes) -> tuple[int | None, str]:
        now = str(int(datetime.now(timezone.utc).timestamp()))
        signed = hmac.new(self._key, b".".join([name.encode(), now.encode(), body]), hashlib.sha256).digest()
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": now,
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
                return response.status, str(response.status)
        except urllib.error.HTTPError as error:
            with error:
                elsewhere = f", {error.headers['location']}" if error.headers["location"] else ""
                return error.code, f"it answers {error.code} {error.reason}{elsewhere}"
        except (OSError, ValueError, HTTPException) as error:
            return None, f"it does not answer ({getattr(error, 'reason', error)})"
