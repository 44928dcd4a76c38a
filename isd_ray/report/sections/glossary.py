"""The words of the field that the page uses."""

from __future__ import annotations

from isd_ray.report.blocks import Facts, Section
from isd_ray.report.record import Record

_WORDS = (
    ("Target set", "All compounds of the library that the screen is about."),
    ("Observed, inference set", "The compounds that are measured, and those that are not and are predicted instead."),
    (
        "Hybrid screen",
        "One line for each compound of the library: its readout where it was measured, else its prediction.",
    ),
    ("Acquisition batch", "The compounds that one round asks for."),
    ("Committee", "The models of a round, its members: of one or more families, fitted from different seeds."),
    (
        "Bound, interval",
        "What the random compounds of one batch alone say of the whole, at confidence 1 − δ for that round.",
    ),
    (
        "Inference accuracy, system accuracy",
        "How many predictions are right, among the predicted compounds alone; and in the whole screen, where what is "
        "measured counts as right.",
    ),
    (
        "Constant answer, random picking",
        "What needs no model, for comparison with what is claimed: the one answer that does best if every compound is "
        "given it; of a recall, as many compounds as were measured, picked at random.",
    ),
    ("Calibration", "How well the uncertainty that a model states agrees with how often it turns out wrong."),
    ("SHA-256", "A fingerprint of a file's content: equal fingerprints, equal content."),
)
_OF_TASK = {
    "regression": (
        ("Tolerance", "How far a prediction may lie from the readout and still count as right."),
        ("MSE", "Mean squared error: the mean of the squared differences between predictions and readouts."),
    ),
    "panel": (("Panel, output", "Many readouts of each compound, such as assays; an output is one of them."),),
}
_AUDITED = (
    (
        "Goal γ (gamma), risk δ (delta)",
        "What is to be reached; a stop that claims it is wrong with probability δ at most.",
    ),
    (
        "Look, audit",
        "A test of the goal: compounds drawn at random from those left are measured with the model frozen.",
    ),
    ("Finish", "After a look that was passed on this condition: the most uncertain compounds left are measured too."),
    ("Certificate", "What a passed look proves, with the numbers it rests on and all that is assumed."),
)
_PAPER = (
    ("Goal γ (gamma), risk δ (delta)", "What is to be exceeded, and the nominal risk at which each round is judged."),
    ("α (alpha)", "A lower bound of the share of a batch that the model predicts right (Eq. 5 of the paper)."),
)


def glossary(record: Record) -> Section:
    """Explanations of the words that belong to the rule in force."""
    rule = record.config.stopping.in_force
    more = _AUDITED if rule.is_audited else _PAPER if rule.is_heuristic else ()
    return Section(
        "Words used here",
        "words",
        (Facts((*_WORDS, *_OF_TASK.get(record.config.task, ()), *more), "Words and their meaning"),),
    )
