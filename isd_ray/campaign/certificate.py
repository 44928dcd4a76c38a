"""The certificate: what a passed look proves, in numbers and in words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from isd_ray.campaign.history import History
from isd_ray.campaign.store import canonical_json
from isd_ray.config import CampaignConfig
from isd_ray.messages import Committee

SCHEMA_VERSION = 1
ASSUMPTIONS = (
    "A compound's readout does not depend on when or beside which others it is measured: accuracy is agreement with "
    "the readouts that measuring everything would have given.",
    "The audited compounds were drawn uniformly from the inference set by the recorded seed, after the model was "
    "frozen and before any of their readouts was known; nobody chose or redrew them.",
)
"""All that the guarantee rests on; nothing is assumed of the model, its calibration, or the acquisition function."""


def make_certificate(
    config: CampaignConfig, manifest: Mapping[str, Any], history: History, committee: Committee | None
) -> dict[str, Any] | None:
    """The certificate of a campaign that has just stopped; None if no look was passed.

    A pure function of the record, so that a resumed campaign writes the same bytes.
    """
    look = next((record for record in reversed(history.records) if record["look"] is not None), None)
    if look is None or look["decision"] == "continue":
        return None
    plan = look["look"]
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "campaign_id": manifest["campaign_id"],
        "library_hash": manifest["library_hash"],
        "committee_hash": committee.hash if committee else None,
        "rule": config.stopping.rule,
        "claim": {
            "quantity": "accuracy" if config.task == "classification" else "share within the tolerance",
            "above": config.stopping.gamma,
            "tolerance": config.stopping.tolerance,
        },
        "delta": config.stopping.delta,
        "assumptions": list(ASSUMPTIONS),
        "n_target": history.sets.n_target,
        "n_measured": history.sets.n_observed,
        "n_allowed_errors": plan["allowed"],
        "look": {"number": plan["number"], "of": config.stopping.max_looks, "delta": plan["delta"]},
        "audit": {
            "round": look["round"],
            "seed": look["audit_seed"],
            "n_inference": plan["n_inference"],
            "n": look["n_audit"],
            "n_errors": look["n_errors_audit"],
            "readouts_sha256": look["readouts_sha256"],
        },
        "finish": {"cut": look["n_finish"], "n_new": history.records[-1]["n_batch"] if look["n_finish"] else 0},
        "looks_spent": [
            {
                "number": record["look"]["number"],
                "delta": record["look"]["delta"],
                "round": record["round"],
                "n": record["n_audit"],
                "n_errors": record["n_errors_audit"],
                "passed": record["decision"] != "continue",
            }
            for record in history.records
            if record["look"] is not None
        ],
    }
    return {"certificate_id": hashlib.sha256(canonical_json(content)).hexdigest()[:16], **content}


def certificate_lines(certificate: Mapping[str, Any]) -> list[str]:
    """The certificate in words."""
    claim, audit, finish = certificate["claim"], certificate["audit"], certificate["finish"]
    n_predicted = certificate["n_target"] - certificate["n_measured"]
    lines = [
        f"Certificate {certificate['certificate_id']} of campaign {certificate['campaign_id']}",
        f"With confidence {1 - certificate['delta']:.4g} the {claim['quantity']} of this hybrid screen is above "
        f"{claim['above']:g}: of {certificate['n_target']:,} compounds {certificate['n_measured']:,} are measured and "
        f"{n_predicted:,} predicted, at most {certificate['n_allowed_errors']:,} of these wrongly.",
        f"Proof: an audit of {audit['n']:,} compounds, drawn at random from {audit['n_inference']:,} in round "
        f"{audit['round']} (seed {audit['seed']}) with the model frozen, held {audit['n_errors']:,} wrong predictions; "
        f"exact hypergeometric test at {certificate['look']['delta']:g}, look {certificate['look']['number']}.",
    ]
    if finish["cut"]:
        lines.append(
            f"The {finish['cut']:,} most uncertain of them were then measured ({finish['n_new']:,} beyond the "
            "audit), as the test had shown to suffice."
        )
    for look in certificate["looks_spent"]:
        outcome = "passed" if look["passed"] else "failed; its audit joined the observation set"
        lines.append(
            f"Look {look['number']} spent {look['delta']:g} of the risk {certificate['delta']:g}: "
            f"{look['n_errors']:,} errors in {look['n']:,}; {outcome}."
        )
    lines += [f"Assumed: {text}" for text in certificate["assumptions"]]
    lines.append(f"Model {certificate['committee_hash']}, library {certificate['library_hash']}.")
    return lines
