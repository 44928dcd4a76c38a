"""Which column is the structure, which the id, and which may be the label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from isd_ray.chem.smiles import prepare, silenced
from isd_ray.core.censored import parse_number
from isd_ray.data.commas import has_comma, remedy_for_commas
from isd_ray.data.hit_class import recognised
from isd_ray.data.ingest.readers import SMI_HEADERS
from isd_ray.data.ingest.records import Records, Source
from isd_ray.data.look.columns import MOST_VALUES, ColumnLook, first_texts

PARSED_SHARE, PARSED_SHARE_IF_NAMED = 0.8, 0.3
"""Share of the first values that are molecules, of a column of structures; and of one that is called as such, whose
others the build refuses one by one."""
FEWEST_ATOMS = 2
"""Mean of heavy atoms of a column of structures: letters alone, as `C` and `N`, are molecules, too."""
MOST_CLASSES = 20
"""More distinct words than these are names or remarks, and no classes."""
MOST_CODES = 10
"""More distinct whole numbers than these are counts or measurements, and no classes."""
MOST_REPLICATES = 8
"""Records of one compound, on average, of a column of ids."""
_TWO = 2
_SHOWN = 3
"""Values in a reason."""
_ID = re.compile(r"(^|_)(id|ids|cid|sid|no|nr|name|names|compound|molecule|zinc|chembl|cas|barcode|key)($|_)")
_LABEL = re.compile(
    r"(^|_)(label|labels|active|activity|outcome|class|hit|hits|target|y|readout|response|result|value|inhibition|"
    r"toxicity|toxic|p?(ic|ec|ac|ld|gi|cc)_?50|p?k[id]|score|z)($|_)"
)
_CONCENTRATION = re.compile(r"(^|_)((ic|ec|ac|gi|cc)_?50|k[id])($|_)")
_ABOUT = re.compile(
    r"(^|_)(mw|mol|weight|logp|logd|clogp|alogp|tpsa|psa|n|num|count|atoms|heavy|rings?|hba|hbd|charge|formula|inchi|"
    r"inchikey|inchi_key|plate|well|row|col|column|batch|date|time|year|split|fold|price|cost|stock|amount|purity|"
    r"volume|conc|concentration|source|vendor|supplier|reference|references|comment|comments|group|series|cluster|"
    r"scaffold|index|rank|unit|units|url|iupac|library|replicate|threshold|relation|sample|is_test|is_val|repo_split)"
    r"($|_)"
)
_INCHI = "InChI="
_CODE = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])[\w./:-]+")
_WELL = re.compile(r"[A-Z]{1,2}0?[1-9][0-9]?", re.IGNORECASE)


def plain(name: str) -> str:
    """A name of a column in lower case, its words joined by underscores: ``IC50 (nM)`` is ``ic50_nm``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def structure_column(source: Source, first: Records) -> str | None:
    """The column of SMILES, by its name and by what it holds; None where the format has a place, or there is none."""
    if source.structure != "smiles":
        return None
    names = [name for name in dict.fromkeys(source.column_names) if source.column_names.count(name) == 1]
    shares = {name: PARSED_SHARE_IF_NAMED if _is_called_smiles(name) else PARSED_SHARE for name in names}
    names.sort(key=shares.__getitem__)
    return next((name for name in names if _are_molecules(first_texts(first, name), shares[name])), None)


def _is_called_smiles(name: str) -> bool:
    return bool((SMI_HEADERS | {"smile"}) & {plain(name), *plain(name).split("_")})


def _are_molecules(texts: Sequence[str], share: float) -> bool:
    if not texts or sum(text.startswith(_INCHI) for text in texts):
        return False
    atoms = _atoms(texts)
    return len(atoms) >= share * len(texts) and sum(atoms) >= FEWEST_ATOMS * len(atoms)


def _atoms(texts: Sequence[str]) -> list[int]:
    """Heavy atoms of those texts that are molecules."""
    with silenced():
        made = [prepare(text, standardise=False, drop_single_atoms=False) for text in texts]
    return [one.mol.GetNumHeavyAtoms() for one in made if not isinstance(one, str)]


def unreadable(first: Records, column: str) -> tuple[int, int]:
    """Of the first structures how many are no molecules, and how many there are."""
    texts = first_texts(first, column)
    return len(texts) - len(_atoms(texts)), len(texts)


def id_candidates(columns: Sequence[ColumnLook]) -> list[str]:
    """Columns that have a value everywhere and are called like ids, the likeliest first; else columns of codes."""
    possible = [
        column
        for column in columns
        if column.kind in ("numbers", "text")
        and not column.n_missing
        # What repeats itself more often than replicates do is the name of something else.
        and (not column.counts or len(column.counts) * MOST_REPLICATES >= column.n)
        and not column.examples[0].startswith(_INCHI)
        and (column.kind == "text" or column.is_whole)
    ]
    called = sorted((column for column in possible if is_called_id(column.name)), key=_id_rank)
    return [column.name for column in called or possible if called or _holds_codes(column)]


def is_called_id(name: str) -> bool:
    """Whether a column is called like ids are."""
    return bool(_ID.search(plain(name)))


