"""The image can be built from what is committed, is pinned, holds no secret, and does not run as root."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from tests.manifests.kustomize import ROOT
from tests.manifests.project import PROJECT, pinned, tool

DOCKERFILE = ROOT / "cluster" / "Dockerfile"
Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """Instructions with their arguments, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def values(text: str, word: str) -> list[str]:
    return [rest for name, rest in instructions(text) if name == word]


def defaults(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (rest.partition("=") for rest in values(text, "ARG"))}


def allowed_files() -> set[str]:
    """What Dockerfile.dockerignore lets into the build."""
    lines = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is shut out first"
    return {line[1:] for line in rules if line.startswith("!")}


def stages_resolve(text: str) -> bool:
    """Each stage begins with the base image or with a stage before it, and copies from stages before it."""
    known = {"${BASE_IMAGE}"}
    for word, rest in instructions(text):
        named = re.findall(r"from=([\w-]+)", rest) + ([rest.split()[0]] if word == "FROM" else [])
        if not set(named) <= known:
            return False
        if word == "FROM":
            known.add(rest.split()[-1])
    return len(known) > 1


def runs_as_a_numbered_user(text: str) -> bool:
    """The last stage ends as a user whose number Kubernetes can see to be not root's; nothing is installed as it."""
    last = instructions(text[text.rindex("\nFROM ") :])
    user = [index for index, (word, _) in enumerate(last) if word == "USER"]
    is_numbered = len(user) == 1 and re.fullmatch(r"[1-9]\d*:[1-9]\d*", last[user[0]][1]) is not None
    return is_numbered and not any(word in ("RUN", "COPY") for word, _ in last[user[0] :])


def copies_what_is_committed(text: str) -> bool:
    """Each file copied is in the repository and let into the build; nothing else is let in; nothing is fetched."""
    copied = {source for rest in values(text, "COPY") if "--from=" not in rest for source in rest.split()[:-1]}
    return copied == allowed_files() and all((ROOT / name).exists() for name in copied) and not values(text, "ADD")


def holds_no_secret_and_no_host(text: str) -> bool:
    """No argument or variable for a secret, and no address: where pip and docker look is the builder's business."""
    names = " ".join(values(text, "ARG") + values(text, "ENV"))
    return not re.search(r"TOKEN|SECRET|PASSWORD|_KEY\b", names) and not re.search(r"https?://|\w\.\w+/", names)


def installs_what_is_pinned(text: str) -> bool:
    """Every installation is of pinned versions; torch's comes from constraints.txt."""
    found = re.findall(r"pip install [^&]*", " ".join(values(text, "RUN")))
    return len(found) == 3 and all(re.search(r"-c constraints\.txt|-r torch\.txt|--no-deps", one) for one in found)


def base_is_pinned(text: str) -> bool:
    """A tag of a Python that the project supports."""
    found = re.fullmatch(r"python:3\.(\d+)-slim-\w+", defaults(text)["BASE_IMAGE"])
    return found is not None and f"Programming Language :: Python :: 3.{found[1]}" in PROJECT["classifiers"]


def extras_exist(text: str) -> bool:
    """What is installed beside the library are extras of the project: Jobs API, object stores, the page."""
    extras = set(defaults(text)["EXTRAS"].split(","))
    return extras <= PROJECT["optional-dependencies"].keys() and {"cloud", "cluster", "serve"} <= extras


def fetches_from_where_the_builder_says(text: str) -> bool:
    """Whatever fetches sees the builder's index or mirror, behind the builder's authorities; nothing of them stays."""
    runs = values(text, "RUN")
    mounts = {"pip install": "id=pip,target=/etc/pip.conf", "pip wheel": "id=pip,", "apt-get": "id=apt,"}
    fetching = [
        (line, mount) for line in runs for word, mount in mounts.items() if word in line and "from=wheel" not in line
    ]
    trusted = "update-ca-certificates" in runs[0] and "type=secret,id=ca" in runs[0]
    return trusted and all(f"--mount=type=secret,{mount}" in line for line, mount in fetching) and len(fetching) == 4


