"""Formats of source files, by name: ours and those of installed packages."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from isd_ray import plugins

SOURCES = "isd_ray.sources"
"""Entry points of formats: the name is that of the format, the value an `isd_ray.data.ingest.records.Format`."""
BUILT_IN_SOURCES = {
    "csv": "isd_ray.data.ingest.readers:CSV",
    "tsv": "isd_ray.data.ingest.readers:TSV",
    "smi": "isd_ray.data.ingest.readers:SMI",
    "sdf": "isd_ray.data.ingest.sdf:SDF",
    "parquet": "isd_ray.data.ingest.parquet:PARQUET",
}
AUTO = "auto"
"""In the place of a name: by the endings of files."""


def _check(where: str, name: str) -> str:
    plugins.check(SOURCES, BUILT_IN_SOURCES, name, "format", where, AUTO)
    return name


LibraryFormat = Annotated[str, AfterValidator(partial(_check, "library.format"))]
HistoryFormat = Annotated[str, AfterValidator(partial(_check, "library.history.format"))]
LabelsFormat = Annotated[str, AfterValidator(partial(_check, "labels.format"))]
"""A name that there is; the key that it is the value of stands in the message."""
