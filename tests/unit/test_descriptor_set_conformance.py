"""Our own sets of descriptors pass the tests that we ship for those of others, and broken ones do not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from isd_ray import plugins
from isd_ray.chem.descriptor_sets import DescriptorSet, descriptor_set
from isd_ray.config import ComputeConfig, LibraryConfig
from isd_ray.config.features import BUILT_IN_FEATURES, FEATURES
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.ops.blocks import _asked
from isd_ray.ops.build import build_library
from isd_ray.testing.features import DescriptorSetConformance

for _name in BUILT_IN_FEATURES:
    _suite = {"descriptors": descriptor_set(_name)}
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (DescriptorSetConformance,), _suite)

CALLS = itertools.count()


def letters(structures):
    """Carbons and oxygens, by their letters."""

    def counts(text):
        is_known = text is not None and text not in ("", "no molecule")
        return [text.upper().count("C"), text.count("O")] if is_known else [np.nan, np.nan]

    return np.array([counts(text) for text in structures], np.float64).reshape(len(structures), 2)


LETTERS = DescriptorSet(("n_c", "n_o"), 1, letters)


class TestLetters(DescriptorSetConformance):
    descriptors = LETTERS


def centred(structures):
    values = letters(structures)
    return values - np.nanmean(values, axis=0) if len(values) else values


def counting(structures):
    return letters(structures) + next(CALLS)


def zeros(structures):
    return np.nan_to_num(letters(structures))


def single(structures):
    return letters(structures).astype(np.float32)


def narrow(structures):
    return letters(structures)[:, :1]


def sorting(structures):
    structures.sort(key=str)
    return letters(structures)


def nothing(structures):
    values = letters(structures)
    values[:, 1] = np.nan
    return values


BROKEN = {
    "test_it_says_what_it_is": (replace(LETTERS, names=("n_c", "n_c")), replace(LETTERS, names=())),
    "test_each_molecule_has_a_number_or_nan_in_each_column": tuple(
        replace(LETTERS, compute=compute) for compute in (single, narrow, nothing)
    ),
    "test_what_does_not_parse_has_no_value": (replace(LETTERS, compute=zeros),),
    "test_the_same_molecules_have_the_same_values": tuple(
        replace(LETTERS, compute=compute) for compute in (counting, sorting)
    ),
    "test_a_molecule_has_its_values_whatever_is_around_it": (replace(LETTERS, compute=centred),),
}
CASES = [(test, place) for test, sets in BROKEN.items() for place in range(len(sets))]


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize(("test", "place"), CASES)
def test_what_is_wrong_is_found(test, place):
    suite = DescriptorSetConformance()
    suite.descriptors = LETTERS
    getattr(suite, test)()
    suite.descriptors = BROKEN[test][place]
    with pytest.raises((AssertionError, LibraryError)):
        getattr(suite, test)()


@pytest.fixture
def install(monkeypatch):
    def put(name: str) -> None:
        entry = SimpleNamespace(name=name, value="pkg:LETTERS", load=lambda: LETTERS, dist=None)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == FEATURES else [])
        descriptor_set.cache_clear()

    yield put
    descriptor_set.cache_clear()


def test_a_library_has_a_block_of_the_descriptors_of_a_package_beside_ours(install, tmp_path):
    install("letters")
    file = tmp_path / "compounds.csv"
    file.write_text("smiles,name\n" + "".join(f"C{'O' * n}C,C{n}\n" for n in range(1, 9)))
    asked = ("n_heavy_atoms", "letters", "rdkit2d")
    config = LibraryConfig(source=str(file), id_column="name", features="ecfp4", descriptors=asked, workers=1)
    library = build_library(config, tmp_path / "library", ComputeConfig())
    assert library.block_names == ("fingerprints", "letters", "rdkit2d")
    assert library.block_columns("letters") == ("n_c", "n_o")
    block = next(block for block in Library.open(tmp_path / "library").added_blocks if block.name == "letters")
    assert block.definition == {"descriptors": "letters", "version": 1}
    assert config.descriptor_columns == ("n_heavy_atoms",)


def test_a_set_with_the_name_of_another_block_is_refused(install):
    install("history")
    with pytest.raises(ConfigError, match="'history' has the name of another block"):
        _asked(LibraryConfig(source="x.csv", descriptors=("history",)))


def test_descriptors_that_there_are_not_are_refused_with_the_near_miss():
    with pytest.raises(ConfigError, match=r"library\.descriptors: .*'rdkit2'\n.*did you mean 'rdkit2d'"):
        LibraryConfig(source="x.csv", descriptors=("rdkit2",))
    with pytest.raises(ConfigError, match="did you mean 'sa_score'"):
        LibraryConfig(source="x.csv", descriptors=("sa_scor",))
