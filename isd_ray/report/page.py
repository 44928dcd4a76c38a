"""Pages: one self-contained HTML file each, which fetches nothing and runs no script but its own two.

What users' files say (ids, SMILES, reasons, names of classes) is escaped by the template, drawings are images and
figures are data; the Content-Security-Policy allows the two scripts by their hashes and no others.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from isd_ray.printable import printable
from isd_ray.report.blocks import Block, Figure, ReportSection
from isd_ray.report.numbers import counted


def plotly_script() -> str:
    """What draws figures in a browser: the bundle of lines and bars that plotly's makers give out, a quarter of all."""
    return _text("static", "plotly-basic.min.js")


@cache
def _scripts() -> tuple[str, str]:
    """Plotly, and what draws the figures of a page with it."""
    return plotly_script(), _text("templates", "page.js")


def _text(*path: str) -> str:
    return files("isd_ray.report").joinpath(*path).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _image(svg: str) -> str:
    """A drawing as the address of an image: scripts in it would never run."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _kind(block: Block) -> str:
    return type(block).__name__


def environment(*packages: str) -> Environment:
    """Templates of the report, and of other packages beside it; what they show is escaped."""
    loaders = [PackageLoader(package) for package in (*packages, "isd_ray.report")]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"kind": _kind, "image": _image, "counted": counted}
    return made


def figures_of(sections: Sequence[ReportSection]) -> dict[str, Mapping[str, Any]]:
    """The figures of some sections by name."""
    return {block.name: block.spec for part in sections for block in part.blocks if isinstance(block, Figure)}


def render_page(title: str, subtitle: str, sections: Sequence[ReportSection]) -> str:
    """A page with a table of contents.

    Parameters
    ----------
    title, subtitle:
        What the page is about; the title is also that of the window.
    """
    figures = figures_of(sections)
    scripts = _scripts() if figures else ()
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            subtitle=subtitle,
            sections=sections,
            figures=figures,
            scripts=[Markup(text) for text in scripts],
            policy=_policy(scripts) if scripts else _policy(()).replace("script-src ; ", ""),
        )
    )
