"""What a job does on the cluster, without one: attempts, when another may help, and the record beside the results."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import isd_ray as isd
from isd_ray.errors import ConfigError, CorruptFileError, JobError, StoreError
from isd_ray.remote import attempts
from isd_ray.remote.attempts import JOB_FILE, JobDescription, run_job
from isd_ray.remote.joblog import error_line
from isd_ray.remote.jobs_client import JobsClient, Submission
from isd_ray.remote.submit import resubmit, submit, submit_command


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job with two retries, whose n-th attempt does the n-th line of Python; returns code, attempts and record."""
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    monkeypatch.setattr(attempts, "PAUSE_S", 0.0)

    def begin(*lines):
        described = JobDescription("kinase", str(tmp_path / "run"), retries=2)
        (tmp_path / "working" / JOB_FILE).write_text(described.text())
        (tmp_path / "lines.json").write_text(json.dumps(lines))
        code = f"""
import json, os, signal, sys
from pathlib import Path
told = Path({str(tmp_path / "lines.json")!r})
line, *rest = json.loads(told.read_text())
told.write_text(json.dumps(rest))
exec(line)
"""
        ended = run_job([sys.executable, "-c", code])
        return (
            ended,
            len(lines) - len(json.loads((tmp_path / "lines.json").read_text())),
            JobDescription.kept_in(str(tmp_path / "run")),
        )

    return begin


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
FINE = "print('fine')"


def said(error):
    return f"print({error!r}); sys.exit(1)"


class Cluster:
    """Keeps submissions as Ray does: one of an id that is there already is left as it is."""

    def __init__(self):
        self.kept, self.states = {}, {}

    def submissions(self, name=None):
        found = [Submission.read(key, metadata) for key, metadata in self.kept.items()]
        return sorted((one for one in found if name in (None, one.name)), key=lambda one: one.attempt)

    def state_of(self, key):
        return self.states.get(key, "running"), ""

    def submit(self, key, entrypoint, files, metadata):
        self.kept.setdefault(key, metadata)


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(JobsClient, "open", lambda *given, **settings: made)
    return made


BUILD, PLAN = ("library", "build", "/wrong.sdf"), ("plan", "/right.toml")


@pytest.mark.parametrize("ended", ["failed", "stopped"])
def test_the_name_of_a_job_that_failed_or_was_stopped_may_be_given_again(cluster, ended):
    said = {"name": "kinase", "address": "http://head:8265"}
    submit_command(BUILD, **said)
    with pytest.raises(JobError, match="another job was submitted under this name"):
        submit_command(PLAN, **said)
    cluster.states["kinase"] = ended
    job = submit_command(PLAN, **said)
    assert (job.attempt, job.arguments, isd.job(**said).arguments) == (2, PLAN, PLAN)
    assert isd.job(**said, attempt=1).arguments == BUILD
    assert submit_command(PLAN, **said).attempt == 2
    with pytest.raises(JobError, match=r"there is no attempt 3 of 'kinase'"):
        isd.job(**said, attempt=3)


def test_the_name_of_a_job_that_succeeded_stays_its_own(cluster):
    said = {"name": "kinase", "address": "http://head:8265"}
    submit_command(BUILD, **said)
    cluster.states["kinase"] = "succeeded"
    with pytest.raises(JobError, match=r"differs in the command \(isd library build /wrong.sdf\)"):
        submit_command(PLAN, **said)
    assert submit_command(BUILD, **said).attempt == 1


def test_the_record_of_other_work_in_the_same_folder_is_put_aside(tmp_path):
    former = JobDescription("kinase", str(tmp_path), BUILD, ended="failed")
    former.keep()
    for _ in range(2):  # as a job that is begun again
        JobDescription("kinase", str(tmp_path), PLAN).keep()
    assert JobDescription.kept_in(str(tmp_path)).arguments == PLAN
    [aside] = [file for file in tmp_path.iterdir() if file.name != JOB_FILE]
    assert JobDescription.read(aside.read_text(), str(aside)) == former


def test_work_that_is_killed_is_done_again(job, capfd):
    code, n_attempts, record = job(KILLED, "raise MemoryError", FINE)
    assert (code, n_attempts, record.ended) == (0, 3, "succeeded")
    out = capfd.readouterr().out
    assert "attempt 1 of 3: ended with exit code -9; the next begins in" in out
    assert out.endswith("fine\n")


def test_no_more_attempts_are_made_than_allowed(job):
    code, n_attempts, record = job(KILLED, KILLED, KILLED, FINE)
    assert (code, n_attempts, record.ended) == (128 + signal.SIGKILL, 3, "failed")


