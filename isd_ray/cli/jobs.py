"""Commands of jobs on a cluster, and the doctor of clusters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from isd_ray.cli.common import AsJson, ConfigFile, Set, live_console, out_console, print_json

if TYPE_CHECKING:
    from isd_ray.remote.doctor import Check
    from isd_ray.remote.jobs import Job

app = typer.Typer(help="Run screens and other commands as jobs of a Ray cluster.", no_args_is_help=True)

Address = Annotated[
    str,
    typer.Option(
        "--address", "-a", envvar="RAY_API_SERVER_ADDRESS", help="URL of the cluster's dashboard, http://HEAD:8265."
    ),
]
CaFile = Annotated[str | None, typer.Option("--ca-file", help="Certificates that an https address is checked against.")]
Attempt = Annotated[
    int | None, typer.Option(min=1, help="Which of the submissions under this name; default: the last one.")
]
Name = Annotated[str, typer.Argument(help="Name of the job.")]
Retries = Annotated[int, typer.Option(min=0, help="Further attempts, if the driver is killed or the cluster fails it.")]
AllowOpen = Annotated[
    bool, typer.Option("--allow-open", help="The cluster may ask for no token: whoever reaches it runs code there.")
]
_OPTIONAL_CONFIG = typer.Option(
    "--config", "-c", help="Campaign file: can its trainers and scorers be placed, is its library seen?"
)


@app.command("submit")
def submit(
    config: ConfigFile,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder or URI for the results, as the cluster sees it.")],
    address: Address,
    name: Annotated[str | None, typer.Option(help="Name of the job; default: that of the campaign.")] = None,
    retries: Retries = 0,
    ca_file: CaFile = None,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Run a screen against known labels on a cluster; the same command comes back to it."""
    from isd_ray.config import CampaignConfig
    from isd_ray.remote.submit import submit as submit_job

    settings = CampaignConfig.from_toml(config, overrides or ())
    _print_submitted(
        submit_job(settings, address=address, out=out, name=name, retries=retries, ca_file=ca_file), as_json
    )


@app.command("run")
def run(
    name: Name,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="What follows `isd`; paths as the cluster sees them.")
    ],
    address: Address,
    keep_in: Annotated[
        str | None, typer.Option(help="Folder or URI of the cluster that keeps job.json, for `isd jobs resubmit`.")
    ] = None,
    retries: Retries = 0,
    allow_open: AllowOpen = False,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Run any command of isd on a cluster, as: isd jobs run lib -- library build /shared/x.sdf --out /shared/lib."""
    from isd_ray.remote.submit import submit_command

    _print_submitted(
        submit_command(
            command,
            name=name,
            address=address,
            keep_in=keep_in,
            retries=retries,
            allow_open=allow_open,
            ca_file=ca_file,
        ),
        as_json,
    )


@app.command("resubmit")
def resubmit(
    folders: Annotated[list[str], typer.Argument(help="Folders of results, which this machine reaches.")],
    address: Address,
    allow_open: AllowOpen = False,
    ca_file: CaFile = None,
) -> None:
    """Submit jobs again that a cluster has forgotten, by the job.json that each has left in its folder."""
    from isd_ray.errors import IsdError
    from isd_ray.remote.submit import resubmit as resubmit_job

    refused = False
    for folder in folders:
        try:
            job = resubmit_job(folder, address=address, allow_open=allow_open, ca_file=ca_file)
        except IsdError as error:
            refused = True
            live_console.print(str(error), highlight=False, soft_wrap=True)
            continue
        words = "has succeeded, nothing is done" if job is None else f"job {job.name} is {job.status().state}"
        out_console.print(f"{folder}: {words}", highlight=False, soft_wrap=True)
    if refused:
        raise typer.Exit(1)


@app.command("list")
def list_jobs(address: Address, ca_file: CaFile = None, as_json: AsJson = False) -> None:
    """List the jobs of a cluster that isd submitted."""
    from isd_ray.remote.jobs import jobs, progress_line

    found = [job.status() for job in jobs(address, ca_file=ca_file)]
    if as_json:
        print_json({"jobs": [asdict(status) for status in found]})
        return
    for status in found:
        out_console.print(progress_line(status), highlight=False, soft_wrap=True)


@app.command("status")
def status(
    name: Name, address: Address, attempt: Attempt = None, ca_file: CaFile = None, as_json: AsJson = False
) -> None:
    """Say how far a job is."""
    _print_status(_find(name, address, ca_file, attempt), as_json)


@app.command("logs")
def logs(
    name: Name,
    address: Address,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
    attempt: Attempt = None,
    ca_file: CaFile = None,
) -> None:
    """Print what a job has printed."""
    for piece in _find(name, address, ca_file, attempt).logs(follow=follow):
        typer.echo(piece, nl=False)


@app.command("stop")
def stop(name: Name, address: Address, ca_file: CaFile = None) -> None:
    """Stop a job; submitted again, it goes on from its folder."""
    stopped = _find(name, address, ca_file).stop()
    out_console.print(f"{name} is asked to stop" if stopped else f"{name} has ended already", highlight=False)


@app.command("wait")
def wait(
    name: Name,
    address: Address,
    timeout: Annotated[float | None, typer.Option(min=0.0, help="Longest wait in seconds.")] = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Wait for the end of a job, with its progress on standard error; exit code 1 if it fails."""
    job = _find(name, address, ca_file)
    ended = job.wait(timeout_s=timeout)
    if as_json:
        print_json(asdict(ended))


