"""Clusters of `ray up` obey Ray's own schema, ask for a token, and open nothing but SSH."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from isd_ray.config import CampaignConfig
from isd_ray.core.placement import Node, unplaced
from tests.manifests.campaign_rules import demands, parse_command
from tests.manifests.kustomize import KUBERAY, ROOT
from tests.manifests.project import PROJECT

FOLDER = ROOT / "cluster" / "ray-cluster"
FILES = sorted(file.name for file in FOLDER.glob("*.yaml"))
TOKEN_FILE = "~/.ray/auth_token"
CAMPAIGNS = [KUBERAY / "base" / "campaign.toml", KUBERAY / "production" / "campaign.toml"]
MACHINE = {"CPU": 32.0, "GPU": 1.0}
"""A machine of one's own in these tests: what Ray finds by itself."""


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def schema(cluster: dict[str, Any]) -> Iterator[str]:
    """Ray's own."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "autoscaler" / "ray-schema.json"
    for error in jsonschema.Draft7Validator(json.loads(file.read_text(encoding="utf-8"))).iter_errors(cluster):
        yield f"{error.json_path}: {error.message}"


def nodes_ask_for_the_token(cluster: dict[str, Any]) -> Iterator[str]:
    """Every `ray start` is in token mode; the token is a file of the user's, copied to every node."""
    for side in ("head", "worker"):
        starts = [line for line in cluster[f"{side}_start_ray_commands"] if "ray start" in line]
        if len(starts) != 1 or not starts[0].startswith("RAY_AUTH_MODE=token "):
            yield f"{side}: {starts}"
    if cluster["file_mounts"].get(TOKEN_FILE) != TOKEN_FILE:
        yield "nodes have no token"
    if "RAY_AUTH_TOKEN=" in json.dumps(cluster):
        yield "the token is written out"


def only_ssh_is_open(cluster: dict[str, Any]) -> Iterator[str]:
    """The dashboard listens on the head itself (`ray dashboard` tunnels to it), SSH is open to a named network."""
    if any("--dashboard-host" in line for line in cluster["head_start_ray_commands"]):
        yield "the dashboard listens to others"
    if cluster["provider"]["type"] == "aws":
        for permission in cluster["provider"]["security_group"]["IpPermissions"]:
            networks = [block["CidrIp"] for block in permission["IpRanges"]]
            if (permission["FromPort"], permission["ToPort"]) != (22, 22) or "0.0.0.0/0" in networks:
                yield f"{permission}"


def what_is_installed_is_pinned(cluster: dict[str, Any]) -> Iterator[str]:
    """The checkout is copied without its private parts, and installed with its pins and extras that exist."""
    [install] = [line for line in cluster["setup_commands"] if "pip install" in line]
    extras = re.findall(r"isd-ray\[([\w,]+)\]", install)
    if "-c ~/isd-ray/constraints.txt" not in install or cluster["file_mounts"].get("~/isd-ray") != ".":
        yield install
    if not extras or not set(extras[0].split(",")) <= PROJECT["optional-dependencies"].keys():
        yield f"extras {extras}"
    if "~" in "".join(re.findall(r"(?<==)~|'[^']*'|\"[^\"]*\"", install)):
        yield "a tilde in quotes is no home"
    if not {".git", ".venv", "runs"} <= set(cluster["rsync_exclude"]):
        yield "copies too much"


def workers_are_made_when_needed(cluster: dict[str, Any]) -> Iterator[str]:
    """Where machines cost money, none is held without work, and the head computes nothing."""
    for name, node in cluster.get("available_node_types", {}).items():
        if node.get("min_workers", 0) or (name == cluster["head_node_type"] and node["resources"].get("CPU") != 0):
            yield name
    if "available_node_types" not in cluster and "--num-cpus=0" not in " ".join(cluster["head_start_ray_commands"]):
        yield "actors may be placed on the head"


def offered(command: str) -> dict[str, float]:
    """The logical resources that a `ray start` names on such a machine."""
    stand_ins = f"nproc() {{ echo {MACHINE['CPU']:g}; }}; nvidia-smi() {{ echo GPU 0; }}; "
    said = command.replace("~/isd/bin/ray start", "printf '%s\\n'")
    done = subprocess.run(["bash", "-c", stand_ins + said], capture_output=True, text=True, check=True)
    return json.loads("".join(re.findall(r"^--resources=(.*)$", done.stdout, re.MULTILINE)) or "{}")


