"""Somebody at the web page of a laboratory, without a browser."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from isd_ray.ops.campaign import Campaign
from isd_ray.serve.app import create_app
from isd_ray.serve.settings import Settings, new_token
from isd_ray.serve.shelf import Shelf

ADDRESS = "http://127.0.0.1:8765"
TOKEN = new_token()


class Visitor:
    """Somebody who has logged in, unless `who` is None.

    Its forms are those of the pages: with the token of the session, from this server's own address.
    """

    def __init__(self, app, who: str | None = "Ada") -> None:
        self.client = TestClient(app, base_url=ADDRESS, follow_redirects=False, raise_server_exceptions=True)
        if who is not None:
            assert self.log_in(TOKEN, who).headers["location"] == "/"
            self.form_token = re.search(r'name="form_token" value="([^"]+)"', self.get("/").text)[1]

    def log_in(self, token: str, who: str = ""):
        return self.client.post("/login", data={"token": token, "who": who}, headers={"Origin": ADDRESS})

    def get(self, path: str, **headers: str):
        answer = self.client.get(path, headers=headers)
        while "refresh" in answer.headers:
            answer = self.client.get(path, headers=headers)
        return answer

    def post(self, path: str, origin: str = ADDRESS, files=None, **fields):
        data = {"form_token": self.form_token, **fields}
        return self.client.post(path, data=data, files=files, headers={"Origin": origin})

    def confirm(self, preview: str):
        """Tell a file that was looked at, and wait until it is told."""
        answer = self.post(preview)
        self.get(preview)
        return answer

    def send(self, key: str, content: str | bytes, name: str = "readouts.csv", **fields) -> str:
        """Send a file to look at; the address of its preview."""
        answer = self.post(f"/c/{key}/uploads", files={"file": (name, content)}, **fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


def page_of(*places: Path, scratch: Path, **settings):
    """The application, and the names of its campaigns in addresses."""
    scratch.mkdir()
    paths = list(map(str, places))
    return create_app(paths, Settings(TOKEN, **settings), scratch), Shelf(paths).names()


def words(page: str) -> str:
    """The text of a page on one line."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def pairs(page: str) -> dict[str, str]:
    """The numbers of a page by name."""
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", page, re.DOTALL)
    return {html.unescape(what): html.unescape(answer) for what, answer in found}


@pytest.fixture
def campaign(begun, tmp_path) -> Campaign:
    """A test's own copy of the campaign that its file has begun."""
    return Campaign.open(shutil.copytree(begun.path, tmp_path / "runs" / "kinase"))


@pytest.fixture
def page(campaign, tmp_path):
    """The application that serves the folder of the campaign, and the campaign's name in addresses."""
    app, [key] = page_of(campaign.path.parent, scratch=tmp_path / "scratch")
    return app, key


@pytest.fixture
def ada(page) -> Visitor:
    return Visitor(page[0])
