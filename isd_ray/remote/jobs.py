"""Jobs of a Ray cluster, by its Jobs API: come back to, follow, stop, fetch. `isd_ray.remote.submit` makes them.

The job of a screen has the campaign's name, so that it is found from another notebook; all that is needed to come back
is kept with it on the cluster. Ray never runs a job twice: what failed or was stopped is submitted again as another
attempt of the same name.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from isd_ray.campaign.setup import as_begun
from isd_ray.campaign.standing import Standing, standing_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.card import asked_card, card, pairs
from isd_ray.config import CampaignConfig
from isd_ray.config_file import differences, parse_config
from isd_ray.errors import ClusterError, IsdError, JobError, ResourceError
from isd_ray.remote import joblog
from isd_ray.remote.jobs_client import ENDED, JobsClient, Submission, is_unanswered
from isd_ray.report.notebook import CellDisplay, in_notebook
from isd_ray.report.numbers import duration, rounded
from isd_ray.report.steps import UNLESS
from isd_ray.storage.addresses import within
from isd_ray.storage.copies import fetched

if TYPE_CHECKING:
    from isd_ray.ops.simulate import SimulationResult

Asked = TypeVar("Asked")
State: TypeAlias = Literal["pending", "running", "succeeded", "failed", "stopped"]
FOLLOW_S = 1.0
"""Time from one look at a log that is followed to the next."""
WATCH_S = 5.0
"""Time from one look at the state of a job that is waited for to the next."""
PATIENCE_S = 120.0
"""How long the cluster of a job that is waited for may be away before that is an error."""
_TAIL = 20
"""Lines of the log that an unexpected failure quotes."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job stands.

    Attributes
    ----------
    name, state, message, out:
        The job, its state, what Ray says of that, and the campaign's folder.
    source:
        Where the numbers come from: the campaign's folder (``store``), or, where this machine does not reach it, the
        ``log``; None before the first round.
    round, n_acquired, n_target, bound, decision, seconds_left:
        As of `Standing`; None while nothing is known.
    """

    name: str
    state: State
    message: str
    out: str
    source: Literal["store", "log"] | None = None
    round: int | None = None
    n_acquired: int | None = None
    n_target: int | None = None
    bound: float | None = None
    decision: str | None = None
    seconds_left: float | None = None

    def _repr_html_(self) -> str:
        return card(f"Job {self.name}", pairs(job_lines(self)))

    @property
    def ended(self) -> bool:
        """Whether the job is over, well or not."""
        return self.state in ENDED


class Job:
    """A screen or a command on a cluster. Made by `submit`, `submit_command` and `job`; the cluster holds all of it."""

    def __init__(self, client: JobsClient, submission: Submission) -> None:
        self._client, self._submission = client, submission

    def __repr__(self) -> str:
        return f"Job({self.name!r}, {self._client.address!r})"

    def _repr_html_(self) -> str:
        return asked_card(f"Job {self.name}", lambda: job_lines(self.status()))

    @property
    def name(self) -> str:
        """The name by which `isd_ray.job` finds it."""
        return self._submission.name

    @property
    def attempt(self) -> int:
        """Which of the submissions under this name it is, from 1."""
        return self._submission.attempt

    @property
    def out(self) -> str:
        """The folder with a record of the job, as the cluster sees it: the campaign's; of a command it may be empty."""
        return self._submission.out

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of a command: what follows `isd`; empty for a screen."""
        return self._submission.arguments

    @cached_property
    def config(self) -> CampaignConfig:
        """The configuration of a screen."""
        return parse_config(self._submission.config)

    def status(self) -> JobStatus:
        """State, and how far the screen is.

        Raises
        ------
        ClusterError, JobError
            If the cluster cannot be asked, or has forgotten the job.
        """
        state, message = self._client.state_of(self._submission.id)
        status = JobStatus(self.name, cast(State, state), message, self.out)
        store = self._store()
        if store is not None:
            return _with(status, "store", standing_of(store))
        found = joblog.last_of(self._client.log_of(self._submission.id), "standing")
        return status if found is None else _with(status, "log", Standing(**found))

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """The log, piece by piece; with `follow` until the job ends."""
        n_shown = 0
        while True:
            state, log = self._asked(self._state_and_log) if follow else self._state_and_log()
            ended = state in ENDED
            # A line that is still being written waits for its end, so that none for programs is shown.
            complete = len(log) if ended or not follow else log.rfind("\n") + 1
            if words := joblog.words_of(log[n_shown:complete]):
                yield words
            n_shown = max(n_shown, complete)
            if ended or not follow:
                return
            time.sleep(FOLLOW_S)

    def stop(self) -> bool:
        """Ask the job to end; False if it has already. The same submission goes on from what is measured."""
        return self._client.stop(self._submission.id)

    def wait(self, *, progress: bool = True, timeout_s: float | None = None) -> JobStatus:
        """Wait for the end of the job.

        Parameters
        ----------
        progress:
            Show how far it is: in a notebook below the cell, elsewhere on standard error, a line a round.
        timeout_s:
            Longest wait; default: as long as it takes.

        Raises
        ------
        IsdError
            The one that ended the job on the cluster.
        JobError
            If it failed otherwise, was stopped, or is not over in time; it goes on then.
        ClusterError
            If the cluster does not answer for `PATIENCE_S`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        show = _shower() if progress else None
        while True:
            status = self._asked(self.status, math.inf if deadline is None else deadline - time.monotonic())
            if show is not None:
                show(status)
            if status.ended:
                self._require_success(status)
                return status
            if deadline is not None and time.monotonic() > deadline:
                raise JobError(f"it is {status.state} after {timeout_s:g} s", self.name, "wait longer; it goes on")
            time.sleep(WATCH_S if deadline is None else max(0.0, min(WATCH_S, deadline - time.monotonic())))

    def result(self) -> SimulationResult:
        """The result, as `isd_ray.simulate` gives it.

        Raises
        ------
        JobError
            If it is no screen, is not over, or failed (also as the `IsdError` that ended it).
        ResourceError
            If this machine does not reach the campaign's folder.
        """
        from isd_ray.ops.simulate import simulate  # torch: to ask for a status needs none

        if self.arguments:
            raise JobError("a command has files, and no result", self.name, f"see: isd {' '.join(self.arguments)}")
        status = self.status()
        if not status.ended:
            raise JobError(f"it is {status.state}", self.name, "wait for its end: job.wait()")
        self._require_success(status)
        if self._store() is None or not fetched(within(self.out, "summary.json"), again=True).is_file():
            raise ResourceError(
                "the screen is finished, but this machine does not reach its folder",
                self.out,
                "mount the folder under the same path, or fetch it and read hybrid/ and summary.json there",
            )
        return simulate(self.config, self.out)  # of a finished one it reads the result

    def _state_and_log(self) -> tuple[str, str]:
        return self._client.state_of(self._submission.id)[0], self._client.log_of(self._submission.id)

    def _asked(self, ask: Callable[[], Asked], within_s: float = math.inf) -> Asked:
        """What the cluster answers; one that is away for a moment is asked again."""
        give_up = time.monotonic() + min(PATIENCE_S, within_s)
        while True:
            try:
                return ask()
            except ClusterError as error:
                if not is_unanswered(error) or time.monotonic() > give_up:
                    raise
            time.sleep(FOLLOW_S)

    def _store(self) -> CampaignStore | None:
        """The campaign's store, where this machine reaches it and it is not another one under the same path."""
        if self.arguments:
            return None
        try:
            store = CampaignStore.open(self.out)
        except IsdError:
            return None
        begun = CampaignConfig.from_stored(store.config).model_dump(mode="json")
        return store if not changes(begun, as_begun(self.config, store).model_dump(mode="json")) else None

    def _require_success(self, status: JobStatus) -> None:
        if status.state == "succeeded":
            return
        if status.state == "stopped":
            raise JobError("it was stopped", self.name, "submit it again: it goes on")
        log = self._client.log_of(self._submission.id)
        if (error := joblog.error_of(log)) is not None:
            raise error
        tail = "\n".join(joblog.words_of(log).splitlines()[-_TAIL:])
        raise JobError(f"it failed: {status.message}\n{tail}", self.name, "mend that and submit it again")


