"""The verbs by which a batch is measured, whoever does them: a campaign of this process, or one on a cluster.

And measuring by a Python function: docking, a simulator, a robot with an interface; here or on a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import Status
from isd_ray.config import ComputeConfig
from isd_ray.errors import LabelError
from isd_ray.ops.connect import ray_session
from isd_ray.ops.telling import Told

Compound: TypeAlias = Mapping[str, str | None]
Measure: TypeAlias = Callable[[Sequence[Compound]], Mapping[str, Any]]


class Verbs(Protocol):
    """What `isd_ray.ops.campaign.Campaign` and `isd_ray.remote.attached.AttachedCampaign` have in common here."""

    def ask(self) -> Batch | None:
        """The batch that is out; None at the end."""

    def tell(self, readouts: Any) -> Told:
        """Take in readouts."""

    def told_files(self) -> set[str]:
        """SHA-256 of the files that were told."""

    def is_dispatched(self, round_number: int) -> bool:
        """Whether the files of a batch were handed out."""

    def dispatch(self, folder: Path) -> list[Path]:
        """Hand out the files of the batch that is out."""

    def status(self) -> Status:
        """Where the campaign stands."""

    def summary(self) -> Mapping[str, Any]:
        """What an ended screen comes to."""


def measure_to_end(campaign: Verbs, measure: Callable[[Batch], Any]) -> Mapping[str, Any]:
    """Run a campaign to its end with a function that measures; returns its summary.

    Raises
    ------
    LabelError
        If the function leaves compounds of a batch without a readout.
    """
    while (batch := campaign.ask()) is not None:
        told = campaign.tell(measure(batch))
        if told.n_missing:
            raise LabelError(
                f"the function gave no readout of {told.n_missing} of {len(batch)} compounds",
                f"round {batch.round}",
                "return a readout for each, or tell which failed (`Campaign.fail`), and run again",
            )
    return campaign.summary()


def measured_on_ray(
    measure: Measure,
    compute: ComputeConfig,
    *,
    per_task: int = 100,
    cpus: float = 1.0,
    timeout_s: float = 3600.0,
    retries: int = 2,
) -> Callable[[Batch], dict[str, Any]]:
    """A function for `Campaign.run` that measures a batch by Ray tasks.

    Parameters
    ----------
    measure:
        From compounds (id, smiles, and plate and well where there are such) to readouts by id. It may be called again
        for the same compounds.
    compute:
        The cluster, or an embedded Ray.
    per_task:
        Compounds of one call.
    cpus:
        CPUs of one call.
    timeout_s:
        Longest time of one call; it is cancelled then.
    retries:
        How often a call that raised, was lost or took too long is repeated.
    """

    def batch_measured(batch: Batch) -> dict[str, Any]:
        compounds = batch.table.to_pylist()
        parts = [compounds[start : start + per_task] for start in range(0, len(compounds), per_task)]
        readouts: dict[str, Any] = {}
        with ray_session(compute):
            for part in _run(measure, parts, cpus, timeout_s, retries, batch.round):
                readouts |= part
        return readouts

    return batch_measured


def _run(
    measure: Measure, parts: Sequence[Any], cpus: float, timeout_s: float, retries: int, round_number: int
) -> list[Mapping[str, Any]]:
    import ray

    # Ray's own retries would repeat calls that took too long for ever.
    remote = ray.remote(measure).options(num_cpus=cpus, max_retries=0)
    answers: dict[int, Mapping[str, Any]] = {}
    reason = ""
    for _ in range(1 + retries):
        pending = {remote.remote(part): place for place, part in enumerate(parts) if place not in answers}
        # Tasks wait for free CPUs as well, so the time is that of a wave, for each of the waves there can be.
        slots = max(1, int(ray.cluster_resources().get("CPU", 1.0) / max(cpus, 1e-9)))
        limit = timeout_s * -(-len(pending) // slots)
        done, late = ray.wait(list(pending), num_returns=len(pending), timeout=limit)
        for call in late:
            ray.cancel(call, force=True)
            reason = f"took longer than {timeout_s:g} s"
        for call in done:
            answer, failure = _answer(call)
            if answer is not None:
                answers[pending[call]] = answer
            reason = failure or reason
        if len(answers) == len(parts):
            return [answers[place] for place in range(len(parts))]
    raise LabelError(
        f"{len(parts) - len(answers)} of {len(parts)} calls of the function failed {1 + retries} times: {reason}",
        f"round {round_number}",
        "mend the function and run again; the batch stays the same",
    )


def _answer(call: Any) -> tuple[Mapping[str, Any] | None, str]:
    """What a call returned, or why it failed."""
    import ray

    try:
        return ray.get(call), ""
    except Exception as error:  # whatever a user's function raises, or the loss of its node
        return None, str(error).strip().splitlines()[-1]
