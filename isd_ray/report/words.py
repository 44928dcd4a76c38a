"""The summary of a screen in words that a chemist understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _claim(summary: Mapping[str, Any]) -> str:
    if summary["accuracy_claimed"] is None:
        interval = summary["accuracy_interval"]
        if interval is None:
            return "none: NOT CERTIFIED"
        between = f"{_percent(interval['low'])} and {_percent(interval['high'])}"
        return f"none: NOT CERTIFIED; by the random rows of round {interval['round']} between {between}"
    if summary["n_predicted"] == 0:
        return "100%: everything is measured"
    above = f"above {_percent(summary['gamma'])}"
    if summary["certified"]:
        return f"{above} with confidence {_percent(1 - summary['delta'])}, certified by a random audit"
    return f"{above} at a nominal risk of {_percent(summary['delta'])} ({summary['claim']})"


def summary_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary as (what, answer) pairs."""
    n_target = summary["n_target"]
    lines = [
        ("Compounds in the target set", f"{n_target:,}"),
        ("Acquired (measured)", f"{summary['n_acquired']:,} ({_percent(summary['fraction_acquired'])})"),
        ("Predicted", f"{summary['n_predicted']:,} ({_percent(summary['n_predicted'] / n_target)})"),
    ]
    lines.append(("Accuracy claimed", _claim(summary)))
    if summary["system_accuracy"] is not None:
        lines.append(("Accuracy true (the labels are known)", _percent(summary["system_accuracy"])))
    if summary.get("system_mse") is not None:
        lines.append(("Mean squared error of the screen", f"{summary['system_mse']:.4g}"))
    if summary["calibration_alarm"]:
        lines.append(("Calibration ALARM", "confident predictions were wrong more often than unconfident ones"))
    lines.append(("Saved against measuring all", f"{summary['n_predicted']:,} compounds"))
    baseline = summary.get("random_baseline")
    if baseline:
        saved = baseline["n_saved"]
        share = _percent(baseline["fraction_at_equal_accuracy"])
        words = f"{saved:,} compounds" if saved >= 0 else f"none: it needed {-saved:,} compounds fewer"
        lines.append(("Saved against random selection", f"{words} (random needs {share} for the same accuracy)"))
    lines.append(("Stopped", f"in round {summary['stopped_at_round']}: {summary['stop_reason']}"))
    return lines


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The summary as a table for the terminal."""
    table = Table(title=f"Hybrid screen {summary['name']}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for what, answer in summary_lines(summary):
        table.add_row(what, answer)
    return table
