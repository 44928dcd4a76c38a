"""Source files: where they are, which columns they have, and their records in order."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from pathlib import Path

from isd_ray.data.ingest.readers import CsvSource, ParquetSource, SmiSource
from isd_ray.data.ingest.records import Source
from isd_ray.data.ingest.sdf import SdfSource
from isd_ray.errors import InputFileError

PACKAGE_PREFIX = "package:"
_PACKAGE_REMEDIES = {"B3DB": "pip install 'isd_ray[demo]'"}
_VARIABLE_REMEDIES = {"ISD_DATA": "point it at the folder with the data sets: export ISD_DATA=/path/to/data"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".smi": "smi",
    ".smiles": "smi",
    ".sdf": "sdf",
    ".sd": "sdf",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def resolve_source(path: str, base_dir: Path) -> Path:
    """Turn the text of a configuration into the path of an existing, non-empty file.

    Parameters
    ----------
    path:
        A path with ``${VAR}`` expanded, ``~`` too; ``package:NAME/FILE`` names a file inside an installed package.
    base_dir:
        Folder that relative paths start from: that of the configuration file.

    Raises
    ------
    InputFileError
        If a variable is not set, a package is not installed, or the file is missing, a directory, or empty.
    """
    if path.startswith(PACKAGE_PREFIX):
        found = _package_file(path)
    else:
        found = base_dir / Path(_VARIABLE.sub(_variable, path)).expanduser()
    if found.is_dir():
        raise InputFileError("is a directory, not a file", str(found), "name the file inside it")
    if not found.exists():
        near = difflib.get_close_matches(found.name, _siblings(found), n=1)
        hint = "check the path; relative paths start at the folder of the configuration"
        if near:
            hint = f"did you mean {near[0]!r}?"
        raise InputFileError("no such file", str(found), hint)
    if found.stat().st_size == 0:
        raise InputFileError(
            "the file is empty (0 bytes)", str(found), "check that its download or export was finished"
        )
    return found


def _siblings(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []


def _variable(match: re.Match[str]) -> str:
    name = match.group(1)
    value = os.environ.get(name)
    if not value:
        raise InputFileError(
            f"environment variable {name} is not set",
            match.string,
            _VARIABLE_REMEDIES.get(name, f"set it: export {name}=…"),
        )
    return value


def _package_file(path: str) -> Path:
    package, _, name = path.removeprefix(PACKAGE_PREFIX).partition("/")
    if not package or not name:
        raise InputFileError(f"{path!r} names no file of a package", remedy="write package:NAME/FILE")
    # find_spec instead of importlib.resources.files: data are wanted, the package's own imports are not.
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        remedy = _PACKAGE_REMEDIES.get(package, f"pip install {package}")
        raise InputFileError(f"package {package!r} is not installed", path, remedy)
    return Path(folders[0]) / name


def detect_format(path: Path) -> str:
    """Format by file name (`.gz` aside).

    Raises
    ------
    InputFileError
        If the ending is not known.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    found = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if found is None:
        raise InputFileError(
            f"format not known from the name {path.name!r}", str(path), "set format to csv, tsv, smi, sdf or parquet"
        )
    return found


def open_source(path: Path, file_format: str = "auto") -> Source:
    """The source of a resolved path; `file_format` is one of `LibraryConfig.format`.

    Raises
    ------
    InputFileError
        If the format is unknown, or the head of the file is not of that format.
    """
    kind = detect_format(path) if file_format == "auto" else file_format
    if kind == "csv":
        return CsvSource(path, ",")
    if kind == "tsv":
        return CsvSource(path, "\t")
    if kind == "smi":
        return SmiSource(path)
    if kind == "sdf":
        return SdfSource(path)
    return ParquetSource(path)
