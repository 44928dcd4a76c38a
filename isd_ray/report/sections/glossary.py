"""The words of the field that the page uses."""

from __future__ import annotations

from isd_ray.config import AUDITED_RULES
from isd_ray.report.blocks import Facts, Section
from isd_ray.report.glossary import term
from isd_ray.report.record import Record

_WORDS = (
    "Target set",
    "Observation set, observed, measured",
    "Inference set",
    "Hybrid screen",
    "Acquisition batch",
    "Committee, member",
    "Bound, interval",
    "Inference accuracy, system accuracy",
    "Constant answer",
    "Random picking",
    "Calibration",
    "SHA-256",
)
_OF_TASK = {"regression": ("Tolerance", "MSE, MAE"), "panel": ("Panel, output",)}
_GOAL = ("γ (gamma), goal, level", "δ (delta), risk")
_OF_RULE = {
    **dict.fromkeys(AUDITED_RULES, (*_GOAL, "Look", "Audit, check sample", "Finish", "Certificate")),
    "paper": (*_GOAL, "α (alpha)"),
}


def glossary(record: Record) -> Section:
    """Explanations of the words that belong to the rule in force."""
    names = (*_WORDS, *_OF_TASK.get(record.config.task, ()), *_OF_RULE.get(record.config.stopping.rule, ()))
    shown = tuple((name, term(name).meaning) for name in names)
    return Section("Words used here", "words", (Facts(shown, "Words and their meaning"),))