@pytest.mark.parametrize(
    ("kind", "n_attempts"),
    [("ActorLostError", 2), ("StoreError", 2), ("ResourceError", 2), ("ConfigError", 1), ("InputFileError", 1)],
)
def test_a_deliberate_error_is_met_again_only_where_it_may_pass(job, kind, n_attempts, capfd):
    from isd_ray import errors

    error = error_line(getattr(errors, kind)("too few", "x.csv", "add some"))
    code, n_done, record = job(said(error), FINE, FINE)
    assert (code, n_done) == ((0, 2) if n_attempts == 2 else (1, 1))
    assert record.ended == ("succeeded" if n_attempts == 2 else "failed")
    assert error in capfd.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"),
    [("os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM), ("sys.exit(signal.SIGTERM)", signal.SIGTERM)],
)
def test_work_that_is_asked_to_end_is_not_begun_again_and_can_be_submitted_again(job, line, expected):
    """The driver of a Ray cluster ends itself with the number of the signal."""
    code, n_attempts, record = job(line, FINE)
    assert (code, n_attempts, record.ended) == (expected, 1, "")


@pytest.mark.parametrize("dies", ["while it works", "between attempts"])
def test_work_ends_with_the_head_that_died_and_can_be_submitted_again(dies, tmp_path):
    """Its process is left where the machine lives on, and would work beside the job that the next head is given."""
    ending = "select.select([sys.stdin], [], [], 60)" if dies == "while it works" else "raise MemoryError"
    work = f"import select, sys; print('begun', flush=True); {ending}"
    (tmp_path / JOB_FILE).write_text(JobDescription("kinase", str(tmp_path / "run"), retries=9).text())
    job = f"from isd_ray.remote import attempts as a; a.PAUSE_S = 0.5; a.run_job([{sys.executable!r}, '-c', {work!r}])"
    head = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {job!r}])"
    with subprocess.Popen([sys.executable, "-c", head], cwd=tmp_path, text=True, **PIPES) as process:
        said = process.stdout.readline()
        if dies == "between attempts":
            said += process.stdout.readline()
        process.kill()
        said += process.stdout.read()  # until the job has ended, which writes there too
    assert "process of this job is gone" in said
    assert JobDescription.kept_in(str(tmp_path / "run")).ended == ""


def test_the_record_is_there_while_the_work_goes_on(job, tmp_path):
    folder = str(tmp_path / "run")
    line = f"from isd_ray.remote.attempts import JobDescription as J; print(J.kept_in({folder!r})); sys.exit(0)"
    assert job(line)[0] == 0


def test_a_folder_that_cannot_be_written_is_said_before_the_work_and_is_no_failure_of_it_afterwards(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    (tmp_path / JOB_FILE).write_text(JobDescription("kinase", str(folder)).text())
    spoil = f"import shutil; shutil.rmtree({str(folder)!r}); open({str(folder)!r}, 'w'); print('done')"
    assert run_job([sys.executable, "-c", spoil]) == 0
    assert "job.json cannot be written there" in capfd.readouterr().out
    with pytest.raises(StoreError, match=r"job\.json cannot be written there \(") as refused:
        run_job([sys.executable, "-c", "print('not begun')"])
    assert refused.value.where == str(folder)
    assert "not begun" not in capfd.readouterr().out


def test_a_folder_without_a_record_or_with_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(JobError, match=r"there is no job\.json: no job has begun there"):
        resubmit(tmp_path, address="http://127.0.0.1:1")
    files = ["../.bashrc", "/etc/cron.d/x", "..", "a/b.toml", ""]
    described = [json.dumps({"name": "x", "out": "", "arguments": [], "files": {name: ""}}) for name in files]
    unknown = ['{"name": "x", "out": "", "arguments": [], "colour": 1}', '{"name": "x", "out": "", "retries": "many"}']
    for text in ("{", "[]", "{}", *unknown, *described):
        (tmp_path / JOB_FILE).write_text(text)
        with pytest.raises(CorruptFileError, match="is no description of a job"):
            resubmit(tmp_path, address="http://127.0.0.1:1")


def test_a_job_that_succeeded_is_not_submitted_again(tmp_path):
    JobDescription("kinase", str(tmp_path), ended="succeeded").keep()
    assert resubmit(tmp_path, address="http://127.0.0.1:1") is None


@pytest.mark.parametrize("arguments", [(), ("--version",), ("jobs", "list"), ("serve", "runs")])
def test_commands_that_are_none_for_a_job_are_refused(arguments):
    with pytest.raises(Exception, match="is no command for a job"):
        submit_command(arguments, name="x", address="http://127.0.0.1:1")


def test_credentials_go_into_no_job():
    with pytest.raises(Exception, match="holds credentials") as refused:
        submit_command(("library", "build", "s3://me:secret@bucket/x.sdf"), name="x", address="http://127.0.0.1:1")
    assert "secret" not in str(refused.value)


def test_nor_does_the_address_of_a_folder(make_config):
    folder, address = "s3://me:secret@bucket/run", "http://127.0.0.1:1"
    for begin in (
        lambda: submit(make_config(), out=folder, address=address),
        lambda: submit_command(("plan", "x"), name="x", keep_in=folder, address=address),
        lambda: resubmit(folder, address=address),
    ):
        with pytest.raises(ConfigError, match="holds credentials") as refused:
            begin()
        assert "secret" not in str(refused.value)


def test_two_campaign_files_of_one_name_are_refused(make_config, tmp_path):
    from isd_ray.config_file import to_toml

    files = [tmp_path / name / "campaign.toml" for name in ("a", "b")]
    for seed, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(to_toml(make_config(seed=seed)))
    with pytest.raises(Exception, match=r"two files are called 'campaign\.toml'"):
        submit_command(("plan", *map(str, files)), name="x", address="http://127.0.0.1:1")
