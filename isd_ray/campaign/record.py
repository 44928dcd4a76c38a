"""The record of a round, and the summary of a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from isd_ray.config import CampaignConfig
from isd_ray.core.metrics import accuracy, mean_absolute_error, mean_squared_error, system_accuracy
from isd_ray.messages import ScoreReport

ROUND_SCHEMA = pa.schema(
    [
        ("round", pa.int32()),
        ("n_observed", pa.int64()),
        ("n_inference", pa.int64()),
        ("fraction_acquired", pa.float64()),
        ("n_batch", pa.int64()),
        ("n_random", pa.int64()),
        ("n_acquired", pa.int64()),
        ("batch_accuracy", pa.float64()),
        ("alpha", pa.float64()),
        ("system_bound", pa.float64()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("validation_loss", pa.float64()),
        ("epochs", pa.float64()),
        ("fit_seconds", pa.float64()),
        ("score_seconds", pa.float64()),
        ("round_seconds", pa.float64()),
        ("inference_errors", pa.int64()),
        ("inference_accuracy", pa.float64()),
        ("system_accuracy", pa.float64()),
        ("delivered_accuracy", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("inference_mse", pa.float64()),
        ("inference_mae", pa.float64()),
        ("system_mse", pa.float64()),
        ("test_mse", pa.float64()),
        ("test_mae", pa.float64()),
    ]
)
"""Columns of ``rounds.parquet``.

`n_observed`, `n_inference`, `fraction_acquired`, and all accuracies and errors but one, speak of the moment at which
the model of the round was fitted: X_obs^t and X_inf^t of the paper's Eq. 1. The batch of the round comes on top:
`n_acquired` counts it in, `alpha`, `system_bound` and `decision` are judged after it, and `delivered_accuracy` is the
true accuracy of the hybrid screen that a stop at this round delivers (that model, that many measured). Columns that
need known labels are null in a real screen; accuracies of a regression are null without a tolerance.
"""


def simulation_metrics(report: ScoreReport, n_target: int, config: CampaignConfig) -> dict[str, float]:
    """True accuracies and errors of the round's model; empty when labels are not known."""
    metrics: dict[str, float] = {}
    evaluation, test = report.evaluation, report.test
    counts = config.task == "classification" or config.stopping.tolerance is not None
    if evaluation is not None:
        if counts:
            metrics["inference_errors"] = evaluation.n - evaluation.n_correct
            metrics["inference_accuracy"] = accuracy(evaluation)
            metrics["system_accuracy"] = system_accuracy(n_target - evaluation.n, evaluation)
        if config.task == "regression":
            metrics["inference_mse"] = mean_squared_error(evaluation)
            metrics["inference_mae"] = mean_absolute_error(evaluation)
            metrics["system_mse"] = metrics["inference_mse"] * evaluation.n / n_target
    if test is not None:
        if counts:
            metrics["test_accuracy"] = accuracy(test)
        if config.task == "regression":
            metrics["test_mse"] = mean_squared_error(test)
            metrics["test_mae"] = mean_absolute_error(test)
    return metrics


def oracle_fraction(rounds: Sequence[Mapping[str, Any]], gamma: float) -> float | None:
    """Least share acquired at which the screen was truly above gamma; None if it never was or labels are not known."""
    reached = [row["fraction_acquired"] for row in rounds if (row.get("system_accuracy") or 0.0) > gamma]
    return min(reached, default=None)


def summarise(
    config: CampaignConfig, rounds: Sequence[Mapping[str, Any]], n_target: int, campaign_id: str
) -> dict[str, Any]:
    """The numbers of ``summary.json`` that the rounds yield; the first round that decided to stop is the stop.

    `certified` is whether a rule with a proven guarantee decided; the paper's rule is a heuristic, and `claim` says so.
    """
    stop = next(row for row in rounds if row["decision"] == "stop")
    by_rule = config.stopping.rule == "paper" and (stop["system_bound"] or 0.0) > config.stopping.gamma
    complete = stop["n_acquired"] == n_target
    claims = {True: "measured completely", False: "heuristic bound of the paper" if by_rule else "no claim"}
    return {
        "campaign_id": campaign_id,
        "name": config.name,
        "task": config.task,
        "acquisition": config.acquisition_name,
        "rule": config.stopping.rule,
        "gamma": config.stopping.gamma,
        "delta": config.stopping.delta,
        "seed": config.seed,
        "stopped_at_round": stop["round"],
        "stop_reason": stop["reason"],
        "claim": claims[complete],
        "certified": complete,
        "accuracy_claimed": stop["system_bound"] if by_rule or complete else None,
        "n_target": n_target,
        "n_acquired": stop["n_acquired"],
        "n_predicted": n_target - stop["n_acquired"],
        "fraction_acquired": stop["n_acquired"] / n_target,
        "system_accuracy": stop.get("delivered_accuracy"),
        "test_accuracy": stop.get("test_accuracy"),
        "system_mse": stop.get("system_mse"),
        "oracle_fraction": oracle_fraction(rounds, config.stopping.gamma),
        "rounds": len(rounds),
        "seconds": sum(row["round_seconds"] for row in rounds),
    }
