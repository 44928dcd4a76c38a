"""Fitting the committee on what is measured, after what people have said was taken in."""

from __future__ import annotations

import time

import numpy as np

from isd_ray.campaign.oracle import OnRecord, with_amendments
from isd_ray.campaign.round_files import Attempt, RoundRecord
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stages import Begun, Trained
from isd_ray.config import RESMLP
from isd_ray.core.race import equal_shares, line_up, shares
from isd_ray.messages import Committee, FitRequest
from isd_ray.models.committee import committee_hash


def fit(screen: Screen, opened: Begun) -> Trained:
    """Fit the committee of the round, unless there is nothing to fit it on."""
    number, attempt = opened.number, screen.store.new_attempt(opened.number)
    standing = screen.standing()
    details = heed(screen, attempt, standing)
    if not _can_fit(screen, number):
        return Trained(number, opened.started, attempt, None, (), standing.wanted, details)
    labels = screen.sets.labels
    families = screen.config.model.families
    requests = [
        FitRequest(
            round=number,
            family=family,
            member=member,
            # The networks' seeds are those of campaigns that had no other family.
            seed=screen.seed("member" if family == RESMLP else f"member of {family}", number, member),
            split_seed=screen.seed("split", number),
            feature_files=tuple(map(screen.store.address_of, screen.history.feature_files)),
            labels=labels.astype(np.int64) if screen.config.task == "classification" else labels,
            places=screen.history.places,
        )
        for family in families
        for member in range(screen.config.model.members_of(family))
    ]
    reports = screen.backend.fit(requests)
    weights = tuple(report.weights for report in reports)
    fitted = tuple(report.family for report in reports)
    is_race = screen.config.model.mixing == "race"
    found = shares(screen.history.race, len(families)) if is_race else equal_shares(len(families))
    counted = dict(zip(families, found.tolist(), strict=True))
    committee = Committee(committee_hash(weights, fitted, counted), weights, fitted, counted)
    saving = screen.save_committee(committee, attempt)
    if len(families) > 1:
        details["race"] = line_up(counted)
    leading = {report.family: list(report.leading) for report in reports if report.leading is not None}
    if leading:  # of the last member of each family: they hardly differ in this
        details["leading"] = leading
    losses = [report.validation_loss for report in reports if np.isfinite(report.validation_loss)]
    epochs = [report.epochs for report in reports if report.epochs]
    details |= {
        "validation_loss": float(np.mean(losses)) if losses else None,
        "epochs": float(np.mean(epochs)) if epochs else None,
        "fit_seconds": time.perf_counter() - opened.started,
    }
    return Trained(number, opened.started, attempt, committee, saving, standing.wanted, details)


def heed(screen: Screen, attempt: Attempt, standing: OnRecord, external_sha256: str | None = None) -> RoundRecord:
    """Take in what people have said: compounds that join; rows that cannot be had, or must; readouts from elsewhere.

    Parameters
    ----------
    external_sha256:
        Of the features of what was measured outside the plan, where the round has written them already.

    Returns
    -------
    RoundRecord
        What the record of the round says of it.
    """
    details: RoundRecord = {"n_events": standing.n_events}
    screen.take_up(standing.n_events)
    screen.stop(standing.stopped)
    screen.sets.exclude(standing.excluded)
    external = screen.sets.is_left(standing.rows)
    if external.any():
        rows = standing.rows[external]
        if external_sha256 is not None:
            screen.store.check(attempt.external_file, external_sha256)
        else:
            screen.backend.write_features(rows, screen.store.address_of(attempt.external_file))
            external_sha256 = screen.store.hash_of(attempt.external_file)
        details["external_sha256"] = external_sha256
        readouts = with_amendments(standing.readouts.take(external), rows, screen.amended)
        starts = screen.config.known is not None and attempt.round == 0
        screen.history.observe_external(attempt, rows, readouts, attempt.round, starts=starts)
    return details


def _can_fit(screen: Screen, round_number: int) -> bool:
    # The first batch is random unless the screen starts from what is known; a reserve is drawn with it.
    if screen.sets.n_observed == 0 or (round_number == 0 and not screen.budget.starts_known):
        return False
    if screen.config.task == "classification" and len(np.unique(screen.sets.labels)) == 1:
        screen.warnings.append(
            f"round {round_number}: all {screen.sets.n_observed} readouts are of one class; "
            "the next batch is drawn at random"
        )
        return False
    return True
