"""One round of a campaign with plates in a process of its own: `python -m tests.chaos.plated DIR TRUTH ROUND`."""

from __future__ import annotations

import csv
import os
import signal
import sys
from pathlib import Path

from isd_ray.campaign.store import CampaignStore
from isd_ray.ops.campaign import Campaign

N_ROUNDS = 6
AMENDED_AFTER = 3
"""Round after which two readouts of the first are corrected."""


def read_plates(folder: Path) -> list[dict[str, str]]:
    """The samples of the plate map that was handed out last."""
    with max(folder.glob("*-plates.csv")).open(newline="") as file:
        return [line for line in csv.DictReader(file) if line["content"] == "sample"]


def measure(wells: list[dict[str, str]], truth: dict[str, str], file: Path, bad: int = 0) -> None:
    """A reader's file by plate and well; the first `bad` wells are flagged."""
    with file.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(["plate", "well", "bbb", "flag"])
        for place, line in enumerate(wells):
            writer.writerow([line["plate"], line["well"], truth[line["id"]], "bubble" if place < bad else ""])


def one_round(campaign: Campaign, truth: dict[str, str], number: int, folder: Path) -> None:
    """Ask, measure in two parts, some of it badly, tell; correct an early round once."""
    folder.mkdir(exist_ok=True)
    batch = campaign.ask()
    assert batch is not None
    assert batch.round == number
    campaign.dispatch(folder)
    wells = read_plates(folder)
    measure(wells[:40], truth, folder / "first.csv", bad=3 if number == 1 else 0)
    measure(wells[30:], truth, folder / "second.csv")
    if number == 2:
        campaign.tell(folder / "second.csv")
        campaign.fail([line["id"] for line in wells[:2]], "empty wells")
        measure(wells[2:40], truth, folder / "first.csv")
    campaign.tell(folder / "first.csv")
    campaign.tell(folder / "second.csv")
    if number == AMENDED_AFTER:
        first = campaign.store.rounds()[0].read_batch()["id"].to_pylist()
        other = {"BBB+": "BBB-", "BBB-": "BBB+"}
        lines = [f"{name},{other[truth[name]]}\n" for name in sorted(first)[:2]]
        (folder / "corrected.csv").write_text("name,bbb\n" + "".join(lines))
        assert campaign.amend(folder / "corrected.csv", "swapped wells") == 2


def main() -> None:
    """One round; with a fourth argument the process is killed when it is about to release its batch."""
    path, truth_file, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    with truth_file.open(newline="") as file:
        truth = {line["name"]: line["bbb"] for line in csv.DictReader(file)}
    if len(sys.argv) > 4:
        CampaignStore.release = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    one_round(Campaign.open(path), truth, number, path.parent / "files")


if __name__ == "__main__":
    main()
