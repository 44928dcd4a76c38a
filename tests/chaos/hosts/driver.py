"""A screen on a cluster of hosts: `python -m tests.chaos.hosts.driver CONFIG OUT NOTES HELD`.

The first call of an actor of the class HELD in the round `ROUND` says in NOTES/held on which host it is, and goes on
when NOTES/go is there; none is held where HELD is empty.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from isd_ray.actors.bound import BoundActor
from isd_ray.actors.scorer import Scorer
from isd_ray.actors.trainer import Trainer
from isd_ray.config import CampaignConfig
from isd_ray.errors import IsdError
from isd_ray.ops.simulate import simulate

NOTES, HELD = "ISD_TEST_NOTES", "ISD_TEST_HELD"
ROUND = 1
PATIENCE_S = 240.0
METHODS = {"Trainer": (Trainer, "fit"), "Scorer": (Scorer, "score"), "BoundActor": (BoundActor, "decide")}


def listen() -> None:
    """In every worker process: hold the call."""
    plain_class, method = METHODS[os.environ[HELD]]
    setattr(plain_class, method, _holding(getattr(plain_class, method), Path(os.environ[NOTES])))


def _holding(method: Any, notes: Path) -> Any:
    @functools.wraps(method)
    def holding(self: Any, *arguments: Any) -> Any:
        if arguments[0].round == ROUND:
            draft = notes / f"held-{socket.gethostname()}-{os.getpid()}"
            draft.write_text(socket.gethostname())
            with suppress(FileExistsError):
                os.link(draft, notes / "held")
                give_up = time.monotonic() + PATIENCE_S
                while not (notes / "go").exists() and time.monotonic() < give_up:
                    time.sleep(0.05)
        return method(self, *arguments)

    return holding


def main() -> None:
    """Run the screen; an error of ours is left in NOTES/error."""
    config, out, notes, held = sys.argv[1:5]
    environment = {"env_vars": {NOTES: notes, HELD: held}, "worker_process_setup_hook": listen} if held else {}
    ray.init(address="auto", runtime_env=environment, log_to_driver=False)
    try:
        simulate(CampaignConfig.from_toml(config), Path(out))
    except IsdError as error:
        said = {"type": type(error).__name__, "words": str(error)}
        (Path(notes) / "error").write_text(json.dumps(said))
        raise


if __name__ == "__main__":
    main()
