"""The report of a campaign: its sections, each a function from its record, or None where there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isd_ray.campaign.store import CampaignStore
from isd_ray.report.page import render_page
from isd_ray.report.record import Record
from isd_ray.report.sections.accuracy import accuracy, batch_accuracy
from isd_ray.report.sections.acquired import acquired
from isd_ray.report.sections.compounds import compounds
from isd_ray.report.sections.confidence import calibration, confidence
from isd_ray.report.sections.cost import cost
from isd_ray.report.sections.glossary import glossary
from isd_ray.report.sections.headline import headline
from isd_ray.report.sections.history import configuration, events, rounds
from isd_ray.report.sections.hits import hits
from isd_ray.report.sections.plates import plates
from isd_ray.report.sections.race import race
from isd_ray.report.words import title_of

SECTIONS = (
    headline,
    accuracy,
    acquired,
    batch_accuracy,
    race,
    calibration,
    confidence,
    hits,
    cost,
    compounds,
    plates,
    events,
    rounds,
    configuration,
    glossary,
)
"""In the order of the page."""


def render_report(store: CampaignStore, summary: Mapping[str, Any] | None) -> str:
    """The report of a campaign as one page, from what its directory and its library hold.

    Parameters
    ----------
    summary:
        The content of ``summary.json``; None while the screen goes on, which the page then says.
    """
    record = Record.read(store, summary)
    sections = [section for make in SECTIONS if (section := make(record)) is not None]
    subtitle = f"Campaign {store.manifest['campaign_id']}" + ("" if summary else ", in progress")
    return render_page(title_of(record.config.name), subtitle, sections)
