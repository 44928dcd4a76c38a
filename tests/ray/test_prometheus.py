"""A real Prometheus collects from a real head: every panel has data long after a step, and every alert fires.

Only patience is shortened, that of the alerts (`for`) and of Ray's reports; what they ask for is as it is shipped. One
thing is not real, a second target that says the disk is nearly full; and some clocks go slow.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest
import requests
import yaml

from isd_ray.campaign import events
from isd_ray.ops.campaign import Campaign
from tests.chaos.laboratory import CONFIG
from tests.manifests.kustomize import ROOT
from tests.manifests.prometheus import RULES, binary
from tests.ray.head import Head, free_ports, ray_head

pytest.importorskip("opentelemetry.exporter.prometheus", reason="nodes export metrics with ray[default] only")

WAIT_S = 240.0
POLL_S = 0.5
REPORT_S = 3
REPORTS = {"RAY_metrics_report_interval_ms": str(1000 * REPORT_S)}
BUDGET = {"acquisition": {"batch_size": 120}, "stopping": {"rule": "certify", "gamma": 0.7, "max_compounds": 130}}
SHORT = "2s"
EVERY_S = "1s"
PANELS = json.loads((ROOT / "cluster" / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))["panels"]
[GROUP] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]


class Prometheus:
    """A running one."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, what: str, **parameters: str) -> Any:
        answer = requests.get(f"{self._address}/api/v1/{what}", params=parameters, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]

    def query(self, expression: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def last_scrape(self) -> float:
        """When it last collected from all, in unix time."""
        [found] = self.query("min(timestamp(up))")
        return float(found["value"][1])

    def firing(self) -> dict[str, list[str]]:
        """Campaigns of the alerts that fire."""
        found: dict[str, list[str]] = {}
        for alert in self.get("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"].get("campaign", ""))
        return found


def wait_until(holds: Callable[[], object], otherwise: Callable[[], object]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up, otherwise()
        time.sleep(POLL_S)


@contextmanager
def prometheus(targets: list[str], folder: Path) -> Iterator[Prometheus]:
    [port] = free_ports(1)
    rules = [{**rule, **({"for": SHORT} if "for" in rule else {})} for rule in GROUP["rules"]]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{**GROUP, "rules": rules}]}))
    settings = {
        "global": {"scrape_interval": EVERY_S, "evaluation_interval": EVERY_S},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "ray", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                binary("prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def full_disk(session: str) -> Iterator[str]:
    """Where a node of a session says that its disk is nearly full."""
    labels = f'{{SessionName="{session}",ip="192.0.2.1"}}'
    text = f"ray_node_disk_usage{labels} 95\nray_node_disk_free{labels} 5\n".encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def watched(head: Head, what: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """A process of `tests.ray.watched`, once it says that there is something to be seen."""
    environment = {**os.environ, **head.environment, **REPORTS, "RAY_ADDRESS": f"127.0.0.1:{head.gcs_port}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray.watched", what, *arguments],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while (line := process.stdout.readline()) and line != "there\n":
            pass
        assert line or process.wait(WAIT_S) == 0, f"{what} has ended"
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(WAIT_S)


@pytest.fixture(scope="module")
def laboratory(make_config, compounds, tmp_path_factory) -> Path:
    """A campaign with little budget left, whose batch has been out for four days."""

    class FourDaysAgo(datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - timedelta(days=4)

    path = tmp_path_factory.mktemp("laboratory") / "run"
    truth = pyarrow.csv.read_csv(compounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "datetime", FourDaysAgo)
        campaign = Campaign.create(path, make_config(**CONFIG | BUDGET, name="laboratory"))
        asked = set(campaign.ask().ids)
        readouts = zip(truth["name"].to_pylist(), truth["bbb"].to_pylist(), strict=True)
        campaign.tell({name: label for name, label in readouts if name in asked})
        assert len(campaign.ask().ids) == 10
    return path


@pytest.fixture(scope="module")
def collected(make_config, laboratory, tmp_path_factory) -> Iterator[Prometheus]:
    """What goes on, all at once, and the Prometheus that collects it."""
    folder = tmp_path_factory.mktemp("prometheus")

    def configured(name: str) -> str:
        return make_config(
            name=name, compute={"backend": "ray", "address": "auto", "scorers": 1, "trainers": 1}
        ).model_dump_json()

    binary("prometheus")
    with ExitStack() as there:
        head = there.enter_context(ray_head(256 << 20, **REPORTS))
        node = f"127.0.0.1:{head.metrics_port}"
        disk = there.enter_context(full_disk(session_of(node)))
        collecting = there.enter_context(prometheus([node, disk], folder))
        there.enter_context(watched(head, "screen", configured("screen"), str(folder / "screen")))
        there.enter_context(watched(head, "laboratory", str(laboratory)))
        there.enter_context(watched(head, "troubles", configured("alarm"), configured("failing")))
        killed = there.enter_context(watched(head, "running", configured("killed")))
        wait_until(lambda: collecting.query('ray_isd_state{campaign="killed"}'), lambda: "nothing is collected")
        killed.send_signal(signal.SIGKILL)
        yield collecting


def session_of(node: str) -> str:
    """What the head calls its session, from what it exports."""
    found: list[str] = []

    def exports() -> list[str]:
        try:
            text = requests.get(f"http://{node}/metrics", timeout=10).text
        except requests.RequestException:
            return []
        found[:] = [
            line.split('SessionName="')[1].split('"')[0] for line in text.splitlines() if "SessionName=" in line
        ]
        return found

    wait_until(exports, lambda: "the head exports nothing")
    return found[0]


def test_every_panel_has_data_when_nothing_was_done_for_several_reports(collected):
    since = time.time()
    wait_until(lambda: collected.last_scrape() > since + 3 * REPORT_S, lambda: "Prometheus stands still")

    def without() -> list[tuple[str, str]]:
        return [
            (panel["title"], target["expr"])
            for panel in PANELS
            for target in panel["targets"]
            if not collected.query(target["expr"].replace("$campaign", "screen"))
        ]

    # Where processors are busy a report may come late; what is never set again would never come back.
    wait_until(lambda: not without(), without)


def test_every_alert_fires_for_those_that_it_is_about(collected):
    expected = {
        "IsdNoProgress": ["screen"],
        "IsdCampaignFailed": ["failing"],
        "IsdCampaignVanished": ["killed"],
        "IsdActorsRestartOften": ["restless"],
        "IsdBatchWaits": ["laboratory"],
        "IsdCalibrationAlarm": ["alarm"],
        "IsdBudgetNearlySpent": ["laboratory"],
        "IsdDiskNearlyFull": [""],
        "IsdObjectStoreNearlyFull": [""],
    }
    assert expected.keys() == {rule["alert"] for rule in GROUP["rules"]}
    wait_until(lambda: collected.firing() == expected, collected.firing)
