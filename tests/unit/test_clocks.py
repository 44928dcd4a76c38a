"""Clocks that are days off are named where they are the reason, and nothing is reckoned by two that differ."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from isd_ray.data.remote import is_published
from isd_ray.errors import ClusterError, LibraryError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.security import ray_version_of
from isd_ray.remote.over_http import Service
from isd_ray.report.record import Record
from isd_ray.report.sections.cost import CLOCKS_DIFFER, cost
from isd_ray.storage.client import create_object
from tests.unit.test_laboratory import LABORATORY, truth

__all__ = ["truth"]
DAY, TOKEN = timedelta(days=1), "w" * 43
SKEWED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>"""


class Refusing(BaseHTTPRequestHandler):
    """A store that goes by another time."""

    def do_PUT(self):
        self.send_response(403)
        self.send_header("Content-Length", str(len(SKEWED)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(SKEWED)

    do_HEAD = do_PUT  # noqa: N815

    def log_message(self, *arguments):
        pass


@contextmanager
def served(tls: ssl.SSLContext | None = None):
    """Its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def certificate(folder: Path, begins: timedelta, ends: timedelta) -> Path:
    """A PEM file with a key and its certificate for this machine, which is good from one time to another."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made_out = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now + begins, now + ends
    )
    made = builder.add_extension(made_out, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "tls.pem"
    file.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    return file


@pytest.mark.parametrize(
    ("begins", "ends", "words"), [(DAY, 2 * DAY, "is not yet valid"), (-2 * DAY, -DAY, "has expired")]
)
def test_a_certificate_of_another_time_points_to_the_clock(begins, ends, words, tmp_path):
    file = certificate(tmp_path, begins, ends)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    with served(tls) as port:
        for ask in (
            lambda: Service(f"https://localhost:{port}", TOKEN, file).campaigns(),
            lambda: ray_version_of(f"https://localhost:{port}", str(file)),
        ):
            with pytest.raises(ClusterError, match=rf"{words}[^\n]*\n.*clock of this machine"):
                ask()


def test_a_store_of_another_time_is_quoted_and_points_to_the_clock(monkeypatch):
    with served() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name, text in {
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
            "REGION": "eu-west-1",
            "ALLOW_HTTP": "1",
        }.items():
            monkeypatch.setenv(f"AWS_{name}", text)
        with pytest.raises(StoreError, match=r"RequestTimeTooSkewed: The difference is too large\.\n.*machine's clock"):
            create_object("s3://skewed/x", b"1")
        with pytest.raises(LibraryError, match="machine's clock"):
            is_published("s3://skewed/library")


def test_a_decision_that_is_dated_before_its_release_counts_for_no_time(make_config, truth, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    for _ in range(2):
        campaign.tell({name: truth[name] for name in campaign.ask().ids})
    campaign.ask()
    record = Record.read(campaign.store, None)
    late = [
        {**event, "time": "2026-01-01T00:00:00+00:00"}
        if (event["kind"], event.get("round")) == ("decision", 1)
        else event
        for event in record.events
    ]
    behind = replace(record, events=late)
    assert (record.misdated(), behind.misdated()) == ([], [1])
    assert record.elapsed() is not None
    assert behind.elapsed() is None
    words = [str(block) for block in cost(behind).blocks]
    assert any(CLOCKS_DIFFER in text and "round 1" in text for text in words)
    assert not any("-" in value for block in cost(behind).blocks if hasattr(block, "pairs") for _, value in block.pairs)
    assert not any(CLOCKS_DIFFER in str(block) for block in cost(record).blocks)
