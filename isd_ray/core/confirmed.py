"""The recall of confirmed hits: what a second readout of few compounds says of a screen that was certified by an audit.

A *hit* is a compound whose first readout is one. It is *confirmed* if its second readout is one as well. Of all
compounds of the library that would be confirmed hits, a screen has found those that it measured; it has missed those
among the predicted ones. Two samples tell how many that are:

- **The audit.** m of the n compounds that were predicted to be no hits were drawn uniformly and measured. Those found
  to be hits are measured again, and e of them are confirmed. One whose second readout is lost may be confirmed, and is
  then a miss that nothing has found: it counts among the bad ones of the audit, and not among the e. The number K of
  confirmed hits among the n is at most U except with probability delta_K, by the exact hypergeometric bound
  (`isd_ray.core.bounds.largest_plausible`), so at most U - e are missed.
- **The hits found elsewhere.** H hits were measured outside the audit. A uniform sample of s of them is measured again;
  without a second readout one counts as not confirmed. By the same bound at most V of the H are not confirmed, except
  with probability delta_C. If all H are measured again, V is known, and no risk is spent.
- **A finish.** Of the H some may be of the n, measured after the look. If f of these were seen to be confirmed, they
  are found as well, and at most U - e - f are missed. Which of the n were measured does not matter: K <= U holds or
  not before they are.

Then C = H - V + e confirmed hits are found and the recall is at least C / (C + U - e - f), except with probability
delta_K + delta_C (Bonferroni), as the quotient grows with C and falls with the misses.

**Several looks.** The audit is that of the look that passed, so it was chosen by its readouts. If look j is given
delta_j, whether it passes or not, then some look has a false bound with probability at most the sum of all delta_j: the
bound of the look that passed is at delta_j, and the sum is the risk (as for the stop itself). So it is with an audit
that is measured in P portions: the one that passed has delta_j / P (`isd_ray.core.portions`).

Assumed is that each compound's second readout is a fixed property of it, as the first is, that the hits are settled
before the sample of them is drawn, and that no compound is measured a second time for another reason and then counted.
Nothing is assumed of how the two readouts depend on each other, or on the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

from isd_ray.core.bounds import largest_plausible


@dataclass(frozen=True, slots=True)
class SecondReadouts:
    """How many of some compounds were measured again, and what came out.

    Attributes
    ----------
    population:
        Compounds that the sample was drawn from.
    sampled:
        Of these: of the audit its size, of the hits found elsewhere those that were to be measured again.
    confirmed, lost:
        Of the sampled: with a second readout that is a hit, and with none although there should be one.
    """

    population: int
    sampled: int
    confirmed: int
    lost: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.confirmed + self.lost <= self.sampled <= self.population or min(self.confirmed, self.lost) < 0:
            raise ValueError(f"need 0 <= confirmed + lost <= sampled <= population; got {self}")


@dataclass(frozen=True, slots=True)
class ConfirmedRecall:
    """What is shown of the recall of confirmed hits.

    Attributes
    ----------
    bound:
        The recall is at least this, except with probability delta; 1 where nothing can have been missed.
    found_at_least, missed_at_most:
        Confirmed hits that it follows from.
    """

    bound: float
    found_at_least: int
    missed_at_most: int


def confirmed_recall(audit: SecondReadouts, hits: SecondReadouts, delta: float, n_finish: int = 0) -> ConfirmedRecall:
    """Lower bound on the recall of confirmed hits; see the module for the proof.

    Parameters
    ----------
    audit:
        Of the compounds that were predicted to be no hits.
    hits:
        Of the hits that were measured outside the audit.
    delta:
        Risk of this look. Half of it is spent on the hits, none if all of them were measured again.
    n_finish:
        Of the confirmed ones of `hits`, those that had been predicted to be no hits at the look (f).

    Raises
    ------
    ValueError
        If delta is not in (0, 1), or more are of the finish than are confirmed.
    """
    if not 0 <= n_finish <= hits.confirmed:
        raise ValueError(f"need 0 <= n_finish <= {hits.confirmed} confirmed hits; got {n_finish=}")
    if not 0.0 < delta < 1.0:
        raise ValueError(f"need 0 < delta < 1; got {delta=}")
    by_sample = hits.sampled < hits.population
    risk = delta / 2.0 if by_sample else delta
    bad = audit.confirmed + audit.lost
    missed = largest_plausible(bad, audit.population, audit.sampled, risk) - audit.confirmed
    missed = max(0, missed - n_finish)
    unconfirmed = hits.sampled - hits.confirmed
    if by_sample:
        unconfirmed = largest_plausible(unconfirmed, hits.population, hits.sampled, risk)
    found = hits.population - unconfirmed + audit.confirmed
    return ConfirmedRecall(found / (found + missed) if missed else 1.0, found, missed)
