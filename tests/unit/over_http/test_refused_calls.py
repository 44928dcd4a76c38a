"""A service does the verbs of campaigns, with what they take, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import isd_ray as isd
from isd_ray.errors import ClusterError, InputFileError
from isd_ray.ops import calls as sending
from isd_ray.ops.calls import VerbCall
from isd_ray.remote import over_http
from isd_ray.serve.coordinators import guard


@pytest.mark.parametrize(
    "said",
    [
        {"verb": "store"},
        {"verb": "__init__"},
        {"verb": "create", "arguments": ["/tmp/x", "/tmp/y"]},
        {"verb": "tell", "arguments": ["/etc/passwd"]},
        {"verb": "amend", "keywords": {"file": "/etc/passwd", "reason": "x"}},
        {"verb": "report", "arguments": ["/tmp/report.html"]},
        {"verb": "report", "keywords": {"file": "/tmp/report.html"}},
        {"verb": "fail", "arguments": [{"a": 1}, "spilt"]},
        {"verb": "fail", "arguments": ["C0000"]},
        {"verb": "stop", "arguments": ["enough"], "keywords": {"last_look": "yes"}},
        {"verb": "status", "arguments": "C"},
    ],
    ids=lambda said: json.dumps(said),
)
def test_only_verbs_are_called_with_what_they_take(said, made, service):
    call = {"campaign": "kinase", "campaign_id": "x", "who": "eve", "key": "k", "arguments": [], "keywords": {}, **said}
    before = made.store.events()
    with pytest.raises(ClusterError, match="the call cannot be read"):
        over_http.Service(service.url).asked("POST", "/v1/calls", files={"call": (None, json.dumps(call))})
    assert made.store.events() == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_what_is_no_call_is_refused(body, service):
    with pytest.raises(ClusterError, match="holds no call"):
        over_http.Service(service.url).asked("POST", "/v1/calls", files={"call": (None, body)})
    with pytest.raises(ClusterError, match="nothing is served so"):
        over_http.Service(service.url).asked("GET", "/v2/calls")


def test_an_output_is_named_by_no_path(made, service, tmp_path):
    there = isd.attach("kinase", service.url)._transport
    call = VerbCall(made.store.manifest["campaign_id"], "eve", "report")
    there.write(call, f"../../{tmp_path.name}-out.html", tmp_path / "report.html")
    assert not list(Path(tmp_path.parent).glob("*-out.html"))
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_what_is_too_large_is_not_read(made, service, tmp_path, monkeypatch):
    campaign = isd.attach("kinase", service.url)
    monkeypatch.setattr(guard, "MAX_SENT_BYTES", 10)
    monkeypatch.setattr(guard, "MAX_CALL_BYTES", 10)
    with pytest.raises(InputFileError, match="more than the 10 that are sent"):
        campaign.status()
    monkeypatch.setattr(sending, "MAX_SENT_BYTES", 100)
    (tmp_path / "large.csv").write_text("x" * 101)
    with pytest.raises(InputFileError, match="101 bytes are more than the 100"):
        campaign.tell(tmp_path / "large.csv")
