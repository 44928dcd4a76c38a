"""Wells of a look, or of its finish, that gave no readout: the same compounds are released once more before it ends.

Membership stays what was drawn: nothing is redrawn, and what is lost again counts as it did before there were two
tries. Why the risk stays that of the look. The test is exact for the errors E that the whole audit holds, and a lost
well counts as an error that nobody corrects. Let a look end a bad screen, after either try. The true number K of
errors is then at least the allowed ones, one more and those that were found and put right, c + 1 + e', and the test
has counted e >= E of them: as P(at most e | c + 1 + e') >= P(at most E | K), the latter is at most delta_j, too. That
is one event of the draw for both tries, of probability delta_j at most. (With a finish the same holds of the errors
behind the one safest cut, `isd_ray.core.certify.judge_look`.) So a look may end at the first try where it passes with
all lost wells as errors. Not so a test by betting, whose bets follow from the losses before, nor a recall whose
predicted hits were lost, with which its allowance grows: these are judged once, after the second try.

Of a panel compounds are released once more of which no entry was read; entries lost beside others count as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.selection import Selection
from isd_ray.campaign.work import FirstTry, RoundWork
from isd_ray.messages import ROLES, StopDecision

_REPEATED = tuple(map(ROLES.index, ("audit", "hit", "finish")))
_HIT = ROLES.index("hit")


def whole_batch(screen: Screen) -> tuple[Selection, Readouts]:
    """The batch of the round and its readouts; where wells were measured once more, those of both tries together."""
    work = screen.round
    assert work.selection is not None, "DECIDE follows MEASURE"
    assert work.readouts is not None, "DECIDE follows MEASURE"
    if work.first is None:
        return work.selection, work.readouts
    return work.first.selection, work.first.with_repeated(work.selection.scored.rows, work.readouts)


def lost_places(selection: Selection, readouts: Readouts) -> NDArray[np.int64]:
    """Where rows of an audit, its predicted hits or a finish have no readout."""
    return np.flatnonzero(np.isin(selection.roles, _REPEATED) & ~readouts.present)


def once_more(screen: Screen, decision: StopDecision, *, is_last: bool) -> StopDecision:
    """The decision on a measured look or finish, or that its lost wells are released once more before.

    Parameters
    ----------
    is_last:
        Whether it is the look at the end of the budget, which may take the wells that were kept for it.
    """
    work, stopping = screen.round, screen.config.stopping
    if not screen.store.manifest.get("repeats_lost", False) or work.first is not None:
        return decision
    selection, readouts = whole_batch(screen)
    lost = lost_places(selection, readouts)
    hits_are_lost = bool((selection.roles[lost] == _HIT).any())
    if work.look:
        is_over = decision.action == "stop" and screen.goal.is_exact and not hits_are_lost
    else:
        is_over = len(lost) <= stopping.finish_tolerance
    # What people have said cannot be had is not asked for again.
    rows = np.setdiff1d(selection.scored.rows[lost], screen.oracle.standing().excluded)
    if not len(rows) or is_over:
        return decision
    gone = f"{len(rows)} of {len(selection.roles)} compounds gave no readout"
    left = screen.budget.look(is_last, work.number + 1)
    if len(rows) > left:
        spent = f"{gone}, and the budget of {left} does not allow to release them once more"
        return replace(decision, reason=f"{decision.reason}; {spent}")
    work.details["once_more"] = rows.tolist()
    return StopDecision("repeat", f"{gone} and are released once more, before it is judged")


def first_try(work: RoundWork, record: Mapping[str, Any]) -> FirstTry:
    """What came back of a batch whose lost wells are released once more, by the record of its round."""
    assert work.selection is not None, "a committed round has a batch"
    assert work.readouts is not None, "a committed round has a batch"
    return FirstTry(record, work.selection, work.readouts, work.details.get("n_amendments", 0))


def repeat_of(first: FirstTry) -> Selection:
    """The rows that are released once more, as they were predicted.

    Without ranks: so few rows say nothing of the order by uncertainty, and what the first try says is learned.
    """
    lost = first.selection.take(np.flatnonzero(np.isin(first.selection.scored.rows, first.record["once_more"])))
    return Selection(lost.scored, lost.roles, np.full(len(lost.roles), np.nan))
