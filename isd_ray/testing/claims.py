"""What every claim must do, as tests to inherit: see `ClaimConformance`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import ClassVar

from isd_ray.config.claims import Claim
from isd_ray.core import enumeration
from isd_ray.core.small_screens import goals_of

_SHOWN = 3
"""Problems of one check that a message names."""


class ClaimConformance:
    """Tests of one claim, for pytest.

    A package inherits from it in a test file of its own, and needs no more::

        from isd_ray.testing.claims import ClaimConformance
        from my_package import my_claim


        class TestMyClaim(ClaimConformance):
            claim = my_claim

    A campaign runs the same checks when it begins with a claim of a package: where one fails, its certificate and all
    that shows it says "unverified claim".

    Attributes
    ----------
    claim:
        The claim.
    """

    claim: ClassVar[Claim]

    def finds_nothing(self, check: Callable[[Claim], Iterator[str]]) -> None:
        """Assert that a check of `isd_ray.core.enumeration` finds no problem."""
        found = list(dict.fromkeys(check(self.claim)))
        more = f"\nand {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        assert not found, "\n".join(found[:_SHOWN]) + more

    def test_it_asks_for_nothing_that_is_not_tried(self) -> None:
        """See `isd_ray.core.enumeration.untried`."""
        self.finds_nothing(enumeration.untried)

    def test_its_words_hold_the_level_and_that_it_is_unverified(self) -> None:
        """See `isd_ray.core.enumeration.hidden_words`."""
        self.finds_nothing(enumeration.hidden_words)

    def test_its_value_is_what_its_definition_says_and_falls_with_errors(self) -> None:
        """See `isd_ray.core.enumeration.wrong_values`."""
        self.finds_nothing(enumeration.wrong_values)

    def test_it_is_shown_where_everything_is_audited_and_right(self) -> None:
        """See `isd_ray.core.enumeration.never_certified`."""
        self.finds_nothing(enumeration.never_certified)

    def test_neither_a_lost_well_nor_the_order_of_drawing_makes_a_look_pass(self) -> None:
        """See `isd_ray.core.enumeration.odd_audits`."""
        self.finds_nothing(enumeration.odd_audits)

    def test_no_amendment_makes_a_look_pass(self) -> None:
        """See `isd_ray.core.enumeration.helping_amendments`."""
        self.finds_nothing(enumeration.helping_amendments)

    def test_false_stops_are_as_rare_as_their_risk(self) -> None:
        """See `isd_ray.core.enumeration.false_stops`."""
        self.finds_nothing(enumeration.false_stops)

    def test_its_goals_travel_to_other_processes(self) -> None:
        """The same after pickling."""
        for task, kind in self.claim.goals.items():
            for goal in goals_of(kind, task):
                assert pickle.loads(pickle.dumps(goal)) == goal  # noqa: S301
