"""The record of a round, and the summary of a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isd_ray.campaign.batch import Selection
from isd_ray.campaign.constant import constant_summary
from isd_ray.campaign.history import History
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import RoundRecord, some_of
from isd_ray.config import CampaignConfig, Task
from isd_ray.core.goals import UNVERIFIED, Goal
from isd_ray.core.goals.by_output import ByOutput, losses_of, n_lost, n_there
from isd_ray.core.metrics import (
    accuracy,
    by_output,
    evaluate,
    group_losses,
    mean_absolute_error,
    mean_squared_error,
    n_correct,
    system_accuracy,
    without,
)
from isd_ray.core.race import counting
from isd_ray.core.sets import TargetSets
from isd_ray.core.stopping import Audit
from isd_ray.core.trips import trips_until
from isd_ray.messages import ROLES, Evaluation, ScoreReport, StopDecision

RELIABILITY_SCHEMA = pa.schema(
    [
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("n_random", pa.int64()),
        ("uncertainty", pa.float64()),
        ("errors", pa.float64()),
        ("random_errors", pa.float64()),
    ]
)
"""Columns of ``calibration.parquet``: `isd_ray.core.watch.ReliabilityBin` of the last rounds."""
Bound: TypeAlias = tuple[float | None, tuple[float, float] | None]
"""Bound and interval of `isd_ray.core.stopping.random_bound`."""
_TOP, _RANDOM, _AUDIT = map(ROLES.index, ("top", "random", "audit"))


def simulation_metrics(
    report: ScoreReport, history: History, goal: Goal, task: Task, *, counts_errors: bool
) -> RoundRecord:
    """True accuracies and errors of the round's model; empty when labels are not known.

    Parameters
    ----------
    counts_errors:
        Predictions are right or wrong (`isd_ray.config.CampaignConfig.counts_errors`).
    """
    metrics: RoundRecord = {}
    evaluation, test, n_target = report.evaluation, report.test, history.sets.n_target
    if evaluation is not None:
        if len(history.sets.reserve):
            evaluation = without(evaluation, _reserve_evaluation(report, history, goal))
        if counts_errors:
            metrics["inference_errors"] = _count(evaluation.n - n_correct(evaluation))
            metrics["inference_accuracy"] = accuracy(evaluation)
            metrics["system_accuracy"] = system_accuracy(n_target - evaluation.n, evaluation)
        if goal.has_losses:
            losses, counts = group_losses(evaluation), history.counts(tuple(report.histogram.sum(axis=1).tolist()))
            metrics["group_losses"] = list(losses)
            metrics["system_value"] = goal.value(counts, losses)
            metrics["goal_met"] = goal.is_met(counts, losses)
        if isinstance(goal, ByOutput):
            wrong, entries = by_output(evaluation.wrong), by_output(evaluation.entries)
            metrics |= {"output_wrong": wrong, "output_entries": entries}
            metrics["goal_met"] = goal.are_met(history.counts((evaluation.n,)), wrong, entries)
        if task == "regression":
            metrics["inference_mse"] = mean_squared_error(evaluation)
            metrics["inference_mae"] = mean_absolute_error(evaluation)
            metrics["system_mse"] = metrics["inference_mse"] * evaluation.n / n_target
    if test is not None:
        if counts_errors:
            metrics["test_accuracy"] = accuracy(test)
        if task == "regression":
            metrics["test_mse"] = mean_squared_error(test)
            metrics["test_mae"] = mean_absolute_error(test)
    return metrics


def _reserve_evaluation(report: ScoreReport, history: History, goal: Goal) -> Evaluation:
    """Errors on the reserve, which is scored with the inference set but measured; lost wells of it are not."""
    measured = np.setdiff1d(history.sets.reserve, history.sets.lost)
    reserve = report.watched.take(np.isin(report.watched.rows, measured))
    return evaluate(reserve.prediction, history.labels_of(reserve.rows), goal)


def batch_record(
    selection: Selection,
    losses: NDArray[np.float64],
    correct: NDArray[np.float64],
    audits: Sequence[Audit],
    goal: Goal,
) -> RoundRecord:
    """Counts of a measured batch by role, and what the model had said of it before its labels were used.

    Parameters
    ----------
    losses, correct:
        float64 (n,): of the predictions.
    audits:
        Of a look.
    """
    top, random = selection.roles == _TOP, selection.roles == _RANDOM
    is_scored = bool(selection.scored.is_predicted.any()) and goal.has_losses
    return {
        "n_batch": len(losses),
        "n_random": int(random.sum()),
        "n_random_errors": _total(losses[random]) if is_scored else None,
        "n_audit": sum(len(audit.losses) for audit in audits),
        "n_errors_audit": sum(_total(audit.losses) for audit in audits) if audits else None,
        "audits": [found for audit in audits for found in _found(audit)],
        "batch_accuracy": float(correct[top].mean()) if is_scored and not goal.is_error and top.any() else None,
    }


def _found(audit: Audit) -> list[dict[str, Any]]:
    """Readouts and errors of an audit, by output where these have claims."""
    if audit.outcomes is None:
        counts = {"n_lost": audit.n_lost, "n_amended": audit.n_amended}
        return [{"n": len(audit.losses), "n_errors": _total(audit.losses), **counts}]
    return [
        {
            "n": n_there(column),
            "n_errors": _total(losses_of(column)),
            "n_lost": n_lost(column),
            "n_amended": audit.n_amended,
        }
        for column in audit.outcomes.T
    ]


def _total(losses: NDArray[np.float64]) -> float | int:
    """Their sum; of right and wrong, as a count."""
    return _count(float(losses.sum()))


def _count(total: float) -> float | int:
    """A number of errors, whole where it is."""
    return int(total) if total.is_integer() else total


def decision_record(decision: StopDecision, bound: Bound) -> RoundRecord:
    """What the bound actor decided, and what the random rows say."""
    at_most, interval = bound
    return {
        "decision": decision.action,
        "reason": decision.reason,
        "alpha": decision.alpha,
        "system_bound": at_most if decision.system_bound is None else decision.system_bound,
        "interval_low": interval[0] if interval else None,
        "interval_high": interval[1] if interval else None,
        "n_finish": decision.n_finish,
        "bounds": decision.bounds,
    }


def outputs_after(
    details: RoundRecord, selection: Selection, readouts: Readouts, history: History, goal: Goal
) -> RoundRecord:
    """In a simulation, what is wrong after the batch by output of a panel; empty without claims about them."""
    if "output_wrong" not in details or not isinstance(goal, ByOutput):
        return {}
    known = (details["output_wrong"], details["output_entries"])
    of_batch = goal.tally(selection.scored.prediction, readouts.labels)
    wrong, entries = (np.subtract(n, found).tolist() for n, found in zip(known, of_batch, strict=True))
    counts = history.counts((history.sets.n_inference,))
    return {
        "left_output_wrong": wrong,
        "left_output_entries": entries,
        "output_accuracies": goal.values(counts, wrong, entries),
        "left_met": goal.are_met(counts, wrong, entries),
    }


def metrics_after(
    details: RoundRecord,
    selection: Selection,
    present: NDArray[np.bool_],
    losses: NDArray[np.float64],
    correct: NDArray[np.float64],
    history: History,
    goal: Goal,
) -> RoundRecord:
    """What is left after the batch, which the history holds already, and in a simulation its true errors.

    Parameters
    ----------
    details:
        Of the round, with the sizes of the groups before the batch.
    present:
        bool (n,): rows of the batch with a readout.
    losses, correct:
        Of the predictions of the batch.
    """
    groups, losses, correct = goal.groups(selection.scored.prediction)[present], losses[present], correct[present]
    left = np.array(details["group_sizes"]) - np.bincount(groups, minlength=goal.n_groups)
    after: RoundRecord = {"left_sizes": left.tolist()}
    if "inference_errors" in details:
        # Sums of fractional errors leave a rounding error behind.
        errors = max(0, _count(details["inference_errors"] - float((1.0 - correct).sum())))
        after["left_errors"] = errors
        after["delivered_accuracy"] = 1.0 - errors / history.sets.n_target
    if "group_losses" in details:
        remaining = np.array(details["group_losses"]) - np.bincount(groups, losses, goal.n_groups)
        after["left_losses"] = np.maximum(remaining, 0.0).tolist()
        counts, losses_left = history.counts(tuple(left.tolist())), tuple(after["left_losses"])
        after["delivered_value"] = goal.value(counts, losses_left)
        after["left_met"] = goal.is_met(counts, losses_left)
    return after


def metrics_of_finish(record: RoundRecord, sets: TargetSets) -> RoundRecord:
    """Where a finish or a repeat begins: the true accuracies of the look's model once its audit is measured."""
    metrics = some_of(record, ("test_accuracy", "test_mse", "test_mae"))
    metrics["group_sizes"] = record["left_sizes"]
    if "left_errors" in record:
        errors = record["left_errors"]
        metrics["inference_errors"] = errors
        metrics["inference_accuracy"] = 1.0 - errors / sets.n_predicted
        metrics["system_accuracy"] = 1.0 - errors / sets.n_target
    if "left_losses" in record:
        metrics["group_losses"] = record["left_losses"]
        metrics["system_value"] = record["delivered_value"]
        metrics["goal_met"] = record["left_met"]
    if "left_output_wrong" in record:
        metrics |= {"output_wrong": record["left_output_wrong"], "output_entries": record["left_output_entries"]}
        metrics["goal_met"] = record["left_met"]
    return metrics


