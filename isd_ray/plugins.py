"""The one loader of extension points: what is built in, and what installed packages add by entry points.

A plug-in cannot take the name of a built-in.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from isd_ray.errors import ConfigError


def names(group: str, built_in: Mapping[str, Any]) -> list[str]:
    """All names of an extension point: built-ins in their order, then those of installed packages by name."""
    return [*built_in, *sorted({entry.name for entry in entry_points(group=group)} - set(built_in))]


def load(group: str, built_in: Mapping[str, Any], name: str, what: str, where: str) -> Any:
    """What an extension point has under a name.

    Parameters
    ----------
    group:
        Of the entry points, as ``isd_ray.models``.
    built_in:
        By name; as ``module:attribute`` where it is imported when it is asked for.
    what, where:
        What it is called, and the configuration key that names it, for messages.

    Raises
    ------
    ConfigError
        If there is none of that name, or it cannot be imported.
    """
    if name in built_in:
        if not isinstance(built_in[name], str):
            return built_in[name]
        module, _, attribute = built_in[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    plugins: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=group)}
    if name not in plugins:
        known = names(group, built_in)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"
        raise ConfigError(f"there is no {what} {name!r}", where, hint)
    try:
        return plugins[name].load()
    except Exception as error:  # whatever the package does when it is imported
        raise ConfigError(
            f"the {what} {name!r} cannot be loaded from {plugins[name].value!r}: {error}",
            where,
            "install the package that provides it again, with what it needs",
        ) from error
