"""Faults of hosts, one after the other: `python -m tests.chaos.hosts [PART OF A NAME]…`, in an hour or two.

After each fault the screen must have come to the end of an undisturbed one, bit for bit; or it must have ended in an
error of ours that says what to do, and come to that end when it was given again, on hosts that were mended.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from isd_ray.config import CampaignConfig
from isd_ray.config_file import to_toml
from isd_ray.ops.simulate import simulate
from tests.chaos.hosts.cluster import COMPUTE, Cluster
from tests.chaos.hosts.faults import FAULTS, Fault
from tests.chaos.hosts.jobs import JobScreen
from tests.chaos.hosts.machines import DISK, apart, mount_disk, unmount_disk
from tests.chaos.laboratory import SCREEN, assert_same, outcome
from tests.small import small_config, write_compounds

SHARED_SIZE = "256m"
"""Of the disk with library and campaigns."""
NOT_OURS = ("hang", "traceback")
"""No end, or one that tells nobody what to do."""


def config_of(folder: Path, **compute) -> CampaignConfig:
    return small_config(folder / "compounds.csv", folder / "library", **SCREEN, compute=compute)


def outcome_of(cluster: Cluster, fault: Fault, folder: Path, undisturbed: dict) -> str:
    """What became of a screen."""
    config, out = folder / "campaign.toml", folder / "run"
    folder.mkdir()
    config.write_text(to_toml(config_of(folder.parent, **COMPUTE, **fault.compute)))
    cluster.mend(fault.days)
    screen = JobScreen(cluster, config, out) if fault.as_job else cluster.screen(config, out, fault.held)
    fault.do(screen)
    error = screen.ended()
    words = "the same screen"
    assert error is None or error["type"] not in NOT_OURS, f"{error}\n{screen.said()[-5000:]}"
    if error is not None:
        words = f"{error['type']}: {error['words']}; given again, the same screen".replace("\n", " ")
        cluster.mend()
        again = JobScreen(cluster, config, out) if fault.as_job else cluster.screen(config, out)
        error = again.ended()
        assert error is None, f"{words}, and then {error}\n{again.said()[-5000:]}"
    assert_same(out, undisturbed)
    return words


def main() -> None:
    """Try the faults whose names hold one of the words given, or all; ends with an error if one of them did harm."""
    apart("tests.chaos.hosts", sys.argv[1:])
    chosen = [fault for fault in FAULTS if not sys.argv[1:] or any(word in fault.name for word in sys.argv[1:])]
    DISK.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="isd-hosts-"))
    shared = folder / "shared"
    shared.mkdir()
    mount_disk(shared, SHARED_SIZE)  # before there are hosts that are to see it
    write_compounds(shared / "compounds.csv")
    undisturbed = outcome(simulate(config_of(shared, backend="local"), shared / "undisturbed").path)
    cluster, harmful = Cluster(folder), []
    print("| fault | outcome | seconds |\n|---|---|---|", flush=True)
    for number, fault in enumerate(chosen):
        began = time.monotonic()
        try:
            words = outcome_of(cluster, fault, shared / str(number), undisturbed)
        except (AssertionError, TimeoutError) as error:
            words = f"HARM: {type(error).__name__} {error}"
            harmful.append(fault.name)
            cluster.switch_off()
        print(f"| {fault.name} | {words} | {time.monotonic() - began:.0f} |", flush=True)
    cluster.switch_off()
    unmount_disk(shared)
    shutil.rmtree(folder)
    sys.exit(f"harm was done: {', '.join(harmful)}" if harmful else 0)


if __name__ == "__main__":
    main()
