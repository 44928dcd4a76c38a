"""The target library: sources, features, split."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, cast

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from isd_ray.config.features import DESCRIPTORS, Descriptor, check_descriptors
from isd_ray.config.formats import AUTO, LibraryFormat
from isd_ray.config.history import HistoryConfig
from isd_ray.config.section import Section, Strings


class Fingerprint(Section):
    """One RDKit fingerprint of a stack."""

    kind: Literal["morgan", "atom_pair", "torsion", "rdkit_path"]
    """Morgan (ECFP), atom pairs, topological torsions, or paths of bonds."""
    size: int = Field(default=2048, ge=64, le=1 << 20)
    """Bits before counts are unfolded (fpSize)."""
    radius: int = Field(default=2, ge=0, le=10)
    """Morgan radius; 2 is ECFP4."""
    max_path: int = Field(default=4, ge=1, le=10)
    """Longest path in bonds of `rdkit_path`."""
    count_levels: int = Field(default=1, ge=1, le=16)
    """Morgan only: a bit seen n times also sets min(n, count_levels) thermometer bits. 1 means presence only."""

    @property
    def width(self) -> int:
        """Columns this fingerprint takes in the vocabulary."""
        return self.size * self.count_levels

    @model_validator(mode="after")
    def _counts_are_morgan(self) -> Fingerprint:
        if self.count_levels > 1 and self.kind != "morgan":
            raise ValueError(f"count_levels={self.count_levels} is only for kind = 'morgan'; remove it here")
        return self


class Context(Section):
    """A categorical column of the source: each of its values is one more column of the vocabulary."""

    column: str
    """The column."""
    values: Annotated[tuple[str, ...], Field(strict=False, min_length=1, repr=False)]
    """In the order of their columns; records with another value are rejected."""

    @property
    def width(self) -> int:
        """Columns this context takes in the vocabulary."""
        return len(self.values)

    @field_validator("values")
    @classmethod
    def _values_are_distinct(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := sorted({value for value, n in Counter(values).items() if n > 1}):
            raise ValueError(f"{repeated[0]!r} stands there twice; name each value once")
        return values


class OnBitFeatures(Section):
    """Stacked fingerprints in one vocabulary, and behind them the contexts of pairs, stored as lists of set bits."""

    kind: Literal["on_bits"] = "on_bits"
    """For a stack given as a table."""
    fingerprints: Annotated[tuple[Fingerprint, ...], Field(strict=False, min_length=1)]
    """One beside the other, each with its own columns."""
    contexts: Annotated[tuple[Context, ...], Field(strict=False)] = ()
    """Filled in by the build for `context_columns`; give them to fix the values beforehand."""

    @property
    def width(self) -> int:
        """Size of the vocabulary."""
        fingerprints = sum(fingerprint.width for fingerprint in self.fingerprints)
        return fingerprints + sum(context.width for context in self.contexts)

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Columns of the source that the contexts are taken from."""
        return tuple(context.column for context in self.contexts)

    @model_serializer(mode="wrap")
    def _no_contexts_leave_no_trace(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keep descriptions and hashes of libraries without contexts what they were before there were any."""
        data: dict[str, Any] = serialise(self)
        if not self.contexts:
            data.pop("contexts", None)
        return data


class DenseFeatures(Section):
    """Ready-made vectors in one column of a Parquet source: embeddings or flattened images."""

    kind: Literal["dense"] = "dense"
    """For vectors given as a table."""
    column: str
    """A binary (uint8) column, a list column or a fixed-size list column."""
    width: int = Field(ge=1)
    """Length of the vectors."""
    dtype: Literal["uint8", "float16", "float32"] = "float32"
    """How they are stored."""
    scale: float = Field(default=1.0, gt=0.0)
    """Values are multiplied by this before the first layer (1/255 for grey images)."""


FeatureSpec = Annotated[OnBitFeatures | DenseFeatures, Field(discriminator="kind")]

_MORGAN = {"kind": "morgan"}
_MORGAN_COUNTS = {"kind": "morgan", "count_levels": 4}
_TORSION = {"kind": "torsion"}
_ATOM_PAIR = {"kind": "atom_pair"}
_PATHS = {"kind": "rdkit_path"}
FEATURE_PRESETS: dict[str, list[dict[str, Any]]] = {
    "ecfp4": [_MORGAN],
    "light": [_MORGAN_COUNTS, _TORSION],
    "standard": [_MORGAN_COUNTS, _TORSION, _ATOM_PAIR],
    "rich": [_MORGAN_COUNTS, _TORSION, _ATOM_PAIR, _PATHS],
}
"""Fingerprint stacks by name; `ecfp4` is the paper's."""


class SplitConfig(Section):
    """How the library is divided into the target set and held-out parts."""

    column: str | None = None
    """A column of the source that says which part a record belongs to; without it the split is random."""
    target: Any = 0
    """Value of `column` for the target set, or a list of values."""
    validation: Any = 1
    """Value of `column` for the validation set, or a list of values."""
    test: Any = 2
    """Value of `column` for the test set, or a list of values."""
    fractions: Annotated[tuple[float, ...], Field(strict=False, min_length=3, max_length=3)] = (0.80, 0.05, 0.15)
    """Target, validation and test shares of a random split."""
    seed: int = 0
    """Of a random split."""

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> SplitConfig:
        if min(self.fractions) < 0 or self.fractions[0] == 0 or abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(f"fractions={list(self.fractions)} must be three shares that sum to 1, the first above 0")
        return self


class LibraryConfig(Section):
    """Where the target library is, or how it is built."""

    path: str | None = None
    """Directory of the library; built there from `source` if absent. Default: `library/` in the run's folder. Or the
    URI of a library that is there already: every node copies the parts it needs to its cache (`ISD_CACHE`)."""
    source: str | Strings | None = None
    """File or files to build from, with wildcards or as URI (s3://, gs:// …). `${VAR}` is expanded;
    `package:NAME/FILE` is a file of an installed package."""
    format: LibraryFormat = AUTO
    """Of the sources: `csv`, `tsv`, `smi`, `sdf`, `parquet`, or one that a package adds; `auto` goes by the endings of
    their names. In `csv` and `tsv` the header shows whether commas, tabs or semicolons separate the fields."""
    smiles_column: str | None = "smiles"
    """"" where there are no structures: images, or embeddings alone."""
    id_column: str | None = None
    """Column of unique compound ids; without it record numbers, from 1, are ids (of several files: ``stem:number``)."""
    columns: Strings = ()
    """Further columns of the source to keep: stock, cost, ordering."""
    context_columns: Strings = ()
    """Columns that make a row a pair of a compound and a context, as its cell line: text whose every distinct value is
    one more on-bit. Duplicates are then equal pairs; the columns are kept, and records without a value are rejected."""
    descriptors: Strings = ()
    """What to compute of each molecule. Columns, to order or choose by: `n_heavy_atoms`, and `sa_score`, its synthetic
    accessibility from 1 (easy) to 10. `pains`, `brenk` and `nih` count the alerts that match of RDKit's catalogs of
    frequent hitters and unwanted groups; they filter nothing (`pains` takes longer than the rest: 2 ms a molecule). A
    block of features beside the main ones: `rdkit2d`, 118 two-dimensional descriptors at about 1 ms a compound, or a
    set that a package adds."""
    dense_columns: Strings = ()
    """Columns of numbers or vectors of the source, with wildcards (`["emb_*"]`), that make a block of features beside
    the main ones; values may be missing."""
    history: HistoryConfig | None = None
    """Earlier readouts of the same compounds as a block of features; without this table there is none."""
    required: Strings = ()
    """Kept columns that must hold a value: records without one are rejected, as compounds that are out of stock, or, in
    a simulation, never measured."""
    features: FeatureSpec = Field(default="standard", validate_default=True)
    """A preset (ecfp4, light, standard, rich), a stack of fingerprints, or a dense column."""
    standardise: bool = True
    """Keep the parent (`parent`) and neutralise charges before the canonical SMILES is taken. A charge stays where
    RDKit could not read the SMILES without it. What was changed, and how often, is in `isd library info`."""
    parent: Literal["largest", "chembl"] = "largest"
    """`largest`: counter-ions and solvents of a list go, and of what is left the fragment with most heavy atoms stays;
    metal complexes stay whole. `chembl`: by ChEMBL's rules, which need `pip install 'isd_ray[chembl]'`."""
    max_heavy_atoms: int = Field(default=1000, ge=1, le=5000)
    """Larger structures are rejected; salts and solvents count."""
    duplicates: Literal["merge", "refuse", "keep"] = "merge"
    """`merge`: the first of equal compounds stays, the others are reported in `rejects.parquet`. `refuse`: a duplicate
    is an error. `keep`: all are rows."""
    duplicates_by: Literal["smiles", "tautomer", "features"] = "smiles"
    """What equal compounds are told by: canonical SMILES (of a standardised structure those of its parent); RDKit's
    hash that all tautomers share; or features."""
    drop_single_atoms: bool = False
    """Reject molecules of a single heavy atom."""
    block_rows: int = Field(default=8192, ge=8, le=1 << 20, multiple_of=8)
    """Rows of one block of the fixed scoring grid; a multiple of 8, so that packed masks split at bytes."""
    part_blocks: int = Field(default=16, ge=1)
    """Blocks of one part file."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that build, where no Ray cluster does it; default: all cores."""
    split: SplitConfig | None = None
    """How it is divided into target, validation and test set; without this table all of it is the target set."""

    @field_validator("descriptors")
    @classmethod
    def _descriptors_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_descriptors(name)
        return names

    @field_validator("smiles_column")
    @classmethod
    def _empty_is_none(cls, name: str | None) -> str | None:
        return name or None

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, data: Any) -> Any:
        name = data.get("features", "standard") if isinstance(data, dict) else None
        if isinstance(name, str):
            if name not in FEATURE_PRESETS:
                raise ValueError(f"features={name!r} is no preset; choose one of {', '.join(FEATURE_PRESETS)}")
            data = {**data, "features": {"kind": "on_bits", "fingerprints": FEATURE_PRESETS[name]}}
        return data

    @model_validator(mode="after")
    def _required_columns_are_kept(self) -> LibraryConfig:
        if lost := sorted(set(self.required) - set(self.columns)):
            raise ValueError(f"required={list(self.required)}: {lost[0]!r} is not kept; add it to `columns`")
        return self

    @model_validator(mode="after")
    def _contexts_stand_behind_fingerprints(self) -> LibraryConfig:
        given = self.features.context_columns if isinstance(self.features, OnBitFeatures) else ()
        if given and given != self.context_columns:
            raise ValueError(f"features.contexts are of {list(given)}; set context_columns to the same")
        if self.context_columns and not isinstance(self.features, OnBitFeatures):
            raise ValueError("context_columns go with fingerprints; put contexts into the dense vectors instead")
        if len(set(self.context_columns)) < len(self.context_columns):
            raise ValueError(f"context_columns={list(self.context_columns)} repeat one; name each once")
        return self

    @property
    def descriptor_columns(self) -> tuple[Descriptor, ...]:
        """The descriptors that are columns."""
        return tuple(cast(Descriptor, name) for name in self.descriptors if name in DESCRIPTORS)

    @property
    def descriptor_sets(self) -> tuple[str, ...]:
        """The descriptors that are blocks of features."""
        return tuple(dict.fromkeys(name for name in self.descriptors if name not in DESCRIPTORS))

    def asks_for(self, features: FeatureSpec) -> bool:
        """Whether these are the features meant; contexts count by column, and by value where values are fixed."""
        asked = self.features
        if isinstance(asked, OnBitFeatures) and isinstance(features, OnBitFeatures) and not asked.contexts:
            is_same = features.context_columns == self.context_columns
            return is_same and features.fingerprints == asked.fingerprints
        return features == asked

    @model_validator(mode="after")
    def _molecules_need_smiles(self) -> LibraryConfig:
        if self.path is None and self.source is None:
            raise ValueError("give `source` (a file to build from), or `path` (a library already built)")
        if self.smiles_column is None and self.descriptors:
            raise ValueError(f"descriptors={list(self.descriptors)} need `smiles_column`; name it, or remove them")
        if self.smiles_column is None and (self.features.kind == "on_bits" or self.duplicates_by != "features"):
            if self.features.kind == "on_bits":
                raise ValueError("fingerprints need `smiles_column`; without SMILES use dense features")
            if self.duplicates != "keep":
                raise ValueError('without `smiles_column` set duplicates = "keep" or duplicates_by = "features"')
        return self
