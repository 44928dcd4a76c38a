"""What answers at an address and is no service of this version is named."""

from __future__ import annotations

import socket
import threading

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

import isd_ray as isd
from isd_ray.errors import ClusterError, ResourceError
from isd_ray.remote import over_http, wire


def answering(service, status: int, headers=None):
    """Have the service's port be that of something else."""
    service.stop()

    async def other(scope, receive, send):
        if scope["type"] == "http":
            await PlainTextResponse("<html>", status, headers)(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", service.port))
    service._server = uvicorn.Server(uvicorn.Config(other, log_level="error", lifespan="off"))
    service._thread = threading.Thread(target=service._server.run, kwargs={"sockets": [listening]})
    service._thread.start()


@pytest.mark.parametrize(
    ("status", "headers", "kind", "words"),
    [
        (200, None, ClusterError, r"no service of coordinators \(HTTP 200\)"),
        (404, None, ClusterError, r"no service of coordinators \(HTTP 404\)"),
        (302, {"Location": "https://login.example"}, ClusterError, r"no service of coordinators \(HTTP 302\)"),
        (502, None, ClusterError, r"a proxy answers for a service that is away \(HTTP 502\)"),
        (200, {wire.VERSION_HEADER: "0.0.9"}, ResourceError, "the service runs isd_ray 0.0.9, this process"),
    ],
)
def test_what_answers_and_is_no_such_service_is_named(status, headers, kind, words, made, service, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    answering(service, status, headers)
    with pytest.raises(kind, match=words):
        isd.attach("kinase", service.url)
    monkeypatch.setattr(over_http, "PATIENCE_S", 0.1)
    with pytest.raises(kind, match=words):
        campaign.status()
