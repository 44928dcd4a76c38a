"""The HTML report of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isd_ray.campaign.store import CampaignStore
from isd_ray.report.page import render_page
from isd_ray.report.record import Record
from isd_ray.report.sections import SECTIONS
from isd_ray.report.words import title_of


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
