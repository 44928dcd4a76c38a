"""What a cell says: numbers, bounds, nothing, words of instruments, flags; found in time that grows with its length."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isd_ray.core.censored import interval, mark_of
from isd_ray.plates.cells import (
    BAD_FLAGS,
    GOOD_FLAGS,
    NO_VALUE,
    UnreadableError,
    flag_is_bad,
    parse_cell,
)

NUMBERS = st.floats(-1e300, 1e300)
NONE = frozenset()


@given(NUMBERS)
def test_a_number_is_what_was_written(number):
    assert parse_cell(repr(number)).number == number
    assert parse_cell(repr(number)).mark is None


@given(
    NUMBERS,
    st.sampled_from([(">", ">"), (">=", ">="), ("≥", ">="), ("<", "<"), ("≤", "<="), ("~", "~"), ("≈", "~")]),
    st.sampled_from(["", " ", "  "]),
)
def test_a_bound_keeps_its_mark_and_holds_what_it_says(number, mark, blank):
    text, meant = f"{mark[0]}{blank}{number!r}", mark[1]
    cell = parse_cell(text)
    assert (cell.number, cell.mark, mark_of(text)) == (number, meant, meant)
    low, high = interval(number, meant)
    assert (low <= number <= high) == (meant in (">=", "<=", "~"))
    assert math.isinf(high) == (meant in (">", ">=", "~")) or high == number
    assert low < high


@pytest.mark.parametrize(
    "word",
    ["OVRFLW", "OVER", "#DIV/0!", "****", "?", "-", "Overflow", "ERROR", "sat", "inf", ">", "> x", "5.2*", "5.2 (sat)"],
)
def test_words_of_instruments_are_no_numbers(word):
    with pytest.raises(UnreadableError, match="is not a number"):
        parse_cell(word)


@pytest.mark.parametrize("text", ["1,5", "10,000", "1.000,5", "1,234.5", ">1,5", "1 000,5", ",5"])
def test_a_comma_is_another_notation_of_a_whole_file_not_a_lost_well(text):
    with pytest.raises(ValueError, match="decimal comma, or a thousands separator") as caught:
        parse_cell(text)
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize(
    "text",
    [
        "12 nM",
        "> 10 µM",
        "45%",
        "45 % inh.",
        "1e5 RLU",
        "\u22125.2",
        "- 5",
        "1 234",
        "1'234.5",
        "1\u00a0234",
        "1.234.567",
    ],
)
def test_a_number_with_a_unit_or_in_another_notation_is_not_a_lost_well(text):
    with pytest.raises(ValueError, match="no plain number; export numbers alone") as caught:
        parse_cell(text)
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("word", sorted(NO_VALUE))
def test_no_value_is_none(word):
    assert parse_cell(word) is parse_cell(word.upper()) is None


@pytest.mark.parametrize("word", [*sorted(GOOD_FLAGS), "No", "FALSE", "0", "0.0", "0.00", "-0", " OK "])
def test_flags_that_say_nothing_is_wrong(word):
    assert not flag_is_bad(word, NONE, NONE)


@pytest.mark.parametrize(
    "word",
    [
        *sorted(BAD_FLAGS),
        "Yes",
        "TRUE",
        "1",
        "1.0",
        "air bubble",
        "Clogged tip",
        "low volume!",
        "MS2_EXCLUDED",
        "Outlier",
    ],
)
def test_flags_that_mark_a_bad_well(word):
    assert flag_is_bad(word, NONE, NONE)


@pytest.mark.parametrize("word", ["no errors", "not flagged", "No bubbles, no dust", "0 errors", "pass (no flags)"])
def test_a_remark_that_denies_what_marks_a_bad_well_takes_none_out_until_it_is_named(word):
    with pytest.raises(ValueError, match=r"readouts\.good_flags or readouts\.bad_flags"):
        flag_is_bad(word, NONE, NONE)


@pytest.mark.parametrize("word", ["no signal", "not dispensed", "no errors but a bubble", "dust; no bubbles"])
def test_a_remark_marks_a_bad_well_by_what_it_does_not_deny(word):
    assert flag_is_bad(word, NONE, NONE)


@given(st.text(alphabet="bcghkqz", min_size=3, max_size=12))
def test_a_flag_that_nobody_knows_is_refused_with_the_word_until_it_is_named(word):
    if word in GOOD_FLAGS | BAD_FLAGS:
        return
    with pytest.raises(ValueError, match=f"'{word}'.*readouts.good_flags or readouts.bad_flags"):
        flag_is_bad(word, NONE, NONE)
    assert flag_is_bad(word.upper(), NONE, frozenset({word}))
    assert not flag_is_bad(word.upper(), frozenset({word}), NONE)


@pytest.mark.parametrize("text", ["1" * 200_000 + "x", "1," * 100_000 + "x", ">" * 200_000, " " * 200_000 + "x"])
def test_a_long_cell_takes_no_longer_than_its_length(text):
    before = time.process_time()
    with pytest.raises(ValueError, match=r"\(200,001 characters\)|\(200,000 characters\)"):
        parse_cell(text)
    assert time.process_time() - before < 2, "a pattern that goes back for each digit would take minutes"


def test_a_bound_of_a_bound_is_the_next_float():
    assert interval(10.0, ">")[0] == np.nextafter(10.0, np.inf)
    assert interval(10.0, None) == (10.0, 10.0)
