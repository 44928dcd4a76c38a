"""Whose claim a campaign makes, and whether its class has passed the suite for claims.

Our own claims have their proofs in their docstrings and are tested where they are made. A claim of another package is
put through the suite (`isd_ray.core.enumeration`) when a campaign begins with it, and once more when the campaign goes
on with other code than was tried last. All outcomes stay on record; where one of them found a problem, all that shows
the claim calls it unverified.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from isd_ray import plugins
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig, StoppingConfig
from isd_ray.config.claims import BUILT_IN_CLAIMS, CLAIMS, claim_named
from isd_ray.core.enumeration import SUITE, problems_of
from isd_ray.core.goals import UNVERIFIED, Goal, goal_for

CLAIM = "claim"
"""Key of ``campaign.json`` with the first outcome, and kind of the events with later ones."""


def checked_claim(stopping: StoppingConfig) -> dict[str, Any] | None:
    """The outcome of the suite for the claim of a campaign; None of our own, and where nothing is claimed.

    Returns
    -------
    dict
        ``package`` and ``version`` that define it, ``source_sha256`` of the files that its classes stand in, the number
        of the ``suite``, and the ``problems`` that it found, in words.
    """
    quantity = stopping.quantity
    package = plugins.package_of(CLAIMS, BUILT_IN_CLAIMS, quantity)
    if package is None or not stopping.claims:
        return None
    return {
        "package": package[0],
        "version": package[1],
        "source_sha256": _source_hash(quantity),
        "suite": SUITE,
        "problems": list(_problems(quantity)),
    }


def would_be_unverified(stopping: StoppingConfig) -> bool:
    """Whether the claim of a campaign would be called unverified if it began now."""
    checked = checked_claim(stopping)
    return checked is not None and bool(checked["problems"])


def claims_on_record(store: CampaignStore) -> list[Mapping[str, Any]]:
    """All outcomes, the first one first; none of our own claims, nor of campaigns that earlier versions began."""
    began = store.manifest.get(CLAIM)
    later = [event["checked"] for event in store.events() if event["kind"] == CLAIM]
    return [*([began] if began else []), *later]


def note_claim(store: CampaignStore, stopping: StoppingConfig) -> None:
    """Try the claim once more where the campaign goes on with other code than on record, and note the outcome.

    Not of a screen that is delivered: what it claims was judged by the code of its time.
    """
    found, noted = checked_claim(stopping), claims_on_record(store)
    if found is not None and not store.is_delivered() and (not noted or found != noted[-1]):
        store.append_event(CLAIM, {"checked": found})


def stored_goal(store: CampaignStore) -> Goal:
    """The claim of a campaign that has begun."""
    manifest, config = store.manifest, CampaignConfig.from_stored(store.config)
    classes, outputs = tuple(manifest["classes"]), tuple(manifest.get("outputs", ()))
    in_laboratory, unverified = bool(manifest.get("in_laboratory")), is_unverified(claims_on_record(store))
    return goal_for(
        config.stopping,
        config.task,
        classes,
        outputs,
        config.labels.numbers,
        in_laboratory=in_laboratory,
        unverified=unverified,
    )


def is_unverified(checks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the suite found a problem in any code that the campaign went by."""
    return any(check["problems"] for check in checks)


def claim_lines(checks: Sequence[Mapping[str, Any]], delta: float) -> list[str]:
    """What is said of the claim of a package beside it; nothing of our own."""
    if not checks:
        return []
    last = checks[-1]
    whose = f"{last['package']} {last['version']}"
    if not is_unverified(checks):
        return [
            f"The claim is defined by the package {whose}. Its class passed the suite for claims (number "
            f"{last['suite']}), which counts false stops in all states of small screens."
        ]
    bad = next(check for check in reversed(checks) if check["problems"])
    return [
        f"{UNVERIFIED.upper()}: it is defined by the package {bad['package']} {bad['version']}, whose class did not "
        f"pass the suite for claims: {'; '.join(bad['problems'])}. That it is false with probability {delta:g} at most "
        "is said by that package alone. A campaign that begins with a version that passes "
        "(`isd_ray.testing.claims.ClaimConformance`) does not say so; this one goes on saying it."
    ]


@cache
def _problems(quantity: str) -> tuple[str, ...]:
    return tuple(problems_of(claim_named(quantity)))


def _source_hash(quantity: str) -> str:
    """SHA-256 over the files of the modules that define the classes of a claim, ours left out."""
    classes = {cls for kind in claim_named(quantity).goals.values() for cls in kind.__mro__}
    modules = {cls.__module__ for cls in classes if not cls.__module__.startswith(("isd_ray.", "builtins", "abc"))}
    digest = hashlib.sha256()
    for name in sorted(modules):
        file = importlib.import_module(name).__file__
        digest.update(name.encode() + b"\n" + (b"" if file is None else Path(file).read_bytes()))
    return digest.hexdigest()
