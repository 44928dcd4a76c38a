"""Commands of certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isd_ray.cli.common import AsJson, out_console, print_json

app = typer.Typer(help="Read certificates.", no_args_is_help=True)


@app.command("show")
def certificate_show(
    path: Annotated[Path, typer.Argument(help="Folder of the campaign.")],
    as_json: AsJson = False,
) -> None:
    """Say what a campaign's certificate guarantees, by what proof and under which assumptions."""
    from isd_ray.campaign.amend import no_longer_claimed
    from isd_ray.campaign.confirmed import confirmed_lines
    from isd_ray.campaign.steps.deliver import NOT_CERTIFIED_FILE
    from isd_ray.campaign.store import CampaignStore
    from isd_ray.errors import StoreError
    from isd_ray.report.certificate import Certificate
    from isd_ray.storage.files import read_json

    store = CampaignStore.open(path)
    certificate = store.certificate()
    if certificate is None and (file := store.latest(NOT_CERTIFIED_FILE)).is_file():
        raise StoreError(read_json(file)["words"], str(path), "see its summary.json")
    if certificate is None:
        remedy = "see its summary.json" if store.is_delivered() else "it goes on: `isd status` says what is to do"
        raise StoreError("NOT CERTIFIED: this campaign has no certificate", str(path), remedy)
    if (why := no_longer_claimed(store)) is not None:
        raise StoreError(f"certificate {certificate['certificate_id']} is WITHDRAWN: {why}", str(path), "screen again")
    if as_json:
        print_json(certificate)
        return
    found = Certificate.of(store)
    for line in [*(found.lines if found else ()), *confirmed_lines(store)]:
        out_console.print(line, highlight=False)
