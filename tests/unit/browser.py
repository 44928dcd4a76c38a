"""What Chromium, and axe in it, say about a page of ours."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 240
WATCH = """
window.problems = [];
addEventListener("error", (event) => problems.push(event.message));
addEventListener("securitypolicyviolation", (event) => problems.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
REPORT = """
axe.run(document).then((found) => {
  const said = document.createElement("pre");
  said.id = "said";
  said.textContent = JSON.stringify({
    problems,
    drawn: Array.from(document.querySelectorAll(".plot")).filter((plot) => plot.querySelector(".main-svg")).length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    violations: found.violations.map((rule) => [rule.id, rule.impact, rule.nodes[0].html.slice(0, 200)]),
  });
  document.body.append(said);
});
"""


def _allowed(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def seen_by_chromium(page: str, folder: Path, *, dark: bool, width: int) -> dict[str, Any]:
    """Errors and breaches of the page's policy, figures drawn, pixels beyond the window, and violations by axe."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    axe = importlib.resources.files(pytest.importorskip("axe_core_python")).joinpath("axe.min.js").read_text("utf-8")
    last = f"{axe};{REPORT}"
    page = page.replace("script-src ", f"script-src {_allowed(WATCH)} {_allowed(last)} ", 1)
    page = page.replace("<title>", f"<script>{WATCH}</script><title>", 1)
    head, _, tail = page.rpartition("</body>")
    file = folder / "page.html"
    file.write_text(f"{head}<script>{last}</script></body>{tail}", encoding="utf-8")
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"),
        *(f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},2000"),
        *("--virtual-time-budget=20000", "--dump-dom", file.as_uri()),
    ]
    dom = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S, check=True).stdout
    said = re.search(r'<pre id="said">(.*?)</pre>', dom, re.DOTALL)
    assert said is not None, dom[-2000:]
    seen: dict[str, Any] = json.loads(html.unescape(said[1]))
    return seen
