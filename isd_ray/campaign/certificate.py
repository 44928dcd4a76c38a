"""The certificate: what a passed look proves, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isd_ray.campaign.certified_panel import counting_lines, proof_of_output, proof_of_outputs
from isd_ray.campaign.claimed import claim_lines
from isd_ray.campaign.constant import COMPARED, constant_words
from isd_ray.campaign.events import Event
from isd_ray.campaign.history import History
from isd_ray.campaign.versions import taken_words
from isd_ray.config import StoppingConfig
from isd_ray.core.bounds import accuracy_on_truth
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.goals import HITS, Goal
from isd_ray.core.looks import look_risk
from isd_ray.messages import Committee
from isd_ray.storage.files import identity_of

SCHEMA_VERSION = 1
READOUTS = (
    "A compound's readout does not depend on when or beside which others it is measured: the claim is about agreement "
    "with the readouts that measuring everything would have given."
)
FRESH_AUDIT = (
    "The audited compounds were drawn uniformly by the recorded seed, after the model was frozen and before any of "
    "their readouts was known; nobody chose or redrew them."
)
RESERVED_AUDIT = (
    "The audited compounds are what acquisition has left of a reserve that was drawn uniformly from the whole target "
    "set by the recorded seed before the first model; no model, forecast or choice ever used their readouts."
)
REPLICATES = (
    "Errors of replicates of a compound are independent of each other, each readout is right at least half of the "
    "time, and the compounds measured twice stand for all."
)
"""All that the guarantee rests on; nothing is assumed of the model, its calibration, or the acquisition function."""


def make_certificate(
    stopping: StoppingConfig,
    goal: Goal,
    manifest: Mapping[str, Any],
    history: History,
    committee: Committee | None,
    corrections: Sequence[Event] = (),
    constant: ConstantAnswer | None = None,
    checks: Sequence[Mapping[str, Any]] = (),
    joined: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:
    """The certificate of a campaign that has just stopped; None if no look was passed.

    A pure function of the record, so that a resumed campaign writes the same bytes.

    Parameters
    ----------
    corrections:
        The amendments on record (`isd_ray.campaign.amend.amendments`); those that the look knew are listed.
    constant:
        What one answer for every compound, or random picking, would reach.
    checks:
        What the suite said of a claim that a package defines (`isd_ray.campaign.claimed.claims_on_record`).
    joined:
        Compounds that joined the target set after the beginning (`isd_ray.campaign.versions.taken_up`).
    """
    look = next((record for record in reversed(history.records) if record["look"]), None)
    spent = {record["round"] for record in history.spent_looks}
    if look is None or look["round"] in spent:
        return None
    of_look = _records_of(history, look)
    is_reserved = stopping.in_force.is_reserved
    assumptions = [READOUTS, RESERVED_AUDIT if is_reserved else FRESH_AUDIT]
    truth = None
    if stopping.repeatability is not None:
        above = accuracy_on_truth(stopping.gamma, stopping.repeatability)
        truth = {"above": above, "repeatability": stopping.repeatability}
        assumptions.append(REPLICATES)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "campaign_id": manifest["campaign_id"],
        "library_hash": joined[-1]["library_hash"] if joined else manifest["library_hash"],
        **({"joined": list(joined)} if joined else {}),
        "committee_hash": committee.hash if committee else None,
        "rule": stopping.rule,
        "claim": {
            "quantity": stopping.quantity,
            "level": goal.level,
            "words": goal.words,
            "tolerance": stopping.tolerance,
            "clip": stopping.loss_clip,
            "hit": (manifest["classes"] or ("0", "1"))[goal.positive] if goal.knows_hits else None,
            "n_outputs": len(manifest.get("outputs", ())) or None,
            **_tolerances(stopping, manifest),
            "truth": truth,
            "constant": None if constant is None else constant_words(goal, constant, manifest["classes"]),
            "constant_range": None if constant is None else [constant.low, constant.high],
            **({"checks": list(checks)} if checks else {}),
        },
        "delta": stopping.delta,
        "assumptions": assumptions,
        "n_target": history.sets.n_target,
        "n_excluded": len(history.sets.excluded),
        "n_measured": history.sets.n_measured,
        **({"n_abandoned": n_lost} if (n_lost := len(history.sets.lost)) else {}),
        "n_hits_measured": sum(history.hits) if goal.knows_hits else None,
        "look": {"number": look["look"][0]["number"], "delta": look_risk(look["look"]), "round": look["round"]},
        "audit": {
            "seed": history.records[0]["reserve_seed"] if is_reserved else look["audit_seed"],
            "readouts_sha256": (history.records[0] if is_reserved else of_look[0])["readouts_sha256"],
            "repeated": _repeated(of_look),
            **_portions(of_look),
            "groups": []
            if goal.outputs
            else [
                {
                    "predicted": ("hit" if plan["group"] == HITS else "other") if goal.knows_hits else "any",
                    "n_inference": plan["n_inference"],
                    "allowed": plan["allowed"],
                    **found,
                }
                for plan, found in zip(look["look"], look["audits"], strict=True)
            ],
            "outputs": _outputs(goal, look),
        },
        "amendments": [
            {"reason": event["reason"], "n": event["n"]} for event in corrections[: look.get("n_amendments", 0)]
        ],
        "n_external": history.n_external,
        "earlier": list(manifest.get("earlier", ())),
        "draws": "simulated" if not manifest["in_laboratory"] else "nonce" if manifest.get("nonce") else "seed",
        "n_lost": sum(record["n_lost"] for record in history.records),
        **_unread(look),
        "n_filling": look.get("n_filling", 0),
        "n_repeated": sum(record.get("n_repeated", 0) for record in history.records),
        "finish": {"cut": look["n_finish"], "n_new": _n_new(history, look)},
        "looks_spent": [
            {
                "number": record["look"][0]["number"],
                "delta": look_risk(record["look"]),
                "round": record["round"],
                "n": record["n_audit"],
                "n_errors": record["n_errors_audit"],
                "passed": record["round"] not in spent,
            }
            for record in history.records
            if record["look"]
        ],
    }
    return {"certificate_id": identity_of(content, "certificate_id"), **content}


def _records_of(history: History, look: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of the rounds of a look, oldest first; `look` is the last."""
    found = [look]
    while (before := found[0].get("continues", found[0].get("repeats"))) is not None:
        found.insert(0, history.records[before])
    return found


