"""The table of all errors that users may meet, read from the source: `python -m tests.error_table` writes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import isd_ray
from isd_ray import errors
from isd_ray.errors import IsdError

ROOT = Path(isd_ray.__file__).parent
TABLE = Path(__file__).parents[1] / "docs" / "errors.md"
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, IsdError)}
PARTS = ("what", "where", "remedy")
KEYS_OF = "config"
"""Folder whose `ValueError`s pydantic hands on as a `ConfigError` at the key; they say the remedy themselves."""
HEAD = """# Errors

Every deliberate error of `isd_ray` is a kind of `IsdError` and says what failed, where, and what to do:

```text
LabelError
signal.csv: line 3 (id 'C0001') is not a number
  Remedy: correct the file
```

The command line prints that and ends with exit code 1; in Python it is raised. Anything else that ends in a traceback
is a bug of ours: please report it.

This table is read from the source by `python -m tests.error_table`; a test fails when it is not current. Parts in
braces are filled in when the error is raised, and a stroke ( / ) stands between alternatives. A dash under *where*
means that the message itself names the place.

## How they were reviewed

Each line was read against four questions: does it say what failed, with the value; does it point to the file, line,
key, node or id; does its remedy name something that the reader can do; and is every word one of the reader's? What did
not pass was mended: remedies that only said "restore it" or "mend that", contradictions of keys that did not say which
to remove, and errors of hit calling that pointed to a table `[hit_calling]`, which is called `[hits]`. Tests hold what
can be checked: no message without a remedy, and no key that there is not.
"""


@dataclass(frozen=True)
class Site:
    """A place in the source that makes an error."""

    kind: str
    module: str
    line: int
    what: str
    where: str
    remedy: str


def sites() -> list[Site]:
    """All places that make an `IsdError`, and those in the configuration whose `ValueError` becomes one."""
    return sorted(
        (site for path in ROOT.rglob("*.py") for site in _sites_in(path)),
        key=lambda site: (site.kind, site.module, site.line),
    )


def _sites_in(path: Path) -> Iterator[Site]:
    module = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        for node in _own_nodes(scope):
            name = getattr(node.func, "id", None) if isinstance(node, ast.Call) else None
            is_key = name == "ValueError" and module.startswith(f"{KEYS_OF}/")
            if name not in KINDS and not is_key:
                continue
            given = dict(zip(PARTS, node.args, strict=False)) | {word.arg: word.value for word in node.keywords}
            words = {part: _words(given[part], scope, tree) if part in given else "" for part in PARTS}
            if is_key:
                words |= {"where": "the key or its table", "remedy": "in the message"}
            yield Site("ConfigError" if is_key else name, module, node.lineno, **words)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a function, or of a module, without those of the functions in it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def _words(node: ast.expr, scope: ast.AST, tree: ast.Module, depth: int = 0) -> str:
    """An expression of text as a reader sees it, with what is filled in in braces."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_words(part, scope, tree, depth) for part in parts)
        case ast.FormattedValue(value=ast.Constant(value=str(text))):
            return text
        case ast.FormattedValue(value=ast.Name(id=name)):
            found = _assigned(name, scope, tree, depth)
            return found or f"{{{name.strip('_')}}}"
        case ast.FormattedValue(value=ast.IfExp() as choice):
            return _words(choice, scope, tree, depth)
        case ast.FormattedValue(value=value):
            return f"{{{_name_of(value)}}}"
        case ast.IfExp(body=body, orelse=orelse):
            either = [_words(part, scope, tree, depth) for part in (body, orelse)]
            return " / ".join(dict.fromkeys(part for part in either if part))
        case ast.BoolOp(values=values):
            return " / ".join(dict.fromkeys(_words(part, scope, tree, depth) for part in values))
        case ast.BinOp(left=left, right=right):
            return _words(left, scope, tree, depth) + _words(right, scope, tree, depth)
        case ast.Name(id=name):
            return _assigned(name, scope, tree, depth) or f"{{{name}}}"
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, ast.Constant(value=str(default))]):
            return default
    return f"{{{_name_of(node)}}}"


def _assigned(name: str, scope: ast.AST, tree: ast.Module, depth: int) -> str:
    """What a name stands for where it is assigned text; empty if that is not text."""
    if depth > 1:
        return ""
    for place in (scope, tree):
        values = [
            node.value
            for node in _own_nodes(place)
            if isinstance(node, ast.Assign) and any(getattr(target, "id", None) == name for target in node.targets)
        ]
        texts = [value for value in values if isinstance(value, ast.Constant | ast.JoinedStr | ast.IfExp | ast.BoolOp)]
        texts = [text for text in texts if not (isinstance(text, ast.Constant) and not isinstance(text.value, str))]
        if texts and len(texts) == len(values):
            return " / ".join(dict.fromkeys(_words(text, place, tree, depth + 1) for text in texts))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            home = ROOT.parent / f"{node.module.replace('.', '/')}.py"
            if home.is_file():
                there = ast.parse(home.read_text(encoding="utf-8"))
                return _assigned(name, there, there, depth + 1)
    return ""


def _name_of(node: ast.expr) -> str:
    """A short name of what is filled in: the last name in the expression."""
    match node:
        case ast.Name(id=name):
            return name.strip("_")
        case ast.Attribute(attr=name):
            return name.strip("_")
        case ast.Call(func=ast.Name(id="str" | "len" | "int" | "type" | "repr"), args=[inner, *_]):
            return _name_of(inner)
        case ast.Call(func=ast.Attribute(attr="join"), args=[inner]):
            return _name_of(inner)
        case ast.Call(func=ast.Name(id="map"), args=[_, inner]):
            return _name_of(inner)
        case ast.Call(func=called):
            return _name_of(called)
        case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
            return key
        case ast.Subscript(value=value):
            return _name_of(value)
    return "…"


def _cell(text: str) -> str:
    words = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return words or "–"


def table() -> str:
    """The whole page."""
    found, parts = sites(), [HEAD]
    parts.append(f"\n{len(found)} places in the source make one of {len({site.kind for site in found})} kinds.\n")
    for kind in sorted({site.kind for site in found}):
        doc = (getattr(errors, kind).__doc__ or "").partition("\n\n")[0]
        parts.append(f"\n## {kind}\n\n{doc}\n")
        of_kind = [site for site in found if site.kind == kind]
        for module in sorted({site.module for site in of_kind}):
            parts.append(f"\n### {kind}: {module}\n\n| what | where | remedy |\n|---|---|---|\n")
            lines = [
                f"| {_cell(s.what)} | {_cell(s.where)} | {_cell(s.remedy)} |" for s in of_kind if s.module == module
            ]
            parts.append("\n".join(dict.fromkeys(lines)) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
