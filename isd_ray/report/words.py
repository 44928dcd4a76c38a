"""The summary of a screen in words that a chemist understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from isd_ray.campaign.constant import COMPARED, range_words
from isd_ray.campaign.versions import taken_words
from isd_ray.config import CampaignConfig
from isd_ray.config.claims import claim_named
from isd_ray.config_file import toml_line
from isd_ray.core.goals import UNVERIFIED, Accuracy, PanelAccuracy
from isd_ray.core.goals.by_output import asked_words
from isd_ray.report.numbers import counted, duration, rounded
from isd_ray.report.steps import PHASES, UNLESS
from isd_ray.report.tables import two_columns

if TYPE_CHECKING:
    from isd_ray.campaign.status import Phase, Status


TRIPS = "Trips to the laboratory"
"""What batches that were sent are called (`isd_ray.core.trips`)."""
_STATUSES = {
    "INFERENCE": "not measured so far",
    "STAGED": "in the batch, not yet sent to the laboratory",
    "RUNNING": "with the laboratory",
    "FAILED": "without a readout, may be asked for again",
    "OBSERVED": "measured",
    "EXTERNAL": "measured outside the plan",
    "EXCLUDED": "excluded",
    "ABANDONED": "given up after a failure",
}
"""What each status of a compound (`isd_ray.campaign.status.STATUSES`) means to a reader."""
_DELIVERED = {"INFERENCE": "predicted", "FAILED": "predicted, as they gave no readout"}
"""The same, once the hybrid screen is delivered."""


def accuracy_name(task: str) -> str:
    """What the accuracy of a task is called, with a capital."""
    return (PanelAccuracy if task == "panel" else Accuracy).noun.capitalize()


def capital(text: str) -> str:
    """A text with its first letter as a capital; names in it stay as they are written."""
    return text[:1].upper() + text[1:]


def setting_lines(settings: Mapping[str, Any]) -> list[str]:
    """Keys of the configuration with their values, as the campaign's file writes them."""
    found = []
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        found.append(f"{section}.{toml_line(name, value)}")
    return found


def percent(value: float) -> str:
    """A share in percent."""
    return f"{value:.1%}"


def is_all_measured(summary: Mapping[str, Any]) -> bool:
    """Whether a screen that has ended holds a readout of every compound."""
    return not summary["n_predicted"] and not summary.get("n_abandoned")


def _claim(summary: Mapping[str, Any]) -> str:
    if summary["accuracy_claimed"] is None:
        if "WITHDRAWN" in summary["claim"]:
            return f"none: {summary['claim']}"
        interval = summary["accuracy_interval"]
        if interval is None:
            return "none: NOT CERTIFIED"
        between = f"{interval['low']:.4g} and {interval['high']:.4g}"
        return f"none: NOT CERTIFIED; by the random rows of round {interval['round']} between {between}"
    if is_all_measured(summary):
        return "everything is measured"
    if summary["certified"]:
        confidence = f"confidence {percent(1 - summary['delta'])}"
        return f"{summary['goal']}, with {confidence}, certified by a random audit (check sample)"
    return f"{summary['goal']}, at a nominal risk of {percent(summary['delta'])} ({summary['claim']})"


def ended_words(summary: Mapping[str, Any]) -> str:
    """How a screen ended, in a few words."""
    if is_all_measured(summary):
        return "everything is measured"
    if summary["certified"]:
        return "certified"
    return "NOT CERTIFIED" if summary["accuracy_claimed"] is None else "stopped by a heuristic bound"


def _needed(needed: Mapping[str, Any]) -> str:
    """What a certificate would still cost, in words."""
    finish, audit = needed["finish"], needed["audit"]
    how = f"the {finish:,} most uncertain and an audit of {audit:,}" if finish else f"an audit of {audit:,}"
    more = counted(finish + audit, "compound")
    wrong = f"about {needed['errors']:,.0f} predictions are wrong, {needed['allowed']:,} may be"
    return f"by forecast {more} more: {how} ({wrong})"


def _output(output: Mapping[str, Any], quantity: str) -> str:
    """What is claimed and known of an output of a panel, in words."""
    end = "at most" if output.get("is_error", False) else "at least"
    shown = "" if output["bound"] is None else f", {end} {output['bound']:.4g} shown"
    true = "" if output["accuracy"] is None else f", true {output['accuracy']:.4g}"
    return f"{asked_words(output, quantity)} asked for{shown}{true}{_alike(output)}"


def _alike(output: Mapping[str, Any]) -> str:
    """What the constant answer of an output of a panel reaches, in words."""
    found = output.get("constant")
    return "" if found is None else f"; constant answer {range_words(*found)}"


