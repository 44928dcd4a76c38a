"""Reading a campaign's TOML file, with overrides, into a `CampaignConfig`; and writing a commented template."""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from isd_ray.config import CampaignConfig, Section
from isd_ray.config.limits import MAX_CONFIG_BYTES
from isd_ray.config.model import family_sections
from isd_ray.config.readouts import OF_LABELS, ReadoutsConfig
from isd_ray.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PERCENT = 100.0
_SHOWN = 100
"""Characters of a wrong value in a message."""
_PATH_KEYS = (
    ("library", "path"),
    ("library", "source"),
    ("library", "history", "source"),
    ("labels", "source"),
    ("labels", "known"),
    ("simulation", "known"),
    ("model", "output_embeddings"),
    ("validation", "file"),
    ("test", "file"),
)


def load_config(path: str | Path, overrides: str | Sequence[str] = ()) -> CampaignConfig:
    """Read and check a campaign file.

    Relative paths in it are taken from the file's own folder.

    Parameters
    ----------
    path:
        A TOML file.
    overrides:
        ``section.key=value`` each, or one as it is; the value is TOML, or else a plain string.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or a key or value is wrong; `where` is the path of the key.
    """
    file = Path(path)
    try:
        if (size := file.stat().st_size) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{size:,} bytes are no configuration", str(file), "name the TOML file of the campaign")
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # Windows' Notepad writes a byte order mark
    except FileNotFoundError as error:
        raise ConfigError("there is no such file", str(file), "check the path; `isd init` writes a template") from error
    except IsADirectoryError as error:
        remedy = "name the TOML file of the campaign; `isd init` writes a template"
        raise ConfigError("this is a folder, not a file", str(file), remedy) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", str(file), "check its permissions") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line} is not UTF-8 text", str(file), "save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"cannot be read as TOML: {error}", str(file), "mend that line") from error
    except ValueError as error:  # of the path, as a NUL character in it
        raise ConfigError(f"this is no path of a file: {error}", repr(str(file)), "check the path") from error
    except RecursionError as error:
        raise ConfigError("arrays or tables are nested too deeply", str(file), "write a flat configuration") from error
    anchor_paths(data, file.parent)
    for override in [overrides] if isinstance(overrides, str) else overrides:
        _apply_override(data, override, "section.key=value, as in model.members=5")
    return parse_config(data)


def as_config(config: CampaignConfig | str | Path) -> CampaignConfig:
    """A configuration as it is, or that of a campaign file.

    Raises
    ------
    ConfigError
        If it is neither, or as `load_config`.
    """
    if isinstance(config, CampaignConfig):
        return config
    if isinstance(config, str | Path):
        return load_config(config)
    raise ConfigError(
        f"a {type(config).__name__} is no configuration",
        "config",
        "give a CampaignConfig, or the path of a campaign file",
    )


def parse_config(data: Mapping[str, Any]) -> CampaignConfig:
    """Check a configuration given as nested mappings.

    Raises
    ------
    ConfigError
        With the path of the first wrong key, what is wrong, and the remedy.
    """
    try:
        return CampaignConfig.model_validate(data)
    except ValidationError as error:
        raise translated(error) from error


def anchor_paths(data: dict[str, Any], base: Path) -> None:
    """Make the relative paths of a configuration, given as nested mappings, absolute: they start from `base`."""
    for *sections, key in _PATH_KEYS:
        table: Any = data
        for section in sections:
            table = table.get(section) if isinstance(table, dict) else None
        if isinstance(table, dict) and key in table:
            table[key] = _anchored(table[key], base)


def set_paths(data: dict[str, Any], paths: Mapping[str, str]) -> None:
    """Give files and folders of a configuration, by their keys as ``labels.source``, other names.

    Raises
    ------
    ConfigError
        If a key is none of a file or folder.
    """
    for name, path in paths.items():
        *sections, key = place = tuple(name.split("."))
        if place not in _PATH_KEYS:
            known = ", ".join(map(".".join, _PATH_KEYS))
            raise ConfigError("this is no key of a file or folder", name, f"name one of {known}")
        table = data
        for section in sections:
            table[section] = table.get(section) or {}
            table = table[section]
        table[key] = path


