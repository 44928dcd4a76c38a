"""The HTML report of a campaign: one self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from isd_ray.campaign.certificate import certificate_lines
from isd_ray.core.goals import QUANTITY_NAMES
from isd_ray.report.plots import rounds_figure
from isd_ray.report.words import accuracy_name, summary_lines

COLUMNS = {
    "round": "round",
    "n_observed": "observed",
    "n_batch": "batch",
    "fraction_acquired": "acquired",
    "n_audit": "audit",
    "n_errors_audit": "errors in it",
    "n_finish": "cut of finish",
    "batch_accuracy": "batch accuracy",
    "alpha": "α",
    "system_bound": "bound",
    "inference_accuracy": "inference accuracy (true)",
    "system_accuracy": "system accuracy (true)",
    "delivered_accuracy": "delivered (true)",
    "test_accuracy": "test accuracy",
    "inference_mse": "inference MSE (true)",
    "fit_seconds": "fit (s)",
    "score_seconds": "score (s)",
    "decision": "decision",
    "reason": "reason",
}
"""Columns of ``rounds.parquet`` that the page shows, and their headings."""


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reliability_cells(line: Mapping[str, Any]) -> list[str]:
    """Uncertainty stated, rows, share wrong; the same of the random rows."""

    def share(errors: float, n: int) -> str:
        return f"{errors / n:.3f}" if n else "–"

    return [
        f"{line['low']:.3g} to {line['high']:.3g}",
        f"{line['uncertainty']:.3g}",
        str(line["n"]),
        share(line["errors"], line["n"]),
        str(line["n_random"]),
        share(line["random_errors"], line["n_random"]),
    ]


def render_report(
    summary: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]],
    config_toml: str,
    certificate: Mapping[str, Any] | None,
    reliability: Sequence[Mapping[str, Any]],
) -> str:
    """The page as a string.

    Parameters
    ----------
    summary:
        The content of ``summary.json``.
    rounds:
        The rows of ``rounds.parquet``.
    config_toml:
        The resolved configuration.
    certificate:
        The content of ``certificate.json``, if there is one.
    reliability:
        The rows of ``calibration.parquet``.
    """
    shown = [name for name in COLUMNS if any(row.get(name) is not None for row in rounds)]
    gamma = summary["gamma"] if summary["rule"] != "none" else None
    environment = Environment(
        loader=PackageLoader("isd_ray.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        title=summary["name"],
        summary=summary_lines(summary),
        headings=[COLUMNS[name] for name in shown],
        rows=[[_cell(row.get(name)) for name in shown] for row in rounds],
        figure=base64.b64encode(rounds_figure(rounds, summary["quantity"], gamma)).decode(),
        heuristic=summary["rule"] == "paper",
        certificate=certificate_lines(certificate) if certificate else [],
        quantity=accuracy_name(summary["task"])
        if summary["quantity"] == "accuracy"
        else QUANTITY_NAMES[summary["quantity"]].capitalize(),
        reliability=[_reliability_cells(line) for line in reliability],
        campaign_id=summary["campaign_id"],
        config=config_toml,
    )
