"""Reader of SDF sources: mol blocks as text (chem/ parses them, in parallel) and data items as text columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import BinaryIO

from isd_ray.config.limits import MAX_RECORD_BYTES
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.readers import READ_ROWS, opened, readable, text_records
from isd_ray.data.ingest.records import Records, Source
from isd_ray.errors import InputFileError

MOL_BLOCK_COLUMN = "_MolBlock"
TITLE_COLUMN = "_Name"
"""The first line of a mol block, under the name that RDKit gives it."""
_READ_BYTES = 4 << 20
_DELIMITER = re.compile(rb"^\$\$\$\$[^\n]*\n?", re.MULTILINE)
_ITEM = re.compile(rb"^>[^<\n]*<([^\n]*)>[^>\n]*$", re.MULTILINE)
_END = b"M  END"
_REMEDY = "check that the file is complete and an SDF file"


class SdfSource(Source):
    """An SDF file (V2000 or V3000), optionally gzipped. `_Name` is the title line of a record."""

    structure = "mol_block"

    @cached_property
    def _items(self) -> list[str]:
        names: dict[str, None] = {TITLE_COLUMN: None}
        with readable(self.file, _REMEDY), opened(self.file) as (stream, _):
            for _, text in _texts(stream, self.file):
                names.update(dict.fromkeys(name.decode(errors="replace") for name in _ITEM.findall(text)))
        return list(names)

    @property
    def column_names(self) -> list[str]:  # noqa: D102
        return self._items

    def structure_column(self, smiles_column: str | None) -> str | None:  # noqa: D102
        return smiles_column and MOL_BLOCK_COLUMN

    def read(self, columns: Sequence[str]) -> Iterator[Records]:  # noqa: D102
        first = 1
        values: dict[str, list[str | None]] = {name: [] for name in columns}
        lines: list[int] = []
        problems: dict[int, str] = {}
        with readable(self.file, _REMEDY), opened(self.file) as (stream, share):
            for line, text in _texts(stream, self.file):
                items, problem = _parse(text)
                if problem:
                    problems[len(lines)] = problem
                for name in columns:
                    values[name].append(items.get(name))
                lines.append(line)
                if len(lines) == READ_ROWS:
                    yield text_records(values, columns, first, lines, share(), problems)
                    first += len(lines)
                    values, lines, problems = {name: [] for name in columns}, [], {}
            if lines:
                yield text_records(values, columns, first, lines, share(), problems)


def _texts(stream: BinaryIO, file: SourceFile) -> Iterator[tuple[int, bytes]]:
    """First line number and text of every record, cut at the ``$$$$`` lines; large reads, since lines cost too much."""
    line, rest = 1, b""
    while chunk := stream.read(_READ_BYTES):
        buffer = rest + chunk
        complete = buffer.rfind(b"\n") + 1
        start = 0
        for match in _DELIMITER.finditer(buffer, 0, complete):
            text = buffer[start : match.start()]
            yield line, text.replace(b"\r\n", b"\n")
            line += text.count(b"\n") + 1
            start = match.end()
        rest = buffer[start:]
        if len(rest) > MAX_RECORD_BYTES:
            raise InputFileError(
                f"the record in line {line} is longer than {MAX_RECORD_BYTES >> 20} MiB", str(file), _REMEDY
            )
    rest = _DELIMITER.sub(b"", rest)
    if rest.strip():
        yield line, rest.replace(b"\r\n", b"\n")


def _parse(text: bytes) -> tuple[dict[str, str], str]:
    """Mol block, title and data items of one record, and what is wrong with it."""
    end = text.find(_END)
    if end < 0:
        return {}, "no 'M  END' line"
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return {}, "the record is not UTF-8 text"
    end = decoded.find("M  END") + len(_END)
    items = {MOL_BLOCK_COLUMN: decoded[:end], TITLE_COLUMN: decoded[: decoded.find("\n")].strip()}
    for part in ("\n" + decoded[end:].lstrip("\n")).split("\n>")[1:]:
        head, _, body = part.partition("\n")
        name = head[head.find("<") + 1 : head.rfind(">")]
        items[name] = body.split("\n\n", 1)[0].strip("\n")
    return items, ""