def _holds_codes(column: ColumnLook) -> bool:
    """Whether nearly every value is another, of letters and digits without spaces, whatever the column is called."""
    name = plain(column.name)
    return (
        column.kind == "text"
        and (not column.counts or len(column.counts) == column.n)
        and not (_LABEL.search(name) or _ABOUT.search(name))
        and all(_CODE.fullmatch(example) for example in column.examples)
    )


def _id_rank(column: ColumnLook) -> int:
    words = plain(column.name).split("_")
    return 0 if "id" in words or "ids" in words else 1 if words[-1:] != ["no"] else 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that may be the label.

    Attributes
    ----------
    classes:
        Its distinct values where they are classes, else empty: then it holds numbers.
    score:
        How much speaks for it.
    is_named:
        Whether the user named it.
    """

    column: ColumnLook
    classes: tuple[str, ...]
    score: int
    is_named: bool = False

    @property
    def is_pair(self) -> bool:
        """Whether it says yes or no: 0 and 1, inactive and active."""
        return recognised(self.classes) is not None

    @property
    def is_concentration(self) -> bool:
        """Whether it is a potency as a concentration, where less is better."""
        return not self.classes and bool(_CONCENTRATION.search(plain(self.column.name)))

    @property
    def words(self) -> str:
        """The column in a few words."""
        what = f"{len(self.classes)} classes" if self.classes else "numbers"
        return f"{self.column.name!r} ({what}, {self.column.n_filled:,} filled)"


@dataclass(frozen=True, slots=True)
class NoLabel:
    """Why a column cannot be the label.

    Attributes
    ----------
    remedy:
        What to change in the file for it to be one; empty where it is none whatever is changed.
    may_be:
        Whether it is called like a label, so that it may be the one once that is done.
    """

    why: str
    remedy: str = ""
    may_be: bool = False

    @property
    def words(self) -> str:
        """The reason, and what to do about it."""
        return f"{self.why}; {self.remedy}" if self.remedy else self.why


_ANOTHER_THING = NoLabel("by its name it describes the compound or where it lay, and is no readout")
_WELLS = NoLabel(
    "its values are wells; a pick list needs it, and the column of their plates, in library.columns and as "
    "plates.source_well_column and plates.source_plate_column"
)


def candidate(column: ColumnLook, *, is_named: bool = False) -> Candidate | NoLabel:
    """What speaks for a column as the label, or why it cannot be one; one that the user names needs no good name."""
    name = plain(column.name)
    if column.kind == "empty":
        return NoLabel("it is empty")
    if column.kind == "vectors":
        return NoLabel("it holds vectors or images")
    if len(column.counts) == 1:
        return NoLabel(f"every value is {next(iter(column.counts))!r}, so there is nothing to predict")
    if column.examples[0].startswith(_INCHI):
        return NoLabel("it holds structures")
    is_about = bool(_ABOUT.search(name))
    if (broken := _broken_numbers(column, may_be=bool(_LABEL.search(name)) and not is_about)) is not None:
        return _ANOTHER_THING if is_about and not is_named else broken
    n = len(column.counts) or MOST_VALUES + 1
    repeats = n <= column.n_filled // _TWO
    if column.kind == "numbers":
        classes = tuple(sorted(column.counts, key=float)) if _are_codes(column, n) and repeats else ()
    elif n > MOST_CLASSES and all(_WELL.fullmatch(text.strip()) for text in column.examples):
        return _WELLS
    elif n > MOST_CLASSES or not repeats:
        more = f"more than {MOST_VALUES:,}" if n > MOST_VALUES else f"{n:,}"
        return NoLabel(f"its words are names or remarks: {more} different ones")
    else:
        classes = tuple(sorted(column.counts))
    score = 4 * bool(_LABEL.search(name)) + 3 * (recognised(classes) is not None or _signs(classes))
    score += 2 * (len(classes) == _TWO) + (not classes and bool(column.n_bounds)) - 6 * is_about
    if score < 0 and not is_named:
        return _ANOTHER_THING
    return Candidate(column, classes, score, is_named)


def _broken_numbers(column: ColumnLook, *, may_be: bool) -> NoLabel | None:
    """Of a column of numbers of which some, or all, are not written as such: what they are, and what to write."""
    commas = [text for text in column.examples if has_comma(text)]
    words = [text for text in column.examples if text not in commas and parse_number(text) is None]
    is_mixed = bool(column.words) or (bool(commas) and 2 * len(words) <= len(column.examples))
    if not is_mixed:
        return None
    shown = ", ".join(map(repr, dict.fromkeys([*commas[:_SHOWN], *(words or column.words)[:_SHOWN]])))
    remedies = [remedy_for_commas([*commas, *column.words]), "leave cells without a number empty" if words else None]
    remedy = "; ".join(filter(None, remedies)) or "leave cells without a number empty"
    return NoLabel(f"most values are numbers, but not all can be read: {shown}", remedy, may_be)


def _are_codes(column: ColumnLook, n: int) -> bool:
    return column.is_whole and not column.n_bounds and n <= MOST_CODES


def _signs(classes: tuple[str, ...]) -> bool:
    """Two classes that differ by a sign at the end, as BBB+ and BBB-."""
    return (
        len(classes) == _TWO and {text[-1:] for text in classes} == {"+", "-"} and len({c[:-1] for c in classes}) == 1
    )
