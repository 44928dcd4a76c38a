"""Releasing a batch, which is frozen by it, and waiting for its readouts."""

from __future__ import annotations

import pyarrow.parquet as pq

from isd_ray.campaign.batch import batch_table, plates_of
from isd_ray.campaign.oracle import with_amendments
from isd_ray.campaign.round_files import released_of
from isd_ray.campaign.screen import Screen
from isd_ray.messages import ROLES
from isd_ray.storage.files import sha256_file

_RESERVE, _FINISH = map(ROLES.index, ("reserve", "finish"))


def release(screen: Screen) -> None:
    """Write all that the batch rests on, then the batch."""
    selection, committee = screen.round.selection, screen.round.committee
    assert selection is not None, "RELEASE follows SCORE or FINISH"
    attempt = screen.planned_attempt()
    if not screen.round.saving:
        screen.save_committee()
    for saved in screen.round.saving:
        saved.result()
    trained_on = selection.roles != _RESERVE
    screen.backend.write_features(selection.scored.rows[trained_on], screen.store.address_of(attempt.features_file))
    # A finish, and what is measured once more, goes by the model of its look: it has nothing to win.
    is_judged = len(selection.roles) > 0 and screen.round.earlier is None and not (selection.roles == _FINISH).any()
    if committee is not None and len(committee.shares) > 1 and is_judged:
        rows, address = selection.scored.rows, screen.store.address_of(attempt.forecasts_file)
        screen.round.details["forecasts_sha256"] = screen.backend.write_forecasts(rows, committee, address)
    screen.round.details["n_amendments"] = screen.n_amendments
    released = released_of({**screen.round.details, **screen.round.reference(screen.store.address)})
    released["committee_hash"] = committee.hash if committee else None
    before = sum(files.released.get("n_plates", 0) for files in screen.store.rounds())
    plates = plates_of(selection, screen.library, screen.config, before)
    if plates is not None:
        pq.write_table(plates, attempt.plates_file)
        released |= {"plates_sha256": sha256_file(attempt.plates_file), "n_plates": len(plates["plate"].unique())}
    screen.store.release(attempt, batch_table(selection, screen.library, plates), released)


def measure(screen: Screen) -> bool:
    """Take in the readouts of the batch; False while some are missing."""
    selection = screen.round.selection
    assert selection is not None, "MEASURE follows RELEASE"
    rows = selection.scored.rows
    readouts = screen.oracle.measure(screen.round.number, rows)
    if readouts is None:
        return False
    screen.round.details["readouts_sha256"] = screen.store.keep(readouts.to_table(rows))
    screen.round.readouts = with_amendments(readouts, rows, screen.amended)
    return True
