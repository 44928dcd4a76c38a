"""A campaign as a run of MLflow: what each round measured and showed, as the log of the campaign tells it.

    python examples/mlflow/follow.py runs/screen --tracking-uri sqlite:///mlflow.db

It may begin late, and be stopped and begun again: it goes on with the entry that the run does not have yet.
"""

from __future__ import annotations

import argparse

import mlflow
from mlflow import MlflowClient

import isd_ray as isd

NEXT = "isd_ray.next_entry"
"""Tag of the run: number of the entry that it does not have yet."""
COUNTED = ("n_acquired", "n_lost", "bound")


def run_of(client: MlflowClient, experiment: str, campaign: str) -> str:
    """The run of a campaign, begun if there is none."""
    found = client.search_runs([experiment], f"tags.`mlflow.runName` = '{campaign}'")
    return (found[0] if found else client.create_run(experiment, run_name=campaign)).info.run_id


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("campaign", help="Folder or URI of the campaign.")
    parser.add_argument("--tracking-uri", help="Of MLflow; default: its own.")
    parser.add_argument("--once", action="store_true", help="Do not wait for further entries.")
    options = parser.parse_args()
    mlflow.set_tracking_uri(options.tracking_uri)
    client, experiment = MlflowClient(), mlflow.set_experiment("isd_ray").experiment_id
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
