"""The claim about confirmed hits: what the second readouts of a campaign show, in numbers and in words.

It is decided by the event ``confirmed`` and lies in ``confirmed.json``; the statistics are `isd_ray.core.confirmed`'s,
and which compounds count as what is said in `isd_ray.campaign.confirming`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isd_ray.campaign.amend import amended_readouts, amendments
from isd_ray.campaign.confirming import AUDIT_HIT, HIT, TOLD, asked, asked_rows, basis_of, draw, second_readouts
from isd_ray.campaign.events import Event
from isd_ray.campaign.store import CampaignStore
from isd_ray.core.confirmed import SecondReadouts, confirmed_recall
from isd_ray.errors import CorruptFileError
from isd_ray.storage.files import identity_of, read_json

SCHEMA_VERSION = 1
DECIDED = "confirmed"
"""Kind of the event that decides the claim."""
FILE = "confirmed.json"
ASSUMPTIONS = (
    "Each compound's second readout is a fixed property of it, as the first is: it does not depend on when or beside "
    "which others it is measured.",
    "The audit, and the sample of the hits, were drawn as recorded; the hits were settled before, and no compound was "
    "measured a second time for another reason and then counted. Nothing is assumed of how the two readouts depend on "
    "each other, or on the prediction.",
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Second readouts, counted: of the audit, of the hits elsewhere, and how many of these are of the finish."""

    audit: SecondReadouts
    hits: SecondReadouts
    n_finish: int


def counts_of(store: CampaignStore, event: Event, n_amendments: int) -> Counts:
    """The second readouts of the compounds of a list, counted by the first so many amendments."""
    certificate = store.certificate()
    assert certificate is not None, "a list is drawn behind a certificate"
    basis, second = basis_of(store, certificate, event["n_amendments"]), second_readouts(store)
    doubted = set(amended_readouts(store, event["n_amendments"], n_amendments))
    of_audit = [row for row in asked_rows(store, event, AUDIT_HIT).tolist() if row not in doubted]
    sampled = asked_rows(store, event, HIT).tolist()
    confirmed_hits = [row for row in sampled if second.get(row) is True and row not in doubted]
    beside = doubted.intersection(np.setdiff1d(basis.hits, sampled).tolist())
    n_confirmed = max(0, len(confirmed_hits) - len(beside))
    lost = basis.lost | doubted.intersection(basis.audit.tolist())
    [group] = certificate["audit"]["groups"]
    return Counts(
        SecondReadouts(
            group["n_inference"],
            len(basis.audit),
            sum(second.get(row) is True for row in of_audit),
            len(lost) + sum(second.get(row) is None for row in of_audit),
        ),
        SecondReadouts(
            len(basis.hits),
            len(sampled),
            n_confirmed,
            sum(second.get(row) is None for row in sampled if row not in doubted),
        ),
        min(n_confirmed, len(basis.finish.intersection(confirmed_hits))),
    )


def content_of(store: CampaignStore, event: Event, n_amendments: int) -> dict[str, Any]:
    """The content of ``confirmed.json``, by the first so many amendments: a pure function of the record."""
    certificate = store.certificate()
    assert certificate is not None, "a list is drawn behind a certificate"
    counts = counts_of(store, event, n_amendments)
    # Each look has a part of the risk, and each portion of an audit a part of that; which of them passed was chosen by
    # their readouts: it has no more than its own.
    risk = certificate["audit"].get("portions", certificate["look"])["delta"]
    told = [other for other in store.events() if other["kind"] == TOLD]
    content = {
        "schema_version": SCHEMA_VERSION,
        "campaign_id": certificate["campaign_id"],
        "certificate_id": certificate["certificate_id"],
        "hit": certificate["claim"]["hit"],
        **asdict(confirmed_recall(counts.audit, counts.hits, risk, counts.n_finish)),
        "delta": certificate["delta"],
        "look": {**certificate["look"], "delta": risk},
        "audit": {**asdict(counts.audit), "hits": len(asked_rows(store, event, AUDIT_HIT))},
        "hits": {**asdict(counts.hits), "finish": counts.n_finish, "seed": event["seed"]},
        "n_amendments": n_amendments,
        "list_sha256": event["readouts_sha256"],
        "readouts_sha256": [other["readouts_sha256"] for other in told],
        "columns": sorted({other["column"] for other in told} - {None}),
        "assumptions": list(ASSUMPTIONS),
    }
    return {"confirmed_id": identity_of(content, "confirmed_id"), **content}


