"""Releasing a batch, which is frozen by it, and waiting for its readouts."""

from __future__ import annotations

import pyarrow.parquet as pq

from isd_ray.campaign.batch import batch_table, plates_of
from isd_ray.campaign.look_rounds import stored_look
from isd_ray.campaign.oracle import with_amendments
from isd_ray.campaign.round_files import RoundRecord, released_of
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Chosen, Measured, Released
from isd_ray.messages import ROLES
from isd_ray.storage.files import sha256_file

_RESERVE, _FINISH = map(ROLES.index, ("reserve", "finish"))


def release(screen: Screen, chosen: Chosen) -> Released:
    """Write all that the batch rests on, then the batch."""
    selection, committee = chosen.selection, chosen.committee
    attempt = chosen.attempt or screen.store.new_attempt(chosen.number)
    screen.write_plan(attempt, chosen.look.plans if chosen.look else (), chosen.details.get("audit_seed"))
    for saved in chosen.saving or screen.save_committee(committee, attempt):
        saved.result()
    trained_on = selection.roles != _RESERVE
    screen.backend.write_features(selection.scored.rows[trained_on], screen.store.address_of(attempt.features_file))
    details: RoundRecord = {**chosen.details, "n_amendments": screen.n_amendments}
    # A finish, and what is measured once more, goes by the model of its look: it has nothing to win.
    is_judged = len(selection.roles) > 0 and chosen.earlier is None and not (selection.roles == _FINISH).any()
    if committee is not None and len(committee.shares) > 1 and is_judged:
        rows, address = selection.scored.rows, screen.store.address_of(attempt.forecasts_file)
        details["forecasts_sha256"] = screen.backend.write_forecasts(rows, committee, address)
    released = released_of({**details, **stored_look(chosen.look, screen.store.address)})
    released["committee_hash"] = committee.hash if committee else None
    before = sum(files.released.get("n_plates", 0) for files in screen.store.rounds())
    config = screen.config
    plates = plates_of(selection, screen.library, config.plates, config.acquisition.n_plates, config.seed, before)
    if plates is not None:
        pq.write_table(plates, attempt.plates_file)
        released |= {"plates_sha256": sha256_file(attempt.plates_file), "n_plates": len(plates["plate"].unique())}
    screen.store.release(attempt, batch_table(selection, screen.library, plates), released)
    return Released(
        number=chosen.number,
        started=chosen.started,
        attempt=attempt,
        selection=selection,
        committee=committee,
        committee_hash=released["committee_hash"],
        look=chosen.look,
        earlier=chosen.earlier,
        details=details,
    )


def measure(screen: Screen, released: Released) -> Measured | None:
    """Take in the readouts of the batch; None while some are missing."""
    rows = released.selection.scored.rows
    while True:
        n_heard = len(screen.store.events())
        readouts = screen.oracle.measure(released.number, rows)
        if len(screen.store.events()) == n_heard:  # else somebody has said something meanwhile
            break
    if readouts is None:
        return None
    details: RoundRecord = {**released.details, "readouts_sha256": screen.store.keep(readouts.to_table(rows))}
    if screen.store.manifest["in_laboratory"]:
        details["n_heard"] = n_heard
    return Measured(released, with_amendments(readouts, rows, screen.amended), details)
