"""The one loader of extension points: what is built in, and what installed packages add by entry points.

Every extension point is a group of entry points and one mapping of what is built in; a plug-in cannot take the name of
a built-in.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from isd_ray.errors import ConfigError

T = TypeVar("T")


def names(group: str | None, built_in: Mapping[str, Any]) -> list[str]:
    """All names of an extension point: built-ins in their order, then those of installed packages by name."""
    return [*built_in, *sorted(set(_added(group)) - set(built_in))]


def check(group: str | None, built_in: Mapping[str, Any], name: str, what: str, where: str, *others: str) -> None:
    """Refuse a name that an extension point does not have; nothing is imported.

    Parameters
    ----------
    group:
        Of the entry points, as ``isd_ray.models``; None where no package may add any.
    built_in:
        By name; as ``module:attribute`` where it is imported when it is asked for.
    what, where:
        What it is called, and the configuration key that names it, for messages.
    others:
        Further words that may stand in its place.

    Raises
    ------
    ConfigError
        With the name that was probably meant, or those there are.
    """
    if name in built_in or name in others or name in _added(group):
        return
    known = [*others, *names(group, built_in)]
    close = difflib.get_close_matches(name, known, n=1)
    listed = f"choose one of {', '.join(known)}" + ("" if group is None else ", or install the package that adds it")
    raise ConfigError(f"there is no {what} {name!r}", where, f"did you mean {close[0]!r}?" if close else listed)


def load(group: str | None, built_in: Mapping[str, Any], name: str, what: str, where: str, kind: type[T]) -> T:
    """What an extension point has under a name.

    Parameters
    ----------
    group, built_in, name, what, where:
        As `check` takes them.
    kind:
        Class that it has to be an instance of.

    Raises
    ------
    ConfigError
        If there is none of that name, it cannot be imported, or it is something else.
    """
    if name in built_in:
        found = built_in[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        return _checked(found, kind, name, what, where)
    check(group, built_in, name, what, where)
    entry = _added(group)[name]
    try:
        found = entry.load()
    except Exception as error:  # whatever the package does when it is imported
        raise ConfigError(
            f"the {what} {name!r} cannot be loaded from {entry.value!r}: {error}",
            where,
            "install the package that provides it again, with what it needs",
        ) from error
    return _checked(found, kind, name, what, where)


def package_of(group: str | None, built_in: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    """Name and version of the installed package that adds a name; None of what is built in."""
    entry = None if name in built_in else _added(group).get(name)
    if entry is None:
        return None
    return ("unknown", "unknown") if entry.dist is None else (entry.dist.name, entry.dist.version)


def _added(group: str | None) -> dict[str, EntryPoint]:
    return {} if group is None else {entry.name: entry for entry in entry_points(group=group)}


def _checked(found: Any, kind: type[T], name: str, what: str, where: str) -> T:
    if isinstance(found, kind):
        return found
    raise ConfigError(
        f"the {what} {name!r} is a {type(found).__name__}, no {kind.__name__}",
        where,
        f"let its entry point name a {kind.__module__}.{kind.__qualname__}",
    )
