"""The plate readers whose exports are known: those of isd_ray and those of installed packages, alike."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from isd_ray import plugins
from isd_ray.config.readouts import BUILT_IN_READERS, PLATE_READERS
from isd_ray.plates.readers.export import PlateReader


@cache
def plate_readers() -> Mapping[str, PlateReader]:
    """All readers by name.

    Raises
    ------
    ConfigError
        If what a package registers cannot be loaded, or is no reader.
    """
    found = plugins.names(PLATE_READERS, BUILT_IN_READERS)
    return MappingProxyType(
        {
            name: plugins.load(PLATE_READERS, BUILT_IN_READERS, name, "plate reader", "readouts.shape", PlateReader)
            for name in found
        }
    )


def reader_of(text: str) -> PlateReader | None:
    """The reader whose export a text is, by its content; None of a table of another kind."""
    return next((reader for reader in plate_readers().values() if reader.recognises(text)), None)
