"""Writes dashboard.json, rules.yaml as a resource of the Prometheus operator, and the files of the Helm chart.

Run it when one of them changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from isd_ray.actors import metrics
from isd_ray.campaign.states import LoopState, RunState

HERE = Path(__file__).parent
RULES = HERE / "rules.yaml"
DASHBOARD = HERE / "dashboard.json"
KUBERAY = HERE.parent / "kuberay"
RESOURCE = KUBERAY / "overlays" / "monitoring" / "prometheus-rule.yaml"
OF_CHART = HERE.parent / "helm" / "isd-ray" / "files"
"""Helm reads no file outside of a chart."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's, which colour-blind readers tell apart."""
DATA = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = '{campaign="$campaign"}'
ON_ITS_NODES = f" and on (SessionName) last_over_time({metrics.STATE.exported}{CHOSEN}[5m])"
NONE_YET = f" or on () (0 * max({metrics.STATE.exported}{CHOSEN}))"
"""A counter is not there before its first count."""
COLUMNS, HEIGHT = 3, 8
GRID_WIDTH = 24


def of(metric: metrics.Metric) -> str:
    """The metric of the chosen campaign."""
    return metric.exported + CHOSEN


def panel(
    title: str,
    unit: str,
    about: str,
    shown: Mapping[str, str],
    names: Sequence[str] = (),
    kind: str = "timeseries",
) -> dict[str, Any]:
    """A panel of expressions by their legends.

    Parameters
    ----------
    unit:
        Grafana's name of it.
    names:
        What legends begin with, where that is known: each gets a colour of its own.
    """
    overrides = [
        {
            "matcher": {"id": "byRegexp", "options": f"/^{name}/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in zip(names, COLOURS, strict=False)
    ]
    return {
        "title": title,
        "type": kind,
        "description": about,
        "datasource": DATA,
        "fieldConfig": {
            "defaults": {"unit": unit, "color": {"mode": "continuous-viridis"}},
            "overrides": overrides,
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATA, "expr": expression, "legendFormat": legend}
            for number, (legend, expression) in enumerate(shown.items())
        ],
    }


def panels() -> list[dict[str, Any]]:
    """All panels, in reading order."""
    m = metrics
    compounds = {"measured": of(m.OBSERVED), "to predict": of(m.INFERENCE), "budget": of(m.BUDGET)}
    claim = {"bound": of(m.SYSTEM_BOUND), "goal": of(m.GAMMA)}
    store = 'sum by (instance, SessionName) (ray_object_store_memory{Location="MMAP_SHM"})'
    store += ' / sum by (instance, SessionName) (ray_resources{Name="object_store_memory"})'
    disk = "ray_node_disk_usage / (ray_node_disk_usage + ray_node_disk_free)"
    memory = "ray_node_mem_used / ray_node_mem_total"
    return [
        panel(
            "State",
            "none",
            m.STATE.description,
            {"{{state}}": f"{of(m.STATE)}"},
            [state.value for state in RunState],
            "state-timeline",
        ),
        panel("Round", "none", m.ROUND.description, {"round": of(m.ROUND)}, ["round"], "stat"),
        panel(
            "Since the last step",
            "s",
            "Long while a phase is under way; an alert after 3 hours.",
            {"since": f"time() - {of(m.PROGRESS_TIME)}"},
            ["since"],
            "stat",
        ),
        panel("Compounds", "short", "Measured, left to predict, and the budget.", compounds, list(compounds)),
        panel("Bound and goal", "none", f"{m.SYSTEM_BOUND.description} {m.GAMMA.description}", claim, list(claim)),
        panel(
            "Calibration alarm",
            "bool_yes_no",
            m.CALIBRATION_ALARM.description,
            {"alarm": of(m.CALIBRATION_ALARM)},
            ["alarm"],
            "stat",
        ),
        panel(
            "Seconds of each phase",
            "s",
            m.PHASE_SECONDS.description,
            {"{{phase}}": of(m.PHASE_SECONDS)},
            [state.value for state in LoopState if not state.is_terminal],
        ),
        panel("Scoring", "rowsps", m.ROWS_PER_SECOND.description, {"rows": of(m.ROWS_PER_SECOND)}, ["rows"]),
        panel(
            "Actors replaced",
            "short",
            f"{m.RESTARTS.description} Since the processes started.",
            {"{{group}} {{reason}}": f"sum by (group, reason) ({of(m.RESTARTS)})" + NONE_YET},
            ["trainer", "scorer", "coordinator", "bound"],
        ),
        panel("Object store", "percentunit", "Share of each node's in use.", {"{{instance}}": store + ON_ITS_NODES}),
        panel("Disk", "percentunit", "Share of each node's in use.", {"{{instance}}": disk + ON_ITS_NODES}),
        panel("Memory", "percentunit", "Share of each node's in use.", {"{{instance}}": memory + ON_ITS_NODES}),
    ]


def dashboard() -> dict[str, Any]:
    """The dashboard, for Grafana's import."""
    width = GRID_WIDTH // COLUMNS
    placed = [
        {
            "id": number + 1,
            "gridPos": {"x": number % COLUMNS * width, "y": number // COLUMNS * HEIGHT, "w": width, "h": HEIGHT},
            **made,
        }
        for number, made in enumerate(panels())
    ]
    chosen = {
        "name": "campaign",
        "type": "query",
        "datasource": DATA,
        "query": f"label_values({metrics.STATE.exported}, campaign)",
        "refresh": 2,
    }
    return {
        "uid": "isd-ray",
        "title": "Inference set design on Ray",
        "schemaVersion": 39,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}, chosen]},
        "panels": placed,
    }


def resource() -> dict[str, Any]:
    """The alerts as a PrometheusRule."""
    metadata = {"name": "isd-ray", "namespace": "isd-ray", "labels": {"app.kubernetes.io/part-of": "isd-ray"}}
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata, "spec": rules}


def files() -> dict[Path, str]:
    """What is written, by file."""
    written = "# Written by cluster/monitoring/generate.py from cluster/monitoring/rules.yaml.\n"
    return {
        DASHBOARD: json.dumps(dashboard(), indent=1) + "\n",
        RESOURCE: written + yaml.safe_dump(resource(), sort_keys=False, width=120),
        **{
            OF_CHART / file.name: file.read_text(encoding="utf-8")
            for file in (RULES, KUBERAY / "base" / "campaign.toml")
        },
    }


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text, encoding="utf-8")
