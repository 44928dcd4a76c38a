"""The site builds without a warning, asks nobody else for anything, tells every key and command; all can read it."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer

from isd_ray.cli import app
from isd_ray.config import CampaignConfig, PhenomicsConfig, ReferenceEnergyConfig
from tests.browser import looking
from tests.docs.pages import ROOT

LOADED = re.compile(r"""<(?:script|img|link|iframe)[^>]*\b(?:src|href)=["']((?:https?:)?//[^"']+)""")
WATCHED = ("index.html", "guarantees.html", "reference/configuration.html", "others.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "properdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert not LOADED.findall(page.read_text(encoding="utf-8")), page


def test_every_key_is_explained(site):
    text = (site / "reference" / "configuration.html").read_text(encoding="utf-8")
    for model in (CampaignConfig, PhenomicsConfig, ReferenceEnergyConfig):
        schema = model.model_json_schema()
        for name, table in {model.__name__: schema, **schema.get("$defs", {})}.items():
            for key, value in table["properties"].items():
                assert f"<code>{key}</code>" in text
                assert "description" in value or "$ref" in str(value), f"{name}.{key} has no docstring"


def test_every_command_is_there(site):
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands
    assert len(commands) > 20
    for name, command in commands.items():
        for full in [f"isd {name}", *(f"isd {name} {inner}" for inner in getattr(command, "commands", ()))]:
            assert f"<code>{full}</code>" in text


def test_names_of_the_package_are_in_the_reference(site):
    import isd_ray

    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    homes = isd_ray._HOMES
    missing = [name for name, home in homes.items() if f'id="{home}.{name}"' not in text]
    assert missing == ["CampaignConfig"]  # its keys have a page of their own


@pytest.fixture(scope="module")
def address(site):
    """Of a server of the site on this machine."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def chromium():
    with looking.browser() as started:
        yield started


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
def test_pages_can_be_read_by_all(dark, width, chromium, address):
    """No serious violation by axe, nothing wider than the window, no request to anybody else; the search finds."""
    asked: list[str] = []
    with looking.window(chromium, dark=dark, width=width) as page:
        page.on("request", lambda request: asked.append(request.url))
        for name in WATCHED:
            page.goto(f"{address}/{name}")
            seen = looking.look(page)
            assert not [rule for rule in seen["violations"] if rule[1] in ("serious", "critical")]
            assert seen["overflow"] <= 0
        page.keyboard.press("/")  # the search
        page.keyboard.type("audit")
        page.wait_for_selector(".md-search-result__item", state="attached")
    assert asked
    assert all(url.startswith((address, "data:", "blob:")) for url in asked), asked
