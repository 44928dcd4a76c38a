"""How far a campaign is and how long it may still take, in the few numbers that a distant caller asks for."""

from __future__ import annotations

from dataclasses import dataclass

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import in_force
from isd_ray.config import CampaignConfig
from isd_ray.core.conditions import Bought, affordable

_PACE_ROUNDS = 3
"""Rounds from which the pace is taken: later ones fit more compounds and take longer."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a campaign is.

    Attributes
    ----------
    round:
        The last committed round; None before the first.
    n_acquired, n_target:
        Compounds measured, and of the target set.
    bound:
        Of the claimed quantity in that round; None where there is none.
    decision:
        Of that round: continue, finish, repeat, stop.
    seconds_left:
        Until the budget is spent, at the pace of the last rounds: most that it can take, as the rule may stop it
        before. 0 once the hybrid screen is delivered; None before the first round.
    """

    round: int | None
    n_acquired: int
    n_target: int
    bound: float | None
    decision: str | None
    seconds_left: float | None


def standing_of(store: CampaignStore) -> Standing:
    """How far the campaign of a store is."""
    records = [files.committed for files in store.rounds() if files.committed is not None]
    n_target = in_force(store).n_rows
    if not records:
        return Standing(None, 0, n_target, None, None, None)
    config = CampaignConfig.from_stored(store.config)
    last, recent = records[-1], records[-_PACE_ROUNDS:]
    n_acquired = int(last["n_acquired"])
    n_counted = n_acquired - int(last.get("n_known", 0))
    left = (
        0
        if store.is_delivered()
        else affordable(config.stopping, n_counted, len(records), n_target, paid_evenly(config, n_target))
    )
    pace = sum(record["round_seconds"] for record in recent) / max(1, sum(record["n_batch"] for record in recent))
    return Standing(
        round=int(last["round"]),
        n_acquired=n_acquired,
        n_target=n_target,
        bound=last.get("system_bound"),
        decision=last.get("decision"),
        seconds_left=left * pace,
    )


def paid_evenly(config: CampaignConfig, n_target: int) -> Bought:
    """What money buys at most: by one price for all, or, where prices differ, everything."""
    stopping = config.stopping
    if stopping.cost_per_compound is None or stopping.cost_column is not None:
        return lambda money: n_target
    price = stopping.cost_per_compound * config.replicates
    return lambda money: min(n_target, round(money / price))
