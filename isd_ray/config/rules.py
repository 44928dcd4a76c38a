"""The stopping rules by name, and what each is: code asks that, and not which one it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A stopping rule.

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
    """

    judges: bool = True
    draws_audits: bool = False
    is_reserved: bool = False
    is_heuristic: bool = False
    has_many_looks: bool = False

    @property
    def is_audited(self) -> bool:
        """Its stop rests on a random audit."""
        return self.draws_audits or self.is_reserved

    @property
    def counts_right(self) -> bool:
        """It counts right rows among the best-scored ones, or by a reserve that these use up."""
        return self.is_heuristic or self.is_reserved


RULES = {
    "certify": Rule(draws_audits=True, has_many_looks=True),
    "pac": Rule(draws_audits=True),
    "reserved": Rule(is_reserved=True, has_many_looks=True),
    "paper": Rule(is_heuristic=True),
    "none": Rule(judges=False),
}
"""Not by entry points: no suite could tell whether a rule keeps its promise (`docs/extending.md`)."""
AUDITED_RULES = tuple(name for name, rule in RULES.items() if rule.is_audited)
