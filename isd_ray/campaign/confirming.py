"""Compounds to be measured a second time, drawn behind a certificate of recall, and their second readouts on record.

All of it follows from the log: ``confirm-ask`` names the list, each ``confirm-tell`` some second readouts. What they
show is `isd_ray.campaign.confirmed`'s.

- *Readouts that were amended or lost.* A compound of the audit without a first readout, or whose readout was ever
  amended, counts as lost: it may be a confirmed hit that nothing has found. A hit elsewhere that was amended since the
  model of the look was frozen is no hit that the sample is drawn from; one that was amended after the draw counts as
  not confirmed, in the sample or not. (One not confirmed more raises the bound on all of them by one at least, so a
  compound beside the sample may be counted as one in it.)
- *Hits that the sample is drawn from* are all that the delivered screen has measured outside the audit: in any round,
  the finish too, outside the plan, or told after the last round. Confirmed ones of the finish are missed no more;
  others that were measured behind the look stay among its possible misses as well, which errs on the safe side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from isd_ray.campaign.amend import amended_readouts, measured_readouts
from isd_ray.campaign.events import Event
from isd_ray.campaign.look_rounds import rounds_of_look
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig
from isd_ray.core.seeding import draw_seed, tie_keys
from isd_ray.errors import StoreError
from isd_ray.messages import Rows

ASKED, TOLD = "confirm-ask", "confirm-tell"
"""Kinds of events."""
AUDIT_HIT, HIT = "audit hit", "hit"
"""As what a compound of the list was drawn."""
_LIST = pa.schema([("row", pa.int64()), ("drawn_as", pa.string())])
_SECOND = pa.schema([("row", pa.int64()), ("confirmed", pa.bool_())])


@dataclass(frozen=True, slots=True)
class Basis:
    """What the claim rests on; rows are int64, ascending.

    Attributes
    ----------
    audit, audit_hits:
        Rows of the audit of the look that passed, and those whose first readout is a hit.
    hits:
        Hits that were measured outside of it.
    lost:
        Rows of the audit without a first readout, or whose readout was amended.
    finish:
        Rows of the finish.
    """

    audit: Rows
    audit_hits: Rows
    hits: Rows
    lost: frozenset[int]
    finish: frozenset[int]


def refuse_without_claim(store: CampaignStore) -> Mapping[str, Any]:
    """The certificate of the recall that the second readouts go with.

    Raises
    ------
    StoreError
        If there is none that stands, or predicted hits of its look were not measured.
    """
    config = CampaignConfig.from_stored(store.config)
    stopping = config.stopping
    if config.task != "classification":
        raise StoreError(
            f"second readouts are of compounds with one label, and this screen's task is {config.task!r}",
            store.address,
            "screen the output as a label of its own",
        )
    if not config.goal_class.takes_hits or not stopping.in_force.draws_audits:
        raise StoreError(
            f"this screen aims at {stopping.quantity} by the rule {stopping.rule!r}: what its audit says of hits is no "
            "claim about the confirmed ones",
            store.address,
            "screen with stopping.quantity = 'recall' and the rule certify or pac",
        )
    if not store.is_delivered():
        raise StoreError("the screen goes on, and its hits are not settled", store.address, "wait for its end")
    certificate = store.certificate()
    if certificate is None:
        raise StoreError("no look was passed, so there is no certificate", store.address, "see its summary.json")
    if (why := store.withdrawn()) is not None:
        raise StoreError(f"the certificate is WITHDRAWN: {why}", store.address, "screen again")
    predicted, (measured, _) = _rows_of(_rounds_of(store, certificate), "hit"), measured_readouts(store)
    if n_left := int((~np.isin(predicted, measured)).sum()):
        raise StoreError(
            f"{n_left:,} compounds that the look predicted to be hits have no readout: whether they would be confirmed "
            "hits nothing bounds",
            store.address,
            "none: the recall of confirmed hits needs every predicted hit to be measured",
        )
    return certificate


def basis_of(store: CampaignStore, certificate: Mapping[str, Any], n_amendments: int) -> Basis:
    """What the claim rests on, by the first so many amendments."""
    of_look, later = _rounds_of(store, certificate), store.rounds()[certificate["look"]["round"] + 1 :]
    assert of_look[0].committed is not None, "a look that passed was decided"
    audit = _rows_of(of_look, "audit")
    hit = store.manifest["classes"].index(certificate["claim"]["hit"])
    measured, readouts = measured_readouts(store, n_amendments)
    found = measured[readouts.labels == hit]
    amended = np.array(sorted(amended_readouts(store, until=n_amendments)), np.int64)
    since = np.array(
        sorted(amended_readouts(store, of_look[0].committed.get("n_amendments", 0), n_amendments)), np.int64
    )
    return Basis(
        audit,
        np.setdiff1d(np.intersect1d(found, audit), amended),
        np.setdiff1d(found, np.concatenate([audit, since])),
        frozenset(audit[~np.isin(audit, measured) | np.isin(audit, amended)].tolist()),
        frozenset(_rows_of(later, "finish").tolist()),
    )


def _rounds_of(store: CampaignStore, certificate: Mapping[str, Any]) -> list[RoundFiles]:
    """The rounds of the look that passed."""
    return rounds_of_look(store.rounds(), certificate["look"]["round"])


def _rows_of(rounds: Sequence[RoundFiles], role: str) -> Rows:
    """Rows of batches that were chosen for a reason, ascending."""
    batches = [files.read_batch() for files in rounds]
    rows = [batch.filter(pc.equal(batch["role"], role))["row"].to_numpy() for batch in batches]
    return np.unique(np.concatenate(rows)) if rows else np.empty(0, np.int64)


def asked(store: CampaignStore) -> Event | None:
    """The event that named the list of compounds; None before."""
    return next((event for event in store.events() if event["kind"] == ASKED), None)


def asked_rows(store: CampaignStore, event: Event, drawn_as: str | None = None) -> Rows:
    """Rows of the list, ascending: all, or those that were drawn as ``audit hit`` or ``hit``."""
    lines = store.read_readouts(event["readouts_sha256"]).to_pylist()
    return np.array([line["row"] for line in lines if drawn_as in (None, line["drawn_as"])], np.int64)


def draw(
    store: CampaignStore, certificate: Mapping[str, Any], sample: int | None, n_amendments: int
) -> tuple[pa.Table, dict[str, Any]]:
    """The list of compounds to be measured a second time, by row, and the details of its event.

    All hits of the audit, and a uniform sample of the others (all of them without a size). The draw follows from the
    campaign's nonce, and from the hits that it is of (`draw_seed`).

    Raises
    ------
    StoreError
        If there is no hit at all, or the sample is empty or larger than the hits are many.
    """
    basis = basis_of(store, certificate, n_amendments)
    n_hits = len(basis.hits)
    n = n_hits if sample is None else sample
    if sample is not None and not 0 < n <= n_hits:
        raise StoreError(
            f"a sample of {n:,} cannot be drawn of the {n_hits:,} hits that were measured outside the audit",
            store.address,
            "ask for at least one and at most all of them",
        )
    if not n + len(basis.audit_hits):
        raise StoreError("no hit was measured", store.address, "none: there is nothing to confirm")
    seed = _seed(store, certificate, basis)
    drawn = basis.hits[np.argsort(tie_keys(seed, basis.hits))[:n]]
    drawn_as = {**dict.fromkeys(basis.audit_hits.tolist(), AUDIT_HIT), **dict.fromkeys(drawn.tolist(), HIT)}
    rows = sorted(drawn_as)
    table = pa.table({"row": rows, "drawn_as": [drawn_as[row] for row in rows]}, schema=_LIST)
    return table, {
        "certificate_id": certificate["certificate_id"],
        "seed": seed,
        "n": len(rows),
        "n_hits": n_hits,
        "n_sampled": n,
        "n_amendments": n_amendments,
    }


def _seed(store: CampaignStore, certificate: Mapping[str, Any], basis: Basis) -> int:
    of_hits = hashlib.sha256(basis.hits.tobytes()).hexdigest()
    config, nonce = CampaignConfig.from_stored(store.config), store.manifest.get("nonce")
    return draw_seed(config.seed, nonce, "confirm", certificate["look"]["round"], of_hits)


def second_readouts(store: CampaignStore) -> dict[int, bool | None]:
    """Whether each compound that was told is confirmed; None if it was said to be lost, and not told since."""
    found: dict[int, bool | None] = {}
    for event in store.events():
        if event["kind"] == TOLD:
            for line in store.read_readouts(event["readouts_sha256"]).to_pylist():
                if found.get(line["row"]) is None:
                    found[line["row"]] = line["confirmed"]
    return found


def keep_second(store: CampaignStore, second: Mapping[int, bool | None]) -> str:
    """Keep second readouts; returns the hash of their table."""
    rows = sorted(second)
    return store.keep(pa.table({"row": rows, "confirmed": [second[row] for row in rows]}, schema=_SECOND))
