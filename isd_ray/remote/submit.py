"""Give work to a cluster as a job, and once more if the cluster has forgotten it.

A screen goes on from its folder, and every other command of `isd` that writes goes on from what it has written or does
the same again; so the same submission may be made again and again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from isd_ray.config import CampaignConfig
from isd_ray.config_file import anchor_paths, as_config, load_config, parse_config, to_toml
from isd_ray.credentials import REMEDY, holds_credentials
from isd_ray.errors import ConfigError, JobError
from isd_ray.remote.attempts import JOB_FILE, JobDescription
from isd_ray.remote.driver import CONFIG_FILE, command
from isd_ray.remote.jobs import Job, changes
from isd_ray.remote.jobs_client import JobsClient, Submission
from isd_ray.storage.addresses import absolute, address_of, working_folder

_AGAIN = ("failed", "stopped")
"""States after which the same submission makes another attempt."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_AS_JOBS = frozenset({"jobs", "doctor", "serve", "follow", "init", "explain"})
"""Commands that speak to whoever gives them."""


def submit(
    config: CampaignConfig | str | Path,
    *,
    address: str,
    out: str | Path,
    name: str | None = None,
    retries: int = 0,
    ca_file: str | None = None,
) -> Job:
    """Run a screen whose labels are known as a job of a cluster.

    This package and the configuration are sent along; the data are not. Paths of the configuration and `out` must mean
    the same on all nodes of the cluster; relative ones start from the working folder here. The driver runs on the head.
    A submission that is there already, from here or from elsewhere, is come back to; one that failed or was stopped
    goes on from its folder. The name of such a one may also be given to another screen or command: that is its next
    attempt, and those before stay (`isd_ray.job`, with `attempt`).

    Parameters
    ----------
    config:
        The campaign, or the path of its file; its `compute.address` is that of the job.
    address:
        URL of the dashboard, ``http://HEAD:8265``. A token is taken from where Ray looks for one.
    out:
        The campaign's folder as the cluster sees it; ``job.json`` there describes the job (`resubmit`).
    name:
        Of the job; default: the campaign's.
    retries:
        Further attempts, if the driver is killed or the cluster fails it; none helps against a wrong configuration.
    ca_file:
        Certificates that the TLS of `address` is checked against; default: those of the system.

    Raises
    ------
    ClusterError
        If no cluster answers, the token is missing or wrong, the cluster is open to everybody, or it has other
        versions.
    ConfigError
        If the configuration cannot run as a job.
    JobError
        If another campaign that runs, or has succeeded, has that name there.
    """
    config = as_config(config)
    settings = _for_cluster(config)
    described = JobDescription(
        name or config.name,
        _folder(out),
        config=settings.model_dump(mode="json"),
        retries=retries,
        files={CONFIG_FILE: to_toml(settings)},
    )
    return _submit(described, address, ca_file, allow_open=settings.compute.allow_cluster_without_authentication)


def submit_command(
    arguments: Sequence[str],
    *,
    name: str,
    address: str,
    keep_in: str | Path | None = None,
    retries: int = 0,
    allow_open: bool = False,
    ca_file: str | None = None,
) -> Job:
    """Run a command of `isd` as a job of a cluster: a build of a library, a comparison, predictions, a plan, ….

    Arguments that are campaign files here (``….toml``) are sent along; all other paths mean those of the cluster's
    nodes. Where the command wants the address of its cluster, that is ``auto``.

    Parameters
    ----------
    arguments:
        What follows `isd`, as ``("library", "build", "/shared/x.sdf", "--out", "/shared/lib")``.
    name:
        Of the job. The same name with the same arguments comes back to it; that of one that failed or was stopped is
        free for others.
    keep_in:
        Folder or URI of the cluster in which ``job.json`` describes the job, so that `resubmit` finds it; default:
        nowhere.
    allow_open:
        Whether the cluster may be open to everybody.
    address, retries, ca_file:
        As of `submit`.

    Raises
    ------
    ConfigError
        If that is no command for a job, or an argument holds credentials.
    ClusterError, JobError
        As `submit`.
    """
    if not arguments or arguments[0].startswith("-") or arguments[0] in _NOT_AS_JOBS:
        raise ConfigError(
            f"{' '.join(arguments[:1]) or 'nothing'!r} is no command for a job",
            "arguments",
            "give what follows `isd`, as in: library build /shared/x.sdf --out /shared/lib",
        )
    _refuse_credentials(arguments, name)
    files: dict[str, str] = {}
    placed = [_sent_along(argument, files) for argument in arguments]
    folder = "" if keep_in is None else _folder(keep_in)
    described = JobDescription(name, folder, tuple(placed), retries=retries, files=files)
    return _submit(described, address, ca_file, allow_open=allow_open)


