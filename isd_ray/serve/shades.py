"""What the wells of a plate map are coloured by: what came back, classes, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.manifest import numbers_of
from isd_ray.campaign.replicates import readings_on_record
from isd_ray.campaign.store import CampaignStore
from isd_ray.serve.lines import BatchLine

BY_STATE, BY_CLASS, BY_VALUE = "", "class", "value"
_OUTPUT = "output:"
"""Before the name of an output of a panel, whose classes or numbers are shown."""
N_CLASSES, N_STEPS = 6, 7
"""Colours of classes, which come again beyond, and steps from the smallest number to the largest."""
_TAILS = (2.0, 98.0)
"""Percent: numbers beyond have the colour of the first or last step, so that one well does not take all contrast."""


@dataclass(frozen=True, slots=True)
class Shade:
    """The colour of a well: the class of its style, and what it says."""

    style: str
    words: str


@dataclass(frozen=True, slots=True)
class Shading:
    """How wells are coloured.

    Attributes
    ----------
    show:
        As in addresses: one of `options`.
    options:
        What may be shown, with its words.
    legend:
        The colours; empty where wells show what came back.
    """

    show: str
    options: Sequence[tuple[str, str]]
    legend: Sequence[Shade]
    _classes: Mapping[str, Shade]
    _values: Mapping[tuple[str, str], float]
    _limits: Sequence[float]

    def of_well(self, plate: str, well: str, line: BatchLine | None) -> Shade | None:
        """The colour of a well; None where it has nothing of what is shown."""
        if self.show == BY_STATE:
            return None
        output = self.show.removeprefix(_OUTPUT) if self.show.startswith(_OUTPUT) else ""
        if line is not None and output in line.numbers:
            return self._step(line.numbers[output])
        if self.show != BY_VALUE:
            return None if line is None else self._classes.get(line.classes.get(output, ""))
        value = self._values.get((plate, well), None if line is None else line.value)
        return None if value is None else self._step(value)

    def _step(self, value: float) -> Shade:
        return Shade(f"q{int(np.searchsorted(self._limits, value, side='right'))}", f"{value:.4g}")


def shading_of(show: str, store: CampaignStore, lines: Sequence[BatchLine], plate_map: pa.Table) -> Shading:
    """What an address asks to be shown of a batch; what came back where it cannot be."""
    outputs, classes = store.manifest["outputs"], store.manifest["classes"]
    values = {} if outputs else _values(store, plate_map)
    numbers = [*values.values(), *(line.value for line in lines if line.value is not None)]
    options = [(BY_STATE, "what came back")]
    options += [(BY_CLASS, "classes")] if classes and not outputs else []
    options += [(BY_VALUE, "numbers")] if numbers else []
    of_numbers = numbers_of(store.manifest)
    options += [(f"{_OUTPUT}{name}", f"{'numbers' if name in of_numbers else 'classes'} of {name}") for name in outputs]
    if show not in dict(options):
        show = BY_STATE
    named = {name: Shade(f"k{index % N_CLASSES}", name) for index, name in enumerate(classes)}
    is_number = show == BY_VALUE
    if show.removeprefix(_OUTPUT) in of_numbers:
        is_number, name = True, show.removeprefix(_OUTPUT)
        numbers = [line.numbers[name] for line in lines if name in line.numbers]
    limits = _limits(numbers) if is_number and numbers else []
    legend = [] if show == BY_STATE else _steps(limits) if is_number else [*named.values()]
    return Shading(show, options, legend, named, values, limits)


def _values(store: CampaignStore, plate_map: pa.Table) -> dict[tuple[str, str], float]:
    """What was read in each well, controls too, where it is a number."""
    plates = pc.unique(plate_map["plate"])
    told = [store.read_readouts(sha256) for sha256 in Laboratory(store).ledger().readings]
    on_plates = [table.filter(pc.is_in(table["plate"], plates)) for table in told]
    if not on_plates or not pa.types.is_floating(on_plates[-1].schema.field("value").type):
        return {}  # nothing was told, or classes
    record = readings_on_record(on_plates, plate_map, on_plates[-1].schema)
    good = record.filter(pc.and_(pc.is_finite(record["value"]).fill_null(False), record["flag"].is_null()))
    found: dict[tuple[str, str], float] = {}
    for plate, well, value in zip(*(good[name].to_pylist() for name in ("plate", "well", "value")), strict=True):
        found.setdefault((plate, well), value)
    return found


def _limits(numbers: Sequence[float]) -> list[float]:
    """The limits between steps."""
    low, high = np.percentile(numbers, _TAILS)
    return np.linspace(low, high, N_STEPS + 1)[1:-1].tolist() if high > low else []


def _steps(limits: Sequence[float]) -> list[Shade]:
    if not limits:
        return [Shade("q0", "all the same")]
    words = [
        f"below {limits[0]:.3g}",
        *(f"{low:.3g} to {high:.3g}" for low, high in pairwise(limits)),
    ]
    return [Shade(f"q{step}", text) for step, text in enumerate([*words, f"{limits[-1]:.3g} and above"])]
