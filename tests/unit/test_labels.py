"""Labels land on their rows; what cannot be a label is said with its line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isd_ray.campaign.oracle import LookupOracle
from isd_ray.config import LabelsConfig, LibraryConfig, SplitConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.data.labels import LabelRule, labels_for, read_labels
from isd_ray.data.split import split_library
from isd_ray.errors import InputFileError, LabelError

SMILES = ["CCO", "CCN", "OCC", "CCS", "CCF", "CCCl"]  # the third repeats the first
IDS = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    lines = [f"{s},{i},{number}" for number, (s, i) in enumerate(zip(SMILES, IDS, strict=True))]
    (folder / "x.csv").write_text("\n".join(["smiles,name,number", *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def config():
    return LibraryConfig(source="x.csv", id_column="name", columns=("number",), features="ecfp4", workers=1)


@pytest.fixture(scope="module")
def library(base, config):
    return build_library(config, base / "library", base_dir=base)


@pytest.fixture
def label(base, config, library, tmp_path):
    """Labels from a file of its own: id -> text of the label."""

    def read(values, task="classification", ids=IDS, *, allow_missing=False, **options):
        lines = [f"{i},{value}" for i, value in zip(ids, values, strict=True)]
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(["name,y", *lines]) + "\n")
        table = read_labels(LabelsConfig(column="y", source=str(path), **options), config, base)
        return labels_for(table, library, task, allow_missing=allow_missing)

    return read


def test_labels_follow_ids_not_the_order_of_the_file(label):
    labels = label([5.5, 4, 3, 1, 0.25, -1], "regression", ids=["f", "e", "d", "b", "a", "z"])
    assert labels.labels.tolist() == labels.values.tolist() == [0.25, 1, 3, 4, 5.5]
    assert labels.classes == ()
    assert labels.n_unused == 1


def test_the_librarys_own_source_is_the_default(base, config, library):
    labels = labels_for(read_labels(LabelsConfig(column="number"), config, base), library, "regression")
    assert labels.labels.tolist() == [0, 1, 3, 4, 5]
    assert labels.n_unused == 1  # the merged duplicate


@pytest.mark.parametrize(
    ("first", "third", "options", "expected"),
    [
        ("x", "y", {}, 1),
        ("x", "x", {}, 0),
        ("x", "", {}, 0),  # nothing is known of it
        (1, 3, {"transform": "threshold", "threshold": 2.0}, 1),
        (3, 4, {"transform": "threshold", "threshold": 2.0}, 0),
    ],
)
def test_merged_duplicates_of_another_class_are_counted(label, first, third, options, expected):
    others = ["x", "y", "x", "y"] if isinstance(first, str) else [1, 3, 1, 3]
    values = [first, others[0], third, *others[1:]]
    assert label(values, **options).n_contradicting == expected


def test_words_are_classes_in_sorted_or_in_configured_order(label):
    words = ["x", "y", "z", "x", "y", "x"]
    labels = label(words)
    assert labels.classes == ("x", "y", "z")
    assert labels.labels.tolist() == [0, 1, 0, 1, 0]
    assert labels.labels.dtype == np.int64
    assert np.isnan(labels.values).all()
    assert label(words, classes=["y", "x", "z"]).labels.tolist() == [1, 0, 1, 0, 1]


def test_numeric_classes_are_in_numeric_order(label):
    labels = label(["10", "9", "2", "2.0", "9", "10"])
    assert labels.classes == ("2", "9", "10")
    assert labels.labels.tolist() == [2, 1, 0, 1, 2]
    assert labels.values.tolist() == [10, 9, 2, 9, 10]
    assert label(["1", "0", "0", "1", "1", "0"], classes=["1", "0"]).labels.tolist() == [0, 1, 0, 0, 1]


def test_a_label_is_class_1_only_above_the_median_of_all_or_of_the_target(label):
    values = [1, 2, 100, 3, 4, 5]
    everything = label(values, transform="median")
    assert everything.cut == 3.5  # the merged compound's 100 counts: it has a label
    target = label(values, transform="median", median_rows="target")
    assert target.cut == 3
    assert target.classes == ("0", "1")
    assert target.labels.tolist() == [0, 0, 0, 1, 1]
    assert label(values, transform="threshold", threshold=4.0).labels.tolist() == [0, 0, 0, 0, 1]


def test_held_out_sets_keep_the_cut_and_classes_of_the_target(base, config, tmp_path):
    library = build_library(config, tmp_path / "library", base_dir=base)
    split = SplitConfig(column="number", target=[0, 1, 3], validation=4, test=5)
    parts = split_library(library, split, tmp_path / "split")
    options = LabelsConfig(column="number", transform="median", median_rows="target")
    table = read_labels(options, config, base)
    target = labels_for(table, parts["target"], "classification")
    test = labels_for(table, parts["test"], "classification", rule=target.rule)
    assert (target.cut, test.cut) == (1, 1)
    assert test.labels.tolist() == [1]
    words = read_labels(LabelsConfig(column="name"), config, base)
    rule = labels_for(words, parts["target"], "classification").rule
    assert labels_for(words, parts["test"], "classification", rule=rule).labels.tolist() == [5]


def test_missing_labels_are_errors_with_examples_unless_allowed(label):
    with pytest.raises(LabelError, match=r"2 labels .* line 3 \(id 'b'\): None; line 6 \(id 'e'\)"):
        label([1, "", 1, 0, "NaN", 1])
    allowed = label([1, "", 1, 0, "NaN", 1], allow_missing=True)
    assert allowed.labels.tolist() == [1, -1, 0, -1, 1]
    with pytest.raises(LabelError, match="2 compounds of the library have no label: ids 'b', 'e'"):
        label([1, 0, 1, 1], ids=["a", "d", "f", "z"])
    assert np.isnan(label([1, 0, 1], "regression", ids=["a", "d", "f"], allow_missing=True).labels[1])


def test_an_empty_label_of_a_compound_that_was_merged_away_does_not_matter(label):
    assert label([1, 0, "", 1, 0, 1]).labels.tolist() == [1, 0, 1, 0, 1]


def test_an_id_may_be_repeated_but_not_contradicted(label):
    ids = [*IDS, "a"]
    assert label([1, 0, 0, 1, 0, 1, 1], ids=ids).labels.tolist() == [1, 0, 1, 0, 1]
    assert label(["", 0, 0, 1, 0, 1, 1], ids=ids).labels.tolist() == [1, 0, 1, 0, 1]
    with pytest.raises(LabelError, match=r"'a' is 1.0 in line 2 and 0.0 in line 8"):
        label([1, 0, 0, 1, 0, 1, 0], ids=ids)


def test_ids_that_never_match_show_both_sides(label):
    with pytest.raises(LabelError, match=r"'a', 'b', 'd' …, here '1', '2', '3'"):
        label([1, 0, 1], ids=["1", "2", "3"])


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, 1, 1, 1, 1, 1], {}, "only one class"),
        (["x"] * 6, {}, "only one class"),
        ([1, 2, 3, 4, 5, 6], {"transform": "threshold", "threshold": 9.0}, "from 1.0 to 6.0"),
        ([2, 2, 2, 2, 2, 2], {"transform": "median"}, "only one class"),
        ([1, 0.5, 1, 0, 1, 0], {}, r"line 3 \(id 'b'\): 0.5[\s\S]*transform = \"median\""),
        (["x", "y", "x", "w", "x", "y"], {"classes": ["x", "y"]}, r"line 5 \(id 'd'\): 'w'"),
        ([0, 1, 1, 2, 0, 1], {"classes": ["0", "1"]}, r"line 5 \(id 'd'\): 2.0"),
        (["x", "1", "2", "3", "4", "5"], {"transform": "median"}, r"not numbers: line 2 \(id 'a'\): 'x'"),
        (["", "", "", "", "", ""], {}, "holds no label"),
    ],
)
def test_what_cannot_be_classes_is_refused_with_lines_and_remedy(label, values, options, message):
    with pytest.raises(LabelError, match=message) as caught:
        label(values, **options)
    assert caught.value.remedy


def test_a_regression_needs_finite_numbers(label):
    with pytest.raises(LabelError, match=r"not numbers: line 4 \(id 'c'\): '3 nM'"):
        label([1, 2, "3 nM", 4, 5, 6], "regression")
    with pytest.raises(LabelError, match=r"line 4 \(id 'c'\): '>3 nM'\n.*the number alone behind its mark"):
        label([1, 2, ">3 nM", 4, 5, 6], "regression")
    with pytest.raises(LabelError, match=r"not numbers: .*'2,5'\n.*a decimal point instead of a comma"):
        label(["1", '"2,5"', "3", "4", "5", "6"], "regression")
    with pytest.raises(LabelError, match=r"infinite labels: line 2"):
        label(["inf", 2, 3, 4, 5, 6], "regression")


def test_columns_that_are_not_there_name_the_closest(base, config):
    with pytest.raises(LabelError, match="did you mean 'number'"):
        read_labels(LabelsConfig(column="numbers"), config, base)
    with pytest.raises(InputFileError, match=r"labels.id_column = 'nam'[\s\S]*did you mean 'name'"):
        read_labels(LabelsConfig(column="number", id_column="nam"), config, base)


def test_more_than_a_thousand_classes_are_a_regression_by_mistake(base, config, library, tmp_path):
    ids = IDS + [f"z{i}" for i in range(1500)]
    pq.write_table(pa.table({"name": ids, "y": np.arange(len(ids), dtype=np.int16)}), tmp_path / "y.parquet")
    table = read_labels(LabelsConfig(column="y", source=str(tmp_path / "y.parquet")), config, base)
    with pytest.raises(LabelError, match="1506 distinct"):
        labels_for(table, library, "classification")
    assert labels_for(table, library, "regression").n_unused == 1501


def test_record_numbers_are_ids_where_there_is_no_id_column(base, tmp_path):
    config = LibraryConfig(source="x.csv", features="ecfp4", workers=1)
    library = build_library(config, tmp_path / "library", base_dir=base)
    labels = labels_for(read_labels(LabelsConfig(column="number"), config, base), library, "regression")
    assert labels.labels.tolist() == [0, 1, 3, 4, 5]


CUT = {"transform": "threshold", "threshold": 10.0}
MARKS = {">": (1, None), ">=": (1, None), "<": (None, 0), "<=": (None, 0), "~": (None, None), "=": (1, 0)}
"""Classes by the cut of a bound whose number is above it, and of one below."""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    words=st.lists(
        st.tuples(st.sampled_from(sorted(MARKS)), st.sampled_from(["", " "]), st.sampled_from([0.25, 9.5, 10.5, 1e3])),
        min_size=6,
        max_size=6,
    )
)
def test_bounds_decide_classes_where_the_cut_allows_it_and_are_refused_elsewhere(label, words):
    texts = [f"{mark}{blank}{number:g}" for mark, blank, number in words]
    meant = [MARKS[mark][0 if number > 10 else 1] for mark, _, number in words]
    of_library = [meant[place] for place in (0, 1, 3, 4, 5)]  # the third compound is merged
    known = {side for side in meant if side is not None}
    if None in of_library:
        with pytest.raises(LabelError, match=r"bounds, and the cut at 10 does not decide their class|only one class"):
            label(texts, **CUT)
    elif None not in meant and len(known) == 1:
        with pytest.raises(LabelError, match="only one class"):
            label(texts, **CUT)
    else:
        assert label(texts, **CUT).labels.tolist() == of_library
    by_number = [int(number > 10) for _, _, number in words]
    if len(set(by_number)) == 2:
        taken = label(texts, censored="bound", **CUT).labels.tolist()
        assert taken == [by_number[place] for place in (0, 1, 3, 4, 5)]


def test_a_bound_is_kept_as_it_came(label):
    labels = label(["5", "> 50", "1", "<0.01", "20", ">=10.5"], **CUT)
    assert labels.labels.tolist() == [0, 1, 0, 1, 1]
    assert labels.censored == {1: "> 50", 2: "<0.01", 4: ">=10.5"}
    np.testing.assert_array_equal(labels.values, [5, np.nan, np.nan, 20, np.nan])
    wells = LookupOracle(labels).measure(0, np.array([4, 0, 2])).wells
    assert wells["qc"].to_pylist() == [">=10.5", None, "<0.01"]


@pytest.mark.parametrize(("values", "cut"), [(["<1", 2, 3, 4, 5, ">6"], 3.5), ([">2", 2, 3, 4, 5, 6], None)])
def test_a_median_is_one_wherever_the_bounds_lie_or_is_refused(label, values, cut):
    if cut is None:
        with pytest.raises(LabelError, match=r"the median may be anything from 3.5 to 4.5: line 2 \(id 'a'\): '>2'"):
            label(values, transform="median")
        assert label(values, transform="median", censored="bound").cut == 3.5
    else:
        assert label(values, transform="median").cut == cut


def test_a_regression_takes_bounds_for_numbers_only_if_told_to(label):
    values = [1, ">2", 3, 4, 5, 6]
    with pytest.raises(LabelError, match=r"1 labels .* a regression needs numbers: line 3 \(id 'b'\): '>2'"):
        label(values, "regression")
    labels = label(values, "regression", censored="bound")
    assert labels.labels.tolist() == [1, 2, 4, 5, 6]
    assert labels.censored == {1: ">2"}


def test_bounds_of_a_set_with_a_rule_of_another_decide_too(base, config, library, tmp_path):
    """A held-out set or an amendment, whose classes are settled: a word never counts as below the cut."""
    rule = LabelRule("classification", ("0", "1"), 10.0)
    for text, found in ((">50", 1), ("<5", 0), ("OVRFLW", None), (">5", None)):
        path = tmp_path / "y.csv"
        path.write_text(f"name,y\na,{text}\nb,3\n")
        table = read_labels(LabelsConfig(column="y", source=str(path), **CUT), config, base)
        if found is None:
            with pytest.raises(LabelError, match=r"line 2 \(id 'a'\)"):
                labels_for(table, library, "classification", rule=rule, allow_missing=True)
        else:
            labels = labels_for(table, library, "classification", rule=rule, allow_missing=True)
            assert labels.labels.tolist() == [found, 0, -1, -1, -1]


def test_catalogue_numbers_are_no_numbers_beside_bounds(label):
    with pytest.raises(LabelError, match=r"not numbers: .*'0071'"):
        label(["0071", ">20", 3, 4, 5, 6], **CUT)
