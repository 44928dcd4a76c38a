"""A campaign as a run of MLflow: what each round measured and showed, as the log of the campaign tells it.

    python examples/mlflow/follow.py runs/screen --tracking-uri http://127.0.0.1:5000

`mlflow-skinny` is enough to speak to a server of MLflow. A database of one's own, as sqlite:///mlflow.db, needs the
package `mlflow`; a folder the variable MLFLOW_ALLOW_FILE_STORE=true.

It may begin late, and be stopped and begun again: it goes on with the entry that the run does not have yet.
"""

from __future__ import annotations

import argparse

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import isd_ray as isd

NEXT = "isd_ray.next_entry"
"""Tag of the run: number of the entry that it does not have yet."""
COUNTED = ("n_acquired", "n_lost", "bound")


def run_of(client: MlflowClient, experiment: str, campaign: str) -> str:
    """The run of a campaign, begun if there is none."""
    found = client.search_runs([experiment], f"tags.`mlflow.runName` = '{campaign}'")
    return (found[0] if found else client.create_run(experiment, run_name=campaign)).info.run_id


def experiment_of(tracking_uri: str | None, parser: argparse.ArgumentParser) -> str:
    """The experiment of all campaigns; an address that this MLflow does not take is said with what does."""
    mlflow.set_tracking_uri(tracking_uri)
    try:
        return mlflow.set_experiment("isd_ray").experiment_id
    except MlflowException as error:
        words = (
            f"{mlflow.get_tracking_uri()!r} cannot be used by the MLflow that is installed: name a running server, as "
            "http://127.0.0.1:5000; for a database `pip install mlflow`, for a folder set MLFLOW_ALLOW_FILE_STORE=true"
        )
        parser.exit(1, f"{error.message}\n{words}\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("campaign", help="Folder or URI of the campaign.")
    parser.add_argument("--tracking-uri", help="Of MLflow: a server, a database or a folder; default: its own.")
    parser.add_argument("--once", action="store_true", help="Do not wait for further entries.")
    options = parser.parse_args()
    experiment = experiment_of(options.tracking_uri, parser)
    client = MlflowClient()
    run = run_of(client, experiment, isd.Campaign.open(options.campaign).status().campaign_id)

    def log(notice: isd.Notice) -> None:
        facts = notice.facts
        if notice.kind == "decision":
            for name in COUNTED:
                if facts.get(name) is not None:
                    client.log_metric(run, name, facts[name], step=facts["round"])
        if notice.kind == "certificate":
            client.set_tag(run, "isd_ray.certificate", facts["certificate_id"])
        client.set_tag(run, NEXT, notice.sequence + 1)

    begun = client.get_run(run).data.tags.get(NEXT, 0)
    isd.follow(options.campaign, log, since=int(begun), wait=not options.once)
    if not options.once:
        client.set_terminated(run)


if __name__ == "__main__":
    main()
