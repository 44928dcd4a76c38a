"""What every set of descriptors must do, as tests to inherit: see `DescriptorSetConformance`."""

from __future__ import annotations

import multiprocessing
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.chem.descriptor_sets import DescriptorSet

SMILES: tuple[str | None, ...] = (
    "C",
    "CCO",
    "CC(=O)Oc1ccccc1C(=O)O",
    None,
    "no molecule",
    "[Na+].[Cl-]",
    "C[C@H](N)C(=O)O",
    "c1ccc2c(c1)[nH]c1ccccc12",
    "O=C(O)c1ccccc1.[K]",
    "",
    "C" * 300,
    "[Fe]",
)
"""Canonical SMILES of all kinds; None, blanks, and a text that does not parse among them."""
_UNREADABLE = [place for place, text in enumerate(SMILES) if text in (None, "", "no molecule")]


class DescriptorSetConformance:
    """Tests of one set of descriptors, for pytest.

    A package inherits from it in a test file of its own, and needs no more::

        from isd_ray.testing.features import DescriptorSetConformance
        from my_package import my_set


        class TestMySet(DescriptorSetConformance):
            descriptors = my_set

    Attributes
    ----------
    descriptors:
        The set.
    """

    descriptors: ClassVar[DescriptorSet]

    def compute(self, structures: list[str | None] | None = None) -> NDArray[np.float64]:
        """Its values, of the right shape."""
        return self.descriptors.of(list(SMILES) if structures is None else structures)

    def test_it_says_what_it_is(self) -> None:
        """Distinct names of columns, and a version."""
        assert isinstance(self.descriptors, DescriptorSet), f"it is a {type(self.descriptors).__name__}"
        names = self.descriptors.names
        assert names, "it has no columns"
        assert len(set(names)) == len(names), "two columns have one name"
        assert all(isinstance(name, str) and name for name in names), "a column has no name"
        assert isinstance(self.descriptors.version, int), f"version {self.descriptors.version!r} is no whole number"

    def test_each_molecule_has_a_number_or_nan_in_each_column(self) -> None:
        """Also where there is one molecule, or none."""
        for n in (0, 1, len(SMILES)):
            self.compute(list(SMILES[:n]))
        values = self.compute()
        readable = np.delete(values, _UNREADABLE, axis=0)
        assert not np.isnan(readable).all(axis=0).any(), "a column is missing of every molecule"

    def test_what_does_not_parse_has_no_value(self) -> None:
        """And does not end the build."""
        assert np.isnan(self.compute()[_UNREADABLE]).all(), "a text that is no molecule has values"

    def test_the_same_molecules_have_the_same_values(self) -> None:
        """Each time, and the list that it is given stays as it is."""
        structures = list(SMILES)
        first = self.compute(structures)
        assert structures == list(SMILES), "it writes into the list that it was given"
        np.testing.assert_array_equal(self.compute(structures), first)

    def test_a_molecule_has_its_values_whatever_is_around_it(self) -> None:
        """The same bits alone, and in another order: a library does not depend on how it is cut."""
        whole = self.compute()
        for place, text in enumerate(SMILES):
            np.testing.assert_array_equal(self.compute([text])[0], whole[place])
        np.testing.assert_array_equal(self.compute(list(SMILES[::-1])), whole[::-1])

    def test_another_process_computes_the_same(self) -> None:
        """Builds compute on all cores, or on a cluster."""
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(self.descriptors.compute, (list(SMILES),))
        np.testing.assert_array_equal(found, self.compute())
