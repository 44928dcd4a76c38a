"""What the pages of the documentation tell to type: their fenced blocks, and the hidden marks that say how to run them.

A mark is an HTML comment on a line of its own:

- ``<!-- test: files NAME … -->``: sample files (`tests.docs.samples`) are made in the page's folder;
- ``<!-- test: not run, REASON -->``: the next block is only parsed;
- ``<!-- test: same as FILE -->``: the next block is the content of that file of the repository;
- ``<!-- test: setup`` or ``<!-- test: check``, lines of Python, ``-->``: run at this place, unseen by readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_PIECE = re.compile(
    r"^<!-- test: (?P<mark>.*?)-->$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A block of a page; `mark` is the one before it, and of hidden code `language` is python."""

    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def is_run(self) -> bool:
        return not self.mark.startswith("not run")


@dataclass(frozen=True)
class Files:
    """Sample files that a page asks for."""

    line: int
    names: tuple[str, ...]


def pieces(page: Path) -> list[Block | Files]:
    """Blocks of a page and its wishes for files, in order."""
    text, found, mark = page.read_text(encoding="utf-8"), [], ""
    for match in _PIECE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["mark"] is None:
            found.append(Block(line, match["language"], match["text"], mark))
            mark = ""
            continue
        assert not mark, f"{page.name}:{line}: no block follows the mark {mark!r}"
        kind, _, rest = match["mark"].strip().partition("\n" if "\n" in match["mark"].strip() else " ")
        if kind == "files":
            found.append(Files(line, tuple(rest.split())))
        elif kind in ("setup", "check"):
            found.append(Block(line, "python", rest))
        else:
            mark = match["mark"].strip()
    return found


def blocks(page: Path) -> list[Block]:
    """Blocks of a page."""
    return [piece for piece in pieces(page) if isinstance(piece, Block)]


def commands(text: str) -> list[str]:
    """Lines of a shell block, continued ones joined."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.split("#")[0].strip()]
