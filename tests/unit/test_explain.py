"""Every word is explained once, in one list, however it is asked for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.report.glossary import explained, terms


def test_every_term_has_a_meaning_and_no_word_two():
    words = [word for known in terms() for word in known.words]
    assert len(words) == len(set(words)) > 40
    for known in terms():
        assert known.meaning.endswith((".", ")"))
        assert "\n" not in known.name


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("audit", "Audit, check sample"),
        ("Audits", "Audit, check sample"),
        ("check sample", "Audit, check sample"),
        ("gamma", "γ (gamma), goal, level"),
        ("δ", "δ (delta), risk"),
        ("hybird screen", "Hybrid screen"),
        ("trip to the laboratory", "Trip to the laboratory"),
        ("trips", "Trip to the laboratory"),
        ("acquired", "Observation set, observed, measured, acquired"),
        ("bound", "Bound, goal met by it, interval"),
        ("goal", "γ (gamma), goal, level"),
        ("Z′", "Z′, SSMD"),
    ],
)
def test_a_word_is_found_however_it_is_spelt(asked, name):
    assert explained(asked).name == name


def test_the_command_prints_the_meaning_lists_all_and_refuses_what_is_none():
    run = CliRunner().invoke
    assert "drawn at random from the inference set" in " ".join(run(app, ["explain", "audit"]).output.split())
    assert "Look" in run(app, ["explain"]).output.splitlines()
    refused = run(app, ["explain", "flux", "capacitor"])
    assert "'flux capacitor' is no word of ours" in str(refused.exception)