def job(name: str, address: str, *, attempt: int | None = None, ca_file: str | None = None) -> Job:
    """Come back to a job by its name, from any machine that reaches the cluster.

    Parameters
    ----------
    attempt:
        Which of the submissions under this name; default: the last one.

    Raises
    ------
    ClusterError
        If no cluster answers, or the token is missing or wrong.
    JobError
        If there is no such job.
    """
    client = JobsClient.open(address, ca_file=ca_file)
    there = client.submissions(name)
    if not there:
        names = sorted({submission.name for submission in client.submissions()})
        raise JobError(
            f"there is no job {name!r}", address, f"there are {', '.join(names)}" if names else "submit it first"
        )
    numbers = [submission.attempt for submission in there]
    if attempt is not None and attempt not in numbers:
        known = ", ".join(map(str, numbers))
        raise JobError(f"there is no attempt {attempt} of {name!r}", address, f"there are {known}")
    return Job(client, there[-1 if attempt is None else numbers.index(attempt)])


def jobs(address: str, *, ca_file: str | None = None) -> list[Job]:
    """The screens and commands of a cluster, each with its last attempt, oldest first.

    Raises
    ------
    ClusterError
        As of `job`.
    """
    client = JobsClient.open(address, ca_file=ca_file)
    last = {submission.name: submission for submission in client.submissions()}
    return [Job(client, submission) for submission in last.values()]