def race_words(race: Sequence[Mapping[str, Any]]) -> str:
    """How much each family of models counts (`isd_ray.core.race.counting`), the heaviest first."""
    ordered = sorted(race, key=lambda line: -line["share"])
    said = [f"{line['family']} {line['share']:.0%}" for line in ordered if line["share"]]
    none = [line["family"] for line in ordered if not line["share"]]
    return f"count by their forecasts: {', '.join(said)}" + (f"; {', '.join(none)}: nothing" if none else "")


def summary_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary as (what, answer) pairs."""
    n_target = summary["n_target"]
    lines = [
        ("Compounds in the target set", f"{n_target:,}"),
        ("Measured", f"{summary['n_acquired']:,} ({percent(summary['fraction_acquired'])})"),
        ("Predicted", f"{summary['n_predicted']:,} ({percent(summary['n_predicted'] / n_target)})"),
        *([("Reserved, without a readout", f"{n_abandoned:,}")] if (n_abandoned := summary.get("n_abandoned")) else ()),
        ("Claimed", _claim(summary)),
    ]
    if summary.get("constant"):
        lines.append((COMPARED, summary["constant"]))
    if "n_trips" in summary:
        rounds = counted(summary["stopped_at_round"] + 1, "round")
        lines.insert(2, (TRIPS, f"{summary['n_trips']:,}, in {rounds}"))
    if summary.get("n_known"):
        lines.insert(2, ("Known before the screen (measured)", f"{summary['n_known']:,}"))
    if summary.get("n_late"):
        lines.insert(2, ("Told after the last round (measured)", f"{summary['n_late']:,}"))
    if summary.get("spent") is not None:
        lines.append(("Spent", f"{summary['spent']:,.2f}"))
    if summary["needed"] is not None:
        lines.append(("A certificate would have needed", _needed(summary["needed"])))
    if summary["quantity"] != "accuracy" and summary["system_value"] is not None:
        name = summary.get("quantity_name") or claim_named(summary["quantity"]).goals[summary["task"]].noun
        lines.append((f"{capital(name)}, true (the labels are known)", f"{summary['system_value']:.4g}"))
    if summary["system_accuracy"] is not None:
        name = accuracy_name(summary["task"])
        lines.append((f"{name}, true (the labels are known)", percent(summary["system_accuracy"])))
    if summary.get("system_mse") is not None:
        lines.append(("Mean squared error of the screen", f"{summary['system_mse']:.4g}"))
    lines += [(f"  {output['name']}", _output(output, summary["quantity"])) for output in summary["outputs"] or ()]
    if summary.get("race"):
        lines.append(("Families of models", race_words(summary["race"])))
    lines += [("Warning", words) for words in summary.get("warnings", ())]
    if summary["calibration_alarm"]:
        lines.append(("Calibration ALARM", "confident predictions were wrong more often than unconfident ones"))
    lines.append(("Saved against measuring all", counted(summary["n_predicted"], "compound")))
    lines += baseline_lines(summary)
    lines.append(("Stopped", f"in round {summary['stopped_at_round']}: {summary['stop_reason']}"))
    return lines


def baseline_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was saved against random selection, as (what, answer) pairs; none where it was not run."""
    baseline = summary.get("random_baseline")
    if not baseline:
        return []
    saved = baseline["n_saved"]
    share = percent(baseline["fraction_at_equal_accuracy"])
    words = counted(saved, "compound") if saved >= 0 else f"none: it needed {counted(-saved, 'compound')} fewer"
    return [("Saved against random selection", f"{words} (random needs {share} for the same accuracy)")]


def title_of(name: str) -> str:
    """What a screen is called; one that nobody gave a name is just that."""
    return "Hybrid screen" if name == CampaignConfig.model_fields["name"].default else f"Hybrid screen {name}"


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The summary as a table for the terminal."""
    return two_columns(title_of(summary["name"]), summary_lines(summary))


ACCURACY = "accuracy"
"""What agents are compared by, unless another share is claimed."""
CONSTANT = "constant answer"
"""Heading of what `constant_cell` says."""


def comparison_table(
    agents: Mapping[str, Mapping[str, Any]], measure: str = ACCURACY
) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of a comparison: means over the seeds, and share and trips for each level of the measure."""
    goals = sorted({goal for numbers in agents.values() for goal in numbers["fraction_to_reach"]}, key=float)

    def cell(value: float | None) -> str:
        return "–" if value is None else percent(value)

    def reached(numbers: Mapping[str, Any], goal: str) -> str:
        share, trips = (numbers[name].get(goal) for name in ("fraction_to_reach", "trips_to_reach"))
        return "–" if share is None else f"{percent(share)} in {trips:.3g}"

    lines = []
    for agent, numbers in agents.items():
        names = ("system_accuracy", "test_accuracy") if measure == ACCURACY else ("system_value", "system_accuracy")
        ends = [cell(numbers.get("fraction_acquired")), f"{numbers['n_trips']:.3g}"]
        ends += [cell(numbers.get(name)) for name in names]
        lines.append([agent, *ends, constant_cell(numbers), *(reached(numbers, goal) for goal in goals)])
    told = [ACCURACY, "test"] if measure == ACCURACY else [measure, ACCURACY]
    return ["agent", "measured", "trips", *told, CONSTANT, *(f"≥ {goal}" for goal in goals)], lines


