"""Who does the work of a campaign: trainers, scorers and the judge, on Ray (`isd_ray.actors.workers`) or here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.core.goals import goal_for
from isd_ray.core.stopping import Judge
from isd_ray.messages import WorkerSpec
from isd_ray.models.device import configure_threads, resolve_placement

Kind: TypeAlias = Literal["trainer", "scorer", "bound"]
"""`MemberTrainer`, `ShardScorer` and `Judge`, each with what is asked of it."""
AnswerT = TypeVar("AnswerT")


class Workers(Protocol):
    """The workers of a campaign, wherever they run. Calls are idempotent: the same one gives the same answer.

    Attributes
    ----------
    n_scorers, shards_per_scorer:
        Into how many shards a library is cut.
    """

    n_scorers: int
    shards_per_scorer: int

    def put(self, value: Any) -> Any:
        """`value` as an argument of many calls: it travels once, whatever their number."""
        ...

    def each(
        self, kind: Kind, method: Callable[..., AnswerT], calls: Sequence[tuple[Any, ...]], *, stay: bool = False
    ) -> Iterator[tuple[int, AnswerT]]:
        """Call a method of a kind of worker once for each tuple of arguments.

        Answers come as they are there, in any order, each with the place of its call; none is held meanwhile.

        Parameters
        ----------
        method:
            Of the kind's class.
        calls:
            Arguments; what `put` returned stands for the value.
        stay:
            Nobody takes over from a worker that runs: for calls that are quick where their work lies, and slow anywhere
            else.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class LocalWorkers:
    """One worker of each kind, in this process: no Ray, the same answers.

    Parameters
    ----------
    spec:
        The campaign's configuration and libraries.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        compute = spec.config.compute
        configure_threads(compute.threads)
        placement = resolve_placement(compute.device, compute.precision, compute.threads)
        self.n_scorers = self.shards_per_scorer = 1
        self._workers: dict[Kind, Any] = {
            "trainer": MemberTrainer(spec, placement),
            "scorer": ShardScorer(spec, placement),
            "bound": Judge(
                spec.config.stopping,
                goal_for(
                    spec.config.stopping, spec.config.task, spec.classes, spec.outputs, spec.config.labels.numbers
                ),
            ),
        }

    def put(self, value: Any) -> Any:
        """The value itself."""
        return value

    def each(
        self, kind: Kind, method: Callable[..., AnswerT], calls: Sequence[tuple[Any, ...]], *, stay: bool = False
    ) -> Iterator[tuple[int, AnswerT]]:
        """See `Workers.each`; one call after the other."""
        for index, arguments in enumerate(calls):
            yield index, method(self._workers[kind], *arguments)

    def close(self) -> None:
        """Nothing to give back."""