def _unread(look: Mapping[str, Any]) -> dict[str, int]:
    """Entries of predicted hits without a readout that count as wrong; nothing where there are none."""
    n_unread = sum(plan.get("n_unread", 0) for plan in look["look"])
    return {"n_unread": n_unread} if n_unread else {}


def _n_new(history: History, look: Mapping[str, Any]) -> int:
    """Compounds that the finish of a look asked for beyond those that its round had measured."""
    return int(history.records[look["round"] + 1]["n_batch"]) if look["decision"] == "finish" else 0


def _repeated(of_look: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Wells of the look that were measured once more, and how many were lost again; None where there were none."""
    repeats = [record for record in of_look if record.get("repeats") is not None]
    if not repeats:
        return None
    n, n_lost = (sum(record[name] for record in repeats) for name in ("n_repeated", "n_lost"))
    return {"n": n, "n_lost": n_lost, "readouts_sha256": repeats[-1]["readouts_sha256"]}


def _portions(of_look: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far the audit was measured, where it was declared in portions."""
    plan = of_look[-1]["look"][0]
    if plan.get("portions", 1) == 1:
        return {}
    readouts = [record["readouts_sha256"] for record in of_look]
    n, measured, risk = plan["portions"], plan["portion"], plan["delta"]
    return {"portions": {"declared": n, "measured": measured, "delta": risk, "readouts_sha256": readouts}}


def _tolerances(stopping: StoppingConfig, manifest: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What counts as right of the outputs that are numbers; nothing where there are none."""
    outputs, numbers = manifest.get("outputs", ()), manifest["config"]["labels"].get("numbers", ())
    pairs = zip(outputs, stopping.tolerances_of(outputs, numbers), strict=False)
    found = {name: tolerance for name, tolerance in pairs if tolerance is not None}
    return {"tolerances": found} if found else {}


def _outputs(goal: Goal, look: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the look proves of each output of a panel that has a claim."""
    if not goal.outputs:
        return []
    columns = zip(goal.outputs, look["look"], look["audits"], look["bounds"], strict=True)
    return [
        {
            "name": output.name,
            "gamma": output.level,
            "bound": output.shown(bound),
            "delta": plan["delta"],
            "n_measured": plan["n_measured"],
            "n_audited": plan["size"],
            "n_inference": plan["n_inference"],
            **found,
            **output.on_record,
        }
        for output, plan, found, bound in columns
    ]


def certificate_lines(certificate: Mapping[str, Any]) -> list[str]:
    """The certificate in words."""
    claim, audit, look, finish = (certificate[name] for name in ("claim", "audit", "look", "finish"))
    n_abandoned = certificate.get("n_abandoned", 0)
    n_predicted = certificate["n_target"] - certificate["n_measured"] - n_abandoned
    abandoned = f"; {n_abandoned:,} gave no readout" if n_abandoned else ""
    confidence = f"With confidence {1 - certificate['delta']:.4g}"
    lines = [
        f"Certificate {certificate['certificate_id']} of campaign {certificate['campaign_id']}",
        f"{confidence} the {claim['words']} in this hybrid screen: of {certificate['n_target']:,} compounds "
        f"{certificate['n_measured']:,} are measured and {n_predicted:,} predicted{abandoned}.",
    ]
    lines += claim_lines(claim.get("checks", ()), certificate["delta"])
    if certificate["n_excluded"]:
        lines.append(
            f"{certificate['n_excluded']:,} other compounds of the library were excluded, as they could not be had: "
            "they are neither measured nor predicted, and nothing is claimed of them."
        )
    if joined := certificate.get("joined"):
        lines.append(
            f"It speaks of version {joined[-1]['version']} of the library, {joined[-1]['n_rows']:,} compounds. After "
            f"the beginning came {'; '.join(map(taken_words, joined))}. The audit was drawn from all that were left."
        )
    if claim["hit"] is not None:
        lines.append(f"A hit is {claim['hit']}; {certificate['n_hits_measured']:,} are measured.")
    if claim.get("constant") is not None:
        lines.append(f"{COMPARED}: {claim['constant']}.")
    outputs = audit.get("outputs", [])
    if outputs:
        lines.append(proof_of_outputs(outputs, audit["seed"], look, claim["quantity"]))
        lines += [proof_of_output(output, claim["quantity"]) for output in outputs]
    elif claim["n_outputs"] is not None:
        lines += counting_lines(claim, in_laboratory=certificate.get("draws", "simulated") != "simulated")
    judged_at = audit.get("portions", look)["delta"]
    lines += [_proof(group, audit["seed"], look, judged_at) for group in audit["groups"]]
    if portions := audit.get("portions"):
        lines.append(_proof_by_portions(portions, look))
    if finish["cut"]:
        lines.append(
            f"The {finish['cut']:,} most uncertain of them were then measured ({finish['n_new']:,} beyond the "
            "audit), as the test had shown to suffice."
        )
    if n_filling := certificate.get("n_filling", 0):
        lines.append(
            f"{n_filling:,} more of them, the most uncertain, were measured on the audit's plates: they stay in what "
            "the audit was drawn from, and nothing that they showed counts in the proof."
        )
    lines += list(_irregular(certificate))
    for spent in certificate["looks_spent"]:
        lines.append(
            f"Look {spent['number']} spent {spent['delta']:g} of the risk {certificate['delta']:g}: "
            f"{spent['n_errors']:g} errors in {spent['n']:,}; {'passed' if spent['passed'] else 'failed'}."
        )
    if claim["truth"] is not None:
        lines.append(
            f"{confidence} the expected accuracy against the truth is above {claim['truth']['above']:.4g}, as "
            f"replicates agree in {claim['truth']['repeatability']:.4g} of cases."
        )
    lines += [f"Assumed: {text}" for text in certificate["assumptions"]]
    lines.append(f"Model {certificate['committee_hash']}, library {certificate['library_hash']}.")
    return lines


def _irregular(certificate: Mapping[str, Any]) -> Iterator[str]:
    """What did not go as planned, and what it may have touched; certificates of earlier versions do not say."""
    n_amended = sum(event["n"] for event in certificate.get("amendments", ()))
    if n_amended:
        reasons = "; ".join(event["reason"] for event in certificate["amendments"])
        audits = certificate["audit"]["groups"] or certificate["audit"]["outputs"][:1]
        in_audit = sum(found["n_amended"] for found in audits)
        yield (
            f"{n_amended:,} readout{'' if n_amended == 1 else 's'} had been amended before ({reasons}), of the audit "
            f"{in_audit:,} among them: each of these counts as an error, whatever the amendment says."
        )
    if earlier := certificate.get("earlier"):
        yield (
            f"When it began, {len(earlier):,} other campaigns on this library lay beside it ({', '.join(earlier)}). "
            "The risk is that of this campaign alone: whoever begins again until one passes spends it each time."
        )
    if certificate.get("draws", "seed") == "seed":
        yield (
            "It began under an earlier version, whose draws follow from the campaign's seed alone: another campaign on "
            "this library with the same seed draws much the same audit, so no model may have known its readouts."
        )
    if n_external := certificate.get("n_external", 0):
        yield (
            f"{n_external:,} of the measured compounds were told from outside the plan. They prove nothing; if they "
            "come from another campaign, see whether its audits failed: each new beginning spends its own risk."
        )
    if n_lost := certificate.get("n_lost", 0):
        wells = "1 well" if n_lost == 1 else f"{n_lost:,} wells"
        yield f"{wells} gave no readout; those of the audit count as errors{_once_more(certificate)}."
    if n_unread := certificate.get("n_unread", 0):
        entries, count = ("1 entry", "counts") if n_unread == 1 else (f"{n_unread:,} entries", "count")
        yield (
            f"Compounds that were predicted to be hits of some output and gave no readout stay as predicted: {entries} "
            f"of theirs that may be wrong, or a missed hit of another output, {count} as that."
        )


def _once_more(certificate: Mapping[str, Any]) -> str:
    """That lost wells were measured once more, and what came of it."""
    if not (n := certificate.get("n_repeated", 0)):
        return ""
    again = "compound of audits and finishes was" if n == 1 else "compounds of audits and finishes were"
    text = f", if they were lost again: {n:,} {again} measured once more"
    repeated = certificate["audit"].get("repeated")
    if repeated is None:
        return text
    return f"{text}, {repeated['n']:,} of this look, of which {repeated['n_lost']:,} are lost"


def _proof_by_portions(portions: Mapping[str, Any], look: Mapping[str, Any]) -> str:
    """In which order an audit was measured, and what each judgement spent."""
    judged = f"each was judged with those before it at {portions['delta']:.3g}, in all {look['delta']:g}"
    if portions["delta"] == look["delta"]:
        judged = "one test goes through them in the order of drawing"
    return (
        f"The audit was drawn as a whole, in {portions['declared']} portions of which {portions['measured']} were "
        f"measured: {judged}."
    )


def _proof(group: Mapping[str, Any], seed: int, look: Mapping[str, Any], judged_at: float) -> str:
    n_errors = group["n_errors"]
    held = f"{n_errors:,g} error" if n_errors == 1 else f"{n_errors:,g} errors"
    found = f"held {held}" if float(n_errors).is_integer() else f"held errors that add up to {n_errors:g}"
    predicted = {"any": "compounds", "hit": "predicted hits", "other": "compounds predicted not to be hits"}
    return (
        f"Proof: an audit (check sample) of {group['n']:,} of {group['n_inference']:,} "
        f"{predicted[group['predicted']]}, drawn at random (seed {seed}) and judged in round {look['round']} with the "
        f"model frozen, {found}; "
        f"{group['allowed']:,g} may be left; exact test at {judged_at:g}, "
        f"look {look['number']}."
    )