def set_reading(data: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Have a configuration, given as nested mappings, read files of readouts otherwise.

    Raises
    ------
    ConfigError
        If a key, as ``readouts.bad_flags``, is none of how they are read.
    """
    known = [f"readouts.{key}" for key in ReadoutsConfig.model_fields if key not in OF_LABELS]
    for name, value in settings.items():
        if name not in known:
            what = "this is no key of how files of readouts are read, and nothing else changes while a screen goes on"
            raise ConfigError(what, name, f"name one of {', '.join(known)}; other labels want another campaign")
        data["readouts"] = {**data.get("readouts", {}), name.removeprefix("readouts."): value}


_S = TypeVar("_S", bound=Section)


def parse_section(section: type[_S], data: Mapping[str, Any], overrides: Sequence[str] = ()) -> _S:
    """Check one table on its own, with overrides whose keys are relative to it.

    Raises
    ------
    ConfigError
        As `parse_config`.
    """
    table = dict(data)
    for override in overrides:
        _apply_override(table, override, "KEY=VALUE, without a section")
    try:
        return section.model_validate(table)
    except ValidationError as error:
        raise translated(error, section) from error


def toml_value(text: str) -> Any:
    """A TOML value; text that is none is taken as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _anchored(value: Any, base: Path) -> Any:
    if isinstance(value, list):
        return [_anchored(item, base) for item in value]
    if not isinstance(value, str) or value.startswith(("package:", "$")) or ":/" in value:
        return value
    try:
        return str((base / value).resolve())
    except (ValueError, OSError, RuntimeError) as error:  # a NUL character, a name too long, links in a circle
        raise ConfigError(f"{value[:_SHOWN]!r} is no path of a file: {error}", "", "check the path") from error


def _apply_override(data: dict[str, Any], override: str, form: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"cannot read the override {override!r}", "--set", f"write it as {form}")
    table = data
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{name!r} is not a table", f"--set {key}", "check the path of the key")
    table[names[-1]] = toml_value(text)


def translated(error: ValidationError, root: type[Section] = CampaignConfig, path: str = "") -> ConfigError:
    """What pydantic found wrong, as an error of ours.

    Parameters
    ----------
    root:
        The table that was checked.
    path:
        Where it stands in the campaign file.
    """
    details = error.errors(include_url=False)
    first = details[0]
    location = tuple(part for part in first["loc"] if part not in ("on_bits", "dense"))
    where = ".".join((*filter(None, [path]), *map(str, location))) or "the configuration"
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given: {first['input']!r})"
    others = f"; {len(details) - 1} more to follow" if len(details) > 1 else ""
    match first["type"]:
        case "extra_forbidden":
            known = _keys_at(root, location[:-1])
            close = difflib.get_close_matches(str(location[-1]), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
            return ConfigError(f"unknown key{others}", where, hint)
        case "missing":
            return ConfigError(f"this key is required{others}", where, "add it; `isd init` shows every key")
        case "value_error":
            return ConfigError(str(first["ctx"]["error"]) + others, where)
        case "byte_size_unit":
            return ConfigError(f"{first['msg']}{given}{others}", where, 'use a size such as "8 GiB" or "500 MB"')
        case "tuple_type":
            return ConfigError(
                f"Input should be a list{given}{others}", where, f"put it in brackets: [{first['input']!r}]"
            )
        case "string_pattern_mismatch" if wrong := _wrong_letters(first["input"], first["ctx"]["pattern"]):
            shown = ", ".join(map(repr, wrong))
            return ConfigError(
                f"{shown} may not stand in it{given}{others}", where, "write letters, digits or underscores instead"
            )
        case "less_than" | "less_than_equal" if 1.0 < first["input"] <= PERCENT and 1.0 in first["ctx"].values():
            share = first["input"] / PERCENT
            return ConfigError(f"{first['msg']}{given}{others}", where, f"a share is meant: did you mean {share:g}?")
    return ConfigError(f"{first['msg']}{given}{others}", where, "correct the value")


def _wrong_letters(text: str, pattern: str) -> list[str]:
    """What a pattern, which allows a small letter at least, takes nowhere behind the first place."""
    return [letter for letter in dict.fromkeys(text) if not re.fullmatch(pattern, f"a{letter}")]


def _keys_at(root: type[Section], location: tuple[int | str, ...]) -> list[str]:
    section = root
    for part in location:
        field = section.model_fields.get(str(part))
        candidates = () if field is None else (field.annotation, *getattr(field.annotation, "__args__", ()))
        inner = next((item for item in candidates if isinstance(item, type) and issubclass(item, Section)), None)
        if inner is None:
            return []
        section = inner
    return list(section.model_fields)


def to_toml(config: CampaignConfig) -> str:
    """The resolved configuration as TOML, every default written out."""
    data = config.model_dump(mode="json", exclude_none=True)
    data["library"].setdefault("smiles_column", "")  # TOML has no word for nothing, and the default is another
    return tomli_w.dumps(data)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys whose values differ between two configurations, with the names of their sections."""
    changed: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changed += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            changed.append(f"{prefix}{key}")
    return changed


_EXAMPLES: Mapping[tuple[str, ...], Any] = {
    ("library", "source"): "compounds.csv",
    ("labels", "column"): "label",
    ("acquisition", "batch_size"): 384,
}
"""What the template fills in where there is no default, or where a file without it would be of no use."""


def template(values: Mapping[tuple[str, ...], Any] = _EXAMPLES) -> str:
    """A commented campaign file with every key, its meaning and its default.

    Parameters
    ----------
    values:
        What is filled in, by the path of the key.
    """
    lines = [
        "# A campaign of isd_ray. Lines that begin with '#' show the default; remove the '#' to change it.",
        "# Run it with: isd simulate THIS_FILE --out runs/first",
        "",
    ]
    sections = []
    for name, field in CampaignConfig.model_fields.items():
        section = _section_of(field.annotation)
        if section is not None:
            sections.append((name, section, field.default is None))
        else:
            lines += _field_lines((name,), field, values)
    for name, section, is_absent in sections:
        # A table that is there changes the campaign even if it is empty.
        heading = f"# [{name}]" if is_absent else f"[{name}]"
        lines += ["", *_comment(str(section.__doc__)), heading, *_section_lines((name,), section, values)]
    for name, section in family_sections().items():
        # Commented out as a whole: a table that is there says nothing of which families are used.
        lines += [
            "",
            *_comment(str(section.__doc__)),
            f"# [model.{name}]",
            *_section_lines(("model", name), section, values),
        ]
    return "\n".join(lines) + "\n"


def _section_of(annotation: Any) -> type[Section] | None:
    """The table that a key of the campaign stands for, required or not; None for other keys."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def _section_lines(
    path: tuple[str, ...], section: type[Section], values: Mapping[tuple[str, ...], Any]
) -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield from _field_lines((*path, key), field, values)


def _field_lines(path: tuple[str, ...], field: FieldInfo, values: Mapping[tuple[str, ...], Any]) -> list[str]:
    lines = _comment(field.description) if field.description else []
    if path in values:
        return [*lines, toml_line(path[-1], values[path])]
    if field.is_required():
        return []
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, Section):
        return [*lines, f"# {path[-1]} ="]
    if default == {}:
        return [*lines, f"# {path[-1]} = {{}}"]  # what tomli_w makes of it is a table of its own
    return [*lines, "# " + toml_line(path[-1], default)]


def toml_line(key: str, value: Any) -> str:
    """A key and its value on one line of TOML, a table between braces."""
    if isinstance(value, Mapping):
        name = tomli_w.dumps({key: 0}).partition(" = ")[0]
        return f"{name} = {{ {', '.join(toml_line(*pair) for pair in value.items())} }}"
    return tomli_w.dumps({key: value}).strip().replace("\n    ", " ").replace("\n", " ")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 110, initial_indent="## ", subsequent_indent="## ")
