"""The layout of a plate: which wells hold samples, controls, nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import (
    CONTROL_KINDS,
    AcquisitionConfig,
    ControlKind,
    ControlWells,
    PlateFormat,
    PlatesConfig,
)
from isd_ray.core.growth import LARGEST_SHARE, grown
from isd_ray.core.seeding import derive_seed, tie_keys
from isd_ray.errors import ConfigError
from isd_ray.plates.wells import NO_WELL, SHAPES, names_of, no_such_well, well_indices

SAMPLE = "sample"
EMPTY = "empty"
_N_SHOWN = 5
_PLASTIC = 1.32471795724474602596
"""The plastic number, root of x³ = x + 1."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Wells of one plate by what they hold; all other wells are empty.

    Attributes
    ----------
    samples:
        int64, shape (capacity,): indices of the wells for samples, ascending (row by row).
    controls:
        Indices of the control wells by kind: int64, ascending.
    """

    format: PlateFormat
    samples: NDArray[np.int64]
    controls: Mapping[ControlKind, NDArray[np.int64]]

    @property
    def capacity(self) -> int:
        """Samples that fit on the plate."""
        return len(self.samples)

    def spread(self, n: int) -> NDArray[np.int64]:
        """`n` sample wells spread evenly over rows and columns, ascending: int64, shape (n,).

        The wells where frac(row / g + column / g²) is smallest, g the plastic number: of all lattices the hardest to
        approximate by a regular grid, so that no row, column or stripe is preferred (M. Roberts 2018, "The unreasonable
        effectiveness of quasirandom sequences", R2).
        """
        row, column = np.divmod(self.samples, SHAPES[self.format][1])
        keys = np.modf(row / _PLASTIC + column / _PLASTIC**2)[0]
        chosen: NDArray[np.int64] = np.sort(self.samples[np.argsort(keys, kind="stable")[:n]])
        return chosen

    def contents(self, samples: NDArray[np.int64]) -> NDArray[np.str_]:
        """What each well holds when only `samples` are used: sample, a kind of control, or empty; shape (format,)."""
        contents = np.full(self.format, EMPTY, dtype="U9")
        contents[samples] = SAMPLE
        for kind, wells in self.controls.items():
            contents[wells] = kind
        return contents


def plate_layout(config: PlatesConfig, seed: int, plate: int) -> Layout:
    """The layout of one plate of a campaign.

    Parameters
    ----------
    seed:
        Of the campaign; scattered and shifted controls depend on it.
    plate:
        Running number of the plate, on which only shifted controls depend.

    Raises
    ------
    ConfigError
        If a control is outside the plate or on an empty edge, two kinds claim one well, or no well is left for samples.
    """
    given = {kind: wells for kind in CONTROL_KINDS if (wells := getattr(config, kind)) is not None}
    free = _inside(config)
    controls: dict[ControlKind, NDArray[np.int64]] = {}
    for kind, wells in given.items():
        if wells.columns is not None or wells.wells is not None:
            controls[kind] = _fixed(kind, wells, config)
            _refuse_overlap(kind, controls, config.format)
            free[controls[kind]] = False
    # Scattered before shifted ones: they stay where they are, so the others have to move around them.
    for way in ("scattered", "shifted"):
        pool = np.flatnonzero(free)
        order = np.argsort(tie_keys(derive_seed(seed, "control wells", way), pool))
        if way == "shifted" and len(pool):
            order = (order + plate * (SHAPES[config.format][1] + 1)) % len(pool)
        first = 0
        for kind, wells in given.items():
            if (n := getattr(wells, way)) is not None:
                if first + n > len(pool):
                    raise _too_many(f"{way}={n}", f"plates.{kind}.{way}", config, len(pool) - first)
                controls[kind] = np.sort(pool[order[first : first + n]])
                free[controls[kind]] = False
                first += n
    samples = np.flatnonzero(free)
    if not len(samples):
        raise _too_many("the controls and the edge", "plates", config, 0)
    return Layout(config.format, samples, {kind: controls[kind] for kind in CONTROL_KINDS if kind in controls})


def plates_for(config: PlatesConfig, n_compounds: int) -> int:
    """Plates that so many compounds take, each in all its wells.

    Raises
    ------
    ConfigError
        As `plate_layout`.
    """
    return -(-n_compounds * config.replicates // plate_layout(config, 0, 0).capacity)


def free_places(config: PlatesConfig, n_compounds: int) -> int:
    """Compounds that fit beside so many others on the plates that these take (raises as `plate_layout`)."""
    capacity = plate_layout(config, 0, 0).capacity
    return plates_for(config, n_compounds) * capacity // config.replicates - n_compounds


def batch_size(
    acquisition: AcquisitionConfig, plates: PlatesConfig | None, round_number: int = 0, n_left: int | None = None
) -> int:
    """Compounds of the batch of a round: as configured, or as many as fit on the configured number of plates.

    Both grow by `acquisition.growth` from round to round, plates as whole ones, up to a largest share of what is left
    (`isd_ray.core.growth`).

    Parameters
    ----------
    n_left:
        Compounds that are not measured; None if nothing is to be held against them.

    Raises
    ------
    ConfigError
        As `plate_layout`, or if the plates do not hold the wells of one compound.
    """
    most = math.inf if n_left is None else LARGEST_SHARE * n_left
    if acquisition.batch_size is not None:
        return grown(acquisition.batch_size, acquisition.growth, round_number, most)
    # The configuration has seen to it that there are both.
    assert plates is not None
    assert acquisition.n_plates is not None
    capacity = plate_layout(plates, 0, 0).capacity
    n_plates = grown(acquisition.n_plates, acquisition.growth, round_number, most * plates.replicates / capacity)
    n_wells = n_plates * capacity
    if n_wells < plates.replicates:
        raise ConfigError(
            f"n_plates={n_plates} have {n_wells} wells for samples, and a compound takes {plates.replicates}",
            "acquisition.n_plates",
            "take more plates, or fewer plates.replicates",
        )
    return n_wells // plates.replicates


def initial_size(acquisition: AcquisitionConfig, plates: PlatesConfig | None) -> int:
    """Compounds of the first batch (raises as `batch_size`)."""
    return acquisition.initial_size or batch_size(acquisition, plates)


def _inside(config: PlatesConfig) -> NDArray[np.bool_]:
    """True for the wells that are not on the empty edge, shape (format,)."""
    inside = np.zeros(SHAPES[config.format], dtype=bool)
    n_rows, n_columns = inside.shape
    inside[config.edge : n_rows - config.edge, config.edge : n_columns - config.edge] = True
    return inside.ravel()


def _fixed(kind: ControlKind, wells: ControlWells, config: PlatesConfig) -> NDArray[np.int64]:
    """Wells of controls in columns or at named places."""
    inside = _inside(config)
    if wells.wells is not None:
        where = f"plates.{kind}.wells"
        indices = well_indices(wells.wells, config.format)
        for name, index in zip(wells.wells, indices.tolist(), strict=True):
            if index == NO_WELL:
                raise ConfigError(no_such_well(name, config.format), where, "correct the well, or plates.format")
            if not inside[index]:
                raise ConfigError(f"{name!r} is on the empty edge", where, "take another well, or a smaller edge")
        return np.unique(indices)
    where, n_columns = f"plates.{kind}.columns", SHAPES[config.format][1]
    assert wells.columns is not None  # ControlWells has one key, and this is called for two of them
    grid = np.arange(config.format).reshape(-1, n_columns)
    for column in wells.columns:
        if not 1 <= column <= n_columns:
            raise ConfigError(
                f"a {config.format}-well plate has no column {column}", where, f"take columns from 1 to {n_columns}"
            )
        if not inside[grid[:, column - 1]].any():
            raise ConfigError(f"column {column} is on the empty edge", where, "take another, or a smaller edge")
    indices = np.unique(grid[:, [column - 1 for column in wells.columns]])
    return indices[inside[indices]]


def _refuse_overlap(
    kind: ControlKind, controls: Mapping[ControlKind, NDArray[np.int64]], plate_format: PlateFormat
) -> None:
    for other, wells in controls.items():
        shared = np.intersect1d(wells, controls[kind]) if other != kind else wells[:0]
        if len(shared):
            shown = ", ".join(names_of(plate_format)[well] for well in shared[:_N_SHOWN])
            raise ConfigError(
                f"{kind} and {other} controls share {len(shared)} wells: {shown}",
                f"plates.{kind}",
                "give each kind its own wells",
            )


def _too_many(what: str, where: str, config: PlatesConfig, n_left: int) -> ConfigError:
    left = f"only {n_left} wells are left" if n_left else "no well is left for samples"
    return ConfigError(
        f"{what} are too many for a {config.format}-well plate with edge={config.edge}: {left}",
        where,
        "take fewer controls, a smaller edge or a larger format",
    )
