"""Reader of SDF sources: mol blocks as text (chem/ parses them, in parallel) and data items as text columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO

from isd_ray.config.limits import MAX_CELL_BYTES, MAX_RECORD_BYTES
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Format, Records, Source
from isd_ray.data.ingest.texts import READ_ROWS, opened, readable, text_records
from isd_ray.delimited import UTF8_MARK
from isd_ray.errors import InputFileError

MOL_BLOCK_COLUMN = "_MolBlock"
TITLE_COLUMN = "_Name"
"""The first line of a mol block, under the name that RDKit gives it."""
_READ_BYTES = 4 << 20
_DELIMITER = re.compile(rb"^[ \t]*\$\$\$\$[^\n]*\n?", re.MULTILINE)
_HEADER = re.compile(rb">[^<\n]*<([^\n]*)>[^>\n]*")
"""A line that begins a data item: ``> 25 <MELTING.POINT> (1)``; the name ends at the last ``>``."""
_COUNTS = re.compile(rb"^[ \d]{3}[ \d]{3}[^\n]*V[23]000[ \t]*$", re.MULTILINE)
"""The fourth line of every mol block."""
_LINES_BEFORE_COUNTS = 3
_END = b"M  END"
_SHOWN = 40
"""Characters of a line in a message."""
_REMEDY = "check that the file is complete and an SDF file"


@dataclass(slots=True)
class _Parsed:
    """One structure with its items, as bytes.

    Attributes
    ----------
    problem:
        What is wrong with the whole of it.
    item_problems:
        What is wrong with single items: it counts where they are asked for.
    """

    items: dict[str, bytes]
    problem: str = ""
    item_problems: dict[str, str] = field(default_factory=dict)


class SdfSource(Source):
    """An SDF file (V2000 or V3000), compressed or not. `_Name` is the title line of a record.

    A data item begins with its header, behind the structure or a blank line, and goes on to the next blank line, so
    that a value may begin with ``>``. A structure without a ``$$$$`` line before it (mol files joined by cat) is a
    record of its own.
    """

    structure = "mol_block"

    @cached_property
    def _items(self) -> list[str]:
        names: dict[str, None] = {TITLE_COLUMN: None}
        with readable(self.file, _REMEDY), opened(self.file) as (stream, _):
            for _, text in _texts(stream, self.file):
                names.update(dict.fromkeys(_parse(text).items))
        names.pop(MOL_BLOCK_COLUMN, None)
        return list(names)

    @property
    def column_names(self) -> list[str]:
        """See `Source.column_names`."""
        return self._items

    def structure_column(self, smiles_column: str | None) -> str | None:
        """See `Source.structure_column`."""
        return smiles_column and MOL_BLOCK_COLUMN

    def read(self, columns: Sequence[str]) -> Iterator[Records]:
        """See `Source.read`."""
        first = 1
        values: dict[str, list[str | None]] = {name: [] for name in columns}
        lines: list[int] = []
        problems: dict[int, str] = {}
        with readable(self.file, _REMEDY), opened(self.file) as (stream, share):
            for line, text in _texts(stream, self.file):
                parsed = _parse(text)
                problem = parsed.problem
                for name in columns:
                    value, reason = _text(parsed, name)
                    values[name].append(value)
                    problem = problem or reason
                if problem:
                    problems[len(lines)] = problem
                lines.append(line)
                if len(lines) == READ_ROWS:
                    yield text_records(values, columns, first, lines, share(), problems)
                    first += len(lines)
                    values, lines, problems = {name: [] for name in columns}, [], {}
            if lines:
                yield text_records(values, columns, first, lines, share(), problems)


def _texts(stream: BinaryIO, file: SourceFile) -> Iterator[tuple[int, bytes]]:
    """First line number and text of every structure with its items; large reads, since lines cost too much.

    Cut at the ``$$$$`` lines, and before every further structure within one record.
    """
    line, rest, after_return = 1, b"", False
    while chunk := stream.read(_READ_BYTES):
        # Lines end in \n, \r\n or (an old Macintosh) \r; a pair may be torn apart by the reads.
        if after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = rest + chunk
        complete = buffer.rfind(b"\n") + 1
        start = 0
        for match in _DELIMITER.finditer(buffer, 0, complete):
            text = buffer[start : match.start()]
            yield from _structures(text, line)
            line += text.count(b"\n") + 1
            start = match.end()
        rest = buffer[start:]
        if len(rest) > MAX_RECORD_BYTES:
            raise InputFileError(
                f"the record in line {line} is longer than {MAX_RECORD_BYTES >> 20} MiB", str(file), _REMEDY
            )
    rest = _DELIMITER.sub(b"", rest)
    if rest.strip(b" \t\n" + UTF8_MARK):
        yield from _structures(rest, line)


def _structures(text: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """The structures of what stands between two ``$$$$`` lines, which should be one, and their first lines."""
    if text.count(b"V2000") + text.count(b"V3000") < 2:  # nearly always
        yield line, text.removeprefix(UTF8_MARK)
        return
    counts = [match.start() for match in _COUNTS.finditer(text)]
    cuts = [0]
    for place in counts[1:]:
        start = place
        for _ in range(_LINES_BEFORE_COUNTS):
            start = text.rfind(b"\n", 0, max(0, start - 1)) + 1
        before = text[text.rfind(b"\n", 0, max(0, start - 1)) + 1 : start].rstrip(b"\n")
        # A whole mol block may be the value of an item: then it stands directly behind the header.
        if start > cuts[-1] and not _HEADER.fullmatch(before):
            cuts.append(start)
    for start, stop in zip(cuts, [*cuts[1:], len(text)], strict=True):
        part = text[start:stop]
        yield line, part.removeprefix(UTF8_MARK)
        line += part.count(b"\n")


def _parse(text: bytes) -> _Parsed:
    """Mol block, title and data items of one structure, and what is wrong with them."""
    end = text.find(_END)
    while end > 0 and text[end - 1 : end] != b"\n":  # within a title
        end = text.find(_END, end + 1)
    if end < 0:
        return _Parsed({}, "no 'M  END' line")
    end += len(_END)
    parsed = _Parsed({MOL_BLOCK_COLUMN: text[:end], TITLE_COLUMN: text[: text.find(b"\n")].strip()})
    lines = text[end:].split(b"\n")[1:]
    name: str | None = None
    value: list[bytes] = []
    is_open = False  # whether the next line still belongs to the value
    place = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        header = _HEADER.fullmatch(line) if line.startswith(b">") else None
        if header is not None and not is_open:
            _add(parsed, name, value)
            stop = _end_of_mol_block(lines, place)
            name, value, is_open = item_name(header[1]), lines[place:stop], True
            place = stop
        elif header is not None and name is not None:
            # Without a blank line between, nobody knows whether this is the value or the next item.
            other = item_name(header[1])
            reason = f"no blank line between items {name!r} and {other!r}"
            parsed.item_problems.setdefault(name, reason)
            parsed.item_problems.setdefault(other, reason)
            parsed.items.setdefault(other, b"")
        elif is_open:
            is_open = bool(line.strip())
            value.append(line)
        elif line.startswith(_END):
            parsed.problem = "several structures in one record: '$$$$' is missing between them"
        elif line.strip():
            shown = line.strip()[:_SHOWN].decode(errors="replace")
            if name is None:
                parsed.problem = parsed.problem or f"text between the structure and its items: {shown!r}"
            else:
                parsed.item_problems.setdefault(name, f"text behind the end of item {name!r}: {shown!r}")
    _add(parsed, name, value)
    return parsed


def _end_of_mol_block(lines: list[bytes], start: int) -> int:
    """The line behind the mol block that is the value of an item; `start` where there is none."""
    counts = start + _LINES_BEFORE_COUNTS
    if counts < len(lines) and _COUNTS.fullmatch(lines[counts]):
        for place in range(counts, len(lines)):
            if lines[place].startswith(_END):
                return place + 1
    return start


def item_name(name: bytes) -> str:
    """A name in the header of an item; what is no UTF-8 is Latin-1, so that it can be given in a configuration."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _add(parsed: _Parsed, name: str | None, lines: list[bytes]) -> None:
    if name is None:
        return
    value = b"\n".join(lines).strip(b"\n")
    known = parsed.items.get(name, b"")
    if known and value and value != known:
        parsed.item_problems.setdefault(name, f"item {name!r} stands there twice, with two values")
    parsed.items[name] = known or value


def _text(parsed: _Parsed, name: str) -> tuple[str | None, str]:
    """The text of an item, and why there is none although the record has it."""
    value, reason = parsed.items.get(name), parsed.item_problems.get(name, "")
    if reason or value is None:
        return None, reason
    what = "the structure" if name == MOL_BLOCK_COLUMN else f"item {name!r}"
    if len(value) > MAX_CELL_BYTES:
        return None, f"{what} is longer than {MAX_CELL_BYTES >> 20} MiB"
    try:
        return value.decode(), ""
    except UnicodeDecodeError:
        if name == MOL_BLOCK_COLUMN:  # an atom has no other characters; titles and comments may
            return value.decode("latin-1"), ""
        return None, f"{what} is not UTF-8 text"


SDF = Format(lambda file, columns: SdfSource(file), (".sdf", ".sd"))
