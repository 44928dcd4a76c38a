"""Labels of a panel: every entry on its row and output, missing ones kept, and errors that say what to do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.config import LabelsConfig, LibraryConfig
from isd_ray.core.panels import MISSING, pack_labels, unpack_labels
from isd_ray.data import panel_labels
from isd_ray.data.ingest.build import build_library
from isd_ray.data.panel_file import write_panel_labels
from isd_ray.data.panel_labels import read_panel
from isd_ray.errors import ConfigError, LabelError

IDS = ["a", "b", "c", "d"]
COLUMNS = {"NR-1": [0, 1, None, 1], "NR-2": [1, None, 0, 0], "SR-1": [None, 1, 0, None], "dose": [5.0, 1.0, None, 9.0]}


@pytest.fixture(scope="module")
def config():
    return LibraryConfig(source="x.csv", id_column="name", features="ecfp4", workers=1)


@pytest.fixture(scope="module")
def library(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("library")
    (folder / "x.csv").write_text("smiles,name\nCCO,a\nCCN,b\nCCS,c\nCCF,d\n")
    return build_library(config, folder / "library", base_dir=folder)


@pytest.fixture
def read(tmp_path, config, library):
    """Labels by the columns of a file that lists the compounds backwards, with one more in front."""

    def read(patterns, columns=COLUMNS, rule=None, first=1, **options):
        turned = {name: [first, *values[::-1]] for name, values in columns.items()}
        path = tmp_path / "y.csv"
        pa.csv.write_csv(pa.table({"name": ["stranger", *IDS[::-1]], "smiles": ["C"] * 5, **turned}), path)
        settings = LabelsConfig(columns=patterns, source=str(path), **options)
        return read_panel(settings, config, tmp_path, library, rule)

    return read


def test_entries_follow_ids_and_missing_ones_are_kept(read):
    labels = read(["NR-*", "SR-1"])
    assert labels.rule.outputs == ("NR-1", "NR-2", "SR-1")
    assert labels.classes == ("0", "1")
    assert labels.n_unused == 1
    expected = [[0, 1, -1], [1, -1, 1], [-1, 0, 0], [1, 0, -1]]
    assert unpack_labels(labels.labels, 3).tolist() == expected


def test_wildcards_leave_out_names_and_the_columns_of_ids_and_structures(read):
    assert read(["SR-1", "*", "!dose", "!NR-2"]).rule.outputs == ("SR-1", "NR-1")


def test_each_output_is_cut_by_its_own_median_and_others_by_the_same_rule(read):
    columns = {"u": [1, 2, 3, None], "v": [10, None, 30, 20]}
    labels = read(["u", "v"], columns, transform="median", median_rows="target")
    assert labels.rule.cuts == (2.0, 20.0)
    assert unpack_labels(labels.labels, 2).tolist() == [[0, 0], [0, -1], [1, 1], [-1, 0]]
    again = read(["v"], {"u": [3, 3, 3, 3], "v": [19, 21, 21, 21]}, rule=labels.rule, transform="median")
    assert unpack_labels(again.labels, 2).tolist() == [[1, 0], [1, 1], [1, 1], [1, 1]]
    fixed = read(["u", "v"], columns, transform="threshold", threshold=2.5)
    assert unpack_labels(fixed.labels, 2).tolist() == [[0, 1], [0, -1], [1, 1], [-1, 1]]


def test_two_words_are_classes_where_they_are_named(read):
    columns = {"u": ["on", "off", None, "on"], "v": ["off", "off", "on", "NA"]}
    with pytest.raises(LabelError, match="column 'u' are none of the classes '0', '1'"):
        read(["u", "v"], columns, first="on")
    labels = read(["u", "v"], columns, first="on", classes=("off", "on"))
    assert unpack_labels(labels.labels, 2).tolist() == [[1, 0], [0, 0], [-1, 1], [1, -1]]


def test_many_columns_land_in_their_bytes_and_repeated_ids_on_their_rows(tmp_path, config, library):
    """More columns than are read at a time; the second line of an id fills what the first left open."""
    matrix = np.random.default_rng(0).integers(-1, 2, (4, 37))
    matrix[:, 0], matrix[0, :], matrix[1, :] = 1, 1, 0
    columns = {f"y{j:02d}": pa.array([None if v < 0 else v for v in matrix[:, j].tolist()]) for j in range(37)}
    first = pa.table({"name": IDS, **columns})
    empty = first.slice(2, 1)
    filled = pa.table({"name": ["c"], **{name: pa.array([1]) for name in columns}})
    holes = pa.table(
        {
            name: column if name in ("name", "y00") else pa.nulls(1, column.type)
            for name, column in zip(empty.column_names, empty.columns, strict=True)
        }
    )
    path = tmp_path / "y.parquet"
    pq.write_table(pa.concat_tables([first.slice(0, 2), holes, first.slice(3), filled]), path)
    assert panel_labels._COLUMNS_AT_ONCE < 37
    labels = read_panel(LabelsConfig(columns=("y*",), source=str(path)), config, tmp_path, library)
    matrix[2] = 1
    assert np.array_equal(unpack_labels(labels.labels, 37), matrix)


def test_held_out_compounds_are_cut_as_the_target_set_was_in_every_group_of_columns(tmp_path, config, library):
    path, n = tmp_path / "y.csv", 20
    pa.csv.write_csv(pa.table({"name": IDS, **{f"y{j:02d}": [j, j + 1, j + 2, j + 3] for j in range(n)}}), path)
    settings = LabelsConfig(columns=("y*",), source=str(path), transform="median")
    rule = read_panel(settings, config, tmp_path, library).rule
    assert rule.cuts == tuple(j + 1.5 for j in range(n))
    pa.csv.write_csv(pa.table({"name": IDS, **{f"y{j:02d}": [j, j, j, j + 2] for j in range(n)}}), path)
    labels = read_panel(settings, config, tmp_path, library, rule)
    assert unpack_labels(labels.labels, n).tolist() == [[0] * n] * 3 + [[1] * n]


@pytest.mark.parametrize(
    ("patterns", "columns", "message"),
    [
        (["XR-*"], COLUMNS, r"no column is called or matches 'XR-\*'(?s:.*)correct the pattern"),
        (["NR-1", "!NR-*"], COLUMNS, "leaves no column"),
        (["dose"], COLUMNS, r"labels in column 'dose' are none of the classes '0', '1'"),
        (["u"], {"u": [0, 1, None, 2]}, r"1 labels in column 'u' are none of the classes '0', '1'"),
        (["u"], {"u": [1, 1, None, 1]}, r"every label in column 'u' is '1'"),
        (
            ["u", "v"],
            {"u": [0, 1, None, 1], "v": [0, 1, None, 1]},
            r"1 compounds .* no readout of any of the 2 outputs: ids 'c'",
        ),
    ],
)
def test_what_cannot_be_a_panel_is_said(patterns, columns, message, read):
    with pytest.raises(LabelError, match=message):
        read(patterns, columns)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"column": "bbb"}}, "takes its labels from `labels.columns`"),
        ({"labels": {"columns": []}}, "takes its labels from `labels.columns`"),
        ({"task": "classification"}, "takes its labels from `labels.column`"),
        ({"task": "classification", "labels": {"column": "bbb"}}, "no `labels.columns`"),
        ({"labels": {"classes": ["a", "b", "c"]}}, "two classes"),
        ({"stopping": {"quantity": "precision"}}, "not for 'panel'; claim accuracy or recall"),
        ({"stopping": {"repeatability": 0.9}}, "is of a single label"),
        ({"stopping": {"tolerance": 0.5}}, "is for task='regression'"),
        ({"stopping": {"quantity": "mae", "max_loss": 0.1, "loss_clip": 1.0}}, "is of numbers, and outputs are of two"),
    ],
)
def test_a_configuration_that_does_not_fit_a_panel_is_refused(changes, message, make_config, panel):
    merged = {
        key: {**panel.get(key, {}), **value} if isinstance(value, dict) else value for key, value in changes.items()
    }
    with pytest.raises(ConfigError, match=message):
        make_config(**{**panel, **merged})


@pytest.fixture
def packed(tmp_path, config, library):
    """Labels of a file of packed bits: 19 outputs of the compounds backwards, with a stranger in front."""
    matrix = np.random.default_rng(3).integers(-1, 2, (4, 19)).astype(np.int8)
    matrix[0], matrix[1], matrix[2, 5] = 0, 1, MISSING

    def read(patterns=("*",), ids=("stranger", *IDS[::-1]), matrix=matrix, rule=None, **options):
        outputs = [f"y{place:02d}" for place in range(19)]
        lines = np.concatenate([np.ones((1, 19), np.int8), matrix[::-1]])
        write_panel_labels(tmp_path / "p.parquet", pa.array(ids), pack_labels(lines), outputs, ("off", "on"))
        settings = LabelsConfig(columns=patterns, source="p.parquet", id_column="id", **options)
        return read_panel(settings, config, tmp_path, library, rule)

    return matrix, read


def test_packed_labels_follow_ids(packed):
    matrix, read = packed
    labels = read()
    assert labels.classes == ("off", "on")
    assert labels.n_unused == 1
    assert np.array_equal(unpack_labels(labels.labels, 19), matrix)


def test_outputs_of_packed_labels_are_chosen_and_ordered_by_patterns(packed):
    matrix, read = packed
    labels = read(("y1*", "y03", "!y12"))
    places = [10, 11, 13, 14, 15, 16, 17, 18, 3]
    assert labels.rule.outputs == tuple(f"y{place:02d}" for place in places)
    assert np.array_equal(unpack_labels(labels.labels, 9), matrix[:, places])
    assert np.array_equal(unpack_labels(read(("*",), rule=labels.rule).labels, 9), matrix[:, places])


def test_an_output_without_both_classes_is_refused_in_the_target_set_only(packed):
    matrix, read = packed
    constant = matrix.copy()
    constant[:, 7], constant[2, 7] = 1, MISSING
    rule = read().rule
    with pytest.raises(LabelError, match=r"1 of 19 outputs have only one class or no entry: 'y07'(?s:.*)\"!y07\""):
        read(matrix=constant)
    assert np.array_equal(unpack_labels(read(matrix=constant, rule=rule).labels, 19), constant)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patterns": ("z*",)}, r"no column is called or matches 'z\*'; there are 'y00'"),
        ({"transform": "median"}, "packed labels are the classes 'off', 'on' and take no others, nor a cut"),
        ({"classes": ("a", "b")}, "take no others"),
        ({"ids": ("a", "d", "c", "b", "a")}, "1 of 5 lines have no id of their own"),
        ({"ids": ("v", "w", "x", "y", "z")}, "no label belongs to a compound"),
        ({"matrix": np.full((4, 19), MISSING, np.int8)}, "4 compounds of the library have no readout of any"),
    ],
)
def test_what_is_wrong_with_packed_labels_is_said(options, message, packed):
    with pytest.raises(LabelError, match=message):
        packed[1](**options)


def test_bounds_decide_entries_where_the_cut_allows_it(read):
    columns = {"a": [">50", "<5", None, "20"], "b": ["1", "2", "30", ">5"]}
    cut = {"transform": "threshold", "threshold": 10.0}
    with pytest.raises(LabelError, match=r"'b' are bounds, and the cut at 10 .* \(id 'd'\): '>5'"):
        read(["a", "b"], columns, first="3", **cut)
    columns["b"][3] = ">50"
    assert unpack_labels(read(["a", "b"], columns, first="3", **cut).labels, 2).tolist() == [
        [1, 0],
        [0, 0],
        [-1, 1],
        [1, 1],
    ]
