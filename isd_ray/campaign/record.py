"""The record of a round, and the summary of a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.selection import Selection
from isd_ray.config import CampaignConfig
from isd_ray.core.certify import accuracy_interval
from isd_ray.core.metrics import accuracy, mean_absolute_error, mean_squared_error, system_accuracy
from isd_ray.messages import ROLES, ScoreReport, StopDecision

ROUND_SCHEMA = pa.schema(
    [
        ("round", pa.int32()),
        ("n_observed", pa.int64()),
        ("n_inference", pa.int64()),
        ("fraction_acquired", pa.float64()),
        ("n_batch", pa.int64()),
        ("n_random", pa.int64()),
        ("n_random_errors", pa.int64()),
        ("n_audit", pa.int64()),
        ("n_errors_audit", pa.int64()),
        ("n_finish", pa.int64()),
        ("n_acquired", pa.int64()),
        ("batch_accuracy", pa.float64()),
        ("alpha", pa.float64()),
        ("system_bound", pa.float64()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("forecast_errors", pa.float64()),
        ("calibration_pvalue", pa.float64()),
        ("calibration_alarm", pa.bool_()),
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

`calibration_pvalue` tests whether confident rows are wrong more often than unconfident ones; small is alarming.
`system_bound` is the paper's bound under the rules `paper` and `none`; under `certify` and `pac` it is the exact bound
of the round's random rows alone. `forecast_errors` is the trigger's guess of the errors left, `n_finish` the cut of a
finish.
"""


def simulation_metrics(report: ScoreReport, n_target: int, config: CampaignConfig) -> dict[str, float]:
    """True accuracies and errors of the round's model; empty when labels are not known."""
    metrics: dict[str, float] = {}
    evaluation, test = report.evaluation, report.test
    if evaluation is not None:
        if config.counts_errors:
            metrics["inference_errors"] = evaluation.n - evaluation.n_correct
            metrics["inference_accuracy"] = accuracy(evaluation)
            metrics["system_accuracy"] = system_accuracy(n_target - evaluation.n, evaluation)
        if config.task == "regression":
            metrics["inference_mse"] = mean_squared_error(evaluation)
            metrics["inference_mae"] = mean_absolute_error(evaluation)
            metrics["system_mse"] = metrics["inference_mse"] * evaluation.n / n_target
    if test is not None:
        if config.counts_errors:
            metrics["test_accuracy"] = accuracy(test)
        if config.task == "regression":
            metrics["test_mse"] = mean_squared_error(test)
            metrics["test_mae"] = mean_absolute_error(test)
    return metrics


def batch_record(selection: Selection, correct: NDArray[np.bool_], counts_errors: bool) -> dict[str, Any]:
    """Counts of a measured batch by role, and what the model had said of it before its labels were used.

    Parameters
    ----------
    correct:
        bool (n,): predicted right.
    counts_errors:
        Whether right and wrong are defined.
    """
    of = {role: selection.roles == index for index, role in enumerate(ROLES)}
    n_scored = int(np.isfinite(selection.scored.prediction).sum())
    return {
        "n_batch": len(correct),
        "n_random": int(of["random"].sum()),
        "n_random_errors": int((~correct)[of["random"]].sum()) if n_scored and counts_errors else None,
        "n_audit": int(of["audit"].sum()),
        "n_errors_audit": int((~correct)[of["audit"]].sum()) if of["audit"].any() else None,
        "batch_accuracy": float(correct[of["top"]].mean()) if of["top"].any() and counts_errors else None,
    }


def decision_record(decision: StopDecision) -> dict[str, Any]:
    """What the bound actor decided."""
    return {
        "decision": decision.action,
        "reason": decision.reason,
        "alpha": decision.alpha,
        "system_bound": decision.system_bound,
        "n_finish": decision.n_finish,
    }


