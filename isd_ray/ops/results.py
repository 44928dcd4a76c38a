"""What a finished screen leaves for people: summary and report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from isd_ray.campaign.record import summarise
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.core.goals import Goal
from isd_ray.data.mirror import fetched, within
from isd_ray.errors import StoreError
from isd_ray.report.html import render_report
from isd_ray.report.model_card import CARD_FILES, card_text, model_card


def summary_of(store: CampaignStore) -> dict[str, Any]:
    """The numbers of ``summary.json`` of a screen that has ended."""
    config = CampaignConfig.from_stored(store.manifest["config"])
    goal = Goal.of(config, tuple(store.manifest["classes"]), tuple(store.manifest["outputs"]))
    rounds = read_rounds(store.address)
    n_target = rounds[-1]["n_observed"] + rounds[-1]["n_inference"]
    records = [files.committed or {} for files in store.rounds()]
    at_stop = next(record for record in records if record["decision"] == "stop")
    certified = store.certificate() is not None and store.withdrawn() is None
    needed = records[-1].get("needed")
    summary = summarise(config, goal, rounds, n_target, store.manifest, certified, needed, at_stop)
    # Readouts that came after the last round are delivered too.
    return summary | {name: store.delivered()[name] for name in ("n_late", "n_predicted")}


def read_rounds(address: str | Path) -> list[dict[str, Any]]:
    """The rows of ``rounds.parquet`` of the campaign at a path or URI, as it is now."""
    rows: list[dict[str, Any]] = pq.read_table(fetched(within(address, "rounds.parquet"), again=True)).to_pylist()
    return rows


def write_results(summary: Mapping[str, Any], store: CampaignStore) -> None:
    """Write ``report.html``, the model card and, last, ``summary.json``: a run with a summary is complete."""
    store.write_text("report.html", render_report(store, summary))
    write_card(store, summary)
    store.write_text("summary.json", json.dumps(summary, indent=1) + "\n")


def write_card(store: CampaignStore, summary: Mapping[str, Any]) -> None:
    """Write the model card of a screen that has ended, for people and for programs, if it has a model."""
    card = model_card(store, summary)
    if card is not None:
        data = json.dumps(card, indent=1, sort_keys=True) + "\n"
        for name, text in zip(CARD_FILES, (card_text(card), data), strict=True):
            store.write_text(name, text)


def conclude(store: CampaignStore) -> None:
    """Write the results of a screen that has ended, unless they are there already.

    Raises
    ------
    StoreError
        If it has not ended.
    """
    if not store.is_delivered():
        raise StoreError("the screen has not ended", store.address, "see `status`; ask until no batch is left")
    if not store.latest("summary.json").is_file():
        write_results(summary_of(store), store)


def report_of(store: CampaignStore) -> str:
    """The report of a campaign as it stands, anew from its record; of one that goes on, the page says so."""
    return render_report(store, _summary(store))


def restore_card(store: CampaignStore) -> None:
    """Write the model card of a screen that has ended where it is missing."""
    summary = _summary(store)
    if summary is not None and not all(store.latest(name).is_file() for name in CARD_FILES):
        write_card(store, summary)


def _summary(store: CampaignStore) -> dict[str, Any] | None:
    """The summary of a screen, written or not; None while it goes on."""
    if (stored := store.latest("summary.json")).is_file():
        found: dict[str, Any] = json.loads(stored.read_bytes())
        return found
    return summary_of(store) if store.is_delivered() else None
