"""Nothing is read without a token of the service, and nobody else gets to see one."""

from __future__ import annotations

import stat

import pytest
import requests

import isd_ray as isd
from isd_ray.errors import ClusterError, ConfigError, InputFileError
from isd_ray.remote import wire
from isd_ray.remote.attach import coordinated
from isd_ray.remote.tokens import Tokens
from isd_ray.serve.coordinators.app import Served
from tests.unit.attached_helpers import certified, running


def test_without_a_token_of_the_service_nothing_is_read(made, service):
    with pytest.raises(ClusterError, match="refuses the token"):
        isd.attach("kinase", service.url, token="w" * 43)
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic " + "w" * 43}):
        for method, path in (("GET", "/v1/campaigns"), ("POST", "/v1/calls"), ("GET", "/nowhere")):
            answer = requests.request(method, f"{service.url}{path}", headers=headers, timeout=30)
            assert (answer.status_code, wire.VERSION_HEADER in answer.headers) == (401, False)
    assert requests.get(f"{service.url}/healthz", timeout=30).text == "ok\n"


def test_a_netrc_does_not_replace_the_token(made, service, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine localhost login eve password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert isd.attach("kinase", service.url).status() == made.status()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://head.example:8766", "would travel in the clear"),
        ("https://ada:secret@head.example", "more than a place"),
        ("https://head.example/?token=abc", "more than a place"),
    ],
)
def test_a_url_that_would_give_the_token_away_is_refused(url, words, service):
    with pytest.raises(ConfigError, match=words) as refused:
        isd.attach("kinase", url)
    assert "secret" not in str(refused.value)


def test_a_token_is_given_or_in_a_file(service, tmp_path, monkeypatch):
    monkeypatch.delenv("ISD_TOKEN_FILE")
    with pytest.raises(ConfigError, match="asks for a token, and there is none here"):
        isd.attach("kinase", service.url)
    with pytest.raises(ConfigError, match="a token of 5 letters is none"):
        isd.attach("kinase", service.url, token="short")
    monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(InputFileError, match="cannot be read"):
        isd.attach("kinase", service.url)
    (tmp_path / "two").write_text(f"ada {'a' * 40}\ngrace {'g' * 40}\n")
    monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "two"))
    with pytest.raises(InputFileError, match="holds 2 tokens"):
        isd.attach("kinase", service.url)


def test_a_file_of_tokens_is_made_for_its_owner_alone(tmp_path):
    file = tmp_path / "token"
    tokens = Tokens.read(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert (tokens.holder(token), tokens.holder(token[:-1]), tokens.holder("")) == ("", None, None)
    assert Tokens.read(file) == tokens
    assert token not in repr(tokens)
    for content, kind, words in (
        ("", InputFileError, "holds no token"),
        ("a b c\n", InputFileError, "a line has 3 words"),
        ("ada short\n", ConfigError, "a token of 5 letters is none"),
        ("é" * 40, ConfigError, "a token of 40 letters is none"),
    ):
        file.write_text(content)
        with pytest.raises(kind, match=words):
            Tokens.read(file)
    with pytest.raises(InputFileError, match="cannot be made"):
        Tokens.read(tmp_path / "nowhere" / "token")


def test_others_reach_the_service_only_by_tls(tmp_path):
    with pytest.raises(ConfigError, match=r"tokens would travel in the clear\n.*--behind-proxy"):
        Served("0.0.0.0", 8766)
    assert Served("0.0.0.0", 8766, behind_proxy=True).url(8766) == "http://HOST:8766"
    with pytest.raises(ConfigError, match="go together"):
        Served("0.0.0.0", 8766, certificate=tmp_path / "cert.pem")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no certificate\n")
    with pytest.raises(ConfigError, match="no TLS can be served"):
        Served("0.0.0.0", 8766, tmp_path / "cert.pem", tmp_path / "key.pem")


def test_a_certificate_is_trusted_by_its_authority_only(made, tmp_path, monkeypatch):
    tls = certified(tmp_path)
    with running({"kinase": made.path}, tmp_path / "token", tmp_path / "scratch", tls=tls) as service:
        monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "token"))
        with pytest.raises(ClusterError, match=r"certificate is not accepted: self.signed certificate"):
            isd.attach("kinase", service.url)
        assert isd.attach("kinase", service.url, ca_file=tls[0]).status() == made.status()
        with pytest.raises(ClusterError, match="certificate is not accepted: IP address mismatch"):
            isd.attach("kinase", service.url.replace("localhost", "127.0.0.1"), ca_file=tls[0])
        with pytest.raises(ConfigError, match="no such file"):
            isd.attach("kinase", service.url, ca_file=tmp_path / "absent.pem")
        monkeypatch.setenv("ISD_CA_FILE", str(tls[0]))
        assert coordinated(service.url) == [str(made.path)]
