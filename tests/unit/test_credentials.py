"""No password, key or token that somebody writes into an address is written or shown anywhere."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.config import CampaignConfig
from isd_ray.config.library import LibraryConfig
from isd_ray.config_file import load_config
from isd_ray.credentials import holds_credentials, without_credentials
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, InputFileError, IsdError, LabelError, StoreError
from isd_ray.ops.campaign import Campaign
from isd_ray.storage.client import file_system_of
from tests.unit.test_laboratory import LABORATORY

SECRET = "wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLEKEY"
WITH = [
    f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/lib",
    f"s3://AKIAIOSFODNN7EXAMPLE:a/b{SECRET}/c@bucket/lib",
    f"s3:/AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/lib",
    f"https://ada:{SECRET}@files.example.org/compounds.csv",
    f"https://{SECRET}@files.example.org/compounds.csv",
    f"HTTPS://ada:{SECRET}@files.example.org:8443/x?y=1",
    f"hdfs://ada:{SECRET}@node:8020/x",
    f"abfs://container:{SECRET}@account.dfs.core.windows.net/x",
    f"s3://bucket/x?region=eu-west-1&secret_key={SECRET}",
    f"https://account.blob.core.windows.net/c/x.csv?sv=2024&sig={SECRET}",
    f"https://bucket.s3.amazonaws.com/x?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}",
    f"s3://bucket/x?endpoint_override=https%3A%2F%2Fada%3A{SECRET}%40host",
    f"gs://bucket/x?access_token={SECRET}",
]
WITHOUT = [
    "s3://bucket/folder/file.csv?region=eu-west-1&endpoint_override=localhost:9000&scheme=http",
    "s3://bucket/version@2/file.csv",
    "https://host:9000/a/version@2.csv",
    "abfs://container@account.dfs.core.windows.net/x",
    "hdfs://ada@node:8020/x",
    "/data/ada@lab/keys:1.csv",
    "package:isd_ray/x.csv",
    "C[C@H](N)C(=O)O",
    "[C@@H]://x",
    "mail ada@lab.example or see https://lab.example/notes",
]


@pytest.mark.parametrize("address", WITH)
@pytest.mark.parametrize("around", ["{}", "cannot read '{}': no such key", "first {} then"])
def test_they_are_taken_out_wherever_the_address_stands(address, around):
    shown = without_credentials(around.format(address))
    assert SECRET not in shown
    assert "***" in shown
    assert without_credentials(shown) == shown


@pytest.mark.parametrize("text", WITHOUT)
def test_what_holds_none_stays_as_it_is(text):
    assert without_credentials(text) == text


@given(
    st.sampled_from(["s3", "gs", "https", "http", "ftp"]),
    st.text("ABCxyz019+/=._~%-", min_size=1, max_size=20),
    st.text("abcXYZ789+=._~%-", min_size=8, max_size=40),
)
def test_no_user_and_password_survives(scheme, user, password):
    shown = without_credentials(f"at {scheme}://{user}:{password}@bucket/x, and so on")
    assert f"{password}@" not in shown
    assert shown.endswith("***@bucket/x, and so on")


@pytest.mark.parametrize("address", WITH)
@pytest.mark.parametrize("kind", [IsdError, StoreError])
def test_no_error_of_ours_tells_them(address, kind):
    error = kind(f"cannot read {address}", address, f"try {address}")
    for told in (
        str(error),
        repr(error),
        error.what,
        error.where,
        error.remedy,
        str(copy.copy(error)),
    ):
        assert SECRET not in told


@pytest.mark.parametrize("address", WITH)
def test_no_configuration_takes_them(address, make_config, tmp_path):
    with pytest.raises(ConfigError, match="environment") as caught:
        LibraryConfig(source=address)
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="environment"):
        make_config(**{"library.path": address})
    with pytest.raises(ConfigError, match=r"library\.source"):
        CampaignConfig.model_validate({"library": {"source": ["a.csv", address]}, "labels": {"column": "y"}})
    file = tmp_path / "campaign.toml"
    file.write_text(f'[library]\nsource = "{address}"\n[labels]\ncolumn = "y"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_config(file, [f"{address}"])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("address", WITH)
def test_no_file_system_is_made_of_them(address):
    with pytest.raises(InputFileError) as caught:
        file_system_of(address)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("address", WITH)
@pytest.mark.parametrize(
    "command",
    [
        ["library", "build", "ADDRESS", "--out", "OUT"],
        ["library", "build", "IN", "--out", "ADDRESS"],
        ["library", "info", "ADDRESS"],
        ["create", "IN", "--out", "ADDRESS"],
        ["status", "ADDRESS"],
        ["simulate", "IN", "--set", "library.source=ADDRESS", "--out", "OUT"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_no_command_writes_or_shows_them(address, command, tmp_path):
    file = tmp_path / "in.toml"
    file.write_text('[labels]\ncolumn = "y"\n')
    words = {"ADDRESS": address, "OUT": str(tmp_path / "out"), "IN": str(file)}
    result = CliRunner().invoke(app, [_filled(word, words) for word in command])
    assert result.exit_code
    assert isinstance(result.exception, IsdError | SystemExit), result.exception
    assert SECRET not in result.output + str(result.exception)
    for path in tmp_path.rglob("*"):
        assert SECRET not in str(path)
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(name, value)
    return word


def test_no_reason_holds_them(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    campaign.ask()
    for do in (campaign.fail, campaign.exclude, campaign.include):
        with pytest.raises(LabelError, match="holds a password"):
            do(campaign.batch().ids[:1], f"see {WITH[2]}")
    with pytest.raises(LabelError, match="holds a password"):
        campaign.close(f"see {WITH[2]}")
    assert not any(SECRET.encode() in path.read_bytes() for path in Path(campaign.path).rglob("*.json"))
    assert not holds_credentials(str(Library.open(campaign.store.manifest["library"]).metadata))


def test_a_campaign_that_had_stored_some_still_opens(make_config):
    stored = make_config(**LABORATORY).model_dump(mode="json")
    stored["library"]["source"] = WITH[2]
    opened = CampaignConfig.from_stored(stored)
    assert SECRET not in opened.model_dump_json()
    assert opened.labels == make_config(**LABORATORY).labels
