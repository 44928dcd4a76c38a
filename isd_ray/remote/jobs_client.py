"""The Jobs API of a cluster: our submissions in it, its errors in our words."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from packaging.requirements import Requirement

import isd_ray
from isd_ray.errors import ClusterError, JobError
from isd_ray.ops.security import AWAY, bearer, ray_version_of, reason_of, refuse_open_jobs_api

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_REDIRECTS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Variables that would send Ray's client to another cluster than the one that was named."""
_CHATTY = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
CONNECT_S, ANSWER_S = 10.0, 120.0
"""Longest waits for a connection, and for the answer of a head that is busy."""
ENDED = ("succeeded", "failed", "stopped")
"""States of a job that is over."""
_NAME, _ATTEMPT, _OUT, _CONFIG, _ARGUMENTS = "isd_name", "isd_attempt", "isd_out", "isd_config", "isd_arguments"


@dataclass(frozen=True, slots=True)
class Submission:
    """An attempt at a screen or at a command, as the cluster keeps it.

    Attributes
    ----------
    id:
        Ray's submission id.
    attempt:
        From 1.
    out:
        The folder that keeps a record of the job: the campaign's; of a command empty where none was named.
    config:
        The resolved configuration of a screen; empty for a command.
    arguments:
        Of a command: what follows `isd`; empty for a screen.
    """

    id: str
    name: str
    attempt: int
    out: str
    config: Mapping[str, Any]
    arguments: tuple[str, ...] = ()

    @classmethod
    def new(
        cls, name: str, attempt: int, out: str, config: Mapping[str, Any], arguments: tuple[str, ...] = ()
    ) -> Submission:
        """A submission with the id that its name and number give."""
        return cls(name if attempt == 1 else f"{name}--{attempt}", name, attempt, out, config, arguments)

    @classmethod
    def read(cls, submission_id: str, metadata: Mapping[str, str]) -> Submission | None:
        """The submission of a job of the cluster; None if it is none of ours."""
        try:
            config, arguments = json.loads(metadata[_CONFIG]), json.loads(metadata.get(_ARGUMENTS, "[]"))
            name, attempt, out = metadata[_NAME], int(metadata[_ATTEMPT]), metadata[_OUT]
            return cls(submission_id, name, attempt, out, config, tuple(map(str, arguments)))
        except (KeyError, ValueError, TypeError):
            return None

    @property
    def metadata(self) -> dict[str, str]:
        """What the cluster keeps with the job."""
        return {
            _NAME: self.name,
            _ATTEMPT: str(self.attempt),
            _OUT: self.out,
            _CONFIG: json.dumps(self.config, sort_keys=True),
            _ARGUMENTS: json.dumps(self.arguments),
        }


