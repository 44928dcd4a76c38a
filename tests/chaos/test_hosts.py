"""Hosts of a cluster that are cut off, or run short of memory: the same screen. More faults: `tests.chaos.hosts`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.chaos.hosts.machines import what_is_missing

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=f"no hosts in namespaces: {what_is_missing()}")
CHOSEN = ("coordinator's host cut off", "memory of a scorer's host")


def run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_what_is_done_to_hosts_has_its_effect_and_ends():
    run("tests.chaos.hosts.effects")


def test_faults_of_hosts_change_no_screen():
    table = run("tests.chaos.hosts", *CHOSEN)
    assert table.count("the same screen") == len(CHOSEN)