def confirmed(store: CampaignStore) -> dict[str, Any] | None:
    """The content of ``confirmed.json``; None before it is decided.

    Raises
    ------
    CorruptFileError
        If it is not what was decided: its id is the hash of its content, and the log has the id.
    """
    event = next((event for event in store.events() if event["kind"] == DECIDED), None)
    if event is None:
        return None
    file = store.latest(FILE)
    found = read_json(file)
    if not found.get("confirmed_id") == event["confirmed_id"] == identity_of(found, "confirmed_id"):
        raise CorruptFileError(
            "was altered: its id is not the hash of its content, or not the one that the log tells of",
            str(file),
            "remove it: `isd confirm` of the campaign writes it again from the record",
        )
    return found


def check(store: CampaignStore) -> None:
    """Read the list, the second readouts and the claim again, against the record.

    Raises
    ------
    CorruptFileError
        If one is not what follows from it.
    """
    event, certificate = asked(store), store.certificate()
    if event is None or certificate is None:
        if store.latest(FILE).is_file():
            raise CorruptFileError("no event tells of it", str(store.path / FILE), "remove it")
        return
    where = str(store.path / "events" / f"{event['sequence']:06d}.json")
    table, drawn = draw(store, certificate, event["n_sampled"] or None, event["n_amendments"])
    wrong = [name for name, value in drawn.items() if event.get(name) != value]
    if wrong or not table.equals(store.read_readouts(event["readouts_sha256"])):
        raise CorruptFileError(
            f"the list of second readouts is not the one that was to be drawn ({', '.join(wrong) or 'its compounds'})",
            where,
            "restore the folder from a backup",
        )
    if strangers := second_readouts(store).keys() - set(asked_rows(store, event).tolist()):
        raise CorruptFileError(
            f"{len(strangers):,} compounds have a second readout and are not on the list",
            where,
            "restore the folder from a backup",
        )
    found = confirmed(store)
    if found is not None and content_of(store, event, found["n_amendments"]) != found:
        raise CorruptFileError(
            "does not say what follows from the record", str(store.path / FILE), "restore the folder from a backup"
        )


def standing_words(store: CampaignStore) -> str | None:
    """Where the second readouts stand, in a sentence; None where none were asked for."""
    event = asked(store)
    if event is None:
        return None
    found = confirmed(store)
    if found is None:
        n_told = len(second_readouts(store))
        return f"second readouts of {n_told:,} of the {event['n']:,} compounds asked for; nothing is claimed yet"
    if (why := store.withdrawn()) is not None:
        return f"nothing is claimed of confirmed hits any more, as the certificate is WITHDRAWN: {why}"
    n_amendments = len(amendments(store))
    now = found if n_amendments == found["n_amendments"] else content_of(store, event, n_amendments)
    if now["bound"] < found["bound"]:
        return (
            f"recall of confirmed hits at least {now['bound']:.4g} with confidence {1 - now['delta']:.4g}, and no more "
            f"the {found['bound']:.4g} that was shown: readouts that it rests on were amended since"
        )
    return f"recall of confirmed hits at least {found['bound']:.4g} with confidence {1 - found['delta']:.4g}"


def confirmed_lines(store: CampaignStore) -> list[str]:
    """The claim about confirmed hits in words, with its proof and what is assumed; empty before it is decided."""
    found, standing = confirmed(store), standing_words(store)
    if found is None or standing is None:
        return []
    said = f"{standing[0].upper()}{standing[1:]}."
    if store.withdrawn() is not None:
        return [said]
    audit, hits, look = found["audit"], found["hits"], found["look"]
    how = (
        "All"
        if hits["sampled"] == hits["population"]
        else f"{hits['sampled']:,}, drawn at random (seed {hits['seed']}),"
    )
    return [
        f"{said} A hit is {found['hit']}; it is confirmed if its second readout "
        f"({', '.join(found['columns']) or 'none was told'}) is a hit as well.",
        f"Proof: of {audit['population']:,} compounds predicted not to be hits {audit['sampled']:,} were audited, "
        f"{audit['hits']:,} of them hits: {audit['confirmed']:,} are confirmed, and {audit['lost']:,} of the audit, "
        "without a first or a second readout or amended, count as confirmed hits that nothing has found. "
        f"{how} of the {hits['population']:,} hits measured elsewhere were measured again: {hits['confirmed']:,} are "
        f"confirmed ({hits['finish']:,} of them of the finish), and {hits['lost']:,} without a second readout count as "
        "not confirmed. So at least "
        f"{found['found_at_least']:,} confirmed hits are found and at most {found['missed_at_most']:,} missed; exact "
        f"tests at {look['delta']:g}, look {look['number']}.",
        f"Its risk {found['delta']:g} comes beside that of certificate {found['certificate_id']}.",
        *(f"Assumed: {text}" for text in found["assumptions"]),
    ]