def oracle_fraction(rounds: Sequence[Mapping[str, Any]]) -> float | None:
    """Least share acquired at which the claim was true; None if it never was or labels are not known."""
    return min((row["fraction_acquired"] for row in rounds if row.get("goal_met")), default=None)


def random_share_interval(rounds: Sequence[Mapping[str, Any]], delta: float) -> dict[str, float | int] | None:
    """Interval of the claimed quantity at the last round with scored random rows, confidence 1 - delta; None without.

    Exact for a round fixed in advance, its model and its observation set (`random_bound`). That it is the last round
    depends on the data, and the delivered model was fitted afterwards: for reading, where nothing is certified.
    """
    scored = [row for row in rounds if row["interval_low"] is not None]
    if not scored:
        return None
    last = scored[-1]
    ends = {"low": last["interval_low"], "high": last["interval_high"]}
    return {**ends, "confidence": 1.0 - delta, "round": last["round"], "n_random": last["n_random"]}


def summarise(
    config: CampaignConfig,
    goal: Goal,
    rounds: Sequence[Mapping[str, Any]],
    n_target: int,
    manifest: Mapping[str, Any],
    certified: bool,
    needed: Mapping[str, Any] | None,
    at_stop: Mapping[str, Any],
) -> dict[str, Any]:
    """The numbers of ``summary.json`` that the rounds yield; the first round that decided to stop is the stop.

    `certified` is whether there is a certificate, or everything was measured: the paper's rule is a heuristic, and
    `claim` says so. `needed` is what a certificate would still have cost (`isd_ray.core.audit_size.Needed`),
    `at_stop` the full record of the round that stopped.
    """
    stop = next(row for row in rounds if row["decision"] == "stop")
    complete = stop["n_acquired"] == n_target
    by_paper = config.stopping.in_force.is_heuristic and (stop["system_bound"] or 0.0) > config.stopping.gamma
    if complete:
        claim, claimed = "measured completely", 0.0 if goal.is_error else 1.0
    elif certified:
        claimed = goal.level
        claim = f"certified by a random audit{f', {UNVERIFIED}' * goal.unverified}"
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
        "quantity": config.stopping.quantity,
        "quantity_name": goal.name,
        "goal": goal.words,
        "gamma": goal.level,
        "delta": config.stopping.delta,
        "seed": config.seed,
        "stopped_at_round": stop["round"],
        "stop_reason": stop["reason"],
        "claim": claim,
        "certified": certified or complete,
        "accuracy_claimed": claimed,
        "accuracy_interval": random_share_interval(rounds, config.stopping.delta) if claimed is None else None,
        "needed": needed if claimed is None else None,
        "n_target": n_target,
        "n_acquired": stop["n_acquired"],
        "n_trips": trips_until(rounds, stop["round"]),
        "fraction_acquired": stop["n_acquired"] / n_target,
        "spent": stop["spent"],
        "calibration_alarm": any(row["calibration_alarm"] for row in rounds),
        "n_audited": sum(row["n_audit"] for row in rounds),
        "system_accuracy": stop.get("delivered_accuracy"),
        "system_value": stop.get("delivered_value"),
        "test_accuracy": stop.get("test_accuracy"),
        "system_mse": stop.get("system_mse"),
        "oracle_fraction": oracle_fraction(rounds),
        "rounds": len(rounds),
        "seconds": sum(row["round_seconds"] for row in rounds),
        "outputs": _outputs(config, goal, at_stop),
        "race": list(counting(rounds)) or None,
        **constant_summary(at_stop),
        "warnings": [caution["words"] for caution in at_stop.get("warnings", ())],
    }


def _outputs(config: CampaignConfig, goal: Goal, at_stop: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """What is claimed of each output of a panel, and, in a simulation, its true accuracy; None without such claims."""
    if not goal.outputs:
        return None
    names = ("bounds", "output_accuracies", "output_constants")
    found = [at_stop.get(name) or [None] * len(goal.outputs) for name in names]
    columns = zip(goal.outputs, *found, strict=True)
    return [
        {
            "name": output.name,
            "gamma": output.level,
            "delta": config.stopping.delta * output.share,
            "bound": None if bound is None else output.shown(bound),
            "accuracy": None if accuracy is None else output.shown(accuracy),
            **({} if constant is None else {"constant": output.shown_range(constant)}),
            **output.on_record,
        }
        for output, bound, accuracy, constant in columns
    ]
