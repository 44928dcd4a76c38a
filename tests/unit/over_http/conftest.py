"""A campaign of a laboratory whose first batch is out, and a service of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isd_ray.ops.campaign import Campaign
from isd_ray.remote import over_http
from tests.unit.attached_helpers import running
from tests.unit.test_arguments import LABORATORY


@pytest.fixture(scope="session")
def asked(make_config, tmp_path_factory) -> Path:
    """The folder of a campaign whose first batch is out."""
    made = Campaign.create(tmp_path_factory.mktemp("asked") / "kinase", make_config(**LABORATORY))
    made.ask()
    return made.path


@pytest.fixture
def made(asked, tmp_path) -> Campaign:
    """The same, for a test alone."""
    return Campaign.open(shutil.copytree(asked, tmp_path / "kinase"))


@pytest.fixture
def service(made, tmp_path, monkeypatch):
    """A service of it, and its token where callers look for it."""
    monkeypatch.setenv("ISD_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setattr(over_http, "_RETRY_S", 0.05)
    with running({"kinase": made.path}, tmp_path / "token", tmp_path / "scratch") as service:
        yield service