@app.command("result")
def result(name: Name, address: Address, ca_file: CaFile = None, as_json: AsJson = False) -> None:
    """Print the summary of a finished job, whose folder this machine reaches."""
    from isd_ray.report.words import summary_table

    found = _find(name, address, ca_file).result()
    if as_json:
        print_json(dict(found.summary))
        return
    out_console.print(summary_table(found.summary))
    out_console.print(f"Files in {found.path}", highlight=False, soft_wrap=True)


def doctor(
    address: Address,
    config: Annotated[Path | None, _OPTIONAL_CONFIG] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="Folder for results: do all nodes reach it?")] = None,
    gcs_port: Annotated[
        int | None, typer.Option(help="Port of the head's GCS; that of compute.address, else 6379.")
    ] = None,
    client_port: Annotated[int, typer.Option(help="Port of the head's Ray Client server.")] = 10001,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Examine a cluster: who may use it, versions, resources, storage, clocks. Exit code 1 if something is wrong."""
    from isd_ray.config import CampaignConfig
    from isd_ray.remote.doctor import Verdict, examine

    settings = CampaignConfig.from_toml(config) if config else None
    checks = []
    for check in examine(address, settings, out, gcs_port=gcs_port, client_port=client_port, ca_file=ca_file):
        checks.append(check)
        if not as_json:
            _print_check(check)
    is_sound = all(check.verdict is not Verdict.PROBLEM for check in checks)
    if as_json:
        print_json({"is_sound": is_sound, "checks": [asdict(check) for check in checks]})
    if not is_sound:
        raise typer.Exit(1)


def _print_submitted(job: Job, as_json: bool) -> None:
    if as_json:
        _print_status(job, as_json)
        return
    before = f" (attempt {job.attempt}; those before: --attempt N)" if job.attempt > 1 else ""
    place = f", in {job.out} of the cluster" if job.out else ""
    words = f"job {job.name}{before}{place}; follow it with: isd jobs logs {job.name} --follow"
    out_console.print(words, highlight=False, soft_wrap=True)


def _find(name: str, address: str, ca_file: str | None, attempt: int | None = None) -> Job:
    from isd_ray.remote.jobs import job

    return job(name, address, attempt=attempt, ca_file=ca_file)


def _print_status(job: Job, as_json: bool) -> None:
    from isd_ray.remote.jobs import progress_line

    found = job.status()
    if as_json:
        print_json(asdict(found))
        return
    out_console.print(progress_line(found), highlight=False, soft_wrap=True)


def _print_check(check: Check) -> None:
    colours = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    row = Table.grid(padding=(0, 1))
    verdict = Text(f"{check.verdict.value:8}", style=colours[check.verdict.value])
    row.add_row(verdict, f"{check.what}:", check.found)
    out_console.print(row, highlight=False)
    if check.remedy:
        live_console.print(f"         {check.remedy}", highlight=False, soft_wrap=True)


COMMANDS = (doctor,)