def proxies_stay_outside(text: str) -> bool:
    """Docker knows the arguments of proxies and keeps them out of images, unless a file declares them itself."""
    return not re.search(r"_proxy\b", " ".join(values(text, "ARG") + values(text, "ENV")), re.IGNORECASE)


def runs_as_any_number(text: str) -> bool:
    """A user without a name and a home, on a read-only root, finds both: what is written goes below /tmp."""
    last = text[text.rindex("\nFROM ") :]
    variables = dict(one.split("=", 1) for rest in values(last, "ENV") for one in rest.split())
    below = [variables.get(name, "") for name in ("HOME", "XDG_CACHE_HOME", "CUDA_CACHE_PATH")]
    return bool(variables.get("USER")) and all(path.startswith("/tmp") for path in (*below, *values(last, "WORKDIR")))


CHECKS = (
    stages_resolve,
    runs_as_a_numbered_user,
    copies_what_is_committed,
    holds_no_secret_and_no_host,
    installs_what_is_pinned,
    base_is_pinned,
    extras_exist,
    fetches_from_where_the_builder_says,
    proxies_stay_outside,
    runs_as_any_number,
)
MUTANTS = [
    ("COPY --from=dependencies", "COPY --from=dependency", stages_resolve),
    ("FROM dependencies AS wheel", "FROM deps AS wheel", stages_resolve),
    ("USER 1000:1000\n", "", runs_as_a_numbered_user),
    ("USER 1000:1000", "USER root", runs_as_a_numbered_user),
    ("USER 1000:1000", "USER isd", runs_as_a_numbered_user),
    ("COPY isd_ray isd_ray", "COPY . .", copies_what_is_committed),
    ("COPY constraints.txt", "COPY requirements.txt", copies_what_is_committed),
    ("ARG EXTRAS", "ARG PIP_TOKEN\nARG EXTRAS", holds_no_secret_and_no_host),
    ("ARG TORCH_INDEX_URL", "ARG TORCH_INDEX_URL=https://wheels.example.com/cpu", holds_no_secret_and_no_host),
    ("-c constraints.txt ", "", installs_what_is_pinned),
    ("python:3.12-slim-bookworm", "python:latest", base_is_pinned),
    ("python:3.12-", "python:3.9-", base_is_pinned),
    ("cluster,demo", "cluster,demos", extras_exist),
    ("cloud,cluster", "cluster", extras_exist),
    ("cluster,demo", "demo", extras_exist),
    ("demo,serve", "demo", extras_exist),
    (
        "RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip wheel",
        "RUN pip wheel",
        fetches_from_where_the_builder_says,
    ),
    ("id=pip,target=/etc/pip.conf", "id=pip", fetches_from_where_the_builder_says),
    (
        "--mount=type=secret,id=apt,target=/etc/apt/sources.list.d/debian.sources ",
        "",
        fetches_from_where_the_builder_says,
    ),
    ("    && update-ca-certificates", "", fetches_from_where_the_builder_says),
    ("ARG VARIANT=cpu", "ARG HTTPS_PROXY", proxies_stay_outside),
    ("HOME=/tmp", "http_proxy=x", proxies_stay_outside),
    ("HOME=/tmp", "HOME=/home/isd", runs_as_any_number),
    ("USER=isd", "WHO=isd", runs_as_any_number),
    ("WORKDIR /tmp", "WORKDIR /home/isd", runs_as_any_number),
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_image_is_as_promised(check: Callable[[str], bool]):
    assert check(DOCKERFILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "changed", "check"), MUTANTS)
def test_a_worse_image_is_caught(text: str, changed: str, check: Callable[[str], bool]):
    good = DOCKERFILE.read_text(encoding="utf-8")
    assert text in good
    assert not check(good.replace(text, changed))


def test_the_linter_of_dockerfiles_finds_nothing():
    found = subprocess.run([tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_ray_and_torch_are_pinned():
    assert pinned("ray")
    assert pinned("torch")