class JobsClient:
    """Ray's client of the Jobs API at an address, with our errors. Use `open`."""

    def __init__(self, address: str, client: JobSubmissionClient) -> None:
        self.address, self._client = address, client

    @classmethod
    def open(
        cls,
        address: str,
        *,
        allow_open: bool = True,
        require_version: bool = False,
        ca_file: str | None = None,
    ) -> JobsClient:
        """Connect to a cluster.

        Parameters
        ----------
        address:
            URL of its dashboard.
        allow_open:
            Whether it may be open to everybody: to run code there, only if the user says so.
        require_version:
            Whether its Ray must be one that this package runs on.

        Raises
        ------
        ClusterError
            If that is not so, nothing answers, the token is missing or wrong, or Ray's client is not installed.
        """
        address = dashboard_url(address)
        refuse_open_jobs_api(address, allowed=allow_open, ca_file=ca_file)
        found, _ = ray_version_of(address, ca_file)
        if require_version and not ray_range().contains(found, prereleases=True):
            raise ClusterError(
                f"the cluster runs Ray {found}, this package needs {ray_range()} (here: {version('ray')})",
                address,
                "use a cluster with that version",
            )
        client_class = _client_class()  # Ray sets the levels of its logs when it is imported
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        with _addressed_as_told(), _translated(address):
            # The header is given, since Ray looks for a token only if RAY_AUTH_MODE was set before it was imported.
            return cls(address, client_class(address, headers=bearer(), verify=ca_file or True))

    def submit(
        self, submission_id: str, entrypoint: str, files: Mapping[str, str], metadata: Mapping[str, str]
    ) -> None:
        """Submit a job; one that is there already under the same id is left as it is.

        Parameters
        ----------
        files:
            Texts of its working folder, by name; this package is sent along as well.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            package = str(Path(isd_ray.__file__).parent)
            environment = {"working_dir": folder, "py_modules": [package], "excludes": ["__pycache__"]}
            with suppress(_AlreadyThereError), _translated(self.address):
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=submission_id,
                    runtime_env=environment,
                    metadata=dict(metadata),
                )

    def submissions(self, name: str | None = None) -> list[Submission]:
        """Our submissions, oldest attempt first: all, or those of a name."""
        with _translated(self.address):
            found = sorted(self._client.list_jobs(), key=lambda job: job.start_time or 0)
        ours = [Submission.read(job.submission_id, job.metadata or {}) for job in found if job.submission_id]
        kept = [submission for submission in ours if submission and name in (None, submission.name)]
        return sorted(kept, key=lambda submission: submission.attempt)

    def state_of(self, submission_id: str) -> tuple[str, str]:
        """State in lower case, and what Ray says of it."""
        with _translated(self.address):
            info = self._client.get_job_info(submission_id)
        return info.status.value.lower(), info.message or ""

    def log_of(self, submission_id: str) -> str:
        """All that the job has printed; empty before it starts."""
        with _translated(self.address):
            return self._client.get_job_logs(submission_id) or ""

    def stop(self, submission_id: str) -> bool:
        """Ask a job to end; False if it has ended."""
        if self.state_of(submission_id)[0] in ENDED:
            return False
        with _translated(self.address):
            return bool(self._client.stop_job(submission_id))

    def forget(self, submission_id: str) -> None:
        """Delete a job that has ended."""
        with _translated(self.address):
            self._client.delete_job(submission_id)


def is_unanswered(error: ClusterError) -> bool:
    """Whether it is that a cluster does not answer, as while its head or the network is away for a moment."""
    return isinstance(error.__cause__, requests.RequestException | ConnectionError)


def dashboard_url(address: str) -> str:
    """The URL of a dashboard; one without a scheme is taken as HTTP.

    Raises
    ------
    ClusterError
        If it cannot be one.
    """
    url = urlsplit(address if "://" in address else f"http://{address}")
    if url.scheme not in ("http", "https") or not url.hostname or address == "auto":
        raise ClusterError(f"{address!r} is no URL of a dashboard", "address", "give it as http://HEAD:8265")
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}"


def ray_range() -> Any:
    """The versions of Ray that this package runs on (`packaging.specifiers.SpecifierSet`)."""
    needed = map(Requirement, requires("isd_ray") or ())
    return next(requirement.specifier for requirement in needed if requirement.name == "ray")


def _client_class() -> type[JobSubmissionClient]:
    """Ray's, with limits to how long it waits for a head that has lost its power, and one behind a proxy known as away.

    By itself it waits without end, and takes the answer of a proxy whose head is away for that of the head.
    """
    from ray.job_submission import JobSubmissionClient

    class LimitedClient(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **content: Any) -> requests.Response:
            answer = super()._do_request(method, endpoint, **{"timeout": (CONNECT_S, ANSWER_S), **content})
            if answer.status_code in AWAY:
                raise requests.HTTPError(f"HTTP {answer.status_code}", response=answer)
            return answer

    return LimitedClient


class _AlreadyThereError(Exception):
    pass


@contextmanager
def _addressed_as_told() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _REDIRECTS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _translated(address: str) -> Iterator[None]:
    """Ray's errors in our words."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise ClusterError("the cluster refuses the token", address, "see `isd doctor`") from error
    except (requests.RequestException, ConnectionError) as error:
        raise ClusterError(
            f"the cluster does not answer any more: {reason_of(error)}",
            address,
            "see whether it still runs: a job goes on where it does; after a head that started anew: "
            "isd jobs resubmit FOLDER, with that of its results",
        ) from error
    except RuntimeError as error:
        text = str(error).strip().rstrip(".").strip()
        if "already exists" in text:
            raise _AlreadyThereError from error
        if "status code 404" in text:
            raise JobError(
                "the cluster knows no such job (any more)",
                address,
                "submit it again; after a head that started anew: isd jobs resubmit FOLDER, with that of its results",
            ) from error
        last = text.splitlines()[-1] if text else type(error).__name__
        raise ClusterError(f"the cluster refuses: {last}", address, "see `isd doctor`") from error
