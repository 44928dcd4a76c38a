"""A manifest that is wrong in one place is caught by the rule that is there for it; no rule is idle."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import pytest

from tests.manifests import coordinator_mutants, mutants
from tests.manifests.kustomize import KUBERAY, Object, base_as_written, composed, rendered
from tests.manifests.mutants import Mutant
from tests.manifests.rules import RULES

MUTANTS = [*mutants.MUTANTS, *coordinator_mutants.MUTANTS]
BY_NAME = {rule.__name__: rule for rule in RULES}


@functools.cache
def as_text(name: str) -> str:
    """The base, a folder that is ready to be applied, or overlays on a kind, or on none: `kind+overlay+overlay`."""
    kind, *overlays = name.split("+")
    if overlays:
        with tempfile.TemporaryDirectory() as folder:
            return json.dumps(composed(Path(folder), kind or None, overlays))
    return base_as_written() if name == "base" else rendered(KUBERAY / name)


def bundle(name: str) -> list[Object]:
    return json.loads(as_text(name))


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_caught(mutant: Mutant):
    objects = bundle(mutant.bundle)
    changed = mutant.applied(objects)
    assert changed != objects, "the mutant changes nothing"
    assert list(BY_NAME[mutant.caught_by](changed))


def test_every_rule_catches_a_mutant():
    assert {mutant.caught_by for mutant in MUTANTS} == BY_NAME.keys()


@pytest.mark.parametrize("kind", ["Secret", "Service", "Ingress"])
def test_objects_that_do_not_belong_are_caught(kind):
    metadata = {"name": "extra", "namespace": "isd-ray"}
    extra = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {"type": "NodePort"}}
    rule = BY_NAME["secrets_are_references" if kind == "Secret" else "services_stay_inside"]
    assert list(rule([*bundle("base"), extra]))
