"""All rules, and what breaks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.manifests import (
    campaign_rules,
    coordinator_rules,
    network_rules,
    operator_rules,
    page_rules,
    pod_rules,
    promql,
)
from tests.manifests.kustomize import Object, schema

Rule = Callable[[list[Object]], Iterator[str]]
RULES: tuple[Rule, ...] = (
    schema,
    *operator_rules.RULES,
    *pod_rules.RULES,
    *network_rules.RULES,
    *campaign_rules.RULES,
    *page_rules.RULES,
    *coordinator_rules.RULES,
    *promql.RULES,
)


def broken(objects: list[Object], rules: tuple[Rule, ...] = RULES) -> dict[str, list[str]]:
    """Rules that are broken, with what breaks each."""
    found = {rule.__name__: list(rule(objects)) for rule in rules}
    return {name: reasons for name, reasons in found.items() if reasons}
