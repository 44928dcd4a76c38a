"""What every reader of exports of plate readers must do, as tests to inherit: see `PlateReaderConformance`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import pytest

from isd_ray.config import PlateFormat
from isd_ray.errors import InputFileError
from isd_ray.plates.collect import Collector, ReadoutFile
from isd_ray.plates.readers.export import PlateReader, read_export
from isd_ray.plates.readers.registry import plate_readers
from isd_ray.plates.wells import names_of

PLATE = "P1"
_WHERE = "export.txt"
_LOST_WELL = "C05"
_PLAIN = (
    "plate,well,value\nP1,A01,5\nP1,A02,6\n",
    "\t1\t2\t3\nA\t1\t2\t3\nB\t4\t5\t6\n",
    "id,value\nC-1,inactive\nC-2,active\n",
)
"""Tables that are no exports."""
_FAULTS = ("missing", "blank", "cut", "first letter", "one field less", "twice", "remark")


class PlateReaderConformance:
    """Tests of one reader, for pytest.

    A package inherits from it in a test file of its own::

        from isd_ray.testing.plate_readers import PlateReaderConformance
        from my_package import READER


        class TestMyReader(PlateReaderConformance):
            reader = READER

            def lines(self, cells, plate_format, plate): ...

    Attributes
    ----------
    reader:
        The reader.
    formats:
        Wells of the plates that it reads.
    says_plate:
        Whether an export holds the barcode of its plate.
    """

    reader: ClassVar[PlateReader]
    formats: ClassVar[tuple[PlateFormat, ...]] = (96, 384, 1536)
    says_plate: ClassVar[bool] = True

    def lines(self, cells: Mapping[str, str], plate_format: PlateFormat, plate: str) -> list[str]:
        """The lines of an export as the instrument writes it: the text of each well, by its name as ``A01``."""
        raise NotImplementedError

    def values(self, plate_format: PlateFormat, seed: int = 0) -> dict[str, str]:
        """Another number for each well."""
        return {name: f"{1000 * (seed + 1) + at + 0.5:g}" for at, name in enumerate(names_of(plate_format))}

    def read(
        self,
        lines: Sequence[str],
        plate_format: PlateFormat = 96,
        *,
        plate: str | None = None,
        known_plates: Collection[str] = (PLATE,),
        whole_plates: bool = False,
    ) -> ReadoutFile:
        """The readouts of an export."""
        collector = Collector(plate_format, (), known_plates=frozenset(known_plates), whole_plates=whole_plates)
        given = plate if plate is not None or self.says_plate else PLATE
        read_export("\n".join(lines) + "\n", self.reader, collector, plate=given, read=None, where=_WHERE)
        return collector.finish(_WHERE)

    def wells(self, found: ReadoutFile) -> dict[tuple[str, str], float | None]:
        """Their values, by plate and well."""
        return {(row["plate"], row["well"]): row["value"] for row in found.readings.to_pylist()}

    def expected(self, cells: Mapping[str, str], plate: str = PLATE) -> dict[tuple[str, str], float | None]:
        """What they have to be."""
        return {(plate, well): float(text) for well, text in cells.items()}

    def test_it_says_what_it_is(self) -> None:
        """A `PlateReader` with a name that a configuration can hold, and signs to be known by."""
        assert isinstance(self.reader, PlateReader), f"it is a {type(self.reader).__name__}"
        assert re.fullmatch(r"[a-z0-9_]+", self.reader.name), f"the name {self.reader.name!r} fits no readouts.shape"
        assert self.reader.title, "it has no name for people"
        assert self.reader.signs, "it has no signs: no file is known as its export"

    def test_its_exports_are_known_as_its_own_and_nothing_else_is(self) -> None:
        """By their content: neither another reader takes them, nor this one a plain table."""
        text = "\n".join(self.lines(self.values(96), 96, PLATE))
        assert self.reader.recognises(text), "it does not recognise its own export"
        others = [
            name for name, other in plate_readers().items() if name != self.reader.name and other.recognises(text)
        ]
        assert not others, f"its export is taken for one of {', '.join(others)}"
        for table in _PLAIN:
            assert not self.reader.recognises(table), f"it takes a plain table for its export: {table!r}"

    def test_every_well_has_its_value(self) -> None:
        """On plates of every format."""
        for plate_format in self.formats:
            cells = self.values(plate_format)
            found = self.read(self.lines(cells, plate_format, PLATE), plate_format)
            assert self.wells(found) == self.expected(cells), f"wells of {plate_format} are wrong or missing"

    def test_the_given_plate_wins_over_titles_but_not_over_another_that_there_is(self) -> None:
        """As `isd tell --plate` promises."""
        cells = self.values(96)
        given = self.read(self.lines(cells, 96, "Plate_1"), plate="P7", known_plates=("P7", "P8"))
        assert self.wells(given) == self.expected(cells, "P7")
        if self.says_plate:
            said = self.read(self.lines(cells, 96, "P8"), plate="P7", known_plates=("P7", "P8"))
            assert self.wells(said) == self.expected(cells, "P8"), "the plate that the file names is not seen"

    @pytest.mark.parametrize("text", ["OVRFLW", "OVER", ""])
    def test_a_well_that_cannot_be_read_costs_itself(self, text: str) -> None:
        """Of whole plates it is lost; no neighbour has its place."""
        cells = self.values(96) | {_LOST_WELL: text}
        found = self.wells(self.read(self.lines(cells, 96, PLATE), whole_plates=True))
        assert found.pop((PLATE, _LOST_WELL), None) is None, f"a well that says {text!r} has a value"
        assert found == self.expected({well: cell for well, cell in cells.items() if well != _LOST_WELL})

    def test_a_plate_of_another_format_is_refused(self) -> None:
        """And not read as a part of one, in silence."""
        if len(self.formats) < 2:
            pytest.skip("it reads plates of one format only")
        small, large = self.formats[0], self.formats[1]
        try:
            found = self.read(self.lines(self.values(large), large, PLATE), small)
        except InputFileError:
            return
        assert len(found.rejects), f"of {large} wells {len(found.readings)} are read, and nothing is refused"

    @pytest.mark.parametrize("fault", _FAULTS)
    def test_a_broken_line_loses_no_other_and_no_value_moves(self, fault: str) -> None:
        """Each well has its own value or none, and each line with values is read, refused by its number, or all is."""
        cells = self.values(96)
        lines, wanted = self.lines(cells, 96, PLATE), self.expected(cells)
        texts = set(cells.values())
        on = {at: [cell for cell in re.split(r"[,;\t]", line) if cell in texts] for at, line in enumerate(lines)}
        data = [at for at, found in on.items() if found]
        for place in sorted({data[0], data[len(data) // 3], data[-1]}):
            broken, kept = self._broken(lines, place, fault)
            try:
                found = self.read(broken)
            except InputFileError:
                continue
            wells = {key: value for key, value in self.wells(found).items() if value is not None}
            # What stands in the broken line itself may have become another number, or be of a plate that there is not.
            own = {key for key, value in wanted.items() if f"{value:g}" in on[place]}
            others = {key: value for key, value in wells.items() if key not in own and key[0] == PLATE}
            wrong = [key for key, value in others.items() if wanted.get(key) != value]
            values, refused = {f"{value:g}" for value in wells.values()}, set(found.rejects["line"].to_pylist())
            for at in data:
                lost = at != place and kept[at] not in refused and not set(on[at]) <= values
                assert not lost, f"line {kept[at]} is lost in silence, as line {place + 1} is broken ({fault})"
            if fault != "twice":  # in which any of the values may be meant
                assert not wrong, f"line {place + 1} is broken ({fault}), and {wrong[:3]} have values of others"

    @pytest.mark.parametrize("text", ["", "\x00\x01", "no export\nof anything\n", "A;B;C\n1;2;3\n" * 20])
    def test_what_holds_no_plate_is_refused_in_words(self, text: str) -> None:
        """An InputFileError that names the file."""
        with pytest.raises(InputFileError, match=_WHERE):
            self.read(text.split("\n"))

    @staticmethod
    def _broken(lines: Sequence[str], place: int, fault: str) -> tuple[list[str], dict[int, int]]:
        """The lines with one of them broken, and the new numbers (from 1) of the others."""
        line = lines[place]
        sep = max(",;\t", key=line.count)
        new = {
            "missing": [],
            "blank": [""],
            "cut": [line[: len(line) // 2]],
            "first letter": ["?" + line[1:]],
            "one field less": [line.rpartition(sep)[0]],
            "twice": [line + sep + line],
            "remark": [line, "checked by hand"],
        }[fault]
        shift = len(new) - 1
        kept = {at: at + 1 + (shift if at > place else 0) for at in range(len(lines)) if at != place}
        return [*lines[:place], *new, *lines[place + 1 :]], kept
