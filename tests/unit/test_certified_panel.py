"""How a certificate says that a compound of a panel counts: of a simulation and of a laboratory, of each quantity."""

from __future__ import annotations

import pytest

from isd_ray.campaign.certified_panel import counting_lines, proof_of_outputs

WIDTHS = {"mu": 1.0, "gap": 0.02}


@pytest.mark.parametrize(
    ("claim", "simulated", "in_laboratory"),
    [
        ({"quantity": "accuracy"}, "an entry without one has no error", "of the audit without one counts as wrong"),
        ({"quantity": "recall"}, "never measured is none", "of the audit without a readout counts as a missed one"),
        (
            {"quantity": "mse", "clip": 4.0, "tolerances": WIDTHS},
            "an entry without one has none, and no weight",
            "of the audit without one has the largest",
        ),
    ],
)
def test_a_lost_entry_of_a_laboratory_counts_and_one_that_was_never_to_be_read_does_not(
    claim, simulated, in_laboratory
):
    """As `kept` and `losses` of the goals have it, with `n_expected` and without."""
    claim = {"n_outputs": 2, **claim}
    [without], [lost] = (counting_lines(claim, in_laboratory=is_told) for is_told in (False, True))
    assert simulated in without
    assert in_laboratory in lost
    assert simulated not in lost


def test_a_tolerance_says_what_is_right_of_an_accuracy_and_what_errors_are_counted_in_of_a_mean_error():
    right = "\n".join(
        counting_lines({"quantity": "accuracy", "n_outputs": 2, "tolerances": WIDTHS}, in_laboratory=False)
    )
    mean = "\n".join(
        counting_lines({"quantity": "mae", "clip": 4.0, "n_outputs": 2, "tolerances": WIDTHS}, in_laboratory=False)
    )
    assert "right if it is near its readout: mu within 1, gap within 0.02" in right
    assert "in tolerances of its output (mu 1, gap 0.02)" in mean
    assert "right" not in mean


def test_of_many_recalls_beside_others_a_few_are_named():
    outputs = [{"name": f"hit_{k}", "n_audited": 10, "n_inference": 90, "is_recall": k < 7} for k in range(9)]
    look = {"round": 3, "number": 1, "delta": 0.04}
    words = proof_of_outputs(outputs, 1, look, "accuracy")
    assert "compounds without a predicted hit of hit_0, hit_1, hit_2, hit_3, hit_4 and 2 more, drawn at random" in words
    assert "compounds without a predicted hit, drawn" in proof_of_outputs(outputs[:7], 1, look, "recall")
    assert "of 90 compounds, drawn" in proof_of_outputs(outputs[7:], 1, look, "accuracy")
