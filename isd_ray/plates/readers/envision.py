"""PerkinElmer (Revvity) EnVision: plate information, then a matrix or a list for each measurement."""

import re

from isd_ray.plates.readers.export import PlateReader

READER = PlateReader(
    "envision",
    "EnVision",
    signs=(
        re.compile(r"^\W*Plate information\b", re.IGNORECASE | re.MULTILINE),
        re.compile(r"^\W*Basic assay information\b", re.IGNORECASE | re.MULTILINE),
        re.compile(r"EnVision"),
    ),
    no_reads=re.compile(r"^(?:plate ?map|layout|formula|calculated results info)", re.IGNORECASE),
)
