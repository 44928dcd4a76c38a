"""What a job is, and how the cluster does it: one attempt after the other, with a record beside the results.

Ray runs a job once, and a head that starts anew has forgotten all jobs. So a job brings a description of itself along
(`JOB_FILE`); the process that Ray starts keeps it in the folder of the results, where `isd_ray.remote.submit.resubmit`
finds it, and runs the work in a process of its own, again and again if that may help.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from isd_ray.errors import (
    ActorLostError,
    ClusterError,
    CorruptFileError,
    IsdError,
    JobError,
    ResourceError,
    StoreError,
)
from isd_ray.remote.joblog import IN_JOB, error_of
from isd_ray.storage.addresses import within, working_folder
from isd_ray.storage.copies import fetched, keep_copy, sent

JOB_FILE = "job.json"
"""The description of a job, in its working folder and in that of its results."""
PAUSE_S = 10.0
"""From the end of one attempt to the next: what a cluster needs to see that a node is gone."""
_LOOK_S = 1.0
"""From one look at whether Ray's process of the job is there to the next."""
_PASSING = (ActorLostError, ClusterError, ResourceError, StoreError)
"""Deliberate errors after which the same work may succeed; others are of what it was told to do."""
_ASKED_TO_END = (-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT, signal.SIGTERM)
"""Exit codes of what somebody has ended; the last is that of a driver of Ray's."""


_N_ASIDE = 8
"""Digits of a hash in a name."""
_FILE = re.compile(r"[^/\\\0]+")
"""Names of files in a working folder."""


@dataclass(frozen=True, slots=True)
class JobDescription:
    """All that is needed to submit a job once more.

    Attributes
    ----------
    name, out, arguments, config:
        As of `isd_ray.remote.jobs_client.Submission`.
    retries:
        Further attempts at work that died.
    files:
        Texts of its working folder, by name.
    ended:
        What became of it: ``succeeded`` or ``failed``; empty as long as it is not over.
    """

    name: str
    out: str
    arguments: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    files: dict[str, str] = field(default_factory=dict)
    ended: str = ""

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str, where: str) -> JobDescription:
        """From JSON; what others may have written into a shared folder names no file outside the working folder.

        Raises
        ------
        CorruptFileError
            If it is none.
        """
        try:
            cls(**json.loads(text))  # pydantic passes over what it does not know
            found = TypeAdapter(cls).validate_json(text)
            if misplaced := [name for name in found.files if name in (".", "..") or not _FILE.fullmatch(name)]:
                raise ValueError(f"{misplaced[0]!r} is no name of a file")
            return found
        except (ValueError, TypeError) as error:
            raise CorruptFileError(
                f"is no description of a job ({error})", where, "submit the job again with the command that began it"
            ) from error

    @classmethod
    def kept_in(cls, folder: str) -> JobDescription:
        """The one that a job has kept in the folder of its results.

        Raises
        ------
        JobError
            If there is none that this machine reaches.
        CorruptFileError
            As of `read`.
        """
        address = within(folder, JOB_FILE)
        file = fetched(address, again=True)
        if not file.is_file():
            raise JobError(
                f"there is no {JOB_FILE}: no job has begun there, or this machine does not reach the folder",
                folder,
                "name a folder of results, or submit the job again with the command that began it",
            )
        return cls.read(file.read_text(encoding="utf-8", errors="replace"), address)

    def keep(self) -> None:
        """Keep it in the folder of the results; one of other work that lies there gets a name of its own.

        Raises
        ------
        StoreError
            If it cannot be written there.
        """
        if not self.out:
            return
        try:
            if (former := self._former()) is not None:
                aside = f"job-{hashlib.sha256(former.text().encode()).hexdigest()[:_N_ASIDE]}.json"
                with sent(within(self.out, aside)) as path:
                    keep_copy(path, former.text().encode())
            with sent(within(self.out, JOB_FILE)) as path:
                keep_copy(path, self.text().encode())
        except OSError as error:
            what = f"{JOB_FILE} cannot be written there ({error.strerror})"
            raise StoreError(what, self.out, "name a folder that all nodes of the cluster may write") from error

    def _former(self) -> JobDescription | None:
        """What is kept in the folder of other work: another screen or command was given its name."""
        try:
            former = JobDescription.kept_in(self.out)
        except (JobError, CorruptFileError):
            return None
        return None if replace(former, retries=self.retries, ended=self.ended) == self else former


def run_job(work: list[str]) -> int:
    """Run a screen, or the command that a job is about, in a process of its own, as often as its description allows.

    Parameters
    ----------
    work:
        Command line of a screen; a command has its own.

    Returns
    -------
    int
        Exit code of the last attempt.
    """
    parent = os.getppid()
    job = JobDescription.read((working_folder() / JOB_FILE).read_text(encoding="utf-8"), JOB_FILE)
    command = [sys.executable, "-m", "isd_ray", *job.arguments] if job.arguments else work
    job.keep()
    code = 0
    for attempt in range(1, job.retries + 2):
        code, error = _run(command, parent)
        if code == 0 or attempt > job.retries or not _may_help(code, error):
            break
        words = f"ended with exit code {code}" if error is None else f"{type(error).__name__}: {error.args[0]}"
        print(f"attempt {attempt} of {job.retries + 1}: {words}; the next begins in {PAUSE_S:g} s", flush=True)
        time.sleep(PAUSE_S)
    if code not in _ASKED_TO_END:
        try:
            replace(job, ended="failed" if code else "succeeded").keep()
        except StoreError as failure:  # the work is done, or not, all the same
            print(failure, flush=True)
    return code if code >= 0 else 128 - code


def _run(command: list[str], parent: int) -> tuple[int, IsdError | None]:
    """Run it once, its output passed on line by line; the exit code, and the deliberate error that it ended with."""
    error = None
    environment = {**os.environ, IN_JOB: "1", "PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, errors="replace") as process,
        _ending_with(parent, process),
    ):
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            error = error_of(line) or error
    return process.returncode, error


@contextmanager
def _ending_with(parent: int, process: subprocess.Popen[str]) -> Iterator[None]:
    """End the work when Ray's process that began this one, `parent`, is gone.

    A head that dies takes its jobs along, but leaves their processes where its machine lives on. On the head that is
    started in its place nobody would know of them, and they would work beside the job that is submitted again.
    """
    is_over = threading.Event()

    def watch() -> None:
        while os.getppid() == parent:
            if is_over.wait(_LOOK_S):
                return
        print("Ray's process of this job is gone, and its work ends; isd jobs resubmit FOLDER goes on", flush=True)
        process.terminate()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        is_over.set()
        watching.join()


def _may_help(code: int, error: IsdError | None) -> bool:
    """Whether another attempt may end otherwise."""
    return code not in _ASKED_TO_END and (error is None or isinstance(error, _PASSING))