def nodes_of(cluster: dict[str, Any]) -> list[Node]:
    """The workers of the largest cluster."""
    if types := cluster.get("available_node_types"):
        workers = {name: node for name, node in types.items() if name != cluster["head_node_type"]}
        return [Node(name, node["resources"], {}) for name, node in workers.items() for _ in range(node["max_workers"])]
    resources = MACHINE | offered(cluster["worker_start_ray_commands"][-1])
    return [Node(address, resources, {}) for address in cluster["provider"]["worker_ips"]]


def shipped_campaigns_find_room(cluster: dict[str, Any]) -> Iterator[str]:
    """Trainers and scorers of the campaigns that are shipped find the resources that they ask for."""
    for file in CAMPAIGNS:
        for name, n in unplaced(demands(CampaignConfig.from_toml(file).compute), nodes_of(cluster)).items():
            yield f"{file.parent.name}: {n} {name} find no node"


RULES = (
    schema,
    shipped_campaigns_find_room,
    nodes_ask_for_the_token,
    only_ssh_is_open,
    what_is_installed_is_pinned,
    workers_are_made_when_needed,
)
OPEN_TO_ALL = {"FromPort": 22, "ToPort": 22, "IpProtocol": "TCP", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
MUTANTS = [
    ("on-premises.yaml", ("worker_ips",), ["192.0.2.11"], schema),
    ("on-premises.yaml", ("provider", "type"), 1, schema),
    ("aws.yaml", ("max_workers",), "12", schema),
    ("aws.yaml", ("available_node_types", "scorer", "resources", "CPU"), "16", schema),
    ("aws.yaml", ("head_start_ray_commands",), ["ray start --head"], nodes_ask_for_the_token),
    ("aws.yaml", ("worker_start_ray_commands",), ["RAY_AUTH_MODE=disabled ray start"], nodes_ask_for_the_token),
    ("on-premises.yaml", ("file_mounts",), {"~/isd-ray": "."}, nodes_ask_for_the_token),
    ("on-premises.yaml", ("initialization_commands",), ["export RAY_AUTH_TOKEN=x"], nodes_ask_for_the_token),
    ("aws.yaml", ("provider", "security_group", "IpPermissions"), [OPEN_TO_ALL], only_ssh_is_open),
    ("on-premises.yaml", ("head_start_ray_commands",), ["ray start --dashboard-host=0.0.0.0"], only_ssh_is_open),
    ("aws.yaml", ("setup_commands",), ["pip install 'isd-ray[cluster]'"], what_is_installed_is_pinned),
    ("aws.yaml", ("rsync_exclude",), [], what_is_installed_is_pinned),
    ("aws.yaml", ("available_node_types", "scorer", "resources"), {"CPU": 16}, shipped_campaigns_find_room),
    ("aws.yaml", ("available_node_types", "trainer", "max_workers"), 1, shipped_campaigns_find_room),
    ("on-premises.yaml", ("worker_start_ray_commands",), ["~/isd/bin/ray start"], shipped_campaigns_find_room),
    ("aws.yaml", ("available_node_types", "trainer", "min_workers"), 1, workers_are_made_when_needed),
    ("aws.yaml", ("available_node_types", "head", "resources"), {"CPU": 4}, workers_are_made_when_needed),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("rule", RULES)
def test_clusters_obey_every_rule(name, rule):
    assert list(rule(read(name))) == []


@pytest.mark.parametrize(("name", "path", "value", "rule"), MUTANTS)
def test_a_mutant_is_caught(name, path, value, rule):
    cluster = copy.deepcopy(read(name))
    node = cluster
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert list(rule(cluster))


@pytest.mark.parametrize("name", FILES)
def test_the_commands_that_a_file_tells_to_type_exist(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    commands = re.findall(r"isd/bin/(isd [^']*)'", text)
    assert commands
    for command in commands:
        given = parse_command(shlex.split(command))
        mounted = read(name)["file_mounts"]["~/isd-ray"]
        file = ROOT / mounted / str(given["config"]).removeprefix("isd-ray/")
        config = CampaignConfig.from_toml(file)
        assert config.compute.address == "auto"
        assert {str(path).split("/")[1] for path in (given["out"], config.library.path)} == {"isd"}
    assert set(re.findall(r"ray (?:up|exec|down) (\S+)", text)) == {f"cluster/ray-cluster/{name}"}
