"""Readout files as they really come: good lines are read, bad ones are named, nothing is guessed."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isd_ray.config import ReadoutsConfig
from isd_ray.errors import InputFileError
from isd_ray.plates.readers import read_readouts
from isd_ray.plates.wells import names_of


@pytest.fixture
def read(tmp_path):
    def read_file(content, name="readouts.csv", plate_format=96, config=None, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_readouts(path, ReadoutsConfig(**(config or {})), plate_format, **options)

    return read_file


def columns(found, *names):
    return [tuple(line[name] for name in names) for line in found.readings.to_pylist()]


def rejects(found):
    return {line["line"]: line["reason"] for line in found.rejects.to_pylist()}


def test_a_tidy_file_by_plate_and_well(read):
    found = read("plate,well,value,flag\nP1,a1,0.5,\nP1,A02,-1e3,clog\nP2,H12,.5,OK\n")
    assert columns(found, "line", "plate", "well", "id", "value", "flag") == [
        (2, "P1", "A01", None, 0.5, None),
        (3, "P1", "A02", None, -1000.0, "clog"),
        (4, "P2", "H12", None, 0.5, None),
    ]
    assert found.readings.schema.field("line").type == pa.int64()
    assert found.readings.schema.field("value").type == pa.float64()
    assert found.rejects.num_rows == 0


def test_a_tidy_file_by_id_where_repeated_ids_are_replicates(read):
    found = read("id,value\nc1,1\nc2,2\nc1,1\n")
    assert columns(found, "id", "plate", "well", "value") == [
        ("c1", None, None, 1),
        ("c2", None, None, 2),
        ("c1", None, None, 1),
    ]


def test_columns_by_other_names_with_any_delimiter(read):
    names = {"plate": "Barcode", "well": "Pos", "value": "Signal", "flag": "Status"}
    for delimiter in ",;\t":
        text = "Comment|Signal|Barcode|Pos|Status\nhm|3.5|P1|A1|ok\n".replace("|", delimiter)
        assert columns(read(text, config=names), "plate", "well", "value") == [("P1", "A01", 3.5)]


def test_the_delimiter_is_the_one_that_gives_the_columns(read):
    assert columns(read("id,value,remark (a; b; c; d)\nx,1,\n"), "id", "value") == [("x", 1)]


def test_classes_are_words_of_a_given_list(read):
    found = read("id,value\na,hit\nb,miss\nc,Hit\nd,\n", classes=("miss", "hit"))
    assert columns(found, "id", "value") == [("a", "hit"), ("b", "miss")]
    assert found.readings.schema.field("value").type == pa.string()
    assert rejects(found) == {4: "'Hit' is none of the classes 'miss', 'hit'", 5: "no value"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_line_ends_of_any_system(read, encoding, end):
    text = end.join(["id,value", "Müller,1", "", "x,bad", ""])
    found = read(text.encode(encoding))
    assert columns(found, "line", "id", "value") == [(2, "Müller", 1)]
    assert rejects(found) == {4: "'bad' is not a number"}


def test_line_numbers_are_true_behind_quoted_newlines(read):
    found = read('id,note,value\na,"one\ntwo\r\nthree",1\nb,"x ""y"", z",oops\nc,,3\n')
    assert columns(found, "line", "id", "value") == [(2, "a", 1), (6, "c", 3)]
    assert rejects(found) == {5: "'oops' is not a number"}


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ('b,"never closed,2', "not delimited text"),
        ('"b,x,2', "not delimited text"),
        ('b,"closed"too late,2', "not delimited text"),
        ("b,x", "2 fields instead of 3"),
        ("b,x,2,more", "4 fields instead of 3; a decimal comma, perhaps"),
    ],
)
def test_a_broken_line_costs_itself_only(read, spoilt, reason):
    found = read(f'id,note,value\na,"fine",1\n{spoilt}\nc,"fine",3\nd,fine,4\n')
    assert columns(found, "line", "id", "value") == [(2, "a", 1), (4, "c", 3), (5, "d", 4)]
    assert rejects(found).keys() == {3}
    assert rejects(found)[3].startswith(reason)


def test_bytes_of_another_encoding_spoil_their_line_where_they_matter(read):
    found = read("id,value,note\nm\xfcller,1,\nb,2,caf\xe9\n".encode("latin-1"))
    assert columns(found, "id") == [("b",)]
    assert "not UTF-8" in rejects(found)[2]


def test_what_is_no_number_is_refused_one_by_one(read):
    words = ["1_000", "0x1F", "OVER", ">65000x", "inf", "1e999", "12 %", "1.2.3", "٣", "1e", "+", "12"]
    found = read("id,value\n" + "".join(f"c{n},{word}\n" for n, word in enumerate(words)))
    assert columns(found, "id", "value") == [("c11", 12)]
    assert set(rejects(found)) == set(range(2, 13))
    assert rejects(found)[7] == "'1e999' is too large"


def test_decimal_commas_are_refused_with_a_hint(read):
    found = read("id;value\na;0,5\nb;1\nc;-12,75E3\n")
    assert columns(found, "id") == [("b",)]
    assert rejects(found)[2] == (
        "'0,5' has a decimal comma, or a thousands separator; export numbers with a decimal point and without "
        "thousands separators"
    )
    with pytest.raises(InputFileError, match=r"readouts.csv: no reading .*'0,5' has a decimal comma.*\n  Remedy"):
        read("id;value\na;0,5\nb;0,5\n")
    with pytest.raises(InputFileError, match=r"3 fields instead of 2; a decimal comma, perhaps \(2 lines from 2 on\)"):
        read("id,value\na,0,5\nb,0,5\n")


def test_a_bad_well_may_lack_a_value_and_a_good_one_may_not(read):
    found = read("plate,well,value,flag\nP1,A1,,empty\nP1,A2,NaN,\nP1,A3,NA,NA\nP1,A4,1,NA\nP1,A5,,\n,,,\n")
    assert columns(found, "well", "value", "flag") == [("A01", None, "empty"), ("A04", 1, None)]
    assert rejects(found) == {3: "no value", 4: "no value", 6: "no value"}


def test_the_list_of_a_batch_comes_back_whatever_the_library_calls_ids(read):
    config = {"id": "Substanz"}
    assert columns(read("id,smiles,value\na,CC,1\n", config=config), "id", "value") == [("a", 1)]
    assert columns(read("id,Substanz,value\na,b,1\n", config=config), "id") == [("b",)]  # the exact name wins
    # Beside plates and wells a column of that name may be anything.
    assert columns(read("id,plate,well,value\n1,P1,A1,1\n", config=config), "id", "plate") == [(None, "P1")]
    with pytest.raises(InputFileError, match="2 columns are called 'id'"):
        read("id,id,value\na,b,1\n", config=config)


def test_unknown_wells_and_missing_places(read):
    found = read("plate,well,id,value\nP1,I1,,1\nP1,,,2\n,A1,,3\n,,,4\n,A1,c5,5\nP1,A1,c6,6\n")
    assert columns(found, "plate", "well", "id") == [(None, None, "c5"), ("P1", "A01", "c6")]
    assert rejects(found) == {
        2: "'I1' is no well of a 96-well plate (A01 to H12)",
        3: "no well",
        4: "no plate",
        5: "neither an id nor a plate",
    }


def test_equal_readings_of_one_well_count_once_and_contradictions_not_at_all(read):
    found = read("plate,well,value\nP1,A1,1\nP1,A2,5\nP1,A01,1.0\nP1,A2,6\nP2,A1,2\n")
    assert columns(found, "line", "plate", "well", "value") == [(2, "P1", "A01", 1), (6, "P2", "A01", 2)]
    assert rejects(found)[4] == "repeats line 2"
    for line in (3, 5):
        assert "of well A02 of plate 'P1' (line 3: 5.0, line 5: 6.0)" in rejects(found)[line]


def test_replicates_of_a_well_stand_beside_each_other(read):
    found = read("plate,well,value,replicate\nP1,A1,1,1\nP1,A1,2,2\nP1,A1,3,2\n")
    assert columns(found, "value", "replicate") == [(1, "1")]
    assert set(rejects(found)) == {3, 4}


def test_the_latest_reading_of_a_well_counts(read):
    text = (
        "plate,well,value,timestamp\nP1,A1,1,2025-03-01T10:00:00\nP1,A1,2,2025-03-01T12:00:00+01:00\n"
        "P1,A1,3,2025-03-01T10:30:00Z\nP1,A2,4,yesterday\nP1,A3,5,\n"
    )
    found = read(text)
    assert columns(found, "well", "value") == [("A01", 2), ("A03", 5)]
    assert columns(found, "timestamp")[0] == (datetime(2025, 3, 1, 11, tzinfo=timezone.utc),)
    assert rejects(found)[2] == rejects(found)[4] == "read again later, in line 3"
    assert "ISO 8601" in rejects(found)[5]


def test_parquet_of_any_types_with_record_numbers(tmp_path):
    path = tmp_path / "readouts.parquet"
    table = pa.table(
        {
            "plate": pa.array([7, 7, 8]),
            "well": pa.array(["A1", "A2", "A1"]).dictionary_encode(),
            "value": pa.array([0.1, None, 3.0]),
            "timestamp": pa.array([datetime(2025, 3, 1, 10)] * 3, pa.timestamp("ms")),
        }
    )
    pq.write_table(table, path)
    found = read_readouts(path, ReadoutsConfig(), 96)
    assert columns(found, "line", "plate", "well", "value") == [(1, "7", "A01", 0.1), (3, "8", "A01", 3)]
    assert rejects(found) == {2: "no value"}
    path.write_text("plate,well,value\n")
    with pytest.raises(InputFileError, match="cannot be read as Parquet"):
        read_readouts(path, ReadoutsConfig(), 96)


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        ("", {}, "the file is empty"),
        (" \n\n", {}, "the file is empty"),
        ("id,result\na,1\n", {}, r"there is no column 'value'; there are 'id', 'result'\n.*readouts.value"),
        (",".join(f"c{n}" for n in range(50_000)) + "\n", {}, r"there are 'c0', .*'c19' …\n"),
        ("well,value\nA1,1\n", {}, r"neither ids nor plates and wells.*\n.*readouts.id"),
        ("id,value,value\na,1,2\n", {}, "2 columns are called 'value'"),
        ("id,value\na,1\n", {"flag": "Status"}, r"no column 'Status'.*\n.*readouts.flag"),
        ("id,value\n", {}, "no line has data"),
        ("id,value\na,x\nb,x\n", {}, r"no reading in the file can be used: 'x' is not a number \(2 lines from 2 on\)"),
    ],
)
def test_a_file_of_no_use_says_why_and_what_to_do(read, text, config, message):
    with pytest.raises(InputFileError, match=f"readouts.csv: .*{message}") as raised:
        read(text, config=config)
    assert raised.value.remedy


def test_a_missing_file(tmp_path):
    with pytest.raises(InputFileError, match=r"absent.csv: cannot be read: No such file"):
        read_readouts(tmp_path / "absent.csv", ReadoutsConfig(), 96)


CELLHTS2 = {"shape": "cellhts2"}


@pytest.mark.parametrize("header", ["", "Plate\tWell\tValue\tFlag\n"])
def test_cellhts2_style_with_and_without_header(read, header):
    n = 1 if header else 0
    found = read(header + "1\tA01\t0.5\n1\tA02\t7\tNA\n2\tA01\t0,5\n2\tA02\t9\tOK\n2\tA03\n", "x.txt", config=CELLHTS2)
    assert columns(found, "line", "plate", "well", "value", "flag") == [
        (1 + n, "1", "A01", 0.5, None),
        (2 + n, "1", "A02", 7, "NA"),
        (4 + n, "2", "A02", 9, None),
    ]
    assert "decimal comma" in rejects(found)[3 + n]
    assert "2 fields instead of plate, well, value" in rejects(found)[5 + n]


def test_a_barcode_is_for_files_that_do_not_say_it(read):
    assert columns(read("well,value\nA1,1\n", plate="P1"), "plate", "well") == [("P1", "A01")]
    assert columns(read("plate,well,value\nRun 1,A1,1\n", plate="P1"), "plate") == [("P1",)]
    found = read("plate,well,value\nP2,A1,1\n,A2,1\n", plate="P1", known_plates=["P1", "P2"])
    assert columns(found, "plate") == [("P2",), ("P1",)], "another plate that there is is not overruled"


MATRIX = {"shape": "matrix"}


@pytest.mark.parametrize("title", ["Raw Data (450)", "Luminescence", "Run 7", "Plate: Compounds 3"])
def test_a_title_is_no_barcode_and_the_given_plate_wins(read, title):
    found = read(f"{title}\n" + block(letters=True, header=True), config=MATRIX, plate="P1", known_plates=["P1", "P2"])
    assert set(columns(found, "plate")) == {("P1",)}
    with pytest.raises(InputFileError, match="the file says plate 'P2', the call says 'P1'"):
        read("P2\n" + block(), config=MATRIX, plate="P1", known_plates=["P1", "P2"])


def block(start=0.0, rows=8, width=12, letters=False, header=False, delimiter=",", corner=""):
    lines = []
    if header:
        lines.append(delimiter.join([*([corner] if letters else []), *map(str, range(1, width + 1))]))
    for row in range(rows):
        cells = [repr(start + row * width + column) for column in range(width)]
        lines.append(delimiter.join([*([names_of(1536)[row * 48][:-2]] if letters else []), *cells]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("plate_format", "rows", "width"), [(96, 8, 12), (384, 16, 24), (1536, 32, 48)])
@pytest.mark.parametrize("letters", [False, True])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_plates_as_they_lie_on_the_table(read, plate_format, rows, width, letters, header, delimiter):
    text = block(0.5, rows, width, letters, header, delimiter)
    found = read(text, plate_format=plate_format, config=MATRIX, plate="P1")
    names = names_of(plate_format)
    assert columns(found, "plate", "well", "value") == [("P1", names[n], n + 0.5) for n in range(plate_format)]
    assert found.readings["line"][width].as_py() == (3 if header else 2)
    assert not rejects(found)


@pytest.mark.parametrize("title", ["{}", "Plate: {}", "plate,{}", "Barcode,{},,,,,,,,,,", "{},,,,,,,,,,,", "{},,"])
@pytest.mark.parametrize("letters", [False, True])
@pytest.mark.parametrize("gap", ["", "\n", ",,,,,,,,,,,\n"])
def test_several_blocks_below_their_barcodes(read, title, letters, gap):
    text = "".join(
        f"{title.format(name)}\n{block(start, letters=letters)}{gap}" for name, start in (("P1", 0), ("P2", 100))
    )
    found = read(text, config=MATRIX)
    values = dict(zip(columns(found, "plate", "well"), found.readings["value"].to_pylist(), strict=True))
    assert len(values) == 192
    assert (values["P1", "B01"], values["P2", "H12"]) == (12, 195)
    assert not rejects(found)


def test_a_barcode_in_the_corner(read):
    text = block(0, letters=True, header=True, corner="P1") + block(100, letters=True, header=True, corner="P2")
    found = read(text, config=MATRIX)
    assert columns(found, "plate", "well", "value")[96] == ("P2", "A01", 100)
    assert read(block(letters=True, header=True, corner="<>"), config=MATRIX, plate="P9").readings.num_rows == 96


def test_a_spacer_below_a_barcode_is_no_row(read):
    found = read("P1,,,,,,,,,,,\n,,,,,,,,,,,\n" + block(), config=MATRIX)
    assert found.readings["value"].to_pylist() == list(range(96))


def test_classes_that_look_like_row_letters(read):
    text = "P1\n" + ",".join("AB" * 6) + "\n" + ",".join("B" * 12) + "\n"
    found = read(text + (",".join("A" * 12) + "\n") * 6, config=MATRIX, classes=("A", "B"))
    assert found.readings["value"].to_pylist() == ["A", "B"] * 6 + ["B"] * 12 + ["A"] * 72


@pytest.mark.parametrize("letters", [False, True])
def test_empty_cells_and_rows_are_no_readings(read, letters):
    rows = [(["A"] if letters else []) + ["5", *[""] * 11]]
    rows += [([letter] if letters else []) + [""] * 12 for letter in "BCDEFG"]
    rows += [(["H"] if letters else []) + [*[""] * 10, "NaN", "7"]]
    found = read("P1\n" + "\n".join(",".join(row) for row in rows) + "\n", config=MATRIX)
    assert columns(found, "well", "value") == [("A01", 5), ("H12", 7)]
    assert not rejects(found)


def test_a_bad_cell_costs_itself_only(read):
    lines = block(letters=True).splitlines()
    lines[2] = lines[2].replace("24.0", "OVER")
    lines[4] = "E,1,2,3"
    found = read("P1\n" + "\n".join(lines), config=MATRIX)
    assert found.readings.num_rows == 96 - 12
    assert [bad for bad in columns(found, "line", "well", "value", "flag") if bad[3]] == [
        (4, "C01", None, "unreadable: 'OVER' is not a number")
    ]
    assert rejects(found) == {6: "3 columns instead of 12; see plates.format"}


def test_a_block_without_a_barcode_spoils_no_other(read):
    found = read(block(header=True) + block(100, header=True), config=MATRIX, plate="P1")
    assert set(columns(found, "plate")) == {("P1",)}
    assert found.readings["value"].to_pylist() == list(range(96))
    assert set(rejects(found)) == set(range(11, 19))
    assert "no barcode above the block" in rejects(found)[11]


def test_remarks_of_an_instrument_are_no_barcodes(read):
    found = read("Date: 2025-03-01\nGain,80\nPlate: P1\n" + block() + "Temperature: 25.1,,,,,,,,,,,\n", config=MATRIX)
    assert set(columns(found, "plate")) == {("P1",)}
    assert found.readings.num_rows == 96
    assert rejects(found) == dict.fromkeys((1, 2, 12), "neither a barcode nor a row of a plate")


@pytest.mark.parametrize("title", ["Run5,,,,,,,,,,,\nP1,,,,,,,,,,,\n", "P1\n1.5,2,,,,,,,,,,\n"])
def test_a_line_too_many_shifts_no_row_of_a_plate_without_letters(read, title):
    good = "P2\n" + block(100)
    found = read(title + block() + good, config=MATRIX)
    assert set(columns(found, "plate")) == {("P2",)}
    assert "a block of 9 rows without letters instead of 8" in rejects(found)[5]


@pytest.mark.parametrize(
    ("text", "plate", "message"),
    [
        (block(rows=16, width=24), "P1", "24 columns instead of 12"),
        (block(rows=7), "P1", r"a block of 7 rows without letters instead of 8 \(96 wells\)"),
        (block(), None, "no barcode above the block; give the plate"),
        (block(delimiter=";").replace(".", ","), "P1", "has a decimal comma"),
    ],
)
def test_a_matrix_of_no_use_says_why(read, text, plate, message):
    with pytest.raises(InputFileError, match=message):
        read(text, config=MATRIX, plate=plate)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='0123456789.,;\t"\n\rAPae-', max_size=200), st.sampled_from(["tidy", "cellhts2", "matrix"]))
def test_no_text_however_odd_breaks_a_reader(tmp_path_factory, text, shape):
    path = tmp_path_factory.getbasetemp() / "odd.csv"
    path.write_text("id,value\n" + text if shape == "tidy" else text, newline="")
    try:
        found = read_readouts(path, ReadoutsConfig(shape=shape), 96)
    except InputFileError:
        return
    lines = [*found.readings["line"].to_pylist(), *found.rejects["line"].to_pylist()]
    assert 1 <= min(lines) <= max(lines) <= 2 + len(text)
    assert np.isfinite(found.readings["value"].drop_null().to_numpy()).all()


FLIPS = """
import sys
from pathlib import Path
from isd_ray.config import ReadoutsConfig
from isd_ray.errors import InputFileError
from isd_ray.plates.readers import read_readouts
path = Path(sys.argv[1])
whole = path.read_bytes()
n_read = n_refused = 0
for at in range(len(whole) - int.from_bytes(whole[-8:-4], "little") - 8, len(whole)):
    damaged = bytearray(whole)
    damaged[at] ^= 1 << at % 8
    path.write_bytes(damaged)
    try:
        read_readouts(path, ReadoutsConfig(), 96)
        n_read += 1
    except InputFileError:
        n_refused += 1
print(n_read, n_refused)
"""


def test_no_damage_to_what_a_parquet_file_says_of_itself_ends_the_process(tmp_path):
    """In a process of its own, as Parquet's readers end it where they are asked for columns that are damaged."""
    wells = {"plate": ["P1"] * 3, "well": ["A01", "A02", None], "value": [1.0, 2.0, None], "id": [None, "x", "y"]}
    pq.write_table(pa.table(wells), tmp_path / "a.parquet")
    command = [sys.executable, "-c", FLIPS, str(tmp_path / "a.parquet")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    n_read, n_refused = map(int, found.stdout.split())
    assert n_read > 100
    assert n_refused > 100
