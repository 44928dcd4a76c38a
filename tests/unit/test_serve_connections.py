"""Connections to the web page: who asks for nothing is sent away, and behind a proxy everybody counts for himself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
import uvicorn

from isd_ray.errors import ConfigError
from isd_ray.serve import patience, sessions
from isd_ray.serve.app import configuration
from isd_ray.serve.settings import Settings
from tests.unit.serve_helpers import TOKEN

CLIENT_S = 30.0


@contextmanager
def served(tmp_path, **settings) -> Iterator[int]:
    """A page without campaigns; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration([str(tmp_path)], Settings(TOKEN, **settings), tmp_path))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def answer(port: int, request: bytes) -> bytes:
    """All that the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), CLIENT_S) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def login(port: int, token: str, **headers: str) -> int:
    """Log in by a connection of its own; the status of the answer."""
    host, body = f"127.0.0.1:{port}", urlencode({"token": token}).encode()
    said = {
        "Host": host,
        "Origin": f"http://{host}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return int(answer(port, f"POST /login HTTP/1.1\r\n{lines}\r\n".encode() + body).split()[1])


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /login HTT",
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow",
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /lo",
    ],
)
def test_a_connection_that_asks_for_nothing_is_closed(sent, tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "IDLE_S", 0.2)
    with served(tmp_path) as port:
        assert answer(port, sent).count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


@pytest.mark.parametrize(("idle_s", "sending_s"), [(0.2, 900.0), (20.0, 0.2)])
def test_a_form_that_stops_in_its_midst_or_takes_for_ever_is_given_up(idle_s, sending_s, tmp_path, monkeypatch):
    with served(tmp_path) as port:
        monkeypatch.setattr(patience, "IDLE_S", idle_s)
        monkeypatch.setattr(patience, "SENDING_S", sending_s)
        host = f"127.0.0.1:{port}"
        head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 100\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
        assert b" 400 " in answer(port, f"{head}{kind}".encode()).split(b"\r\n")[0]


def test_behind_a_declared_proxy_a_client_is_locked_out_and_not_the_proxy(tmp_path):
    with served(tmp_path, proxies=("127.0.0.0/8",)) as port:
        # What a client says of itself comes before what the proxy saw.
        for forged in range(sessions.MAX_ATTEMPTS):
            assert login(port, "x" * 43, **{"X-Forwarded-For": f"192.0.2.{forged}, 198.51.100.7"}) == 403
        assert login(port, TOKEN, **{"X-Forwarded-For": "198.51.100.7"}) == 429
        assert login(port, TOKEN, **{"X-Forwarded-For": "198.51.100.8"}) == 303


def test_who_is_no_declared_proxy_is_not_believed(tmp_path):
    with served(tmp_path, proxies=("10.0.0.1",)) as port:
        for forged in range(sessions.MAX_ATTEMPTS):
            assert login(port, "x" * 43, **{"X-Forwarded-For": f"192.0.2.{forged}"}) == 403
        assert login(port, TOKEN, **{"X-Forwarded-For": "198.51.100.8"}) == 429


@pytest.mark.parametrize("proxy", ["*", "", "proxy.example.org", "10.0.0.0/33"])
def test_a_proxy_is_named_by_its_address(proxy):
    with pytest.raises(ConfigError, match="no address of a proxy"):
        Settings(TOKEN, proxies=(proxy,))


def test_a_length_that_the_pieces_of_a_form_need_not_keep_is_none(tmp_path):
    """Of a request that says both, length and pieces, the pieces count: nobody without a token may send for ever."""
    with served(tmp_path) as port:
        host, piece = f"127.0.0.1:{port}", b"token=" + b"x" * 100_000
        head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 10\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = f"{head}{kind}{len(piece):x}\r\n".encode() + piece + b"\r\n0\r\n\r\n"
        assert answer(port, sent).split()[1] == b"411"
