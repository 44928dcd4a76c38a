"""What a certificate says of a panel: how a compound counts, and what is proved of each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isd_ray.config.claims import claim_named
from isd_ray.core.goals.by_output import asked_words

_NAMED = 5
"""Outputs named together; each has a line of its own."""


def counting_lines(claim: Mapping[str, Any], *, in_laboratory: bool) -> list[str]:
    """How a compound counts where something is claimed of all outputs together.

    Parameters
    ----------
    in_laboratory:
        Every compound should have every readout, so that one that the audit lacks is lost.
    """
    n_outputs, tolerances = claim["n_outputs"], claim.get("tolerances") or {}
    if claim["quantity"] == "recall":
        without = "of the audit without a readout counts as a missed one" if in_laboratory else "never measured is none"
        return [
            f"A hit is a compound and one of its {n_outputs:,} outputs. A compound of the audit counts by the share of "
            f"its outputs that are hits; an entry {without}. Errors are sums of shares."
        ]
    if claim.get("clip") is not None and tolerances:
        without = "of the audit without one has the largest" if in_laboratory else "without one has none, and no weight"
        widths = ", ".join(f"{name} {tolerance:g}" for name, tolerance in tolerances.items())
        return [
            f"A compound counts by the mean over its outputs, {n_outputs:,} in all, of their errors against their "
            f"readouts, each in tolerances of its output ({widths}); an entry {without}. Errors of the audit are sums "
            "of such means, in parts of the largest that counts."
        ]
    without = "of the audit without one counts as wrong" if in_laboratory else "without one has no error and no weight"
    lines = [
        f"A compound counts by the share of its outputs, {n_outputs:,} in all, that are right among those with a "
        f"readout; an entry {without}. Errors are sums of wrong shares."
    ]
    if tolerances:
        within = ", ".join(f"{name} within {tolerance:g}" for name, tolerance in tolerances.items())
        lines.append(f"Of the outputs that are numbers a prediction is right if it is near its readout: {within}.")
    return lines


def proof_of_outputs(outputs: Sequence[Mapping[str, Any]], seed: int, look: Mapping[str, Any], quantity: str) -> str:
    """What one audit of all outputs was drawn from."""
    n, n_inference = outputs[0]["n_audited"], outputs[0]["n_inference"]
    recalls = [output["name"] for output in outputs if output.get("is_recall", claim_named(quantity).takes_hits)]
    among = "compounds without a predicted hit" if recalls else "compounds"
    if 0 < len(recalls) < len(outputs):
        more = f" and {len(recalls) - _NAMED:,} more" if len(recalls) > _NAMED else ""
        among += f" of {', '.join(recalls[:_NAMED])}{more}"
    return (
        f"Proof: an audit (check sample) of {n:,} of {n_inference:,} {among}, "
        f"drawn at random (seed {seed}) and judged in round "
        f"{look['round']} with the model frozen, look {look['number']}; its risk {look['delta']:g} is split over "
        f"{len(outputs):,} outputs, so that what follows holds together. Entries of measured compounds without a "
        "readout are neither measured nor predicted, and no claim is made of them."
    )


def proof_of_output(output: Mapping[str, Any], quantity: str) -> str:
    """What it proves of one of them."""
    if output.get("is_error", False):
        return (
            f"{output['name']}: {output['asked']} asked for, at most {output['bound']:.4g} shown by betting at "
            f"{output['delta']:.3g} (losses, in parts of the largest error that counts, that add up to "
            f"{output['n_errors']:.4g} of {output['n']:,} in the audit)."
        )
    return (
        f"{output['name']}: {asked_words(output, quantity)} asked for, at least {output['bound']:.4g} shown "
        f"by an exact test at {output['delta']:.3g} ({output['n_errors']:,} wrong of {output['n']:,} in the audit)."
    )
