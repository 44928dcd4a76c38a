"""The plate readers whose exports are known: those of isd_ray and those of installed packages, alike."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from isd_ray.errors import ConfigError
from isd_ray.plates.readers.export import PlateReader

GROUP = "isd_ray.plate_readers"
"""Entry points of this group name a `PlateReader` each."""
BUILT_IN = MappingProxyType(
    {
        name: f"isd_ray.plates.readers.{name}:READER"
        for name in ("envision", "mars", "softmax", "gen5", "tecan", "skanit")
    }
)
"""What isd_ray itself registers in that group; known also where it runs without being installed."""


@cache
def plate_readers() -> Mapping[str, PlateReader]:
    """All readers by name.

    Raises
    ------
    ConfigError
        If what a package registers cannot be loaded, or is no reader.
    """
    values = {point.name: point.value for point in entry_points(group=GROUP)}
    return MappingProxyType({name: _load(name, value) for name, value in {**values, **BUILT_IN}.items()})


def _load(name: str, value: str) -> PlateReader:
    module, _, attribute = value.partition(":")
    try:
        reader = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the plate reader {name!r} ({value}) cannot be loaded ({error})",
            GROUP,
            "correct or remove the package that registers it",
        ) from error
    if not isinstance(reader, PlateReader):
        raise ConfigError(f"{value} is no PlateReader", GROUP, "correct or remove the package that registers it")
    return reader


def reader_of(text: str) -> PlateReader | None:
    """The reader whose export a text is, by its content; None of a table of another kind."""
    return next((reader for reader in plate_readers().values() if reader.recognises(text)), None)
