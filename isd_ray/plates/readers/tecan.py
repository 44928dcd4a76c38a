"""Tecan Infinite and Spark (i-control, SparkControl) and Magellan: matrices with <> in the corner, lists, kinetics."""

import re

from isd_ray.plates.readers.export import PlateReader

READER = PlateReader(
    "tecan",
    "Tecan",
    signs=(
        re.compile(r"^\W*Application:\W*(?:Tecan|Spark)", re.IGNORECASE | re.MULTILINE),
        re.compile(r"Tecan i-control|SparkControl|i-control|Magellan", re.IGNORECASE),
        re.compile(r"^\W*Device:\W*(?:infinite|spark|safire|sunrise)", re.IGNORECASE | re.MULTILINE),
    ),
    no_reads=re.compile(r"^layout\b", re.IGNORECASE),
    plates_are_titles=True,
)