def resubmit(folder: str | Path, *, address: str, allow_open: bool = False, ca_file: str | None = None) -> Job | None:
    """Submit the job that has left its description in a folder once more, as after a head that started anew.

    Parameters
    ----------
    folder:
        Of its results; this machine must reach it.

    Returns
    -------
    Job | None
        None if the job succeeded. One that the cluster still knows and that has not ended is come back to.

    Raises
    ------
    JobError
        If there is no description of a job.
    CorruptFileError
        If it cannot be read.
    ClusterError
        As `submit`.
    """
    described = JobDescription.kept_in(_folder(folder))
    if described.ended == "succeeded":
        return None
    if not described.arguments:
        allow_open |= parse_config(described.config).compute.allow_cluster_without_authentication
    return _submit(described, address, ca_file, allow_open=allow_open)


def _submit(described: JobDescription, address: str, ca_file: str | None, *, allow_open: bool) -> Job:
    """Submit a job unless it is there already."""
    name = described.name
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a job", "name", "use letters, digits, dots, dashes and underscores")
    client = JobsClient.open(address, allow_open=allow_open, require_version=True, ca_file=ca_file)
    there = client.submissions(name)
    attempt = there[-1].attempt + 1 if there else 1
    wanted = Submission.new(name, attempt, described.out, described.config, described.arguments)
    if there and client.state_of(there[-1].id)[0] not in _AGAIN:
        _require_same(there, wanted)
    else:
        files = {**described.files, JOB_FILE: described.text()}
        client.submit(wanted.id, command("job", name, described.out), files, wanted.metadata)
        there = client.submissions(name)
        _require_same(there, wanted)  # somebody else may have been faster
    return Job(client, there[-1])


def _refuse_credentials(texts: Iterable[str], name: str) -> None:
    if any(map(holds_credentials, texts)):
        raise ConfigError("an argument holds credentials, which everybody on the cluster would see", name, REMEDY)


def _folder(path: str | Path) -> str:
    address = address_of(path)
    _refuse_credentials([address], "the folder")
    return absolute(address)


def _sent_along(argument: str, files: dict[str, str]) -> str:
    """An argument as the job gives it; a campaign file of this machine becomes one of the job's working folder."""
    file = Path(argument)
    if file.suffix != ".toml" or not file.is_file():
        return argument
    text = to_toml(_for_cluster(load_config(file)))
    if files.setdefault(file.name, text) != text:
        raise ConfigError(f"two files are called {file.name!r}", argument, "give them names of their own")
    return file.name


def _for_cluster(config: CampaignConfig) -> CampaignConfig:
    """The configuration as a job runs it: on the Ray of its cluster, with absolute paths."""
    if config.compute.address not in (None, "auto"):
        raise ConfigError(
            f"a job runs on the cluster that it is submitted to, not on {config.compute.address!r}",
            "compute.address",
            "remove it",
        )
    data = config.model_dump(mode="json")
    anchor_paths(data, working_folder())
    if config.compute.backend == "ray":
        data["compute"]["address"] = "auto"
    return parse_config(data)


def _require_same(there: Sequence[Submission], wanted: Submission) -> None:
    for submission in there[-1:]:
        changed: list[str] = []
        if submission.arguments != wanted.arguments:
            changed.append(f"the command (isd {' '.join(submission.arguments)})" if submission.arguments else "kind")
        else:
            changed += changes(submission.config, wanted.config)
        if submission.out != wanted.out:
            changed.append(f"out ({submission.out})")
        if changed:
            raise JobError(
                f"another job was submitted under this name; it differs in {', '.join(changed)}",
                wanted.name,
                "give a name of its own (name=…), or come back to that one with isd_ray.job",
            )
