"""What Chromium, and axe in it, say about a page of ours."""

from __future__ import annotations

import importlib.resources
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)
TIMEOUT_MS = 180_000
WATCH = """
window.problems = [];
addEventListener("error", (event) => problems.push(event.message));
addEventListener("securitypolicyviolation", (event) => problems.push(`${event.violatedDirective} ${event.sourceFile}`));
"""
LOOK = """async () => ({
  problems,
  drawn: Array.from(document.querySelectorAll(".plot")).filter((plot) => plot.querySelector(".main-svg")).length,
  overflow: document.documentElement.scrollWidth - innerWidth,
  violations: (await axe.run(document)).violations.map(
    (rule) => [rule.id, rule.impact, rule.nodes[0].html.slice(0, 200)]
  ),
})"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window; absent is a skip here and a failure in CI."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"Chromium is not installed (none of {', '.join(NAMES)} is on the path)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS], timeout=TIMEOUT_MS)
        yield started
        started.close()


@contextmanager
def window(chromium: Browser, *, dark: bool = False, width: int = 1280, **settings: Any) -> Iterator[Page]:
    """An empty page, without what other pages have left."""
    scheme = "dark" if dark else "light"
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, **settings)
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(WATCH)
    yield context.new_page()
    context.close()


def look(page: Page) -> dict[str, Any]:
    """Errors and breaches of the page's policy, figures drawn, pixels beyond the window, and violations by axe."""
    page.evaluate(importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    seen: dict[str, Any] = page.evaluate(LOOK)
    return seen
