"""What a build can compute of every molecule: numbers that are columns, and sets of numbers that are blocks."""

from __future__ import annotations

from typing import Literal, get_args

from isd_ray import plugins

Descriptor = Literal["n_heavy_atoms", "sa_score", "pains", "brenk", "nih"]
"""Numbers that a build can compute of every molecule, as columns."""
DESCRIPTORS: tuple[str, ...] = get_args(Descriptor)
FEATURES = "isd_ray.features"
"""Entry points of sets of descriptors: the name is that of the block, the value a
`isd_ray.chem.descriptor_sets.DescriptorSet`."""
BUILT_IN_FEATURES = {"rdkit2d": "isd_ray.chem.rdkit2d:DESCRIPTOR_SET"}


def check_descriptors(name: str) -> None:
    """Refuse what is no descriptor, and no set of them.

    Raises
    ------
    ConfigError
        With the name that was probably meant.
    """
    plugins.check(FEATURES, BUILT_IN_FEATURES, name, "descriptor", "library.descriptors", *DESCRIPTORS)
