"""Source files: where they are, and the reader for the format of each."""

from __future__ import annotations

import difflib
import glob
import importlib.util
import itertools
import os
import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from pyarrow import fs as pafs

from isd_ray import plugins
from isd_ray.config.formats import AUTO, BUILT_IN_SOURCES, SOURCES
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.readers import SMI_HEADERS, CsvSource
from isd_ray.data.ingest.records import Format, Source
from isd_ray.data.ingest.texts import opened, readable
from isd_ray.errors import InputFileError
from isd_ray.storage.addresses import is_uri, without_secrets
from isd_ray.storage.client import REACH, file_system_of

PACKAGE_PREFIX = "package:"
_PACKAGE_REMEDIES = {"B3DB": "pip install 'isd_ray[demo]'"}
_VARIABLE_REMEDIES = {"ISD_DATA": "point it at the folder with the data sets: export ISD_DATA=/path/to/data"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BY_CONTENT = (".cxsmiles", ".txt")
"""Endings of files that are tables with tabs and a header, or lines of a SMILES and an id."""


def resolve_source(path: str, base_dir: Path, key: str = "") -> SourceFile:
    """Turn the text of a configuration into an existing, non-empty file.

    Parameters
    ----------
    path:
        A path with ``${VAR}`` expanded, ``~`` too; a URI such as ``s3://bucket/key``; ``package:NAME/FILE`` names a
        file inside an installed package.
    base_dir:
        Folder that relative paths start from: that of the configuration file.
    key:
        The key of the configuration that holds the path, for messages.

    Raises
    ------
    InputFileError
        If a variable is not set, a package is not installed, a file system cannot be reached, or the file is missing,
        a directory, or empty.
    """
    if path.startswith(PACKAGE_PREFIX):
        return _checked(SourceFile.local(_package_file(path)), key)
    text = _VARIABLE.sub(_variable, path)
    if is_uri(text):
        filesystem, inner = file_system_of(text)
        return _checked(SourceFile(filesystem, inner, without_secrets(text)), key)
    return _checked(SourceFile.local(base_dir / Path(text).expanduser()), key)


def resolve_sources(path: str, base_dir: Path, key: str = "") -> list[SourceFile]:
    """As `resolve_source`, with the wildcards ``*``, ``?``, ``[…]`` and ``**`` in local paths; matches are sorted.

    Raises
    ------
    InputFileError
        As `resolve_source`; and if nothing matches.
    """
    text = _VARIABLE.sub(_variable, path)
    if path.startswith(PACKAGE_PREFIX) or is_uri(text) or not glob.has_magic(text):
        return [resolve_source(path, base_dir, key)]
    pattern = base_dir / Path(text).expanduser()
    if pattern.exists():  # a name that merely looks like a pattern
        return [resolve_source(path, base_dir, key)]
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    files = [name for name in found if not name.is_dir()]
    if not files:
        raise InputFileError(
            "no file matches",
            str(pattern),
            f"check the path{_in_brackets(key)}; relative paths start at the folder of the configuration",
        )
    return [_checked(SourceFile.local(name), key) for name in files]


def _checked(file: SourceFile, key: str) -> SourceFile:
    try:
        info = file.filesystem.get_file_info(file.path)
    except ValueError as error:
        raise InputFileError(
            f"this is no path of a file: {error}", repr(str(file)), f"check it{_in_brackets(key)}"
        ) from error
    except OSError as error:
        raise InputFileError(f"cannot be reached: {error}", str(file), REACH) from error
    if info.type == pafs.FileType.Directory:
        raise InputFileError("is a directory, not a file", str(file), "name the file inside it")
    if info.type == pafs.FileType.NotFound:
        near = difflib.get_close_matches(file.name, _siblings(file), n=1)
        rest = f": did you mean {near[0]!r}?" if near else "; relative paths start at the folder of the configuration"
        raise InputFileError("no such file", str(file), f"check the path{_in_brackets(key)}{rest}")
    if isinstance(file.filesystem, pafs.LocalFileSystem) and not os.path.isfile(file.path):
        raise InputFileError("is a device or a pipe, not a file", str(file), "save its content as a file")
    if info.size == 0:
        raise InputFileError("the file is empty (0 bytes)", str(file), "check that its download or export was finished")
    return file


def _in_brackets(key: str) -> str:
    return f" ({key})" if key else ""


def _siblings(file: SourceFile) -> list[str]:
    if not isinstance(file.filesystem, pafs.LocalFileSystem):
        return []  # listing a bucket may take long
    folder = Path(file.path).parent
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


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


def source_formats() -> dict[str, Format]:
    """All formats by name.

    Raises
    ------
    ConfigError
        If what a package adds cannot be loaded, or is no format.
    """
    return {name: source_format(name) for name in plugins.names(SOURCES, BUILT_IN_SOURCES)}


@cache
def source_format(name: str) -> Format:
    """The format of that name (raises as `source_formats`, and if there is none)."""
    return plugins.load(SOURCES, BUILT_IN_SOURCES, name, "format", "library.format", Format)


def format_of(file: SourceFile, named: Sequence[str]) -> Format:
    """The format by the file's name (`.gz` and the like aside), and where that says little by its content.

    Raises
    ------
    InputFileError
        If the ending is not known, or the file is no text either.
    """
    ending = file.format_suffix
    if ending in _BY_CONTENT:
        table = CsvSource(file, "\t", named)
        if len(table.column_names) > 1 and _has_header(table, named):
            return source_format("tsv")
        if ending != ".txt":
            return source_format("smi")
        raise _unknown(file)
    ours = map(source_format, BUILT_IN_SOURCES)
    for found in itertools.chain(ours, source_formats().values()):
        if ending in found.endings:
            return found
    with readable(file, "check that it is complete"), opened(file):
        pass  # that it is an Excel file says more than that its ending is not known
    raise _unknown(file)


def _unknown(file: SourceFile) -> InputFileError:
    names = plugins.names(SOURCES, BUILT_IN_SOURCES)
    return InputFileError(
        f"format not known from the name {file.name!r}",
        str(file),
        f"set format to {', '.join(names[:-1])} or {names[-1]}",
    )


def _has_header(table: CsvSource, named: Collection[str]) -> bool:
    """Whether a table begins with names of columns: some that are asked for, or one that means structures."""
    found = {name.casefold() for name in table.column_names}
    return bool(found & (SMI_HEADERS | {name.casefold() for name in named}))


def open_source(file: SourceFile, file_format: str = AUTO, columns: Collection[str | None] = ()) -> Source:
    """The source of a resolved file.

    Parameters
    ----------
    file_format:
        The name of a format, or `auto`.
    columns:
        Those that will be asked for, as far as they are known: they show what separates the fields of a text.

    Raises
    ------
    InputFileError
        If the format is unknown, or the head of the file is not of that format.
    ConfigError
        As `source_format`.
    """
    named = [column for column in columns if column]
    found = format_of(file, named) if file_format == AUTO else source_format(file_format)
    return found.open(file, named)
