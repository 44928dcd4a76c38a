"""Calls of coordinators from anywhere, by the service of their cluster (`isd coordinators serve`): JSON and files."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from isd_ray.errors import ClusterError, ConfigError, InputFileError, ResourceError
from isd_ray.ops.calls import TAKE_FILE, VerbCall
from isd_ray.ops.security import AWAY, DATES_REMEDY, is_loopback, is_untrusted, reason_of
from isd_ray.remote import wire
from isd_ray.remote.joblog import error_from_json
from isd_ray.remote.tokens import TOKEN_VARIABLE, checked_token, own_token
from isd_ray.remote.transport import Heard

CA_VARIABLE = "ISD_CA_FILE"
"""Variable that names the PEM file of the authority of the service's certificate."""
CONNECT_S, ANSWER_S = 10.0, 60.0
"""Longest waits for a connection, and for a sign of life: the service answers requests of long calls before."""
PATIENCE_S = 120.0
"""How long a service that has answered before may be away, as while it is started again."""
_RETRY_S = 0.5
_CHUNK_BYTES = 1 << 20
_SERVICE_REMEDY = "check the address, and that `isd coordinators serve` runs on the cluster"

Json: TypeAlias = Mapping[str, Any]


class _Bearer(AuthBase):
    """The token in its header; as an `AuthBase` it is not replaced by what a ~/.netrc says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Service:
    """The service of the coordinators of a cluster.

    Parameters
    ----------
    url:
        Where it is reached.
    token, ca_file:
        See `isd_ray.remote.attach.attach`.

    Raises
    ------
    ConfigError
        If there is no token, or it would travel in the clear.
    """

    def __init__(self, url: str, token: str | None = None, ca_file: str | Path | None = None) -> None:
        self.url = url.rstrip("/")
        place = urlsplit(self.url)
        if place.username is not None or place.query or place.fragment:
            raise ConfigError(
                "holds more than a place", self.url, "give https://HOST:PORT alone, the token by its file"
            )
        if place.scheme == "http" and not is_loopback(place.hostname or ""):
            raise ConfigError(
                "the token and all readouts would travel in the clear",
                self.url,
                "give an https:// address, or open a tunnel (ssh -L, kubectl port-forward) and give http://127.0.0.1:PORT",
            )
        given = own_token() if token is None else token.strip()
        if given is None:
            raise ConfigError(
                "a service of coordinators asks for a token, and there is none here",
                self.url,
                f"give token=…, or name its file in the variable {TOKEN_VARIABLE}",
            )
        ca_file = ca_file or os.environ.get(CA_VARIABLE)
        if ca_file and not Path(ca_file).is_file():
            raise ConfigError("there is no such file", str(ca_file), f"check ca_file, or the variable {CA_VARIABLE}")
        self._session = requests.Session()
        # No proxy is to see what is sent to this machine in the clear.
        self._session.trust_env = place.scheme == "https"
        self._session.auth = _Bearer(checked_token(given, "the token"))
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._has_answered = False

    def campaigns(self) -> list[dict[str, str]]:
        """The campaigns that are served: ``name`` and ``path`` on the cluster.

        Raises
        ------
        ClusterError, ResourceError
            If it cannot be reached, refuses, or is of another version.
        """
        found: list[dict[str, str]] = self.asked("GET", "/v1/campaigns")["campaigns"]
        return found

    def campaign(self, name: str) -> OverHttp:
        """The calls of a campaign, by its name or path."""
        return OverHttp(self, name)

    def asked(self, method: str, path: str, **content: Any) -> Json:
        """What a request is answered; it is repeated while a service that has answered before is away.

        Raises
        ------
        IsdError
            What the service raised on purpose.
        ClusterError, ResourceError
            As `campaigns`.
        """
        answer = self._insisted(method, path, stream=False, **content)
        try:
            said = answer.json()
        except ValueError as error:
            what = f"the service could not answer (HTTP {answer.status_code})"
            raise ClusterError(what, self.url, "its log says why; if it is a fault of isd_ray, report it") from error
        if (refused := error_from_json(said.get("error"))) is not None:
            raise refused
        return dict(said)

    def fetched(self, path: str, file: Path, sha256: str) -> bool:
        """Bring what a path answers into a file, again if it came in part; False if the service knows it no more.

        Raises
        ------
        ClusterError, ResourceError
            As `campaigns`; or if it keeps coming in part.
        """
        ends = time.monotonic() + PATIENCE_S
        while True:
            digest = hashlib.sha256()
            try:
                with self._insisted("GET", path, stream=True) as answer, file.open("wb") as sink:
                    if answer.status_code == requests.codes.not_found:
                        return False
                    for piece in answer.iter_content(_CHUNK_BYTES):
                        digest.update(piece)
                        sink.write(piece)
            except requests.RequestException:
                pass  # what came is not whole
            if digest.hexdigest() == sha256:
                return True
            if time.monotonic() > ends:
                raise ClusterError(
                    "a file keeps coming in part", self.url, "see whether the network is well, and repeat"
                )
            time.sleep(_RETRY_S)

    def _insisted(self, method: str, path: str, *, stream: bool, **content: Any) -> requests.Response:
        begun = time.monotonic()
        while True:
            try:
                answer = self._session.request(
                    method,
                    f"{self.url}{path}",
                    timeout=(CONNECT_S, ANSWER_S),
                    allow_redirects=False,
                    verify=self._verify,
                    stream=stream,
                    **content,
                )
            except requests.RequestException as error:
                if is_untrusted(error):
                    raise ClusterError(
                        f"its TLS certificate is not accepted: {reason_of(error)}",
                        self.url,
                        f"name the PEM file of its authority (ca_file, or the variable {CA_VARIABLE}), and reach it by "
                        f"a name that the certificate is made out to; {DATES_REMEDY}",
                    ) from error
                self._has_answered |= isinstance(error, requests.exceptions.ChunkedEncodingError)  # broken off
                if time.monotonic() > begun + self._patience_s:
                    what = f"no service answers here: {reason_of(error)}"
                    raise ClusterError(what, self.url, f"{_SERVICE_REMEDY}; is a tunnel open, a VPN up?") from error
            else:
                if answer.status_code not in AWAY or time.monotonic() > begun + self._patience_s:
                    self._check(answer)
                    self._has_answered = True
                    return answer
                answer.close()
            time.sleep(_RETRY_S)

    @property
    def _patience_s(self) -> float:
        return PATIENCE_S if self._has_answered else 0.0

    def _check(self, answer: requests.Response) -> None:
        """Refuse an answer that does not come from a service of this version which takes the token."""
        code, theirs = answer.status_code, answer.headers.get(wire.VERSION_HEADER)
        if code == requests.codes.unauthorized:
            raise ClusterError(
                "the service refuses the token",
                self.url,
                f"ask who runs it for the token, and give it by token=… or the file that {TOKEN_VARIABLE} names",
            )
        if theirs is None:
            what = (
                f"a proxy answers for a service that is away (HTTP {code})"
                if code in AWAY
                else (f"this is no service of coordinators (HTTP {code})")
            )
            raise ClusterError(what, self.url, _SERVICE_REMEDY)
        if theirs != (ours := version("isd_ray")):
            raise ResourceError(
                f"the service runs isd_ray {theirs}, this process {ours}",
                self.url,
                f"install isd_ray {theirs} here; or {ours} there, and start the service and its coordinators again",
            )


@dataclass(frozen=True, slots=True)
class OverHttp:
    """The `isd_ray.remote.transport.Transport` of a campaign over the service of its cluster.

    What was lost on the way is sent again with the same key, by which the service and the coordinator know it.
    """

    service: Service
    name: str

    def ready(self) -> Json:
        """See `Transport.ready`."""
        found: Json = self._answer(VerbCall("", "", wire.ATTACH))["value"]
        return found

    def change(self, call: VerbCall, heard: Heard | None = None) -> Any:
        """See `Transport.change`."""
        return self._value(call, heard)

    def look(self, call: VerbCall) -> Any:
        """See `Transport.look`."""
        return self._value(call)

    def write(self, call: VerbCall, name: str, file: Path) -> Any:
        """See `Transport.write`."""
        said = self._answer(call, output=name)
        while not self.service.fetched(f"/v1/calls/{quote(call.key)}/file", file, said["sha256"]):
            said = self._answer(call, output=name)  # the service was started again
        return wire.value_from_json(call.verb, said["value"])

    def stop(self) -> bool:
        """See `Transport.stop`."""
        return bool(self._answer(VerbCall("", "", wire.DETACH))["value"])

    def _value(self, call: VerbCall, heard: Heard | None = None) -> Any:
        return wire.value_from_json(call.verb, self._answer(call, heard)["value"])

    def _answer(self, call: VerbCall, heard: Heard | None = None, output: str = "") -> Json:
        """What a call is answered at its end; its steps are told meanwhile."""
        said, sent = wire.call_to_json(call)
        if call.verb in TAKE_FILE and sent is None:
            raise InputFileError(
                "there is no such file here", str(call.arguments[0]), "give one of this machine: it is sent from here"
            )
        parts: dict[str, tuple[str | None, str | bytes]] = {
            "call": (None, json.dumps({**said, "campaign": self.name, "output": output}))
        }
        if sent is not None:
            parts["file"] = (sent.name, sent.content)
        n_seen = 0
        begun = self.service.asked("POST", "/v1/calls", files=parts)
        while True:
            for progress in wire.STEPS.validate_python(begun["steps"]):
                n_seen += 1
                if heard is not None:
                    heard(progress)
            if begun["state"] == wire.DONE:
                return begun
            begun = self.service.asked("GET", f"/v1/calls/{quote(call.key)}", params={"seen": n_seen})
            if begun["state"] == wire.UNKNOWN:  # the service was started again
                begun = self.service.asked("POST", "/v1/calls", files=parts, params={"seen": n_seen})
