"""The words of the field that the page uses."""

from __future__ import annotations

from isd_ray.report.blocks import Facts, ReportSection
from isd_ray.report.glossary import term
from isd_ray.report.record import Record

_WORDS = (
    "Target set",
    "Observation set, observed, measured, acquired",
    "Inference set",
    "Hybrid screen",
    "Acquisition batch",
    "Committee, member",
    "Bound, goal met by it, interval",
    "Inference accuracy, system accuracy",
    "Constant answer",
    "Random picking",
    "Calibration",
    "SHA-256",
)
_OF_TASK = {"regression": ("Tolerance", "MSE, MAE"), "panel": ("Panel, output",)}
_GOAL = ("γ (gamma), goal, level", "δ (delta), risk")
_OF_LOOKS = ("Look", "Audit, check sample", "Finish", "Certificate")
_OF_PAPER = ("α (alpha)",)


def glossary(record: Record) -> ReportSection:
    """Explanations of the words that belong to the rule in force."""
    rule = record.config.stopping.in_force
    of_rule = (*_GOAL, *_OF_LOOKS) if rule.is_audited else (*_GOAL, *_OF_PAPER) if rule.is_heuristic else ()
    names = (*_WORDS, *_OF_TASK.get(record.config.task, ()), *of_rule)
    shown = tuple((name, term(name).meaning) for name in names)
    return ReportSection("Words used here", "words", (Facts(shown, "Words and their meaning"),))
