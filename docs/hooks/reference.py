"""Reference pages made from the code: every key of the configuration, every command and its options."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w
import typer
import typer.cli
from properdocs.config.defaults import MkDocsConfig
from properdocs.structure.files import File, Files

from isd_ray.cli import app
from isd_ray.config import CampaignConfig, PhenomicsConfig, ReferenceEnergyConfig, Section
from isd_ray.config.model import family_sections

_HEAD = """# Configuration

A campaign is one TOML file. These are all its keys, made from the code; `isd init campaign.toml` writes a file that
holds them. Each can be set from the command line too, as in `--set model.members=5`. Unknown keys and values of
another type are refused.
"""
_NAMES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}

Schema = Mapping[str, Any]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    files.append(File.generated(config, "reference/configuration.md", content=configuration()))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    return files


def configuration() -> str:
    """Every key of a campaign, and of the commands that take keys of their own: type, default and meaning."""
    lines = [_HEAD, *_tables(CampaignConfig, "The campaign", "")]
    for name, section in family_sections().items():
        lines += _tables(section, f"[model.{name}]", f"model.{name}")
    for command, section in (("phenomics", PhenomicsConfig), ("reference-energy", ReferenceEnergyConfig)):
        lines += _tables(section, f"Keys of isd {command}", command)
    return "\n".join(lines)


def commands() -> str:
    """Every command, its arguments and options."""
    command = typer.main.get_command(app)
    text = typer.cli.get_docs_for_click(obj=command, ctx=typer.Context(command), name="isd")
    return re.sub(r"^# `isd`", "# Commands", text, count=1)


def _tables(section: type[Section], title: str, name: str) -> Iterator[str]:
    """A part for the keys at the top, and one for each table in them."""
    root = section.model_json_schema()
    places: dict[str, list[str]] = {}
    _find_places(root, name, root.get("$defs", {}), places)
    yield from _table(title, root, name, places)
    for model, paths in places.items():
        table = root["$defs"][model]
        kind = table["properties"].get("kind", {}).get("const")
        heading = ", ".join(f"[{path}]" for path in paths) + (f" of kind {kind}" if kind else "")
        yield from _table(heading, table, _anchor(paths[0], kind), places)


def _find_places(table: Schema, path: str, tables: Schema, places: dict[str, list[str]]) -> None:
    """Where each named table stands, in the order of the keys."""
    for key, schema in table["properties"].items():
        for model in _tables_in(schema):
            is_new = model not in places
            if path not in places.get(model, ()):  # a condition made of conditions is described once
                places.setdefault(model, []).append(_join(path, key))
            if is_new:
                _find_places(tables[model], _join(path, key), tables, places)


def _tables_in(schema: Schema) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _tables_in(part)
    if "items" in schema:
        yield from _tables_in(schema["items"])


def _table(heading: str, schema: Schema, anchor: str, places: Mapping[str, list[str]]) -> Iterator[str]:
    yield f"\n## {heading} {{ #{anchor or 'campaign'} }}\n"
    yield f"{_words(schema['description'])}\n"
    for key, value in schema["properties"].items():
        tables = list(_tables_in(value))
        # A key that is a table has the anchor of the table.
        yield f"`{key}`" if tables else f"`{key}` {{ #{_join(anchor, key)} }}"
        facts = [_kind(value, places), _default(key, value, schema)]
        yield f":   {'; '.join(filter(None, facts))}"
        if "description" in value:
            yield f"\n    {_words(value['description'])}"
        yield ""


def _kind(schema: Schema, places: Mapping[str, list[str]]) -> str:
    """What a value may be, in words."""
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{_toml(value)}`" for value in values)
    if "$ref" in schema:
        path = places[schema["$ref"].rpartition("/")[2]][0]
        return f"table [{path}](#{path})"
    parts = [part for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if part.get("type") != "null"]
    if parts:
        return " or ".join(dict.fromkeys(_kind(part, places) for part in parts))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {'type': 'number'}), places)}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"table of {_kind(schema['additionalProperties'], places)}"
    bounds = " and ".join(f"{words} {schema[name]:,}" for name, words in _BOUNDS.items() if name in schema)
    return f"{_NAMES.get(schema.get('type', ''), 'any value')} {bounds}".strip()


def _default(key: str, value: Schema, table: Schema) -> str:
    if key in table.get("required", ()):
        return "**required**"
    default = value.get("default")
    return "" if default is None or "$ref" in value else f"default `{_toml(default)}`"


def _anchor(path: str, kind: str | None) -> str:
    return path if kind in (None, "on_bits") else f"{path}.{kind}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _toml(value: Any) -> str:
    return "{}" if value == {} else tomli_w.dumps({"x": value}).partition("=")[2].strip()


def _words(text: str) -> str:
    """A docstring as Markdown that holds no HTML; its ``literals`` as code."""
    return html.escape(" ".join(text.split()), quote=False).replace("``", "`")
