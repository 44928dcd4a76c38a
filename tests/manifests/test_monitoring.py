"""Alerts and dashboard ask for what is exported: every expression parses, and every name in it is real."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from isd_ray.actors.metrics import METRICS
from isd_ray.campaign.states import LoopState
from tests.manifests.kustomize import ROOT
from tests.manifests.promql import fault_of, labels_of

MONITORING = ROOT / "cluster" / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
COLOUR_BLIND_SAFE = {"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"}


def alerts() -> list[tuple[str, str, str]]:
    """Name, expression and words of each alert."""
    return [(rule["alert"], rule["expr"], " ".join(rule["annotations"].values())) for rule in RULES]


def plotted() -> Iterator[tuple[str, str, str]]:
    """Title, expression and legend of each line of a panel."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$campaign", "kinase"), target["legendFormat"]


@pytest.mark.parametrize(("name", "expression", "words"), alerts(), ids=lambda value: str(value)[:20])
def test_an_alert_asks_for_what_is_exported_and_says_what_it_yields(name, expression, words):
    labels = labels_of(expression)
    named = set(re.findall(r"\$labels\.(\w+)", words))
    assert named
    assert named <= labels


@pytest.mark.parametrize(("title", "expression", "legend"), list(plotted()), ids=lambda value: str(value)[:20])
def test_a_panel_shows_what_is_exported(title, expression, legend):
    assert set(re.findall(r"{{(\w+)}}", legend)) <= labels_of(expression)


def test_every_metric_is_shown_or_watched():
    used = " ".join([expression for _, expression, _ in (*plotted(), *alerts())])
    assert not [metric.name for metric in METRICS if metric.exported not in used]


def test_the_readme_names_metrics_that_exist():
    text = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(ray_isd_\w+)`", text))
    assert named
    assert named <= {metric.exported for metric in METRICS}


def test_panels_have_units_and_colours_for_all_readers():
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"]
        colours = [override["properties"][0]["value"]["fixedColor"] for override in panel["fieldConfig"]["overrides"]]
        assert set(colours) <= COLOUR_BLIND_SAFE
        assert len(set(colours)) == len(colours)
    [phases] = [panel for panel in PANELS if panel["title"] == "Seconds of each phase"]
    assert len(phases["fieldConfig"]["overrides"]) == len(LoopState) - 1


def test_panels_lie_side_by_side():
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in PANELS]
    cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(cells) == len(set(cells))


def test_what_is_generated_is_what_is_committed():
    spec = importlib.util.spec_from_file_location("generate", MONITORING / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    written: dict[Path, str] = generate.files()
    assert len(written) == 4
    assert [file for file, text in written.items() if file.read_text(encoding="utf-8") != text] == []


MUTANTS = {
    "ray_isd_progress_timestamp_seconds": "ray_isd_progress_timestamp",
    'state="running"': 'state="runing"',
    "ignoring (state)": "",
    "by (campaign, group)": "by (campaign, grp)",
    "ray_isd_actor_restarts_total": "ray_isd_actor_restarts",
    'Location="MMAP_SHM"': 'Place="MMAP_SHM"',
    'ray_resources{Name="object_store_memory"}': 'ray_resource{Name="object_store_memory"}',
    "on (SessionName)": "on (Session)",
    "ray_node_disk_free": "ray_node_disk_left",
    "by (instance, SessionName)": "by (instance)",
    "[30m]": "[30m",
}


@pytest.mark.parametrize(("right", "wrong"), MUTANTS.items(), ids=lambda value: str(value)[:30])
def test_a_mutant_is_caught(right, wrong):
    changed = [expression.replace(right, wrong) for _, expression, _ in alerts() if right in expression]
    assert changed, "the mutant changes nothing"
    assert all(fault_of(expression) for expression in changed)
