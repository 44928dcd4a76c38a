"""Sets of descriptors of molecules, each a block of features: ours and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from isd_ray import plugins
from isd_ray.config.features import BUILT_IN_FEATURES, FEATURES
from isd_ray.errors import LibraryError


@dataclass(frozen=True, slots=True)
class DescriptorSet:
    """Numbers of a molecule.

    Attributes
    ----------
    names:
        Of its columns.
    version:
        Raised when a column comes to mean something else under its old name: blocks of another version are not mixed.
    compute:
        From canonical SMILES, None where there is no structure, to float64 (n, columns); NaN where there is no value,
        as throughout for a text that does not parse. A row does not depend on those around it.
    """

    names: tuple[str, ...]
    version: int
    compute: Callable[[list[str | None]], NDArray[np.float64]]

    def of(self, structures: list[str | None]) -> NDArray[np.float64]:
        """What `compute` says.

        Raises
        ------
        LibraryError
            If that is no number for each molecule and column.
        """
        values, shape = self.compute(structures), (len(structures), len(self.names))
        if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype != np.float64:
            raise LibraryError(
                f"{len(structures)} molecules got {getattr(values, 'dtype', type(values).__name__)} "
                f"{getattr(values, 'shape', '')} in the place of float64 {shape} descriptors",
                f"the set of {', '.join(self.names[:2])} …",
                "mend the package that computes them; isd_ray.testing.features has tests for it",
            )
        return values


@cache
def descriptor_set(name: str) -> DescriptorSet:
    """The set of that name.

    Raises
    ------
    ConfigError
        If there is none, or it cannot be loaded.
    """
    return plugins.load(FEATURES, BUILT_IN_FEATURES, name, "set of descriptors", "library.descriptors", DescriptorSet)
