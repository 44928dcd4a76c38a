"""How a batch is made of the rows with the best scores, by name: our ways and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from isd_ray import plugins
from isd_ray.errors import ConfigError

PICKS = "isd_ray.picks"
"""Entry points of batch stages: the name is that of `acquisition.pick`, the value a `BatchPick`."""
BUILT_IN_PICKS = {"best": "isd_ray.core.picks:BEST", "diverse": "isd_ray.chem.diverse:DIVERSE"}
_WHERE = "acquisition.pick"


@dataclass(frozen=True)
class BatchPick:
    """The second stage of an acquisition: which of the best-scored rows make the batch.

    Attributes
    ----------
    choose:
        From the features of the best rows, best first (`isd_ray.core.features.OnBits`), and the size n of the batch to
        the places of those taken: int64 (min(n, rows),), ascending, each once. The same each time. None: the best.
    n_batches:
        So many batches of the best rows are shown to it.
    """

    choose: Callable[[Any, int], Any] | None = None
    n_batches: int = 1


@cache
def pick_named(name: str) -> BatchPick:
    """The batch stage of that name.

    Raises
    ------
    ConfigError
        If there is none, it cannot be loaded, or it asks for less than a batch.
    """
    found = plugins.load(PICKS, BUILT_IN_PICKS, name, "way to pick a batch", _WHERE, BatchPick)
    if found.n_batches < 1:
        raise ConfigError(f"{name!r} is shown {found.n_batches} batches", _WHERE, "let its n_batches be 1 or more")
    return found
