"""Every error that a user may meet has a remedy, and docs/errors.md lists all of them as they are."""

from __future__ import annotations

import pytest

from tests.error_table import KINDS, TABLE, sites, table

IN_THE_MESSAGE = {("config_file.py", "{error}; {…} more to follow")}
"""Errors of a key, which say the remedy in their sentence: those of `config/` are listed with their words."""


@pytest.fixture(scope="module")
def found():
    return sites()


def test_every_error_says_what_to_do(found):
    silent = [site for site in found if not site.remedy and (site.module, site.what) not in IN_THE_MESSAGE]
    assert silent == []
    assert all(site.what for site in found)


def test_no_remedy_leaves_the_reader_alone(found):
    vague = {"restore it", "restore them", "mend that", "check it", "try again", "see the logs", "remove it and retry"}
    assert [site for site in found if site.remedy in vague] == []


def test_what_is_in_the_way_of_a_key_names_a_key_that_there_is(found):
    from isd_ray.config import CampaignConfig

    sections = {*CampaignConfig.model_fields, "phenomics", "isd_ray"}  # entry points too
    first = {key.split(".")[0] for site in found for key in site.where.split(", ") if "." in key and key.islower()}
    assert {name for name in first if name.isidentifier()} <= sections
    assert "hit_calling" not in {site.where for site in found}


def test_the_table_is_current_and_lists_every_error(found):
    page = TABLE.read_text(encoding="utf-8")
    assert page == table(), "run python -m tests.error_table"
    assert {site.kind for site in found} <= KINDS
    assert len(found) > 250
