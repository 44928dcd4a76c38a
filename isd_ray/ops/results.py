"""What a finished screen leaves for people: summary and report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.amend import amended_readouts, objection, settle_amendments
from isd_ray.campaign.claimed import stored_goal
from isd_ray.campaign.record import summarise
from isd_ray.campaign.round_files import ROUND_SCHEMA, n_target_of, rounds_table
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.errors import CorruptFileError, OutputFileError, StoreError
from isd_ray.report.model_card import CARD_FILES, card_text, model_card
from isd_ray.report.sections import render_report
from isd_ray.storage.addresses import within
from isd_ray.storage.copies import fetched
from isd_ray.storage.files import read_json
from isd_ray.storage.output_files import written

_DELIVERED = ("n_target", "n_late", "n_predicted", "n_abandoned")
"""Numbers of the delivered screen in its summary; versions before noted fewer."""
PAGE_SUFFIXES = (".html", ".htm", "")
"""Of a report; a device, as ``/dev/stdout``, has none."""


def summary_of(store: CampaignStore) -> dict[str, Any]:
    """The numbers of ``summary.json`` of a screen that has ended."""
    config = CampaignConfig.from_stored(store.config)
    goal = stored_goal(store)
    records = [files.committed or {} for files in store.rounds()]
    rounds = rounds_of(store).to_pylist()
    at_stop = next((record for record in records if record.get("decision") == "stop"), None)
    if at_stop is None:
        raise CorruptFileError(
            "the round that ended the screen is gone", str(store.address), "restore the folder rounds/ from a backup"
        )
    n_target = n_target_of(rounds[-1])
    needed, is_certified = records[-1].get("needed"), store.certificate() is not None
    summary = summarise(config, goal, rounds, n_target, store.manifest, is_certified, needed, at_stop)
    if n_known := records[-1].get("n_known"):
        summary["n_known"] = n_known
    # Readouts that came after the last round are delivered too, also of compounds that had left the target set.
    delivered = store.delivered()
    summary |= {"n_abandoned": 0} | {name: delivered[name] for name in _DELIVERED if name in delivered}
    if (why := store.withdrawn()) is not None:
        summary |= {"certified": False, "claim": f"certificate WITHDRAWN: {why}", "accuracy_claimed": None}
    return summary


def rounds_of(store: CampaignStore) -> pa.Table:
    """What ``rounds.parquet`` has to hold: the records of the decided rounds."""
    return rounds_table(store.rounds())


def expected_summary(store: CampaignStore) -> dict[str, Any]:
    """What ``summary.json`` has to say of a screen that has ended, by its record; it may say more."""
    summary = summary_of(store)
    if n_amended := len(amended_readouts(store)):
        summary["n_amended"] = n_amended
    return summary


def stored_summary(store: CampaignStore) -> dict[str, Any] | None:
    """The content of ``summary.json``; None without one.

    Raises
    ------
    CorruptFileError
        If it does not say what follows from the record.
    """
    file = store.latest("summary.json")
    if not file.is_file():
        return None
    summary = read_json(file)
    if store.is_delivered():
        expected = json.loads(json.dumps(expected_summary(store)))
        if "n_amended" not in summary:
            expected.pop("n_amended", None)  # it counts corrections after the end; those before are in the numbers
        if "constant" not in summary:
            # Of a version that did not name the class of hits.
            expected = {name: value for name, value in expected.items() if name not in ("goal", "quantity_name")}
        # A version that knew fewer numbers wrote fewer.
        if wrong := [name for name, value in expected.items() if summary.get(name, value) != value]:
            raise CorruptFileError(
                f"{wrong[0]} is {summary.get(wrong[0])!r}, and by the record it is {expected[wrong[0]]!r}",
                str(file),
                "remove the file: it is written again from the record",
            )
        return {**expected, **summary}
    return summary


def check_rounds(store: CampaignStore) -> None:
    """Refuse a ``rounds.parquet`` that is not what the records say; of a screen cut off the last may be missing.

    Raises
    ------
    CorruptFileError
        If it is another one.
    """
    file, expected = store.latest("rounds.parquet"), rounds_of(store)
    if not file.is_file():
        return
    try:
        found = pq.read_table(file)
        # A version that knew fewer columns wrote fewer.
        expected = expected.select([name for name in expected.column_names if name in found.column_names])
        is_that = found.equals(expected.slice(0, len(found))) and (
            len(found) == len(expected) or not store.is_delivered()
        )
    except (OSError, pa.ArrowException):
        is_that = False
    if not is_that:
        raise CorruptFileError(
            "is not what the records of the rounds say",
            str(file),
            "remove it: `isd resume` writes it again from the records, round.json of each round, which are what counts",
        )


def read_rounds(address: str | Path) -> list[dict[str, Any]]:
    """The rows of ``rounds.parquet`` of the campaign at a path or URI, as it is now."""
    rows: list[dict[str, Any]] = pq.read_table(fetched(within(address, "rounds.parquet"), again=True)).to_pylist()
    return rows


def write_results(summary: Mapping[str, Any], store: CampaignStore) -> None:
    """Write ``report.html``, the model card and, last, ``summary.json``: a screen with a summary is complete."""
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
    """Write the results of a screen that has ended, unless they are there; withdraw a certificate that fails.

    Raises
    ------
    StoreError
        If it has not ended.
    """
    if not store.is_delivered():
        raise StoreError("the screen has not ended", store.address, "see `status`; ask until no batch is left")
    withdraw_failed(store)
    if not store.latest("rounds.parquet").is_file():
        store.write_table("rounds.parquet", rounds_of(store).to_pylist(), ROUND_SCHEMA)
    if not store.latest("summary.json").is_file():
        write_results(expected_summary(store), store)


def withdraw_failed(store: CampaignStore) -> None:
    """Withdraw a certificate that has to be (`isd_ray.campaign.amend.objection`), and have the results say so."""
    if objection(store) is not None:
        settle_amendments(store, tuple(store.manifest["classes"]))
    file = store.latest("summary.json")
    if file.is_file() and store.withdrawn() is not None and read_json(file).get("certified"):
        follow_amendments(store)


def follow_amendments(store: CampaignStore) -> None:
    """Have the results of a screen that has ended say what was amended, and whether its certificate still stands."""
    if (file := store.latest("summary.json")).is_file():
        write_results(read_json(file) | expected_summary(store), store)


def report_of(store: CampaignStore) -> str:
    """The report of a campaign as it stands, anew from its record; of one that goes on, the page says so."""
    summary: dict[str, Any] | None = summary_of(store) if store.is_delivered() else None
    check_rounds(store)
    store.bring_hybrid()
    store.check_hybrid()
    summary = stored_summary(store) or summary
    return render_report(store, summary)


def page_file(file: str | Path) -> Path:
    """Where a report goes.

    Raises
    ------
    OutputFileError
        If it is a URI, or has the ending of another kind of file: a page of HTML that is called a PDF opens nowhere.
    """
    path = Path(file)
    with written(path):
        is_page = path.suffix.lower() in PAGE_SUFFIXES
    if not is_page:
        raise OutputFileError(
            f"{path.suffix!r} is no ending of a report, which is a page of HTML",
            str(path),
            f"name it {path.with_suffix('.html').name}; a browser prints it, also to a PDF",
        )
    return path


def restore_card(store: CampaignStore) -> None:
    """Write the model card of a screen that has ended where it is missing."""
    if store.is_delivered() and not all(store.latest(name).is_file() for name in CARD_FILES):
        write_card(store, stored_summary(store) or summary_of(store))