def metrics_after(record: Mapping[str, Any], n_target: int) -> dict[str, float]:
    """True accuracies of a round's model once its batch, an audit, is measured: where the finish begins."""
    metrics = {name: record[name] for name in ("test_accuracy", "test_mse", "test_mae") if name in record}
    if "inference_errors" in record:
        errors = record["inference_errors"] - record["n_errors_audit"]
        metrics["inference_errors"] = errors
        metrics["inference_accuracy"] = 1.0 - errors / (n_target - record["n_acquired"])
        metrics["system_accuracy"] = 1.0 - errors / n_target
    return metrics


def oracle_fraction(rounds: Sequence[Mapping[str, Any]], gamma: float) -> float | None:
    """Least share acquired at which the screen was truly above gamma; None if it never was or labels are not known."""
    reached = [row["fraction_acquired"] for row in rounds if (row.get("system_accuracy") or 0.0) > gamma]
    return min(reached, default=None)


def random_share_interval(
    rounds: Sequence[Mapping[str, Any]], n_target: int, delta: float
) -> dict[str, float | int] | None:
    """Interval of the accuracy at the last round with scored random rows, confidence 1 - delta; None without such.

    Exact for a round fixed in advance, its model and its observation set (`accuracy_interval`). That it is the last
    round depends on the data, and the delivered model was fitted afterwards: for reading, where nothing is certified.
    """
    scored = [row for row in rounds if row["n_random"] and row["n_random_errors"] is not None]
    if not scored:
        return None
    last = scored[-1]
    low, high = accuracy_interval(last["n_random_errors"], last["n_random"], last["n_inference"], n_target, 1.0 - delta)
    return {"low": low, "high": high, "confidence": 1.0 - delta, "round": last["round"], "n_random": last["n_random"]}


def summarise(
    config: CampaignConfig,
    rounds: Sequence[Mapping[str, Any]],
    n_target: int,
    manifest: Mapping[str, Any],
    certified: bool,
) -> dict[str, Any]:
    """The numbers of ``summary.json`` that the rounds yield; the first round that decided to stop is the stop.

    `certified` is whether there is a certificate, or everything was measured: the paper's rule is a heuristic, and
    `claim` says so.
    """
    stop = next(row for row in rounds if row["decision"] == "stop")
    complete = stop["n_acquired"] == n_target
    by_paper = config.stopping.rule == "paper" and (stop["system_bound"] or 0.0) > config.stopping.gamma
    if complete:
        claim, claimed = "measured completely", 1.0
    elif certified:
        claim, claimed = "certified by a random audit", config.stopping.gamma
    elif by_paper:
        claim, claimed = "heuristic bound of the paper", stop["system_bound"]
    else:
        claim, claimed = "NOT CERTIFIED", None
    return {
        "campaign_id": manifest["campaign_id"],
        "name": config.name,
        "task": config.task,
        "acquisition": config.acquisition_name,
        "rule": config.stopping.rule,
        "gamma": config.stopping.gamma,
        "delta": config.stopping.delta,
        "seed": config.seed,
        "stopped_at_round": stop["round"],
        "stop_reason": stop["reason"],
        "claim": claim,
        "certified": certified or complete,
        "accuracy_claimed": claimed,
        "accuracy_interval": random_share_interval(rounds, n_target, config.stopping.delta)
        if claimed is None
        else None,
        "n_target": n_target,
        "n_acquired": stop["n_acquired"],
        "n_predicted": n_target - stop["n_acquired"],
        "fraction_acquired": stop["n_acquired"] / n_target,
        "calibration_alarm": any(row["calibration_alarm"] for row in rounds),
        "n_audited": sum(row["n_audit"] for row in rounds),
        "system_accuracy": stop.get("delivered_accuracy"),
        "test_accuracy": stop.get("test_accuracy"),
        "system_mse": stop.get("system_mse"),
        "oracle_fraction": oracle_fraction(rounds, config.stopping.gamma),
        "rounds": len(rounds),
        "seconds": sum(row["round_seconds"] for row in rounds),
    }
