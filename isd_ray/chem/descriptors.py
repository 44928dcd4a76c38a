"""Numbers of single molecules that orderings and prices are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from isd_ray.config import Descriptor


def n_heavy_atoms(mol: Chem.Mol) -> float:
    """Atoms other than hydrogen: the size by which the paper orders Molecules3D."""
    return float(mol.GetNumHeavyAtoms())


def sa_score(mol: Chem.Mol) -> float:
    """Synthetic accessibility, 1 (easy) to 10 (Ertl & Schuffenhauer 2009, doi:10.1186/1758-2946-1-8), of RDKit."""
    # RDKit's wheels carry it among the contributions; it reads 4 MB of fragment scores when it is first asked.
    from rdkit.Contrib.SA_Score import sascorer

    return float(sascorer.calculateScore(mol))


def n_alerts(mol: Chem.Mol, catalog: str) -> float:
    """How many structural alerts of one of RDKit's catalogs match: PAINS, BRENK, NIH."""
    return float(len(_catalog(catalog).GetMatches(mol)))


@lru_cache(maxsize=8)
def _catalog(name: str) -> FilterCatalog:
    params = FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(params)


DESCRIPTORS: dict[Descriptor, Callable[[Chem.Mol], float]] = {
    "n_heavy_atoms": n_heavy_atoms,
    "sa_score": sa_score,
    "pains": partial(n_alerts, catalog="PAINS"),
    "brenk": partial(n_alerts, catalog="BRENK"),
    "nih": partial(n_alerts, catalog="NIH"),
}
