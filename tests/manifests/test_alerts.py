"""Each alert fires when it should and not when it should not, by Prometheus's own judgement, minute by minute.

Time begins at the unix epoch: what was done at 0 is as long ago as the minute of the test says.
"""

from __future__ import annotations

import re

import pytest
import yaml

from isd_ray.campaign.states import RunState
from tests.manifests.prometheus import RULES, firing

DAYS = 24 * 60
EVERY = 6000
"""Minutes of a series that goes on."""


def series(name: str, values: str, process: int = 1, **labels: str) -> dict[str, str]:
    own = {"SessionName": "session", "WorkerId": str(process), "campaign": "kinase", "instance": "node:8080", **labels}
    return {f"ray_{name}{{{','.join(f'{key}={value!r}' for key, value in own.items())}}}".replace("'", '"'): values}


def state(values: dict[str, str], process: int = 1) -> dict[str, str]:
    """The gauges of a process's state: those named by their values, the others 0 as long as those are there."""
    zeros = re.sub(r"\b1\b|\b1(?=x)", "0", next(iter(values.values()))) if len(values) == 1 else None
    found: dict[str, str] = {}
    for one in RunState:
        if (text := values.get(one.value, zeros)) is not None:
            found |= series("isd_state", text, process, state=one.value)
    return found


def on(value: float = 1, minutes: int = EVERY, begin: int = 0) -> str:
    return f"_x{begin} " * (begin > 0) + f"{value}x{minutes}"


RUNNING, WAITING = state({"running": on()}), state({"waiting": on()})
STEP_AT_0 = series("isd_progress_timestamp_seconds", on(0))
ENDS = state({"running": "1x10 0 stale", "ended": "0x10 1 stale"})
KILLED = state({"running": "1x10 stale"})


def restarts(*counts: tuple[str, str]) -> dict[str, str]:
    return {
        key: value
        for process, text in counts
        for key, value in series("isd_actor_restarts_total", text, int(process), group="scorer", reason="lost").items()
    }


def spent(observed: int, budget: int, target: int = 1000) -> dict[str, str]:
    values = {"isd_observed_compounds": observed, "isd_budget_compounds": budget, "isd_target_compounds": target}
    return {key: value for name, n in values.items() for key, value in series(name, on(n)).items()}


def disk(used: float, session: str = "session") -> dict[str, str]:
    return series("node_disk_usage", on(used), SessionName=session) | series(
        "node_disk_free", on(100 - used), SessionName=session
    )


def store(used: float) -> dict[str, str]:
    return series("object_store_memory", on(used), Location="MMAP_SHM") | series(
        "resources", on(100), Name="object_store_memory", State="AVAILABLE"
    )


