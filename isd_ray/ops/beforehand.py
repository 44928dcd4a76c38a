"""What a claim is held against, before the start: exactly where all labels are known."""

from __future__ import annotations

import numpy as np

from isd_ray.campaign.claimed import checked_claim, claim_lines, would_be_unverified
from isd_ray.campaign.constant import beforehand, constant_warning
from isd_ray.campaign.setup import CampaignSetup
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, ModelConfig
from isd_ray.config.model import RESMLP, family_class
from isd_ray.core.constant import ConstantAnswer, constant_answer
from isd_ray.core.goals import Goal, goal_for
from isd_ray.core.panels import has_readout
from isd_ray.data.labels import LabelRule, as_readouts
from isd_ray.messages import LabelArray

MANY_OUTPUTS = 50
"""Most outputs of a panel of which it is not said that some families fit a model for each."""


def constant_of(
    config: CampaignConfig, rule: LabelRule, labels: LabelArray | None
) -> tuple[Goal, ConstantAnswer | None]:
    """The goal, and what one answer for every compound would reach; None where labels have to say it and do not yet.

    Parameters
    ----------
    labels:
        Of the target set, as `isd_ray.data.labels.Labels` has them; None where a laboratory will tell them.
    """
    in_laboratory, unverified = labels is None, would_be_unverified(config.stopping)
    goal = goal_for(
        config.stopping,
        config.task,
        rule.classes,
        rule.outputs,
        config.labels.numbers,
        in_laboratory=in_laboratory,
        unverified=unverified,
    )
    known, n_classes = np.empty(0) if labels is None else as_readouts(labels), len(rule.outputs or rule.classes)
    if known.ndim == 1:  # a file that no library is built from yet has compounds without a label
        known = known[has_readout(known)]
    return goal, constant_answer(goal, known, n_classes, len(known), config.stopping.delta)


def slow_words(model: ModelConfig, n_outputs: int) -> str | None:
    """That families fit a model for each of the many outputs of a panel, if any does."""
    slow = [repr(name) for name in model.families if getattr(family_class(name), "fits_each_output", False)]
    if n_outputs <= MANY_OUTPUTS or not slow:
        return None
    return (
        f"{' and '.join(slow)} will fit a model for each of the {n_outputs} outputs, so that rounds take long; "
        f"model.families = [{RESMLP!r}] learns all of them at once"
    )


def say_beforehand(setup: CampaignSetup, watcher: Watcher) -> None:
    """Say what the claim is held against, which class is a hit, and warn if the claim may be worth nothing."""
    config, classes = setup.config, setup.rule.classes
    if (slow := slow_words(config.model, len(setup.rule.outputs))) is not None:
        watcher.message(f"warning: {slow}")
    if not config.stopping.claims:
        return
    goal, constant = constant_of(config, setup.rule, None if setup.labels is None else setup.labels.labels)
    if config.stopping.positive is not None and not goal.hit:
        watcher.message(f"hits are the compounds of class {config.stopping.positive!r}")
    watcher.message(f"the goal: {goal.words}; for comparison: {beforehand(goal, constant, classes)}")
    if (checked := checked_claim(config.stopping)) is not None:
        for line in claim_lines([checked], config.stopping.delta):
            watcher.message(line)
    if (warning := constant_warning(goal, constant, classes)) is not None:
        watcher.message(f"warning: {warning}")
