"""A small campaign of one family, which can be cut off at a step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import parse_config
from isd_ray.core.features import Texts
from isd_ray.core.panels import unpack_labels
from isd_ray.messages import Progress
from isd_ray.ops.simulate import SimulationResult, simulate
from isd_ray.testing.problems import KINDS, SMILES, make_rows

TRIED = "tried"
"""Name of the family that is tried."""
N_COMPOUNDS = 240
_TIMES = {"fit_seconds", "score_seconds", "round_seconds"}
"""What differs between two runs of one campaign."""


class _Killed(BaseException):
    """Stands for the end of a process; nothing may catch it."""


class _Killer(Watcher):
    def __init__(self, point: tuple[int, str]) -> None:
        self._point = point

    def step(self, name: str, progress: Progress) -> None:
        """End the process before the step at the point."""
        if (progress.round, progress.state) == self._point:
            raise _Killed


def small_campaign(kind: str, model: Mapping[str, Any], folder: Path) -> CampaignConfig:
    """A campaign of three rounds on chains of fragments, whose files are in `folder`."""
    task, n_outputs = KINDS[kind]
    rows = make_rows(kind, N_COMPOUNDS, 1, (SMILES,))
    texts = rows.features[SMILES]
    assert isinstance(texts, Texts)
    columns: dict[str, Any] = {"name": [f"C{place}" for place in range(N_COMPOUNDS)], "smiles": texts.values.tolist()}
    if task == "panel":
        matrix = unpack_labels(rows.labels, n_outputs)
        columns |= {f"y{j}": pa.array(matrix[:, j], pa.int8(), mask=matrix[:, j] < 0) for j in (0, 1, 2)}
    else:
        columns["y"] = [f"class {label}" for label in rows.labels] if task == "classification" else rows.labels
    source = folder / "compounds.csv"
    pyarrow.csv.write_csv(pa.table(columns), source)
    return parse_config(
        {
            "name": "small",
            "task": task,
            "library": {
                "source": str(source),
                "path": str(folder / "library"),
                "id_column": "name",
                "features": "ecfp4",
                "duplicates": "keep",
                "block_rows": 32,
                "part_blocks": 4,
                "workers": 1,
            },
            "labels": {"columns": ["y*"]} if task == "panel" else {"column": "y"},
            "model": dict(model),
            "acquisition": {"batch_size": 40, "random_share": 0.1},
            "stopping": {"rule": "none", "max_compounds": 140},
            "compute": {"backend": "local"},
        }
    )


def run_small(config: CampaignConfig, out: Path) -> SimulationResult:
    """Run it, or go on with it, to its end."""
    return simulate(config, out, Watcher())


def killed(config: CampaignConfig, out: Path, point: tuple[int, str]) -> None:
    """Run it, or go on with it, until a state of a round.

    Raises
    ------
    AssertionError
        If it never gets there.
    """
    try:
        simulate(config, out, _Killer(point))
    except _Killed:
        return
    raise AssertionError(f"the campaign ended before it came to {point}")


def same_campaign(found: SimulationResult, expected: SimulationResult) -> None:
    """Assert that two runs released the same batches, by the same members, and deliver the same."""
    ours, theirs = (sorted(run.path.glob("rounds/*/attempt-*/batch.parquet")) for run in (found, expected))
    assert len(ours) == len(theirs), f"{len(ours)} batches in the place of {len(theirs)}"
    assert len(ours) > 2, "the campaign has too few rounds to say anything"
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        batch, wanted = pq.read_table(one), pq.read_table(other)
        same = np.array_equal(batch["row"].to_numpy(), wanted["row"].to_numpy())
        assert same, f"killed and resumed, batch {place} is of other compounds"
        assert batch.equals(wanted), f"killed and resumed, batch {place} has the same compounds with other scores"
    rounds, others = (run.rounds.drop(sorted(_TIMES & set(run.rounds.column_names))) for run in (found, expected))
    assert rounds.equals(others), "killed and resumed, the record of the rounds differs"
