"""What goals would cost by a screen's first rounds: the rule replayed on their learning curve, carried on."""

from __future__ import annotations

from collections.abc import Sequence

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import to_come
from isd_ray.config import CampaignConfig
from isd_ray.core.replay import Replayed
from isd_ray.core.trips import n_trips
from isd_ray.errors import ConfigError
from isd_ray.ops.curves import AROUND, learnt_of, unsaid
from isd_ray.ops.goal_costs import LEVELS, Advice, GoalCost, range_of


def advise_by_rounds(store: CampaignStore) -> Advice:
    """The claim of a campaign at several levels, by replays of its rule on the learning curve of its rounds so far.

    Raises
    ------
    ConfigError
        If rounds say nothing of the claim, or there are too few.
    """
    config = CampaignConfig.from_stored(store.config)
    stopping = config.stopping
    if (why := unsaid(config)) is not None or stopping.quantity not in LEVELS:
        raise ConfigError(
            why or f"rounds say what accuracy and recall cost, not {stopping.quantity!r}",
            store.address,
            "give the campaign file of a past screen, which is simulated",
        )
    n_target = to_come(store).n_rows
    n_measured, n_made = len(measured_readouts(store)[0]), n_trips(files.released for files in store.rounds())
    is_recall = config.goal_class.takes_hits
    learnt = learnt_of(config, store.address)
    ways = (learnt, learnt.carried_on)
    levels = sorted({*LEVELS[stopping.quantity], 0.98 if not is_recall else 0.95, stopping.gamma})
    costs, n_replays = [], len(ways) * len(AROUND) * len(learnt.hit_cases)
    for level in levels:
        asked = config.model_copy(update={"stopping": stopping.model_copy(update={"gamma": level})})
        ends = [end for way in ways for end in way.ends(asked, n_target)]
        costs.append(_cost(stopping.quantity, level, ends, n_target, n_measured, n_made))
    interval = (
        f"over {n_replays} replays of the rule on the rounds so far: models that learn no more, and models that go on "
        f"as until now, with {AROUND[0]:g} to {AROUND[-1]:g} times as many errors"
        f"{' and none or all of the predicted hits that are left being hits' if is_recall else ''}; a range of what "
        "was thought of, with no probability"
    )
    notes = [f"{n_measured:,} of {n_target:,} are measured; the claim of this campaign stays {stopping.gamma:g}"]
    if any(event.get("known") for event in store.events()):
        notes.append("compounds that were known before count as wells here, and a random first batch is replayed: less")
    if stopping.portions > 1:
        notes.append("audits are reckoned whole; measured in portions they may cost less, in more trips")
    return Advice(tuple(costs), interval, tuple(notes))


def _cost(
    quantity: str, level: float, ends: Sequence[Replayed | None], n_target: int, n_measured: int, n_made: int
) -> GoalCost:
    ended = [end for end in ends if end is not None and end.n_audit]
    return GoalCost(
        quantity,
        level,
        # What is measured already, in trips that were made, cannot be taken back.
        wells=range_of([max(end.n_wells, n_measured) for end in ended]),
        trips=range_of([max(end.n_trips, n_made) for end in ended]),
        n_target=n_target,
        n_tried=len(ends),
        n_ended=len(ended),
    )
