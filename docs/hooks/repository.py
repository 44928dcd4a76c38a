"""Files of the repository beside `docs/` on the site: README.md is its first page, and what pages link to comes along.

The site mirrors the repository, with the content of `docs/` at its root. So links work in both: relative ones of a
page are followed in the repository, and written anew for the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from properdocs.config.defaults import MkDocsConfig
from properdocs.structure.files import File, Files
from properdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(\]\()([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md, and what is reached from it and from the pages of `docs/`."""
    _add(files, config, "README.md")
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for target in _targets(page):
            known = files.get_file_from_path(_on_site(target))
            if known is None and (ROOT / target).is_file():
                added = _add(files, config, target)
                waiting += [added] if added.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the links of a page for the site."""

    def for_site(link: str) -> str:
        target = _on_site(_followed(page.file, link))
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return _rewritten(markdown, for_site)


def _add(files: Files, config: MkDocsConfig, path: str) -> File:
    file = File.generated(config, _on_site(path), abs_src_path=str(ROOT / path))
    files.append(file)
    return file


def _targets(page: File) -> set[str]:
    found: set[str] = set()

    def note(link: str) -> str:
        found.add(_followed(page, link))
        return link

    _rewritten(page.content_string, note)
    return found


def _rewritten(markdown: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to the path of every relative link."""

    def replaced(match: re.Match[str]) -> str:
        return match[0] if ":" in match[2] else match[1] + change(match[2])

    return _LINK.sub(replaced, markdown)


def _followed(page: File, link: str) -> str:
    """Where in the repository a link of a page leads; a folder stands for its README.md."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(_in_repository(page)), link))
    return f"{target}/README.md" if (ROOT / target).is_dir() else target


def _in_repository(page: File) -> str:
    if page.src_uri == "index.md":
        return "README.md"
    is_beside = page.abs_src_path is not None and Path(page.abs_src_path) == ROOT / page.src_uri
    return page.src_uri if is_beside else f"docs/{page.src_uri}"


def _on_site(path: str) -> str:
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
