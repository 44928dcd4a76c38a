"""The stopping rules by name, and what each is: code asks that, and not which one it has."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from isd_ray import plugins

BUILT_IN_RULES = {
    "certify": "isd_ray.core.rules.certify:RULE",
    "pac": "isd_ray.core.rules.pac:RULE",
    "reserved": "isd_ray.core.rules.reserved:RULE",
    "paper": "isd_ray.core.rules.paper:RULE",
    "none": "isd_ray.core.rules.none:RULE",
}
"""No package adds any: no suite could tell whether a rule keeps its promise (`docs/extending.md`)."""


class Rule:
    """What a stopping rule is; what it does is that of `isd_ray.core.rules.base.StoppingRule`.

    Attributes
    ----------
    judges:
        It says when to stop; otherwise a budget does.
    draws_audits:
        Each look draws an audit from the frozen predictions.
    is_reserved:
        Its audit is drawn and measured before the first model.
    is_heuristic:
        Its stop rests on no audit: the rule of the paper.
    has_many_looks:
        It may look more than once.
    may_keep_wells:
        With `stopping.reserve_audit` its budget may end with a look, at the risk that is left.
    """

    judges: ClassVar[bool] = True
    draws_audits: ClassVar[bool] = False
    is_reserved: ClassVar[bool] = False
    is_heuristic: ClassVar[bool] = False
    has_many_looks: ClassVar[bool] = False
    may_keep_wells: ClassVar[bool] = False

    @property
    def is_audited(self) -> bool:
        """Its stop rests on a random audit."""
        return self.draws_audits or self.is_reserved

    @property
    def counts_right(self) -> bool:
        """It counts right rows among the best-scored ones, or by a reserve that these use up."""
        return self.is_heuristic or self.is_reserved

    @property
    def takes_last_look(self) -> bool:
        """A person may ask for a last look when the screen is stopped by hand."""
        return self.draws_audits and self.may_keep_wells


@cache
def rule_named(name: str) -> Rule:
    """The rule of that name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    return plugins.load(None, BUILT_IN_RULES, name, "stopping rule", "stopping.rule", Rule)
