"""Metrics reach the port that Prometheus reads, under the names and with the labels that the table says."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Collection

import pytest
import ray

from isd_ray.actors.group import ActorGroup
from isd_ray.actors.metrics import METRICS
from isd_ray.messages import Progress, StepTaken
from isd_ray.ops.observe import observed
from tests.manifests.promql import NODE_LABELS, PROCESS_LABELS, exported
from tests.ray.test_faults import Worker, options

pytest.importorskip("opentelemetry.exporter.prometheus", reason="nodes export metrics with ray[default] only")

WAIT_S = 120.0
POLL_S = 0.5


def scrape() -> dict[str, list[dict[str, str]]]:
    """Labels of all series that the node exports, by name."""
    [node] = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    try:
        text = urllib.request.urlopen(address, timeout=10.0).read().decode()
    except OSError:  # the agent starts after its node
        return {}
    found: dict[str, list[dict[str, str]]] = {}
    for name, labels in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE):
        found.setdefault(name, []).append(dict(re.findall(r'(\w+)="(.*?)"', labels)))
    return found


def scrape_until(has: Collection[str], campaign: str | None = None) -> dict[str, list[dict[str, str]]]:
    """The series of the node, once these are there of a campaign: processes report every ten seconds."""
    give_up = time.monotonic() + WAIT_S
    while True:
        found = scrape()
        there = {
            name for name, series in found.items() if campaign in {None, *(labels.get("campaign") for labels in series)}
        }
        if there >= set(has):
            break
        assert time.monotonic() < give_up, sorted(set(has) - there)
        time.sleep(POLL_S)
    return found


def steps():
    taken = StepTaken("score", 1, 0.5, 600)
    yield Progress("release", 1, 900, 240, 660, 60, False, taken, system_bound=0.8)
    yield Progress("done", 1, 900, 240, 660, 60, True, taken, system_bound=0.8)


def test_prometheus_finds_every_metric_of_the_table_with_its_labels_and_no_other(ray_cluster, make_config, tmp_path):
    group = ActorGroup(Worker, (str(tmp_path / "marker"),), options(campaign="scraped"))
    group.wait_until_ready()
    group.map("square", [(x,) for x in range(6)])  # one actor dies on the way
    group.close()
    list(observed(make_config(name="scraped"), steps(), on_ray=True))
    table = {metric.exported: metric for metric in METRICS}
    found = scrape_until(table, "scraped")
    assert {name for name in found if "_isd_" in name} == table.keys()
    for name, metric in table.items():
        for labels in found[name]:
            ours = {key for key in labels if not key.startswith("otel_")} - PROCESS_LABELS
            assert ours == set(metric.labels)
    restarts = [labels for labels in found["ray_isd_actor_restarts_total"] if labels["campaign"] == "scraped"]
    assert [(labels["group"], labels["reason"]) for labels in restarts] == [("test", "lost")]


def test_ray_exports_what_alerts_ask_of_it(ray_cluster):
    names = ("ray_node_disk_usage", "ray_node_disk_free", "ray_object_store_memory", "ray_resources")
    found = scrape_until(names)
    for name in names:
        assert exported()[name] <= found[name][0].keys() | {"instance", "job"}
    assert found["ray_node_disk_usage"][0].keys() >= NODE_LABELS
