"""Fitting the committee on what is measured, after what people have said was taken in."""

from __future__ import annotations

import time

import numpy as np

from isd_ray.campaign.oracle import Standing
from isd_ray.campaign.screen import Screen
from isd_ray.config import RESMLP
from isd_ray.core.race import equal_shares, line_up, shares
from isd_ray.messages import Committee, FitRequest
from isd_ray.models.committee import committee_hash


def fit(screen: Screen) -> None:
    """Fit the committee of the round, unless there is nothing to fit it on."""
    heed(screen, screen.oracle.standing())
    if not _can_fit(screen):
        return
    labels = screen.sets.labels
    families = screen.config.model.families
    requests = [
        FitRequest(
            round=screen.round.number,
            family=family,
            member=member,
            # The networks' seeds are those of campaigns that had no other family.
            seed=screen.seed("member" if family == RESMLP else f"member of {family}", member),
            split_seed=screen.seed("split"),
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
    screen.round.committee = Committee(committee_hash(weights, fitted, counted), weights, fitted, counted)
    screen.save_committee()
    if len(families) > 1:
        screen.round.details["race"] = line_up(counted)
    leading = {report.family: list(report.leading) for report in reports if report.leading is not None}
    if leading:  # of the last member of each family: they hardly differ in this
        screen.round.details["leading"] = leading
    losses = [report.validation_loss for report in reports if np.isfinite(report.validation_loss)]
    epochs = [report.epochs for report in reports if report.epochs]
    screen.round.details.update(
        {
            "validation_loss": float(np.mean(losses)) if losses else None,
            "epochs": float(np.mean(epochs)) if epochs else None,
            "fit_seconds": time.perf_counter() - screen.round.started,
        }
    )


def heed(screen: Screen, standing: Standing) -> None:
    """Take in what people have said: rows that cannot be had, or must; readouts from outside the plan."""
    screen.round.details["n_events"] = standing.n_events
    screen.round.wanted = standing.wanted
    screen.stop(standing.stopped)
    screen.sets.exclude(standing.excluded)
    external = screen.sets.is_left(standing.rows)
    if external.any():
        attempt, rows = screen.new_attempt(), standing.rows[external]
        if (sha256 := screen.round.details.get("external_sha256")) is not None:
            screen.store.check(attempt.external_file, sha256)
        else:
            screen.backend.write_features(rows, screen.store.address_of(attempt.external_file))
            screen.round.details["external_sha256"] = screen.store.hash_of(attempt.external_file)
        readouts, starts = standing.readouts.take(external), screen.config.starts_known and screen.round.number == 0
        screen.history.observe_external(attempt, rows, readouts, screen.round.number, starts=starts)


def _can_fit(screen: Screen) -> bool:
    # The first batch is random unless the screen starts from what is known; a reserve is drawn with it.
    if screen.sets.n_observed == 0 or (screen.round.number == 0 and not screen.budget.starts_known):
        return False
    if screen.config.task == "classification" and len(np.unique(screen.sets.labels)) == 1:
        screen.warnings.append(
            f"round {screen.round.number}: all {screen.sets.n_observed} readouts are of one class; "
            "the next batch is drawn at random"
        )
        return False
    return True
