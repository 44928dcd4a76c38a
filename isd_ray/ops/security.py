"""Whoever reaches a port of a Ray cluster without authentication runs code on it (CVE-2023-48022): such are refused.

Tokens are read where Ray looks for them, sent in a header, and neither logged nor stored.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from isd_ray.errors import ClusterError

PROBE_TIMEOUT_S = 10.0
"""Longest wait for the answer of one port."""
GCS_METHOD = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
CLIENT_METHOD = "/ray.rpc.RayletDriver/ClusterInfo"
"""Calls without side effects that a GCS and a Ray Client server answer."""
TOKEN_REMEDY = (
    "put the cluster's token into the variable RAY_AUTH_TOKEN or into the file that RAY_AUTH_TOKEN_PATH names "
    "(default ~/.ray/auth_token); `ray get-auth-token` shows it on the head, on KubeRay it is a secret"
)
_OPEN_REMEDY = (
    "start the cluster with RAY_AUTH_MODE=token (KubeRay: authOptions.mode: token); or set "
    "compute.allow_cluster_without_authentication = true if everybody who reaches it may run code as you"
)
AWAY = (502, 503, 504)
"""What proxies answer whose service is away, and a service that is busy."""
DATES_REMEDY = "where it has expired or is not yet valid, see first whether the clock of this machine is right"
"""A machine whose clock is days off refuses certificates that are well."""


class Door(str, Enum):
    """How a port meets a caller without a token."""

    OPEN = "answers without a token"
    GUARDED = "asks for a token"
    SHUT = "closed to this machine"


def bearer() -> dict[str, str]:
    """The header with the token, from where Ray looks for it; empty without one."""
    token = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not token and file.is_file():
        token = file.read_text(encoding="utf-8").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its loopback interface, whatever name it is given."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in found)


def http_door(address: str, ca_file: str | None = None) -> Door:
    """How the Jobs API behind the URL of a dashboard meets a caller without a token."""
    try:
        answer = requests.get(
            f"{address}/api/jobs/", timeout=PROBE_TIMEOUT_S, allow_redirects=False, verify=ca_file or True
        )
    except requests.RequestException:
        return Door.SHUT
    return Door.OPEN if answer.ok and not answer.is_redirect else Door.GUARDED


def grpc_door(address: str, method: str) -> Door:
    """How a gRPC server of Ray meets a caller without a token.

    Raises
    ------
    ClusterError
        If gRPC is not installed.
    """
    try:
        import grpc
    except ImportError as error:
        raise ClusterError("gRPC is not installed", address, "pip install 'isd_ray[cluster]'") from error
    with grpc_channel(address) as channel:
        call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"", timeout=PROBE_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return Door.GUARDED
            silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            return Door.SHUT if error.code() in silent else Door.OPEN
    return Door.OPEN


def refuse_open_jobs_api(address: str, *, allowed: bool, ca_file: str | None = None) -> None:
    """Refuse a dashboard that other machines reach and that asks for no token.

    Raises
    ------
    ClusterError
        If it is such, unless `allowed`.
    """
    if not allowed and not is_loopback(urlsplit(address).hostname or "") and http_door(address, ca_file) is Door.OPEN:
        raise ClusterError("the Jobs API answers without a token: whoever reaches it runs code", address, _OPEN_REMEDY)


def refuse_open_gcs(address: str, *, allowed: bool) -> None:
    """Refuse a cluster whose GCS other machines reach without a token.

    Raises
    ------
    ClusterError
        If it is such, unless `allowed`; or if gRPC is not installed.
    """
    if allowed or is_loopback(address.rpartition(":")[0].strip("[]")):
        return
    if grpc_door(address, GCS_METHOD) is Door.OPEN:
        raise ClusterError("the cluster answers without a token: whoever reaches it runs code", address, _OPEN_REMEDY)


def is_untrusted(error: BaseException) -> bool:
    """Whether a request came to nothing by the certificate of whoever answers.

    Other errors of TLS are none of it: a tunnel whose far end is away takes connections in and ends them, and what
    speaks plain HTTP is understood by nobody.
    """
    return isinstance(_first_cause(error), ssl.SSLCertVerificationError)


def reason_of(error: BaseException) -> str:
    """Why a request came to nothing: what was raised first, without what each layer has wrapped around it."""
    first = _first_cause(error)
    if isinstance(first, ssl.SSLCertVerificationError):
        return str(first.verify_message)
    if isinstance(first, ssl.SSLError) and first.reason:
        return f"no TLS comes about ({first.reason.lower().replace('_', ' ')})"
    words = (isinstance(first, OSError) and first.strerror) or str(first) or type(first).__name__
    return f"through a proxy: {words}" if isinstance(error, requests.exceptions.ProxyError) else words


def _first_cause(error: BaseException) -> BaseException:
    while (earlier := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = earlier
    return error


def ray_version_of(address: str, ca_file: str | None = None) -> tuple[str, str | None]:
    """Version of Ray behind the URL of a dashboard, and what its clock says (an HTTP date).

    Raises
    ------
    ClusterError
        If nothing answers, the token is missing or wrong, or it is no dashboard.
    """
    try:
        answer = requests.get(
            f"{address}/api/version",
            headers=bearer(),
            timeout=PROBE_TIMEOUT_S,
            allow_redirects=False,
            verify=ca_file or True,
        )
    except (requests.RequestException, OSError) as error:
        if is_untrusted(error):
            what = f"its TLS certificate is not accepted: {reason_of(error)}"
            remedy = f"name the file of its authority (ca_file); {DATES_REMEDY}"
            raise ClusterError(what, address, remedy) from error
        raise ClusterError(
            f"no cluster answers here: {reason_of(error)}",
            address,
            "check the address (that of the dashboard, http://HEAD:8265), that the cluster runs with its dashboard, "
            "and that a tunnel or port-forward is open",
        ) from error
    if answer.status_code == requests.codes.unauthorized:
        raise ClusterError("the cluster asks for a token, and there is none here", address, TOKEN_REMEDY)
    if answer.status_code == requests.codes.forbidden:
        raise ClusterError("the cluster refuses the token", address, TOKEN_REMEDY)
    try:
        return str(answer.json()["ray_version"]), answer.headers.get("Date")
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"this is no Ray dashboard (HTTP {answer.status_code})", address, "give the URL of the dashboard"
        ) from error


def grpc_channel(address: str) -> Any:
    """A channel to a gRPC server of Ray, past proxies as Ray's own; TLS as the variables RAY_USE_TLS, RAY_TLS_… say."""
    import grpc

    options = [("grpc.enable_http_proxy", 0)]
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return grpc.insecure_channel(address, options)
    ca, key, cert = (
        Path(os.environ[name]).read_bytes() for name in ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT")
    )
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert), options)
