"""Thermo SkanIt (Varioskan, Multiskan): measurement results as matrices, or a list with wavelengths."""

import re

from isd_ray.plates.readers.export import PlateReader

READER = PlateReader(
    "skanit",
    "SkanIt",
    signs=(
        re.compile(r"SkanIt|Varioskan|Multiskan|Fluoroskan|Luminoskan"),
        re.compile(r"^\W*Measurement results\b", re.IGNORECASE | re.MULTILINE),
    ),
    no_reads=re.compile(r"^(?:layout|plate layout)", re.IGNORECASE),
    plates_are_titles=True,
)
