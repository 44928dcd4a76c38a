"""Prometheus expressions judged by what isd_ray and Ray export: names, labels, values, and whether vectors match."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql

from isd_ray.actors.metrics import METRICS
from isd_ray.campaign.states import RunState
from tests.manifests.kustomize import Object
from tests.manifests.specs import of_kind

TARGET_LABELS = frozenset({"instance", "job"})
"""What Prometheus adds to all it collects."""
NODE_LABELS = frozenset({"IsHeadNode", "RayNodeType", "SessionName", "Version", "ip"})
"""What Ray adds to what a node's agent measures."""
PROCESS_LABELS = frozenset({"Component", "NodeAddress", "SessionName", "Version", "WorkerId"})
"""What Ray adds to what a process measures; tests/ray/test_metrics.py sees it."""
VALUES = {"state": {state.value for state in RunState}}
"""Of labels whose values are ours; metrics of Ray call theirs `State`."""
_SET_OPERATIONS = {"and", "or", "unless"}
_PANELS = "dashboard/modules/metrics/dashboards/default_dashboard_panels.py"
_AGENT = "dashboard/modules/reporter/reporter_agent.py"

Labels = frozenset[str]


class BadExpressionError(Exception):
    """An expression that Prometheus would refuse, or that would never yield anything."""


@functools.cache
def exported() -> Mapping[str, Labels]:
    """Labels of every metric, by its name in Prometheus: ours, and those that the installed Ray defines or plots."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    agent, panels = ((Path(spec.origin).parent / name).read_text(encoding="utf-8") for name in (_AGENT, _PANELS))
    found = {f"ray_{name}": NODE_LABELS for name in re.findall(r'"(\w+)": Gauge\(', agent)}
    plotted: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"\b(ray_\w+)\{\{(.*?)\}\}", panels):
        plotted.setdefault(name, set()).update(re.findall(r"(\w+)[!=]=?", matchers))
    found |= {name: PROCESS_LABELS | labels for name, labels in plotted.items() if name not in found}
    found |= {metric.exported: PROCESS_LABELS | set(metric.labels) for metric in METRICS}
    return {name: labels | TARGET_LABELS for name, labels in found.items()}


def labels_of(expression: str) -> Labels:
    """Labels of what an expression yields.

    Raises
    ------
    BadExpressionError
        If it does not parse, or names a metric, label or value that nobody exports, or joins vectors that never match.
    """
    try:
        parsed = promql.parse(expression)
    except ValueError as error:
        raise BadExpressionError(f"{expression}: {error}") from error
    labels = _labels(parsed)
    if labels is None:
        raise BadExpressionError(f"{expression}: no metric")
    return labels


def fault_of(expression: str) -> str | None:
    """What is wrong with an expression; None if nothing is."""
    try:
        labels_of(expression)
    except BadExpressionError as error:
        return str(error)
    return None


def _labels(node: Any) -> Labels | None:
    """Labels of a vector; None for a scalar."""
    match node:
        case promql.NumberLiteral():
            return None
        case promql.ParenExpr() | promql.UnaryExpr():
            return _labels(node.expr)
        case promql.MatrixSelector():
            return _selected(node.vector_selector)
        case promql.VectorSelector():
            return _selected(node)
        case promql.Call():
            return next((labels for argument in node.args if (labels := _labels(argument)) is not None), None)
        case promql.AggregateExpr():
            return _aggregated(node)
        case promql.BinaryExpr():
            return _joined(node)
    raise BadExpressionError(f"{node.prettify()}: teach tests/manifests/promql.py what {type(node).__name__} yields")


def _selected(node: Any) -> Labels:
    labels = exported().get(node.name)
    if labels is None:
        raise BadExpressionError(f"nobody exports {node.name}")
    for matcher in node.matchers.matchers:
        _require({matcher.name}, labels, node.name)
        if unknown := set(matcher.value.split("|")) - VALUES.get(matcher.name, {*matcher.value.split("|")}):
            raise BadExpressionError(f"{node.name}: {matcher.name} never is {unknown}")
    return labels


def _aggregated(node: Any) -> Labels:
    inner = _labels(node.expr) or frozenset()
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    _require(named, inner, node.prettify())
    return named if node.modifier.type == promql.AggModifierType.By else inner - named


def _joined(node: Any) -> Labels | None:
    left, right = _labels(node.lhs), _labels(node.rhs)
    if left is None or right is None:
        return left if right is None else right
    matching = node.modifier and node.modifier.matching
    if matching is None:
        keys = (left, right)
    elif matching.type == promql.LabelModifierType.Include:
        _require(set(matching.labels), left & right, node.prettify())
        keys = (frozenset(matching.labels),) * 2
    else:
        _require(set(matching.labels), left | right, node.prettify())
        keys = (left - set(matching.labels), right - set(matching.labels))
    if keys[0] != keys[1]:
        raise BadExpressionError(f"{node.prettify()}: the sides never match, they differ in {keys[0] ^ keys[1]}")
    return left if str(node.op) in _SET_OPERATIONS else keys[0]


def _require(named: set[str] | Labels, labels: Labels, where: str) -> None:
    if missing := named - labels:
        raise BadExpressionError(f"{where}: there is no label {', '.join(sorted(missing))}")


def alerts_can_fire(objects: list[Object]) -> Iterator[str]:
    """Who is collected from has alerts, and each asks for what is exported."""
    resources = of_kind(objects, "PrometheusRule")
    for monitor in of_kind(objects, "PodMonitor"):
        if not any(rules["metadata"]["namespace"] == monitor["metadata"]["namespace"] for rules in resources):
            yield f"{monitor['metadata']['name']} has no PrometheusRule"
    for rule in (rule for rules in resources for group in rules["spec"]["groups"] for rule in group["rules"]):
        if (fault := fault_of(rule["expr"])) is not None:
            yield f"{rule['alert']}: {fault}"


RULES = (alerts_can_fire,)
