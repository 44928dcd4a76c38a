"""Our own plate readers pass the tests that we ship for those of others, and broken ones do not."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from isd_ray import plugins
from isd_ray.config import ReadoutsConfig
from isd_ray.config.readouts import PLATE_READERS
from isd_ray.errors import ConfigError
from isd_ray.plates.readers import read_readouts
from isd_ray.plates.readers.blocks import Block, grids, grids_and_tables
from isd_ray.plates.readers.export import PlateReader
from isd_ray.plates.readers.registry import plate_readers
from isd_ray.testing.plate_readers import PlateReaderConformance
from tests.unit.plates import exports_helpers as made

UNSAID = ("tecan magellan",)


def suite_of(layout: str) -> type[PlateReaderConformance]:
    def lines(self, cells, plate_format, plate):
        return made.LAYOUTS[layout](cells, plate_format, plate)

    reader = plate_readers()[layout.split()[0]]
    name = f"Test{layout.title().replace(' ', '')}"
    return type(name, (PlateReaderConformance,), {"reader": reader, "lines": lines})


for _layout in made.LAYOUTS:
    _suite = suite_of(_layout)
    globals()[_suite.__name__] = _suite


# --- a reader of a package, and what can be wrong with it -------------------------------------------------------------

LUMEN = PlateReader("lumen", "LumenOne", signs=(re.compile(r"^LumenOne export", re.MULTILINE),))


class Lumen(PlateReaderConformance):
    reader = LUMEN

    def lines(self, cells, plate_format, plate):
        return ["LumenOne export", f"Barcode,{plate}", "", "Luminescence", *made.grid(cells, plate_format, ",")]


class TestLumen(Lumen):
    pass


def shifted(lines, plate_format):
    """Each value is the well's before it."""
    for block in grids_and_tables(lines, plate_format):
        texts = [text for _, _, text in block.cells]
        moved = [texts[-1], *texts[:-1]]
        yield replace_cells(block, [(n, well, text) for (n, well, _), text in zip(block.cells, moved, strict=True)])


def first_half(lines, plate_format):
    for block in grids_and_tables(lines, plate_format):
        yield replace_cells(block, block.cells[: len(block.cells) // 2])


def without_blanks(lines, plate_format):
    """A missing value is taken out, and those behind it move up."""
    for block in grids(lines, plate_format):
        texts = [text for _, _, text in block.cells if text]
        wells = [well for _, well, _ in block.cells]
        yield replace_cells(block, [(block.line, well, text) for well, text in zip(wells, texts, strict=False)])


def rows_by_count(lines, plate_format):
    """Rows are numbered as they come, whatever letter they have."""
    n_columns = made.SHAPES[plate_format][1]
    rows = [(n, fields) for n, fields in lines if len(fields) > n_columns and fields[0].isalpha()]
    names = made.names_of(plate_format)
    cells = [
        (n, names[at * n_columns + column], text)
        for at, (n, fields) in enumerate(rows)
        for column, text in enumerate(fields[1 : n_columns + 1])
    ]
    return [Block(1, "all", [fields for _, fields in lines], cells=cells)]


def raising(lines, plate_format):
    raise KeyError("Luminescence")


def replace_cells(block, cells):
    block.cells = cells
    return block


def finding(blocks) -> PlateReader:
    return replace(LUMEN, blocks=lambda lines, plate_format: list(blocks(lines, plate_format)))


BROKEN = {
    "test_every_well_has_its_value": (finding(shifted), finding(first_half)),
    "test_a_well_that_cannot_be_read_costs_itself": (finding(without_blanks),),
    "test_a_broken_line_loses_no_other_and_no_value_moves": (finding(rows_by_count),),
    "test_what_holds_no_plate_is_refused_in_words": (finding(raising),),
    "test_its_exports_are_known_as_its_own_and_nothing_else_is": (
        replace(LUMEN, signs=(re.compile("plate|Lumen"),)),
        replace(LUMEN, signs=(re.compile("Photon"),)),
    ),
    "test_it_says_what_it_is": (replace(LUMEN, name="Lumen One"), replace(LUMEN, signs=())),
}
ARGUMENTS = {
    "test_a_well_that_cannot_be_read_costs_itself": ("",),
    "test_a_broken_line_loses_no_other_and_no_value_moves": ("missing",),
    "test_what_holds_no_plate_is_refused_in_words": ("no export",),
}
CASES = [(test, place) for test, readers in BROKEN.items() for place in range(len(readers))]


@pytest.mark.parametrize(("test", "place"), CASES)
def test_what_is_wrong_is_found(test, place):
    suite, more = Lumen(), ARGUMENTS.get(test, ())
    getattr(suite, test)(*more)
    suite.reader = BROKEN[test][place]
    with pytest.raises((AssertionError, KeyError)):
        getattr(suite, test)(*more)


def test_an_export_that_another_reader_takes_is_found():
    suite = Lumen()
    suite.lines = lambda cells, plate_format, plate: ["SoftMax Pro", *Lumen().lines(cells, plate_format, plate)]
    with pytest.raises(AssertionError, match="taken for one of softmax"):
        suite.test_its_exports_are_known_as_its_own_and_nothing_else_is()


@pytest.fixture
def installed(monkeypatch):
    def put(found) -> None:
        entry = SimpleNamespace(name="lumen", value="pkg:READER", load=lambda: found, dist=None)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == PLATE_READERS else [])
        plate_readers.cache_clear()

    yield put
    plate_readers.cache_clear()


@pytest.mark.parametrize("shape", ["tidy", "lumen"])
def test_an_export_is_read_by_the_reader_of_a_package_by_its_content_or_name(installed, tmp_path, shape):
    installed(LUMEN)
    suite, path = Lumen(), tmp_path / "export.csv"
    path.write_text("\n".join(suite.lines(suite.values(96), 96, "P1")) + "\n")
    found = read_readouts(path, ReadoutsConfig(shape=shape), 96)
    assert suite.wells(found) == suite.expected(suite.values(96))


def test_what_is_no_plate_reader_is_refused(installed):
    installed(len)
    with pytest.raises(ConfigError, match="plate reader 'lumen' is a builtin_function_or_method, no PlateReader"):
        plate_readers()
