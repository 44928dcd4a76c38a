"""Further rounds of a look, or of its finish, before it is judged: lost wells once more, and portions of an audit.

*Wells that gave no readout* are released once more. Membership stays what was drawn: nothing is redrawn, and what is
lost again counts as it did before there were two tries. Why the risk stays that of the look: the test is exact for the
errors E that the audited rows hold, and a lost well counts as an error that nobody corrects. Let a look end a bad
screen, after either try. The true number K of errors is then at least the allowed ones, one more and those that were
found and put right, c + 1 + e', and the test has counted e >= E of them: as P(at most e | c + 1 + e') >= P(at most E |
K), the latter is at most delta_j, too. That is one event of the draw for both tries, of probability delta_j at most.
(With a finish the same holds of the errors behind the one safest cut, `isd_ray.core.certify.judge_look`.) So a look may
end at the first try where it passes with all lost wells as errors. Not so a test by betting, whose bets follow from the
losses before, nor a recall whose predicted hits were lost, with which its allowance grows: these, and claims about the
outputs of a panel, which may be any of them, are judged once, after the second try.

Of a panel compounds are released once more of which no entry was read; entries lost beside others count as before.

*Portions* (`isd_ray.core.portions`): the audit was drawn, and put on record, as a whole. The next portion goes with
what was lost of those before, except where these have to be judged first, as above.

Where a person has stopped the screen without a last look, nothing more is released: the look ends by what is measured.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.batch import Selection, join, selection_of
from isd_ray.campaign.look_rounds import Earlier, FrozenLook
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.record import metrics_of_finish
from isd_ray.campaign.round_files import RoundRecord, some_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Chosen, Continuing, Decided, Finishing, FurtherRound, Measured, Released
from isd_ray.campaign.steps.look import with_filling
from isd_ray.core.looks import LookPlan
from isd_ray.core.portions import next_portion
from isd_ray.messages import ROLES, Rows, StopDecision

_REPEATED = tuple(map(ROLES.index, ("audit", "hit", "finish")))
_HIT = ROLES.index("hit")


def lost_places(selection: Selection, readouts: Readouts) -> NDArray[np.int64]:
    """Where rows of an audit, its predicted hits or a finish have no readout."""
    return np.flatnonzero(np.isin(selection.roles, _REPEATED) & ~readouts.present)


def before_judging(
    screen: Screen, measured: Measured, plans: tuple[LookPlan, ...], decision: StopDecision, *, is_at_end: bool
) -> tuple[StopDecision, RoundRecord]:
    """The decision on a measured look or finish, or that it goes on in a further round before; and what of it.

    Parameters
    ----------
    plans:
        What the look was judged by; empty in a finish.
    is_at_end:
        Whether it is the look at the end of the budget, which may take the wells that were kept for it.
    """
    rows, must_be_first = _once_more(screen, measured, plans, decision)
    n_next = _n_next(measured.released, plans) if decision.action == "continue" and not must_be_first else 0
    if not len(rows) and not n_next:
        return decision, {}
    gone = f"{len(rows)} of {len(measured.all_of_look[0].roles)} compounds gave no readout"
    if screen.asks_no_more:
        if must_be_first and decision.action != "continue":
            # Who has seen the readouts may not choose after which try such a look is judged.
            decision = StopDecision("continue", f"{gone}, and without them it is not judged")
        ends = f"{decision.reason}; a person has stopped the screen, nothing more is released"
        return replace(decision, reason=ends), {}
    left = screen.budget.look(is_at_end, measured.number + 1)
    if len(rows) + n_next > left:
        what = f"{gone}, and" if len(rows) else f"the next portion has {n_next} compounds, and"
        spent = f"{what} the budget of {left} does not allow to release them{' once more' if len(rows) else ''}"
        return replace(decision, reason=f"{decision.reason}; {spent}"), {}
    goes_on = StopDecision("repeat", f"{gone} and are released once more, before it is judged")
    if n_next:
        again = f", {gone} and go with it once more" if len(rows) else ""
        goes_on = StopDecision("portion", f"{decision.reason} yet; the next portion has {n_next}{again}")
    return goes_on, {"once_more": rows.tolist()}


def _once_more(
    screen: Screen, measured: Measured, plans: tuple[LookPlan, ...], decision: StopDecision
) -> tuple[Rows, bool]:
    """Lost rows to be released once more, and whether nothing is judged before they were."""
    nothing = np.empty(0, np.int64)
    if not screen.store.manifest.get("repeats_lost", False):
        return nothing, False
    batch, (selection, readouts) = measured.released, measured.all_of_look
    lost = lost_places(selection, readouts)
    hits_are_lost = bool((selection.roles[lost] == _HIT).any())
    errs_on_the_safe_side = bool(plans) and screen.goal.is_exact and not hits_are_lost
    is_over = decision.action == "stop" and errs_on_the_safe_side
    if not plans:
        is_over = len(lost) <= screen.config.stopping.finish_tolerance
    # What people have said cannot be had is not asked for again.
    done = screen.oracle.standing().excluded
    if batch.earlier is not None:
        done = np.concatenate([done, batch.earlier.twice(batch.selection.scored.rows)])
    rows = nothing if is_over else np.setdiff1d(selection.scored.rows[lost], done)
    return rows, len(rows) > 0 and not errs_on_the_safe_side


def _n_next(batch: Released, plans: tuple[LookPlan, ...]) -> int:
    """Audited rows of the next portion; 0 where none follows."""
    if not plans or plans[0].portion == plans[0].portions:
        return 0
    return int(batch.details["rest_sizes"][plans[0].portion - 1])


def go_on(screen: Screen, decided: Decided, look: FrozenLook) -> FurtherRound:
    """The round after a look, or a finish, that goes on: its finish, its lost wells once more, or its next portion."""
    before, record = decided.measured.released, decided.record
    number, started, committee = before.number + 1, time.perf_counter(), screen.committee_of(before)
    details = metrics_of_finish(record, screen.sets)
    if record["decision"] == "finish":
        return Finishing(number, started, committee, replace(look, plans=()), details)
    earlier = _earlier_of(screen, decided)
    details |= some_of(before.details, ("audit_rest_sha256", "rest_sizes"))
    if record["decision"] == "repeat":
        details["repeats"] = before.number
        return Chosen(number, started, repeat_of(earlier), committee, look, earlier, details)
    details |= {"continues": before.number, "look_sizes": earlier.sizes, "n_fitted": earlier.n_fitted}
    return Continuing(number, started, committee, replace(look, plans=next_portion(look.plans)), earlier, details)


def _earlier_of(screen: Screen, decided: Decided) -> Earlier:
    """What the round that was just committed, and those before, have measured of a look that goes on."""
    measured, record = decided.measured, decided.record
    batch, (selection, readouts) = measured.released, measured.all_of_look
    if batch.earlier is not None:
        repeated = batch.earlier.twice(batch.selection.scored.rows)
        return replace(batch.earlier, record=record, selection=selection, readouts=readouts, repeated=repeated)
    n_fitted = screen.sets.n_observed - int(readouts.present.sum())
    known, sizes = batch.details.get("n_amendments", 0), batch.details["group_sizes"]
    return Earlier(record, selection, readouts, np.empty(0, np.int64), known, n_fitted, sizes)


def repeat_of(earlier: Earlier) -> Selection:
    """The rows that are released once more, as they were predicted.

    Without ranks: so few rows say nothing of the order by uncertainty, and what the first try says is learned.
    """
    lost = earlier.selection.take(np.flatnonzero(np.isin(earlier.selection.scored.rows, earlier.record["once_more"])))
    return Selection(lost.scored, lost.roles, np.full(len(lost.roles), np.nan))


def take_portion(screen: Screen, continuing: Continuing) -> Chosen:
    """The next portion of the audit, with what was lost of those before, and with what fills its plates."""
    look, earlier, details = continuing.look, continuing.earlier, continuing.details
    before, rest_sizes = look.plans[0].portion - 2, details["rest_sizes"]
    rest = selection_of(screen.store.read_readouts(details["audit_rest_sha256"]))
    start = sum(rest_sizes[:before])
    batch = join([repeat_of(earlier), rest.take(np.arange(start, start + rest_sizes[before]))])
    released = np.concatenate([earlier.selection.scored.rows, rest.scored.rows])
    filled, filling = with_filling(screen, look, continuing.number, batch, released)
    return Chosen(
        number=continuing.number,
        started=continuing.started,
        selection=filled,
        committee=continuing.committee,
        look=look,
        earlier=earlier,
        details={**details, **filling},
    )
