"""Whatever is in a file, the answer is a result or an error of ours."""

from __future__ import annotations

import pytest
from rdkit import rdBase

from tests import fuzzing

N_INPUTS = 2_000
MOST_SECONDS = 10.0


@pytest.mark.parametrize("seed", [0])
def test_mutated_files_end_in_results_or_errors_of_ours(seed):
    with rdBase.BlockLogs():
        outcome = fuzzing.run(N_INPUTS, seed)
    assert outcome.n_inputs == N_INPUTS
    assert [(name, trace) for name, trace, _ in outcome.failures] == []
    assert outcome.slowest[0] < MOST_SECONDS, outcome.slowest
    assert outcome.n_refused < outcome.n_inputs, "nothing could be read at all"


def test_an_exception_that_is_not_ours_is_found():
    def fails(path):
        if b"\0" in path.read_bytes():
            raise KeyError("NUL")

    target = fuzzing.Target("fragile", lambda: {"a.txt": b"some text of a file"}, fails)
    outcome = fuzzing.run(500, 0, [target])
    assert outcome.failures
    assert all(b"\0" in data for _, _, data in outcome.failures)
