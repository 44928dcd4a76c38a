"""Chromium for the tests of pages."""

import pytest

from tests.browser.looking import browser


@pytest.fixture(scope="module")
def chromium():
    """Of one file of tests: while it runs no other may start an event loop of its own."""
    with browser() as started:
        yield started
