"""How good plates are, by their controls, as terminal, notebook, page and report show it."""

from __future__ import annotations

from collections.abc import Sequence

from isd_ray.plates.quality import PlateQuality
from isd_ray.report.blocks import Table

STATISTICS = {
    "z_prime": "Z′",
    "robust_z_prime": "robust Z′",
    "ssmd": "SSMD",
    "signal_window": "signal window",
    "cv_positive": "CV of positives (%)",
    "cv_negative": "CV of negatives (%)",
}
"""Statistics of `isd_ray.plates.quality.QUALITY` and their headings."""


def quality_table(plates: Sequence[PlateQuality]) -> Table:
    """A line for each plate: whether it passed, and what its controls say."""
    columns: dict[str, list[object]] = {
        "plate": [plate.plate for plate in plates],
        "verdict": [plate.verdict for plate in plates],
    }
    columns |= {heading: [getattr(plate, name) for plate in plates] for name, heading in STATISTICS.items()}
    return Table.of("Quality of the plates", columns, words=("verdict",))