def constant_cell(numbers: Mapping[str, Any]) -> str:
    """What the claim of an agent is held against, in the unit of the claimed quantity."""
    return "–" if numbers.get("constant_range") is None else range_words(*numbers["constant_range"])


def comparison_note(measure: str) -> str:
    """What the last headings of `comparison_table` mean."""
    return (
        f"≥ x: share measured, and trips to the laboratory made, when the {measure} of the whole screen reaches x; "
        f"{CONSTANT}: what one answer for every compound reaches of the claimed quantity (of a recall, as many picked "
        "at random)"
    )


def phase_words(phase: Phase) -> str:
    """What is computed, as far as the directory tells."""
    quiet = f"last file written {duration(phase.quiet_s)} ago"
    return f"round {phase.round}: {_step(phase)}, if a process is at work ({quiet})"


def _step(phase: Phase) -> str:
    return PHASES[phase.step] if phase.round or phase.step != "fit" else "choosing the first batch"


def status_line(status: Status) -> str:
    """The status of a campaign in one line, which changes only when something happened."""
    what = status.state if status.phase is None else _step(status.phase)
    n_measured = status.counts["OBSERVED"] + status.counts["EXTERNAL"]
    parts = [f"round {'–' if status.round is None else status.round}, {what}"]
    parts.append(f"measured {n_measured:,} of {status.n_library:,} in {counted(status.n_trips, 'trip')}")
    if status.n_missing:
        parts.append(f"{counted(status.n_missing, 'readout')} missing")
    if status.bound is not None:
        parts.append(f"bound {rounded(status.bound)}")
    return "; ".join(parts)


def status_lines(status: Status) -> list[tuple[str, str]]:
    """The status of a campaign as (what, answer) pairs."""
    is_delivered = status.state == "ended"
    meaning = {**_STATUSES, **_DELIVERED} if is_delivered else _STATUSES
    counts = [f"{n:,} {meaning[name]}" for name, n in status.counts.items() if n]
    lines = [("To do", status.next)]
    if status.phase is not None:
        lines.append(("At work", phase_words(status.phase)))
    if status.seconds_left:
        lines.append(("Time left", f"about {duration(status.seconds_left)} at the pace of the last rounds, {UNLESS}"))
    lines += [
        ("Round", "none yet" if status.round is None else str(status.round)),
        (TRIPS, f"{status.n_trips:,}"),
        ("Compounds", f"{status.n_library:,}: {'; '.join(counts)}"),
        ("Goal", f"{status.goal} (rule {status.rule})"),
    ]
    lines += [("Library", taken_words(taken, has_ended=is_delivered)) for taken in status.joined]
    if status.constant is not None:
        lines.append((COMPARED, status.constant))
    if status.decision is not None:
        lines.append(("Last decision", status.decision))
    if status.outlook is not None and not is_delivered:  # it weighs whether to go on
        lines.append(("Audit", status.outlook))
    for output in status.outputs:
        about = "" if output["low"] is None else f", by random compounds {output['low']:.4g} to {output['high']:.4g}"
        lines.append((f"  {output['name']}", f"{output['asked']} asked for{about}{_alike(output)}"))
    if status.race:
        lines.append(("Families of models", race_words(status.race)))
    lines += [("Warning", words) for words in status.warnings]
    if status.interval is not None:
        low, high = status.interval
        lines.append(("By its random compounds alone", f"between {low:.4g} and {high:.4g}; no stop rests on it"))
    if status.certificate is not None:
        unverified = f", {UNVERIFIED}" if UNVERIFIED in status.goal else ""
        standing = f"WITHDRAWN: {status.withdrawn}" if status.withdrawn else f"{status.certificate}{unverified}"
        lines.append(("Certificate", standing))
    if status.confirmed is not None:
        lines.append(("Confirmed hits", status.confirmed))
    if status.head is not None:
        lines.append(("Head of the log", status.head))
    return lines
