"""The model of a campaign, as it lies in its folder: opened and checked to predict with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from isd_ray.campaign.committees import load_committee
from isd_ray.campaign.families import SeenBlocks, models_of
from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import checked_blocks, in_force
from isd_ray.config import CampaignConfig
from isd_ray.data.library import Library
from isd_ray.data.versions import is_grown_from
from isd_ray.errors import LibraryChangedError, StoreError
from isd_ray.messages import Committee, WorkerSpec
from isd_ray.models.device import Placement
from isd_ray.models.mixture import Mixture


@dataclass(frozen=True)
class DeliveredModel:
    """The committee of one round of a campaign, whose hash is that of its release.

    Attributes
    ----------
    store:
        The campaign.
    files:
        The round.
    committee:
        Its members.
    library:
        The description of the target library: its parts need not be there.
    used:
        Hashes of the library's blocks that the campaign uses, by name, in the order in which models see them.
    is_last:
        Whether it is the model that the campaign delivered, or, before its end, its last one.
    """

    store: CampaignStore
    files: RoundFiles
    committee: Committee
    library: Library
    used: Mapping[str, str]
    is_last: bool

    @classmethod
    def open(
        cls, store: CampaignStore, round_number: int | None = None, library: str | Path | None = None
    ) -> DeliveredModel:
        """The model of a round.

        Parameters
        ----------
        round_number:
            Default: the delivered model; before the end, that of the last decided round. What the model of a batch
            that is out predicts is shown to nobody who may measure it.
        library:
            Where the library (or its ``library.json``) lies now; default: where the campaign has it.

        Raises
        ------
        StoreError
            If there is no such round, or it has no model.
        CorruptFileError
            If the model is not the one that was released.
        LibraryError, LibraryChangedError
            If the library's description is not there, or is of another library.
        """
        rounds = store.rounds()
        secret = unjudged(rounds)
        with_model = [files for files in rounds if files.released["committee_hash"] and files.round not in secret]
        if not with_model:
            raise StoreError(
                "no round of this campaign has a model yet whose batch is decided",
                store.address,
                "tell the readouts of the second batch, then ask for the third",
            )
        if round_number in secret:
            raise StoreError(
                f"round {round_number} is out: what its model predicts is shown once its readouts are in",
                store.address,
                "tell them, or name an earlier round",
            )
        default = store.delivered()["round"] if store.is_delivered() else with_model[-1].round
        wanted = default if round_number is None else round_number
        files = next((files for files in with_model if files.round == wanted), None)
        if files is None:
            named = ", ".join(str(files.round) for files in with_model)
            raise StoreError(f"round {wanted} has no model", store.address, f"name one of rounds {named}")
        version = in_force(store, rounds)
        where = library or store.library
        described = Library.describe(where)
        if not is_grown_from(described.metadata, version.hash):
            raise LibraryChangedError(
                f"the library is not the one that the campaign began with: its hash is {described.hash[:12]}, "
                f"it was {version.hash[:12]}",
                str(where),
                "name the right one: --library",
            )
        described = Library.describe(where, version.hash)
        blocks = checked_blocks(store, version, described)
        store.bring_committee(files.attempt)
        committee = load_committee(files.attempt.committee_dir, files.released["committee_hash"])
        assert committee is not None, "it has a hash"
        return cls(store, files, committee, described, blocks, files.round == default)

    @cached_property
    def config(self) -> CampaignConfig:
        """Of the campaign."""
        return CampaignConfig.from_stored(self.store.config)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the campaign began with."""
        return self.store.manifest

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty for a regression."""
        return tuple(self.manifest["classes"])

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of a panel's outputs; empty for other tasks."""
        return tuple(self.manifest["outputs"])

    @cached_property
    def spec(self) -> WorkerSpec:
        """What the families are opened with."""
        libraries = {"target": str(self.library.path)}
        return WorkerSpec(
            self.config, libraries, self.classes, self.outputs, blocks=self.used, version=self.library.hash
        )

    @cached_property
    def seen(self) -> SeenBlocks:
        """The library's blocks as its models see them."""
        return SeenBlocks(self.config.model, self.spec.blocks, self.library)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Blocks of features that some family reads."""
        return self.seen.names

    def mixture(self, placement: Placement) -> Mixture:
        """Its members, ready to predict."""
        numbers = self.config.labels.are_numbers(self.spec.outputs)
        models = models_of(self.spec, self.seen)
        return Mixture(self.committee, models, placement, self.config.task, self.spec.n_outputs, numbers)
