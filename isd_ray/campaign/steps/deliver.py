"""Delivering the hybrid screen: certificate, late readouts, frozen predictions."""

from __future__ import annotations

import json

import numpy as np

from isd_ray.campaign.amend import amendments, settle_amendments
from isd_ray.campaign.certificate import make_certificate
from isd_ray.campaign.claimed import claims_on_record
from isd_ray.campaign.look_rounds import stored_address
from isd_ray.campaign.oracle import Stopped, with_amendments
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Decided, Final
from isd_ray.campaign.steps.look import freeze
from isd_ray.campaign.versions import taken_up
from isd_ray.core.looks import is_all_spent
from isd_ray.messages import HybridRequest

NOT_CERTIFIED_FILE = "not_certified.json"


def frozen_for_delivery(screen: Screen, decided: Decided) -> Final:
    """The predictions that a screen which has stopped delivers: those of its look, or of its last model."""
    batch = decided.measured.released
    committee = screen.committee_of(batch)
    if batch.look is not None:
        return Final(batch.number, committee, batch.look.frozen, batch.details.get("predictions", {}))
    address, frozen = freeze(screen, batch.attempt, committee, ())
    return Final(batch.number, committee, address, dict(frozen.files))


def deliver(screen: Screen, final: Final) -> bool:
    """Certify and write the screen; False if readouts were told meanwhile that it should hold."""
    joined = [one for one in taken_up(screen.store) if one["round"] is not None]
    certificate = screen.store.certificate() or make_certificate(
        screen.config.stopping,
        screen.goal,
        screen.store.manifest,
        screen.history,
        final.committee,
        amendments(screen.store),
        screen.constant_answer(),
        claims_on_record(screen.store),
        joined,
    )
    if certificate is not None:
        screen.store.certify(certificate)
    elif screen.stopped is not None:
        _note_stopped(screen, screen.stopped)
    n_told = _take_late(screen, final.number)
    absent, abandoned = screen.history.absent()
    request = HybridRequest(
        inference=screen.sets.packed_inference(),
        **screen.history.measured(),
        absent=absent,
        abandoned=abandoned,
        classes=screen.classes,
        outputs=screen.outputs,
        numbers=screen.config.labels.numbers_among(screen.outputs),
        committee_hash=final.committee.hash if final.committee else "",
        campaign_id=screen.store.manifest["campaign_id"],
        certificate_id=certificate["certificate_id"] if certificate else "",
        predictions_dir=final.frozen,
        hybrid_dir=screen.store.address_of(screen.store.hybrid_dir),
        library_hash=screen.library.hash if joined else "",
    )
    screen.backend.write_hybrid(request)
    if len(screen.oracle.standing().rows) > n_told:
        return False
    settle_amendments(screen.store, screen.classes)
    screen.store.mark_delivered(
        {
            "round": final.number,
            "n_target": screen.sets.n_target,
            "n_measured": screen.sets.n_measured,
            "n_late": screen.sets.n_measured - screen.history.records[-1]["n_acquired"],
            "n_predicted": screen.sets.n_inference,
            "n_abandoned": len(screen.sets.lost),
            "frozen": stored_address(final.frozen, screen.store.address),
            "predictions": dict(final.predictions),
        }
    )
    return True


def _note_stopped(screen: Screen, stopped: Stopped) -> None:
    """Say in the place of a certificate that there is none, and why."""
    of_look = ""
    if stopped.last_look:
        was_taken = is_all_spent(screen.history.risk_spent, screen.config.stopping.delta)
        outcome = "did not pass" if was_taken else "could not be taken, as no model had predictions to judge"
        of_look = f" The last look that was asked for {outcome}."
    said = {
        "campaign_id": screen.store.manifest["campaign_id"],
        "certified": False,
        "words": f"NOT CERTIFIED: stopped by a person: {stopped.reason}.{of_look} Nothing is guaranteed of predicted "
        "compounds.",
        "reason": stopped.reason,
        "last_look": stopped.last_look,
        "round": screen.history.stop_round,
    }
    screen.store.write_text(NOT_CERTIFIED_FILE, json.dumps(said, indent=1) + "\n")


def _take_late(screen: Screen, round_number: int) -> int:
    """Have readouts delivered that were told after the last model was fitted; returns how many are told in all.

    After the certificate was made: it speaks of the screen that its audit judged. A readout in the place of a
    prediction, or of an excluded compound, leaves its claim true. Of a panel with a claim about each output those
    predicted compounds stay predicted that were measured in part: their other entries, right or wrong, would leave
    the screen, and wrong ones would weigh more in what is left.
    """
    told = screen.oracle.standing()
    # Of compounds that were to join with a next round, and have none, nothing is delivered.
    standing = told.within(screen.sets.n_rows)
    if not len(standing.rows):
        return len(told.rows)
    spoils = ~screen.goal.is_whole(standing.readouts.labels) & screen.sets.is_left(standing.rows)
    screen.sets.exclude(np.setdiff1d(screen.sets.excluded, standing.rows))
    late = screen.sets.may_be_read(standing.rows) & ~spoils
    if late.any():
        rows = standing.rows[late]
        readouts = with_amendments(standing.readouts.take(late), rows, screen.amended)
        screen.history.observe_late(rows, readouts, round_number)
    return len(told.rows)