def progress_line(status: JobStatus) -> str:
    """A status in one line."""
    parts = [f"{status.name}: {status.state}"]
    if status.round is not None:
        parts.append(f"round {status.round}, measured {status.n_acquired:,} of {status.n_target:,}")
    if status.bound is not None:
        parts.append(f"bound {rounded(status.bound)}")
    if status.seconds_left:
        parts.append(f"at most {status.seconds_left / 60:,.0f} min left")
    return "; ".join(parts)


def _shower() -> Callable[[JobStatus], None]:
    """What shows one status after the other to whoever waits."""
    if in_notebook():
        return CellDisplay().show
    shown = None

    def print_changed(status: JobStatus) -> None:
        nonlocal shown
        if (status.state, status.round) != shown:
            shown = (status.state, status.round)
            print(progress_line(status), file=sys.stderr, flush=True)

    return print_changed


def job_lines(status: JobStatus) -> list[tuple[str, str]]:
    """A status as (what, answer) pairs; what is not known is left out."""
    lines = [("State", status.state + (f": {status.message}" if status.message and status.state == "failed" else ""))]
    if status.round is not None:
        lines += [("Round", str(status.round)), ("Acquired", f"{status.n_acquired:,} of {status.n_target:,}")]
    if status.bound is not None:
        lines.append(("Bound", f"{rounded(status.bound)}"))
    if status.decision is not None:
        lines.append(("Last decision", status.decision))
    if status.seconds_left and not status.ended:
        lines.append(("Time left", f"about {duration(status.seconds_left)} at the pace of the last rounds, {UNLESS}"))
    return [*lines, ("Folder", status.out)] if status.out else lines


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys in which two campaigns differ; where and with what they are computed makes no other campaign."""
    return [key for key in differences(before, now) if not key.startswith("compute.")]


def _with(status: JobStatus, source: Literal["store", "log"], standing: Standing) -> JobStatus:
    return JobStatus(status.name, status.state, status.message, status.out, source, **asdict(standing))
