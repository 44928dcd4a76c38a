"""A campaign whose verbs a coordinator on a cluster does, with trainers and scorers kept warm between rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isd_ray.campaign.events import user
from isd_ray.campaign.intake import ReadAs
from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import Status
from isd_ray.campaign.watcher import Watcher
from isd_ray.card import asked_card
from isd_ray.config import CampaignConfig
from isd_ray.data.export import Exported
from isd_ray.errors import StoreError
from isd_ray.ops.calls import SentFile, VerbCall
from isd_ray.ops.measuring import measure_to_end
from isd_ray.ops.opened import listed
from isd_ray.ops.reconfiguring import reconfigured
from isd_ray.ops.results import page_file
from isd_ray.ops.tables import as_file, naming
from isd_ray.ops.telling import Told
from isd_ray.ops.undo import Undoable
from isd_ray.remote.transport import Transport
from isd_ray.report.certificate import Certificate
from isd_ray.report.words import status_lines
from isd_ray.storage.output_files import replacing

if TYPE_CHECKING:
    from isd_ray.ops.interim import Interim


class AttachedCampaign:
    """A `Campaign` whose verbs a coordinator does; `isd_ray.remote.attach.attach` makes it.

    Each verb is that of `Campaign`, one after the other whoever calls; those that only look are answered at any time,
    also while models are fitted. Files are the caller's: what is told is read here if it is here, what is exported is
    written here. A call that was lost is repeated. Should it have been done already, the coordinator answers as before;
    if it was lost itself, as a second call would be answered: readouts are known, nothing is new.

    Attributes
    ----------
    path:
        The campaign's directory, as the cluster sees it; through a service its name there.
    campaign_id:
        Its id.
    config:
        Its configuration.
    """

    def __init__(
        self, transport: Transport, path: str, campaign_id: str, config: CampaignConfig, watcher: Watcher
    ) -> None:
        self._transport = transport
        self.campaign_id = campaign_id
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
        restarted: bool = self._transport.ready()["was_restarted"]
        return restarted

    def stop_coordinator(self) -> None:
        """End the coordinator, its trainers and scorers; `attach` starts another one where this one stopped."""
        self._transport.stop()

    def ask(self) -> Batch | None:
        """See `Campaign.ask`; the watcher hears of the steps while they are done there."""
        batch: Batch | None = self._transport.change(
            self._call("ask"), lambda progress: self._watcher.step(self.config.name, progress)
        )
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
        said = ReadAs(plate, assay, value, well, shape, read)
        return self._read(self._change, "tell", readouts, external=external, said=said)

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
        said = ReadAs(plate, assay, value, well, shape, read)
        return self._read(self._look, "preview", readouts, external=external, said=said)

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

    def extend(self, reason: str) -> int:
        """See `Campaign.extend`; the library is the one that the coordinator sees."""
        return int(self._change("extend", reason))

    def reconfigure(self, settings: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """See `Campaign.reconfigure`."""
        changed: dict[str, Any] = self._change("reconfigure", dict(settings), reason)
        self.config = reconfigured(self.config, settings)
        return changed

    def close(self, reason: str) -> int:
        """See `Campaign.close`."""
        return int(self._change("close", reason))

    def stop(self, reason: str, *, last_look: bool = False) -> int:
        """See `Campaign.stop`; the coordinator stays, and `ask` delivers the screen."""
        return int(self._change("stop", reason, last_look=last_look))

    def undoable(self) -> tuple[Undoable, ...]:
        """See `Campaign.undoable`."""
        undoable: tuple[Undoable, ...] = self._look("undoable")
        return undoable

    def undo(self, number: int, reason: str) -> int:
        """See `Campaign.undo`."""
        return int(self._change("undo", number, reason))

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

    def export(self, file: str | Path, *, hits: bool = False, long: bool = False, raw: bool = False) -> Exported:
        """See `Campaign.export`; the file is written here."""
        exported: Exported = self._fetch(Path(file), "export", hits=hits, long=long, raw=raw)
        return exported

    def export_interim(self, file: str | Path, *, hits: bool = False, long: bool = False, raw: bool = False) -> Interim:
        """See `Campaign.export_interim`; file and notice are written here."""
        from isd_ray.ops.interim import write_notice

        found: Interim = self._fetch(Path(file), "export_interim", hits=hits, long=long, raw=raw)
        return replace(found, notice=write_notice(Path(file), found.words))

    def report(self, file: str | Path) -> None:
        """See `Campaign.report`; the file is written here."""
        self._fetch(page_file(file), "report")

    def _change(self, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return self._transport.change(self._call(verb, *arguments, **keywords))

    def _look(self, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return self._transport.look(self._call(verb, *arguments, **keywords))

    def _read(self, do: Callable[..., Any], verb: str, readouts: Any, *, external: bool, said: ReadAs) -> Told:
        """Have a verb that reads readouts done."""
        with naming(readouts), tempfile.TemporaryDirectory() as folder:
            if not isinstance(readouts, str | Path):  # columns are named as they are now, whoever renamed them
                self.config = CampaignConfig.from_stored(self._transport.ready()["config"])
            file = _to_send(as_file(readouts, Path(folder), self.config.readouts))
            told: Told = do(verb, file, external=external, **asdict(said))
            return told

    def _fetch(self, file: Path, verb: str, **keywords: Any) -> Any:
        """Have a verb write a file there, and bring it here, whole or not at all; returns what the verb returns."""
        with replacing(file) as partial:
            return self._transport.write(self._call(verb, **keywords), file.name, partial)

    def _call(self, verb: str, *arguments: Any, **keywords: Any) -> VerbCall:
        return VerbCall(self.campaign_id, user(), verb, arguments, keywords)


def _to_send(file: Path) -> SentFile | str:
    """The content of a file that is here; else its path, for the cluster to find."""
    return SentFile.read(file) if file.is_file() else str(file)
