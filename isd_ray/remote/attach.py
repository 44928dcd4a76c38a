"""A campaign whose verbs a coordinator on a cluster does, which keeps trainers and scorers warm between rounds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isd_ray.campaign.events import user
from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import Status
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, ComputeConfig
from isd_ray.data.export import Exported
from isd_ray.data.filesystem import is_uri
from isd_ray.data.mirror import address_of
from isd_ray.data.output_files import replacing
from isd_ray.errors import ResourceError, StoreError
from isd_ray.ops.calls import SentFile, VerbCall
from isd_ray.ops.connect import connect
from isd_ray.ops.coordinator import Coordinator
from isd_ray.ops.measuring import measure_to_end
from isd_ray.ops.opened import listed
from isd_ray.ops.telling import Told, as_file, naming
from isd_ray.report.certificate import Certificate
from isd_ray.report.looks import asked_card
from isd_ray.report.notebook import default_watcher
from isd_ray.report.words import status_lines

if TYPE_CHECKING:
    from isd_ray.actors.named import NamedActor
    from isd_ray.ops.interim import Interim

_STOP_TIMEOUT_S = 30.0


def attach(path: str | Path, address: str | None = None, watcher: Watcher | None = None) -> AttachedCampaign:
    """Open a campaign on a Ray cluster, where one coordinator does its verbs and keeps its workers between rounds.

    The coordinator is started if there is none, and the same one answers whoever serves the same folder, until it is
    stopped (`AttachedCampaign.stop_coordinator`). The first `ask` starts its trainers and scorers. Warm or not, the
    answers are the same; a process of it that dies is started again and goes on from the folder.

    Parameters
    ----------
    path:
        The campaign's directory, a folder as the cluster sees it or a URI; this process need not see it.
    address:
        Of the cluster; default: the configured one, where this process sees the folder. A Ray that this process has
        initialised is used as it is where no cluster is named, and must be the one that is.
    watcher:
        Told about the steps of an `ask`; default: in a notebook they are shown below the cell, elsewhere nowhere.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached, this process is connected to another one, or another version of isd_ray runs
        there.
    StoreError
        If the cluster has no campaign in that folder, or another one than this process sees there.
    """
    name = _name(path)
    seen = _seen(name)
    compute = _compute(seen)
    _connect(compute, address)
    from isd_ray.actors import named
    from isd_ray.actors.failure import FailurePolicy

    options = named.NamedOptions(name, compute.start_timeout_s, FailurePolicy(compute.lost_actor_retries))
    actor = named.NamedActor(Coordinator, (name,), options)
    try:
        found = actor.ready()
    except StoreError:
        named.stop(name, _STOP_TIMEOUT_S)
        raise
    if found["isd_ray"] != version("isd_ray"):
        raise ResourceError(
            f"its coordinator runs isd_ray {found['isd_ray']}, this process {version('isd_ray')}",
            name,
            "use one version everywhere; `isd coordinators stop` ends the coordinator, and nothing is lost by it",
        )
    if seen is not None and seen["campaign_id"] != found["campaign_id"]:
        raise StoreError(
            f"here lies campaign {seen['campaign_id']}, but on the cluster {found['campaign_id']}",
            name,
            "give the folder as the cluster sees it, on storage that both share",
        )
    config = CampaignConfig.from_stored(found["config"])
    return AttachedCampaign(actor, name, found["campaign_id"], config, watcher or default_watcher(config))


def coordinated(address: str | None = None) -> list[str]:
    """Folders of the campaigns that coordinators of a cluster serve now."""
    _connect(ComputeConfig(), address)
    from isd_ray.actors import named

    return named.names()


def stop(path: str | Path, address: str | None = None) -> bool:
    """End the coordinator of a campaign, its trainers and scorers; whether there was one. The campaign loses nothing.

    Raises
    ------
    ResourceError
        If the cluster cannot be reached.
    ActorLostError
        If the cluster does not confirm it.
    """
    name = _name(path)
    _connect(_compute(_seen(name)), address)
    from isd_ray.actors import named

    return named.stop(name, _STOP_TIMEOUT_S)


def _name(path: str | Path) -> str:
    """Coordinators go by folder: two campaigns of equal configuration, and so of equal id, are still two."""
    address = address_of(path)
    return address if is_uri(address) else os.path.abspath(address)


def _seen(name: str) -> Mapping[str, Any] | None:
    """The manifest of the campaign, if this process sees it in a folder.

    A URI means the same everywhere, and this process need not have the rights to read there.
    """
    return CampaignStore.open(name).manifest if not is_uri(name) and CampaignStore.exists(name) else None


def _compute(seen: Mapping[str, Any] | None) -> ComputeConfig:
    return ComputeConfig() if seen is None else CampaignConfig.from_stored(seen["config"]).compute


def _connect(compute: ComputeConfig, address: str | None) -> None:
    """Connect to the cluster of an address, or else to the configured one."""
    connect(compute if address is None else compute.model_copy(update={"address": address}))


class AttachedCampaign:
    """A `Campaign` whose verbs a coordinator on a cluster does; see `attach`, which makes it.

    Each verb is that of `Campaign`, one after the other whoever calls; those that only look are answered at any time,
    also while models are fitted. Files are the caller's: what is told is read here if it is here, what is exported is
    written here. A call that was lost with a process of the coordinator is repeated. Should it have been done already,
    it says so as a second call would: readouts are known, nothing is new.

    Attributes
    ----------
    path:
        The campaign's directory, as the cluster sees it.
    config:
        Its configuration.
    """

    def __init__(
        self, actor: NamedActor, path: str, campaign_id: str, config: CampaignConfig, watcher: Watcher
    ) -> None:
        self._actor = actor
        self._campaign_id = campaign_id
        self._watcher = watcher
        self.path = path
        self.config = config

    def __repr__(self) -> str:
        return f"AttachedCampaign({self.path!r})"

    def _repr_html_(self) -> str:
        return asked_card(f"Campaign {self.config.name}, on a cluster", lambda: status_lines(self.status()))

    @property
    def has_ended(self) -> bool:
        """See `Campaign.has_ended`."""
        ended: bool = self._look("has_ended")
        return ended

    @property
    def was_restarted(self) -> bool:
        """Whether the coordinator's process had died: what was warm began anew, and nothing else."""
        restarted: bool = self._actor.ready()["was_restarted"]
        return restarted

    def stop_coordinator(self) -> None:
        """End the coordinator, its trainers and scorers; `attach` starts another one where this one stopped."""
        from isd_ray.actors import named

        named.stop(self.path, _STOP_TIMEOUT_S)

    def ask(self) -> Batch | None:
        """See `Campaign.ask`; the watcher hears of the steps while they are done there."""
        call, n_seen = self._call("ask"), 0

        def pass_on() -> None:
            nonlocal n_seen
            n_seen, steps = self._actor.glance("steps", call.key, n_seen) or (n_seen, [])
            for progress in steps:
                self._watcher.step(self.config.name, progress)

        batch: Batch | None = self._actor.call("change", call, meanwhile=pass_on)
        return batch

    def batch(self) -> Batch | None:
        """See `Campaign.batch`."""
        batch: Batch | None = self._look("batch")
        return batch

    def dispatch(self, folder: str | Path, *, raw: bool = False) -> list[Path]:
        """See `Campaign.dispatch`; the files are written here."""
        batch = self.batch()
        if batch is None:
            raise StoreError("no batch is out", self.path, "ask for one")
        files = batch.write(folder, raw=raw)
        self.note_dispatch(batch.round, [file.name for file in files])
        return files

    def note_dispatch(self, round_number: int, files: Sequence[str]) -> None:
        """See `Campaign.note_dispatch`."""
        self._change("note_dispatch", round_number, list(files))

    def is_dispatched(self, round_number: int) -> bool:
        """See `Campaign.is_dispatched`."""
        dispatched: bool = self._look("is_dispatched", round_number)
        return dispatched

    def run(self, measure: Callable[[Batch], Any]) -> Mapping[str, Any]:
        """See `Campaign.run`; the function is called here."""
        return measure_to_end(self, measure)

    def tell(
        self,
        readouts: Any,
        *,
        external: bool = False,
        plate: str | None = None,
        assay: str | None = None,
        value: str | None = None,
        well: str | None = None,
        shape: str | None = None,
        read: str | None = None,
    ) -> Told:
        """See `Campaign.tell`; a file that is not here is looked for on the cluster."""
        with naming(readouts):
            said = {"plate": plate, "assay": assay, "value": value, "well": well, "shape": shape, "read": read}
            told: Told = self._change("tell", self._sent(readouts), external=external, **said)
            return told

    def preview(
        self,
        readouts: Any,
        *,
        external: bool = False,
        plate: str | None = None,
        assay: str | None = None,
        value: str | None = None,
        well: str | None = None,
        shape: str | None = None,
        read: str | None = None,
    ) -> Told:
        """See `Campaign.preview`; a file that is not here is looked for on the cluster."""
        with naming(readouts):
            said = {"plate": plate, "assay": assay, "value": value, "well": well, "shape": shape, "read": read}
            told: Told = self._look("preview", self._sent(readouts), external=external, **said)
            return told

    def fail(
        self, ids: str | Sequence[str], reason: str, *, abandon: bool = False, assays: str | Sequence[str] = ()
    ) -> int:
        """See `Campaign.fail`."""
        return int(self._change("fail", listed(ids), reason, abandon=abandon, assays=listed(assays)))

    def exclude(self, ids: str | Sequence[str], reason: str) -> int:
        """See `Campaign.exclude`."""
        return int(self._change("exclude", listed(ids), reason))

    def include(self, ids: str | Sequence[str], reason: str) -> int:
        """See `Campaign.include`."""
        return int(self._change("include", listed(ids), reason))

    def close(self, reason: str) -> int:
        """See `Campaign.close`."""
        return int(self._change("close", reason))

    def stop(self, reason: str, *, last_look: bool = False) -> int:
        """See `Campaign.stop`; the coordinator stays, and `ask` delivers the screen."""
        return int(self._change("stop", reason, last_look=last_look))

    def amend(self, file: str | Path, reason: str) -> int:
        """See `Campaign.amend`; a file that is not here is looked for on the cluster."""
        return int(self._change("amend", _to_send(Path(file)), reason))

    def status(self) -> Status:
        """See `Campaign.status`."""
        status: Status = self._look("status")
        return status

    def certificate(self) -> Certificate | None:
        """See `Campaign.certificate`."""
        certificate: Certificate | None = self._look("certificate")
        return certificate

    def history(self, compound: str) -> list[dict[str, Any]]:
        """See `Campaign.history`."""
        events: list[dict[str, Any]] = self._look("history", compound)
        return events

    def told_files(self) -> set[str]:
        """See `Campaign.told_files`."""
        files: set[str] = self._look("told_files")
        return files

    def summary(self) -> dict[str, Any]:
        """See `Campaign.summary`."""
        summary: dict[str, Any] = self._change("summary")
        return summary

    def export(self, file: str | Path, *, long: bool = False, raw: bool = False) -> Exported:
        """See `Campaign.export`; the file is written here."""
        exported: Exported = self._fetch(Path(file), "export", long=long, raw=raw)
        return exported

    def export_interim(self, file: str | Path, *, hits: bool = False, long: bool = False, raw: bool = False) -> Interim:
        """See `Campaign.export_interim`; file and notice are written here."""
        from isd_ray.ops.interim import write_notice

        found: Interim = self._fetch(Path(file), "export_interim", hits=hits, long=long, raw=raw)
        return replace(found, notice=write_notice(Path(file), found.words))

    def report(self, file: str | Path) -> None:
        """See `Campaign.report`; the file is written here."""
        self._fetch(Path(file), "report")

    def _change(self, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return self._actor.call("change", self._call(verb, *arguments, **keywords))

    def _look(self, verb: str, *arguments: Any, **keywords: Any) -> Any:
        from isd_ray.actors.named import LOOKS

        return self._actor.call("look", self._call(verb, *arguments, **keywords), group=LOOKS)

    def _sent(self, readouts: Any) -> SentFile | str:
        with tempfile.TemporaryDirectory() as folder:
            return _to_send(as_file(readouts, Path(folder), self.config))

    def _fetch(self, file: Path, verb: str, **keywords: Any) -> Any:
        """Have a verb write a file there, and bring it here, whole or not at all; returns what the verb returns."""
        with replacing(file) as partial:

            def save(pieces: Iterator[Any]) -> Any:
                returned = next(pieces)
                with partial.open("wb") as stream:
                    stream.writelines(pieces)
                return returned

            return self._actor.stream("write", self._call(verb, **keywords), file.name, take=save)

    def _call(self, verb: str, *arguments: Any, **keywords: Any) -> VerbCall:
        return VerbCall(self._campaign_id, user(), verb, arguments, keywords)


def _to_send(file: Path) -> SentFile | str:
    """The content of a file that is here; else its path, for the cluster to find."""
    return SentFile.read(file) if file.is_file() else str(file)
