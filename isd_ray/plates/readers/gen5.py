"""Agilent BioTek Gen5 (Cytation, Synergy, Epoch): a matrix with the read behind each row, lists, kinetics by well."""

import re

from isd_ray.plates.readers.export import PlateReader

READER = PlateReader(
    "gen5",
    "Gen5",
    signs=(
        re.compile(r"^\W*(?:Experiment|Protocol) File Path:", re.MULTILINE),
        re.compile(r"^\W*Reader Type:", re.MULTILINE),
        re.compile(r"\bGen5\b|Cytation\s?\d|Synergy (?:H1|HT|Neo)"),
    ),
    no_reads=re.compile(r"^(?:layout|well id|name|conc)", re.IGNORECASE),
    plates_are_titles=True,
)
