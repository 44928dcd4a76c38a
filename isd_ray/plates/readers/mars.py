"""BMG Labtech PHERAstar, CLARIOstar and others by MARS: remarks, a title, then the plate or a list of wells."""

import re

from isd_ray.plates.readers.export import PlateReader

READER = PlateReader(
    "mars",
    "BMG Labtech MARS",
    signs=(
        re.compile(r"^\W*User:[^\n]*Path:", re.MULTILINE),
        re.compile(r"^\W*(?:Test run no\.|Test ID):", re.MULTILINE),
        re.compile(r"^\W*Test ?name:[^\n]*Date:", re.IGNORECASE | re.MULTILINE),
        re.compile(r"PHERAstar|CLARIOstar|FLUOstar|SPECTROstar|BMG LABTECH"),
    ),
    no_reads=re.compile(r"^layout\b", re.IGNORECASE),
)
