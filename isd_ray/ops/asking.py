"""Asking for a batch: fit, choose and freeze the next one, or hand out the one that is out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isd_ray.campaign.released import Batch
from isd_ray.campaign.source_places import source_places
from isd_ray.campaign.versions import newest
from isd_ray.campaign.watcher import Watcher
from isd_ray.messages import WorkerSpec
from isd_ray.ops.opened import Opened

if TYPE_CHECKING:
    from isd_ray.campaign.setup import CampaignSetup
    from isd_ray.ops.run import Run


class Asking:
    """Runs a campaign until readouts are missing. Only `ask` imports torch and Ray.

    Parameters
    ----------
    opened:
        The campaign.
    watcher:
        Told about progress.
    run:
        As in `isd_ray.ops.campaign.Campaign`.
    """

    def __init__(self, opened: Opened, watcher: Watcher, run: Run | None) -> None:
        self._opened = opened
        self._watcher = watcher
        self._run = run

    def ask(self) -> Batch | None:
        """See `isd_ray.ops.campaign.Campaign.ask`."""
        from isd_ray.ops.results import conclude
        from isd_ray.ops.run import run_cold

        opened = self._opened
        if not opened.has_ended and not opened.n_missing():
            for progress in (self._run or run_cold)(self._setup()):
                self._watcher.step(opened.config.name, progress)
        if opened.has_ended:
            conclude(opened.store)
            return None
        return self.batch()

    def batch(self) -> Batch | None:
        """See `isd_ray.ops.campaign.Campaign.batch`."""
        rounds = self._opened.store.rounds()
        if not rounds or rounds[-1].committed is not None:
            return None
        table, plates = rounds[-1].read_batch(), rounds[-1].read_plates()
        # By place, or by id: the order of the batch tells why compounds were chosen.
        table = table.sort_by([("plate", "ascending"), ("well", "ascending"), ("id", "ascending")])
        shown = ["id", "smiles"] if plates is None else ["id", "smiles", "plate", "well"]
        last, config = rounds[-1], self._opened.config
        sources = source_places(self._opened.library, config.plates, table["row"].to_numpy())
        return Batch(last.round, table.select(shown), plates, sources, config.plates, last.repeats)

    def _setup(self) -> CampaignSetup:
        from isd_ray.campaign.setup import CampaignSetup
        from isd_ray.ops.prepare import output_embeddings

        config, store, rule = self._opened.config, self._opened.store, self._opened.rule
        version = newest(store)
        spec = WorkerSpec(
            config,
            {"target": store.library},
            rule.classes,
            rule.outputs,
            output_embeddings=output_embeddings(config.model, rule.outputs),
            blocks=version.blocks,
            version=version.hash,
        )
        return CampaignSetup(config, store.address, spec, rule, None, None)
