"""What people and files say is text on a terminal and on a page, whatever it is made of."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from isd_ray.card import pairs, rows
from isd_ray.cli.common import Terminal
from isd_ray.errors import LabelError
from isd_ray.ops.opened import MAX_REASON, check_reason
from isd_ray.printable import printable
from isd_ray.report.page import environment, render_page

MARKUP = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "'); alert(1); ('",
    "{{ 7 * 7 }}",
    "</script><script>alert(1)</script>",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "x" * 5000,
]
ACTING = ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\rb", "gpj.\u202eexe", "\u2066x\u2069", "\x00", "\x9b31m", "\x7f"]
WORDS = ["עברית", "العربية", "Ångström µ", "a\nb", "a\tb", "化合物", "[bold]x[/bold]", "[/]", "[link=x]y[/link]"]


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_is_seen_and_does_not_act(text):
    shown = printable(text)
    assert "\ufffd" in shown
    assert not set(shown) & set("\x1b\x07\r\u202e\u2066\u2069\x00\x9b\x7f")


@pytest.mark.parametrize("text", [*MARKUP, *WORDS])
def test_what_does_not_act_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("text", [*MARKUP, *ACTING, *WORDS])
def test_a_terminal_shows_texts_and_tables_as_they_are(text):
    console = Terminal()
    console.file, console.width = io.StringIO(), 20_000
    table = Table.grid()
    table.add_row(text)
    console.print(f"id {text}", highlight=False, soft_wrap=True)
    console.print(table)
    shown = " ".join(console.file.getvalue().split())
    for word in printable(text).split():
        assert shown.count(word) >= 2


@given(st.text())
def test_no_page_has_a_tag_that_somebody_wrote(text):
    page = environment().from_string('<p title="{{ text }}">{{ text }}</p>').render(text=text)
    assert page.count("<") == 2
    assert page.count('"') == 2
    assert not set(page) & set("\x1b\x00\u202e")


@pytest.mark.parametrize("text", [*MARKUP, *ACTING])
def test_titles_and_cards_are_text(text):
    for page in (render_page(text, text, []), pairs([(text, text)]), rows([text], [[text]])):
        for tag in ("<script>alert", "<img src=x"):
            assert tag not in page


@pytest.mark.parametrize("reason", ["x" * (MAX_REASON + 1), "see https://ada:geheim123@lab.example.org/"])
def test_a_reason_that_cannot_be_shown_is_refused(reason):
    with pytest.raises(LabelError, match=r"the reason (has|holds)") as caught:
        check_reason(reason)
    assert "geheim" not in str(caught.value)