CASES = {
    "a phase of hours": (RUNNING | STEP_AT_0, 190, {"IsdNoProgress"}),
    "a phase of hours, in the middle not exported": (
        state({"running": "1x180 stale _ _ 1x60"}) | series("isd_progress_timestamp_seconds", "0x180 stale _ _ 0x60"),
        187,
        {"IsdNoProgress"},
    ),
    "a phase of minutes": (RUNNING | STEP_AT_0, 100, set()),
    "hours after an end": (state({"ended": on()}) | STEP_AT_0, 190, set()),
    "it fails and its process ends": (
        state({"running": "1x10 0 stale", "failed": "0x10 1 stale"}),
        14,
        {"IsdCampaignFailed"},
    ),
    "it fails in a process that stays": (state({"failed": on()}), 500, {"IsdCampaignFailed"}),
    "it fails and is begun again": (
        state({"running": "1x10 0 stale", "failed": "0x10 1 stale"}) | state({"running": on(begin=12)}, 2),
        14,
        set(),
    ),
    "it is killed": (KILLED, 15, {"IsdCampaignVanished"}),
    "it is killed and begun again": (KILLED | state({"running": on(begin=12)}, 2), 15, set()),
    "it is killed, begun again, and ends": (
        KILLED | state({"running": "_x11 1 1 0 stale", "ended": "_x11 0 0 1 stale"}, 2),
        18,
        set(),
    ),
    "it ends and its process with it": (ENDS, 15, set()),
    "a batch is asked for and its process ends": (
        state({"running": "1x10 0 stale", "waiting": "0x10 1 stale"}),
        15,
        set(),
    ),
    "its caller stops it": (state({"running": "1x10 0 stale", "stopped": "0x10 1 stale"}), 15, set()),
    "actors are replaced again and again": (restarts(("1", "_x20 1 2 3 4 5 6 7 8x600")), 30, {"IsdActorsRestartOften"}),
    "actors are replaced again and again in an old process": (
        restarts(("1", "1x600 2 3 4 5 6 7 8x600")),
        610,
        {"IsdActorsRestartOften"},
    ),
    "actors are replaced all at once": (restarts(("1", "_x20 6x600")), 22, {"IsdActorsRestartOften"}),
    "actors of several processes are replaced": (
        restarts(("1", on(3, begin=5)), ("2", on(3, begin=6))),
        9,
        {"IsdActorsRestartOften"},
    ),
    "actors were replaced an hour ago": (restarts(("1", "_x20 6x600")), 80, set()),
    "some actors are replaced": (restarts(("1", "_x20 5x600")), 22, set()),
    "Prometheus was away while actors were replaced long ago": (restarts(("1", "6x60 _x40 6x60")), 130, set()),
    "a batch of more than three days": (WAITING | STEP_AT_0, 3 * DAYS + 10, {"IsdBatchWaits"}),
    "a batch of two days": (WAITING | STEP_AT_0, 2 * DAYS, set()),
    "three days after an end": (state({"ended": on()}) | STEP_AT_0, 3 * DAYS + 10, set()),
    "confidently wrong": (RUNNING | series("isd_calibration_alarm", on()), 5, {"IsdCalibrationAlarm"}),
    "confidently wrong, and waiting": (WAITING | series("isd_calibration_alarm", on()), 5, {"IsdCalibrationAlarm"}),
    "confidently wrong before it ended": (state({"ended": on()}) | series("isd_calibration_alarm", on()), 5, set()),
    "rightly confident": (RUNNING | series("isd_calibration_alarm", on(0)), 5, set()),
    "little budget is left": (WAITING | spent(460, 500), 5, {"IsdBudgetNearlySpent"}),
    "half the budget is left": (RUNNING | spent(250, 500), 5, set()),
    "everything may be measured": (RUNNING | spent(990, 1000), 5, set()),
    "the disk is full": (RUNNING | disk(95), 12, {"IsdDiskNearlyFull"}),
    "the disk is half full": (RUNNING | disk(50), 12, set()),
    "the disk of others is full": (RUNNING | disk(95, "other"), 12, set()),
    "the disk is full after the process died": (KILLED | disk(95), 13, {"IsdDiskNearlyFull", "IsdCampaignVanished"}),
    "the object store is full": (RUNNING | store(95), 12, {"IsdObjectStoreNearlyFull"}),
    "the object store is half full": (RUNNING | store(50), 12, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_the_alerts_of_a_case_and_no_others_fire(case, tmp_path):
    found, minute, expected = CASES[case]
    assert firing(found, minute, tmp_path) == expected


def test_each_alert_has_a_case_in_which_it_fires():
    [group] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    assert {rule["alert"] for rule in group["rules"]} == set().union(*(expected for _, _, expected in CASES.values()))


MUTANTS = [
    ("unless on (campaign) ray_isd_state\n", "", "it is killed and begun again"),
    (
        'unless on (campaign) last_over_time(ray_isd_state{state!="running"}[15m]) == 1',
        "",
        "it is killed, begun again, and ends",
    ),
    (
        'last_over_time(ray_isd_state{state="failed"}[15m])',
        'ray_isd_state{state="failed"}',
        "it fails and its process ends",
    ),
    ('unless on (campaign) ray_isd_state{state=~"running|waiting|ended"} == 1', "", "it fails and is begun again"),
    (
        "last_over_time(ray_isd_progress_timestamp_seconds[5m])",
        "ray_isd_progress_timestamp_seconds",
        "a phase of hours, in the middle not exported",
    ),
    (
        "last_over_time(ray_isd_actor_restarts_total[1d] offset 30m)",
        "ray_isd_actor_restarts_total offset 30m",
        "Prometheus was away while actors were replaced long ago",
    ),
    ("or increase(ray_isd_actor_restarts_total[30m])", "", "actors are replaced again and again in an old process"),
    ("last_over_time(ray_isd_state[15m])", "ray_isd_state", "the disk is full after the process died"),
]


@pytest.mark.parametrize(("right", "wrong", "case"), MUTANTS)
def test_a_mutant_is_caught(right, wrong, case, tmp_path):
    text = RULES.read_text(encoding="utf-8")
    assert right in text, "the mutant changes nothing"
    mutant = tmp_path / "rules.yaml"
    mutant.write_text(text.replace(right, wrong), encoding="utf-8")
    found, minute, expected = CASES[case]
    assert firing(found, minute, tmp_path, mutant) != expected
