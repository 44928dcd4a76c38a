"""What may be claimed of a screen, by name: our claims and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from isd_ray import plugins
from isd_ray.config.section import Task
from isd_ray.errors import ConfigError

CLAIMS = "isd_ray.claims"
"""Entry points of claims: the name is the quantity, the value a `Claim`."""
BUILT_IN_CLAIMS = {
    "accuracy": "isd_ray.core.goals.accuracy:CLAIM",
    "recall": "isd_ray.core.goals.output_claims:CLAIM",
    "precision": "isd_ray.core.goals.precision:CLAIM",
    "balanced_accuracy": "isd_ray.core.goals.balanced_accuracy:CLAIM",
    "mae": "isd_ray.core.goals.panel_errors:MAE",
    "mse": "isd_ray.core.goals.panel_errors:MSE",
}
_WHERE = "stopping.quantity"


@dataclass(frozen=True)
class Claim:
    """A quantity that may be claimed.

    Attributes
    ----------
    goals:
        Its class (`isd_ray.core.goals.base.Goal`) for each task that it is of.
    by_output:
        Of a panel with a claim about each output: the class for these. Of our own claims only, as the suite that
        claims have to pass (`isd_ray.core.enumeration`) does not know them.
    by_output_errors:
        The same where of some outputs, which are numbers, a mean error is claimed.
    by_output_hits:
        The same where the recall of hits is claimed of some outputs, and something else of others.
    """

    goals: Mapping[Task, type[Any]]
    by_output: type[Any] | None = None
    by_output_errors: type[Any] | None = None
    by_output_hits: type[Any] | None = None

    @property
    def is_error(self) -> bool:
        """The quantity is an error, which `max_loss` bounds, and not a share above `gamma`."""
        return any(goal.is_error for goal in self.goals.values())

    @property
    def takes_hits(self) -> bool:
        """Predicted hits are measured, all of them."""
        return any(goal.takes_hits for goal in self.goals.values())

    @property
    def is_share_right(self) -> bool:
        """The quantity is the share of right rows, which is what the rules `paper` and `reserved` count."""
        return all(goal.is_share_right for goal in self.goals.values())


@cache
def claim_named(quantity: str) -> Claim:
    """The claim of that name.

    Raises
    ------
    ConfigError
        If there is none, it cannot be loaded, or what it names is called otherwise.
    """
    claim = plugins.load(CLAIMS, BUILT_IN_CLAIMS, quantity, "claim", _WHERE, Claim)
    for goal in claim.goals.values():
        if goal.quantity != quantity:
            raise ConfigError(
                f"the claim {quantity!r} names {goal.__name__}, whose quantity is {goal.quantity!r}",
                _WHERE,
                "give the entry point and the class one name",
            )
    return claim
