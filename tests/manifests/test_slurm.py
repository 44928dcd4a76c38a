"""The Slurm script starts Ray with a token of its own, runs the screen, and leaves nothing behind.

Slurm, Ray and `isd` are stand-ins that note how they were called.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from isd_ray.config import CampaignConfig
from isd_ray.core.placement import Node, unplaced
from tests.manifests.campaign_rules import demands, parse_command
from tests.manifests.kustomize import KUBERAY, ROOT
from tests.manifests.project import tool

SCRIPT = ROOT / "cluster" / "slurm" / "screen.sbatch"
NODES = ("node1", "node2", "node3")
STAND_INS = {
    "scontrol": f"printf '%s\\n' {' '.join(NODES)}",
    # As Slurm does, a signal to the step ends what it runs.
    "srun": 'echo "srun ${*@Q}" >> "$LOG"; while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "hostname": "echo 192.0.2.1 192.0.2.2",
    "ray": 'if [[ $1 == start ]]; then echo "$$ $RAY_AUTH_MODE $RAY_AUTH_TOKEN" >> "$RAYS"; exec sleep 600; fi; exit 0',
    "isd": 'echo "isd $*" >> "$LOG"; until (( $(wc -l < "$RAYS") >= WANTED )); do :; done; $DURING; exit "$STATUS"',
}


@pytest.fixture
def job(tmp_path: Path):
    """A function that starts the script as Slurm would; what it did is in files of `tmp_path`."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    for name, body in STAND_INS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    (tmp_path / "rays").touch()
    slurm = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_CPUS_ON_NODE": "8",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "ISD_VENV": str(folder.parent),
        "LOG": str(tmp_path / "log"),
        "RAYS": str(tmp_path / "rays"),
    }

    def start(status: int = 0, during: str = "true") -> subprocess.Popen[bytes]:
        given = {"PATH": os.environ["PATH"], **slurm, "STATUS": str(status), "DURING": during}
        given["WANTED"] = str(len(rays(tmp_path)) + len(NODES))
        words = ["bash", str(SCRIPT), "campaign.toml", "/shared/runs/first"]
        with (tmp_path / "output").open("ab") as sink:
            return subprocess.Popen(words, env=given, stdout=sink, stderr=subprocess.STDOUT)

    return start


def steps(folder: Path) -> list[list[str]]:
    """What was run through srun, and the `isd` command."""
    return [shlex.split(line) for line in (folder / "log").read_text(encoding="utf-8").splitlines()]


def rays(folder: Path) -> list[tuple[int, str, str]]:
    """Process, mode and token of each `ray start`."""
    lines = (folder / "rays").read_text(encoding="utf-8").split("\n")[:-1]
    return [(int(process), mode, token) for process, mode, token in map(str.split, lines)]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_head_and_workers_on_the_other_nodes(job, tmp_path):
    assert job().wait(timeout=60) == 0
    starts = [words for words in steps(tmp_path) if "start" in words]
    by_node = {re.search(r"--nodelist=(\w+)", " ".join(words))[1]: words for words in starts}
    assert by_node.keys() == set(NODES)
    assert len(starts) == len(NODES)
    assert [node for node, words in by_node.items() if "--head" in words] == ["node1"]
    assert all("--address=192.0.2.1:24711" in by_node[node] for node in NODES[1:])


def test_nodes_offer_what_campaigns_ask_for(job, tmp_path):
    assert job().wait(timeout=60) == 0
    starts = [words for words in steps(tmp_path) if "start" in words]
    offered = [json.loads(word.partition("=")[2]) for words in starts for word in words if "--resources=" in word]
    cpus = {"CPU": 8.0}
    assert len(offered) == len(NODES)
    for file in (KUBERAY / "base" / "campaign.toml", KUBERAY / "production" / "campaign.toml"):
        wanted = demands(CampaignConfig.from_toml(file).compute)
        names = {name for _, demand in wanted.values() for name, amount in demand.resources.items() if amount}
        assert names <= {"CPU", "GPU", *offered[0]}
    wanted = demands(CampaignConfig.from_toml(KUBERAY / "base" / "campaign.toml").compute)
    assert not unplaced(wanted, [Node(name, cpus | given) for name, given in zip(NODES, offered, strict=True)])


def test_the_screen_runs_on_that_cluster_by_a_command_that_exists(job, tmp_path):
    assert job().wait(timeout=60) == 0
    [command] = [words for words in steps(tmp_path) if words[0] == "isd"]
    given = parse_command(command)
    assert str(given["config"]) == "campaign.toml"
    assert str(given["out"]) == "/shared/runs/first"
    assert given["overrides"] in (["compute.address=192.0.2.1:24711"], ("compute.address=192.0.2.1:24711",))


def test_every_job_has_a_token_of_its_own_that_it_tells_nobody(job, tmp_path):
    assert [job().wait(timeout=60) for _ in range(2)] == [0, 0]
    started = rays(tmp_path)
    assert {mode for _, mode, _ in started} == {"token"}
    tokens = {token for *_, token in started}
    assert len(tokens) == 2
    said = "".join((tmp_path / name).read_text(encoding="utf-8") for name in ("output", "log"))
    assert not any(token in said for token in tokens)


@pytest.mark.parametrize("status", [0, 1, 130])
def test_the_job_ends_as_the_screen_ends_and_leaves_no_ray(job, tmp_path, status):
    assert job(status).wait(timeout=60) == status
    assert not any(alive(process) for process, *_ in rays(tmp_path))
    assert "stop" not in {word for words in steps(tmp_path) for word in words}


def test_a_job_that_is_ended_leaves_no_ray(job, tmp_path):
    started = tmp_path / "started"
    os.mkfifo(started)
    process = job(during=f"eval echo > {started}; exec sleep 600")
    started.read_text(encoding="utf-8")  # returns once the screen runs
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert not any(alive(ray) for ray, *_ in rays(tmp_path))


def test_the_linter_of_shell_scripts_finds_nothing():
    found = subprocess.run([tool("shellcheck"), str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
