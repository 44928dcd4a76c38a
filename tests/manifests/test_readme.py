"""What cluster/README.md tells to type names files, commands, Secrets and arguments that exist."""

from __future__ import annotations

import json
import re
import shlex

from tests.manifests.campaign_rules import parse_command
from tests.manifests.kustomize import KUBERAY, ROOT, base_as_written
from tests.manifests.project import PROJECT
from tests.manifests.specs import of_kind
from tests.manifests.test_image import DOCKERFILE, defaults

README = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
"""Build arguments that docker knows without an ARG."""
CODE = "\n".join(re.findall(r"```\w*\n(.*?)```", README, re.DOTALL) + re.findall(r"`([^`\n]+)`", README))


def test_files_and_folders_exist():
    named = re.findall(r"(?:-[kf] |sbatch )(cluster/[\w./-]+)", CODE)
    assert len(named) >= 5
    assert not [name for name in named if not (ROOT / name).exists()]
    overlays = set(re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)) & {
        folder.name for folder in (KUBERAY / "overlays").iterdir()
    }
    assert overlays == {folder.name for folder in (KUBERAY / "overlays").iterdir()}


def test_commands_of_isd_exist():
    commands = re.findall(r"(?:^|\s)(isd (?:library )?[a-z]+ [^\n`]*)", CODE.replace("\\\n", " "))
    assert len(commands) >= 3
    for command in commands:
        assert parse_command(shlex.split(command))


def test_secrets_are_those_that_manifests_refer_to():
    [cluster] = of_kind(json.loads(base_as_written()), "RayCluster")
    overlay = (KUBERAY / "overlays" / "object-storage" / "kustomization.yaml").read_text(encoding="utf-8")
    token, page, laptops, store = dict.fromkeys(re.findall(r"create secret generic ([\w-]+)", CODE))
    assert token == cluster["spec"]["authOptions"]["secretName"]
    assert f"secretRef: {{name: {store}}}" in overlay
    written = [
        "".join(file.read_text(encoding="utf-8") for file in (KUBERAY / "overlays" / name).glob("*.yaml"))
        for name in ("serve", "coordinators")
    ]
    certificates = re.findall(r"create secret tls ([\w-]+)", CODE)
    for text, secret, certificate in zip(written, (page, laptops), certificates, strict=True):
        assert f"secretName: {secret}" in text
        assert f"secretName: {certificate}" in text
    assert "--from-file=tokens" in CODE
    assert "--token-file=/etc/isd-coordinators/tokens" in written[1]
    assert "--from-literal=token=" in CODE  # the file that the page reads
    assert "--from-literal=auth_token=" in CODE  # the key that the operator reads


def test_images_are_built_with_arguments_that_exist_and_the_tags_of_the_manifests():
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert set(re.findall(r"--build-arg (\w+)", CODE)) <= defaults(text).keys() | PROXIES
    assert set(re.findall(r"--secret id=(\w+)", CODE)) == set(re.findall(r"type=secret,id=(\w+)", text))
    assert set(re.findall(r"isd-ray:(\S+)-(?:cpu|cuda)", CODE)) == {PROJECT["version"]}
