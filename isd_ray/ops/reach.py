"""Whether this process can be part of a Ray cluster, found out before Ray tries: where it cannot, it ends the process.

Ray joins a process to the cluster through the raylet of its machine, so the machine must be one of the cluster's nodes.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from isd_ray.errors import ResourceError
from isd_ray.ops.security import GCS_METHOD, PROBE_TIMEOUT_S, TOKEN_REMEDY, bearer, grpc_channel, is_loopback

AUTO = "auto"
"""The cluster of this machine: that of RAY_ADDRESS, else the one that was started here last."""
_ALIVE = 0
_FIRST_NODE_S, _POLL_S = 30.0, 0.2
"""A GCS answers before its first node is there."""
_UP_POLL_S = 1.0
_FORM = "give compute.address as HOST:PORT of the cluster's GCS (port 6379 unless it was started on another)"
_ELSEWHERE = (
    "give the command on a node of the cluster (`kubectl exec`, ssh), or submit it from here: "
    "`isd jobs submit … --address http://HEAD:8265`"
)


def located(address: str) -> str | None:
    """HOST:PORT of the GCS that an address names; None for the cluster of this machine, whichever that is.

    Raises
    ------
    ResourceError
        If it is an address of another kind.
    """
    where = f"compute.address={address!r}"
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS", "")
        where = f"compute.address='auto', RAY_ADDRESS={address!r}"
        if address in ("", AUTO):
            return None
    scheme, _, _ = address.rpartition("://")
    if scheme in ("http", "https"):
        raise ResourceError(
            "this is the address of a dashboard, which takes jobs only", where, f"{_ELSEWHERE}; {_FORM}"
        )
    if scheme:
        raise ResourceError("Ray Client is not supported", where, f"{_ELSEWHERE}; {_FORM}")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ResourceError("this is no HOST:PORT", where, f"{_FORM}; without an address an embedded Ray is started")
    return address


def started_here() -> str:
    """HOST:PORT of the GCS of the cluster that was started on this machine last, which may be gone by now.

    Raises
    ------
    ResourceError
        If there is none.
    """
    from ray._private.services import canonicalize_bootstrap_address  # Ray tells it in no other way

    try:
        found = canonicalize_bootstrap_address(AUTO)
    except ConnectionError as error:
        raise ResourceError(
            "no Ray cluster runs on this machine", f"compute.address={AUTO!r}", f"start one, or {_FORM}"
        ) from error
    return str(found)


def wait_until_up(address: str, timeout_s: float, say: Callable[[str], None]) -> None:
    """Wait until the GCS of an address (as of `compute.address`) takes calls; one that never does is not refused here.

    Parameters
    ----------
    timeout_s:
        Longest wait.
    say:
        Told once what is waited for.

    Raises
    ------
    ResourceError
        If it is no address of a cluster.
    """
    named, give_up, is_said = located(address), time.monotonic() + timeout_s, False
    while not _is_up(named) and time.monotonic() < give_up:
        if not is_said:
            say(f"no Ray cluster is reached at {address} yet; waiting for it, {timeout_s:g} s at most")
            is_said = True
        time.sleep(_UP_POLL_S)


def _is_up(named: str | None) -> bool:
    try:
        _call_at(named or started_here())
    except (OSError, ResourceError):
        return False
    return True


def require_reachable(address: str) -> None:
    """Refuse a GCS (HOST:PORT) that does not answer this process, or whose cluster this machine is no node of.

    Raises
    ------
    ResourceError
        Which of them, and what to do.
    """
    try:
        _call_at(address)
    except OSError as error:
        raise ResourceError(
            f"no Ray cluster is reached here: {error}",
            address,
            f"check the address, that the cluster runs, and that no firewall is between; {_FORM}",
        ) from error
    if importlib.util.find_spec("grpc") is None:
        return  # the smallest Ray, without [default], has none; then Ray itself says what is wrong
    give_up = time.monotonic() + _FIRST_NODE_S
    while not (nodes := _nodes(address)) and time.monotonic() < give_up:
        time.sleep(_POLL_S)
    if not nodes.keys() & _raylets():
        shown = ", ".join(sorted(set(nodes.values()))[:3]) + (", …" if len(set(nodes.values())) > 3 else "")
        raise ResourceError(
            f"this machine ({socket.gethostname()}) is no node of the cluster, whose nodes are {shown or 'gone'}",
            address,
            _ELSEWHERE,
        )


def _call_at(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), PROBE_TIMEOUT_S).close()


def same_cluster(address: str, other: str) -> bool:
    """Whether two addresses (HOST:PORT) are of one GCS, by whatever names of its host."""
    (host, _, port), (other_host, _, other_port) = address.rpartition(":"), other.rpartition(":")
    if port != other_port:
        return False
    found, others = _addresses(host), _addresses(other_host)
    return host == other_host or bool(found & others) or (_is_here(host, found) and _is_here(other_host, others))


def _addresses(host: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return set()


def _is_here(host: str, addresses: set[str]) -> bool:
    """Whether a host is this machine."""
    own = {address.address for interface in psutil.net_if_addrs().values() for address in interface}
    return is_loopback(host.strip("[]")) or bool(addresses & own)


def _nodes(address: str) -> Mapping[str, str]:
    """Addresses of the living nodes, by their ids in hexadecimal digits."""
    import grpc

    with grpc_channel(address) as channel:
        call = channel.unary_unary(GCS_METHOD, request_serializer=bytes, response_deserializer=_living)
        metadata = [(name.lower(), text) for name, text in bearer().items()]
        try:
            found: Mapping[str, str] = call(b"", timeout=PROBE_TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                what = (
                    "the cluster refuses the token" if metadata else "the cluster asks for a token, and there is none"
                )
                raise ResourceError(what, address, f"set RAY_AUTH_MODE=token, and {TOKEN_REMEDY}") from error
            raise ResourceError(
                f"what answers here is no GCS of a Ray cluster, or none that works ({error.code().name})",
                address,
                _FORM,
            ) from error
    return found


def _living(answer: bytes) -> Mapping[str, str]:
    from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoReply

    nodes: Sequence[Any] = GetAllNodeInfoReply.FromString(answer).node_info_list
    return {node.node_id.hex(): node.node_manager_address for node in nodes if node.state == _ALIVE}


def _raylets() -> set[str]:
    """Ids of the nodes whose raylets run on this machine, as Ray itself looks for them."""
    option = "--node_id="
    return {
        argument.removeprefix(option)
        for process in psutil.process_iter(["cmdline"])
        for argument in process.info["cmdline"] or ()
        if argument.startswith(option)
    }
