"""Why nobody was reached is said as the operating system, TLS or a proxy say it."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager

import pytest

from isd_ray.errors import ClusterError
from isd_ray.ops.security import ray_version_of


@contextmanager
def answering(with_bytes: bytes):
    """The port of a server that answers whatever it is sent with the same bytes."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(with_bytes)

    with socketserver.TCPServer(("127.0.0.1", 0), Answering) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


def test_a_port_at_which_nobody_listens():
    with pytest.raises(ClusterError, match="no cluster answers here: Connection refused"):
        ray_version_of("http://127.0.0.1:9")


def test_a_server_that_speaks_no_tls_has_no_bad_certificate():
    reason = r"no cluster answers here: no TLS comes about \(wrong version number\)"
    with (
        answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port,
        pytest.raises(ClusterError, match=reason),
    ):
        ray_version_of(f"https://localhost:{port}")


def test_a_proxy_that_lets_nobody_out(monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
        with pytest.raises(ClusterError, match=r"through a proxy: Tunnel connection failed: 403 Forbidden") as refused:
            ray_version_of("https://head.example:8265")
    assert "secret" not in str(refused.value)
