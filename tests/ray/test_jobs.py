"""Screens as jobs: submitted from a process that dies, followed and fetched from another one; never without the token.

One head with token authentication serves the whole module.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import isd_ray as isd
from isd_ray.campaign.store import CampaignStore
from isd_ray.config_file import to_toml
from isd_ray.errors import ClusterError, InputFileError, JobError, ResourceError, StoreError
from isd_ray.remote.doctor import Verdict, examine
from isd_ray.remote.jobs_client import JobsClient
from tests.ray.head import ray_head

WAIT_S = 240.0
NOTEBOOK = Path(__file__).parents[2] / "examples" / "submit_from_notebook.ipynb"
SUBMITTER = """
import sys
import isd_ray as isd
job = isd.submit(isd.CampaignConfig.from_toml(sys.argv[1]), address=sys.argv[2], out=sys.argv[3])
for piece in job.logs(follow=True):
    print(piece, end="", flush=True)
"""
SMALL = {
    "model": {"hidden_size": 8, "epochs": 2, "members": 1},
    "acquisition": {"batch_size": 100},
    "stopping": {"rule": "none", "max_rounds": 3},
}
ON_RAY = {**SMALL, "name": "from-a-notebook", "compute": {"backend": "ray", "device": "cpu"}}


@pytest.fixture(scope="module")
def head():
    with ray_head() as started:
        yield started


@pytest.fixture(autouse=True)
def token(head, monkeypatch):
    monkeypatch.setattr("isd_ray.remote.jobs.WATCH_S", 0.5)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(head.token_file))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    return head.token_file.read_text()


@pytest.fixture(scope="module")
def followed(head, make_config, tmp_path_factory):
    """The folder of a job whose submitter was killed in the middle of it."""
    folder = tmp_path_factory.mktemp("job")
    file, out = folder / "campaign.toml", folder / "run"
    file.write_text(to_toml(make_config(**ON_RAY)))
    environment = {**os.environ, "RAY_AUTH_TOKEN_PATH": str(head.token_file)}
    command = [sys.executable, "-c", SUBMITTER, file, head.address, out]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as submitter:
        assert submitter.stdout is not None
        assert any("round 1, measured 100 of 900" in line for line in submitter.stdout)
        submitter.kill()
    return out


@pytest.mark.parametrize(
    ("content", "what"), [(None, "asks for a token, and there is none here"), ("0" * 64, "refuses the token")]
)
def test_without_the_token_nothing_is_submitted(content, what, head, make_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
        if content:
            (tmp_path / "token").write_text(content)
        with pytest.raises(ClusterError, match=what):
            isd.submit(make_config(**{**ON_RAY, "name": "refused"}), address=head.address, out=tmp_path / "run")
    assert "refused" not in {job.name for job in isd.jobs(head.address)}


def test_a_screen_outlives_its_submitter_and_is_fetched_by_name(followed, head, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://192.0.2.1:1")  # somebody else's cluster: never asked
    job = isd.job("from-a-notebook", head.address)
    assert job.wait(progress=False, timeout_s=WAIT_S).state == "succeeded"
    status = job.status()
    assert (status.source, status.round, status.n_acquired, status.seconds_left) == ("store", 3, 300, 0.0)
    result = job.result()
    assert result.summary["n_acquired"] == 300
    assert result.hybrid["source"].value_counts().to_pylist() == [
        {"values": "measured", "counts": 300},
        {"values": "predicted", "counts": 600},
    ]


def test_where_the_folder_is_out_of_reach_the_log_tells_the_same(followed, head, monkeypatch):
    job = isd.job("from-a-notebook", head.address)
    near = job.wait(progress=False, timeout_s=WAIT_S)

    def unreachable(path):
        raise StoreError("there is no campaign here", str(path))

    monkeypatch.setattr(CampaignStore, "open", unreachable)
    far = job.status()
    assert far.source == "log"
    assert (far.round, far.n_acquired, far.n_target) == (near.round, near.n_acquired, near.n_target)
    with pytest.raises(ResourceError, match="does not reach its folder"):
        job.result()
    assert "isd_ray>" not in "".join(job.logs())


def test_the_same_submission_is_come_back_to_and_another_is_refused(followed, head, make_config):
    again = isd.submit(make_config(**ON_RAY), address=head.address, out=followed)
    assert [job.name for job in isd.jobs(head.address)].count(again.name) == 1
    assert len(JobsClient.open(head.address).submissions(again.name)) == 1
    with pytest.raises(JobError, match=r"another job .* differs in seed, out"):
        isd.submit(make_config(**ON_RAY, seed=7), address=head.address, out=f"{followed}-2")


def test_the_token_is_neither_logged_nor_stored(followed, head, token):
    job = isd.job("from-a-notebook", head.address)
    job.wait(progress=False, timeout_s=WAIT_S)
    files = [file for file in followed.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if token.encode() in file.read_bytes()]
    assert token not in "".join(job.logs())
    assert token not in str(JobsClient.open(head.address).submissions())


def test_an_error_on_the_cluster_is_raised_here_and_mended_by_submitting_again(head, make_config, compounds, tmp_path):
    source = tmp_path / "late.csv"
    own = {"library": {"source": str(source), "path": str(tmp_path / "lib")}, "name": "late"}
    config = make_config(**{**SMALL, **own})
    job = isd.submit(config, address=head.address, out=tmp_path / "run")
    with pytest.raises(InputFileError, match=r"late\.csv: no such file"):
        job.wait(progress=False, timeout_s=WAIT_S)
    source.write_bytes(compounds.read_bytes())
    again = isd.submit(config, address=head.address, out=tmp_path / "run")
    assert again.stop()
    with pytest.raises(JobError, match="it was stopped"):
        again.wait(progress=False, timeout_s=WAIT_S)
    assert not again.stop()


def test_a_command_is_a_job_and_a_head_that_has_forgotten_it_is_given_it_again(
    head, make_config, compounds, tmp_path, monkeypatch
):
    file, out = tmp_path / "campaign.toml", tmp_path / "compared"
    source = {"library": {"source": str(tmp_path / "late.csv"), "path": str(tmp_path / "lib")}}
    file.write_text(to_toml(make_config(**{**SMALL, **source})))
    arguments = ("compare", str(file), "--out", str(out), "--agents", "active,random")
    said = {"name": "side-by-side", "address": head.address, "keep_in": out}
    job = isd.submit_command(arguments, **said)
    with pytest.raises(InputFileError, match=r"late\.csv: no such file"):
        job.wait(progress=False, timeout_s=WAIT_S)
    other = isd.submit_command(("plan", str(file)), name=said["name"], address=head.address)
    assert (other.attempt, other.arguments[0]) == (2, "plan")
    before = isd.job(said["name"], head.address, attempt=1)
    assert before.arguments[0] == "compare"
    assert "late.csv" in "".join(before.logs())
    (tmp_path / "late.csv").write_bytes(compounds.read_bytes())
    with ray_head() as other:  # knows nothing of the job
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other.token_file))
        again = isd.resubmit(out, address=other.address)
        assert again.wait(progress=False, timeout_s=WAIT_S).state == "succeeded"
        assert again.name == "side-by-side"
        assert again.arguments[0] == "compare"
        with pytest.raises(JobError, match="a command has files, and no result"):
            again.result()
    assert (out / "summary.json").is_file()
    assert isd.resubmit(out, address=head.address) is None


def test_the_doctor_finds_the_head_sound_and_says_what_is_not(head, make_config, tmp_path):
    config = make_config(compute={"backend": "ray", "trainers": 5})
    found = {
        check.name: check
        for check in examine(
            head.address, config, str(tmp_path / "run"), gcs_port=head.gcs_port, client_port=head.client_port
        )
    }
    assert all("asks for a token" in found[f"open_{door}"].found for door in ("jobs_api", "gcs", "ray_client"))
    assert found["authentication"].found == "asks for a token"
    assert {name for name, check in found.items() if check.verdict is Verdict.PROBLEM} == {"placement"}
    assert "no room for 1 of 5 trainers, each 1 CPU" in found["placement"].found
    assert {"clock", "node_clocks", "python", "isd_ray", "ray", "out", "disk", "sources"} <= found.keys()
    assert not list((tmp_path / "run").iterdir())


def test_the_notebook_runs(head, make_config, tmp_path, monkeypatch):
    file = tmp_path / "campaign.toml"
    file.write_text(to_toml(make_config(**SMALL, name="notebook")))
    for name, value in {"RAY_API_SERVER_ADDRESS": head.address, "CAMPAIGN": file, "OUT": tmp_path / "run"}.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=WAIT_S, kernel_name="python3").execute()
    [waited] = next(cell.outputs for cell in notebook.cells if "job.wait()" in cell.source)
    assert waited.output_type == "display_data"  # one, whatever the number of updates
    assert "succeeded" in waited["data"]["text/html"]
    assert "300 of 900" in waited["data"]["text/html"]
    shown = notebook.cells[-1].outputs[0]["data"]["text/plain"]
    assert "predicted" in shown
    assert "600" in shown
