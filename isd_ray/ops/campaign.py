"""A campaign in a laboratory: ask for a batch, tell its readouts, days and machines apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isd_ray.campaign.compound import history_of
from isd_ray.campaign.intake import ReadAs
from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import Status, is_dispatched, status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.card import asked_card
from isd_ray.config import CampaignConfig
from isd_ray.config_file import as_config
from isd_ray.data.export import Exported
from isd_ray.data.library import Library
from isd_ray.errors import StoreError
from isd_ray.ops.amend import amend_from_file
from isd_ray.ops.asking import Asking
from isd_ray.ops.exporting import export_screen
from isd_ray.ops.extending import Extending
from isd_ray.ops.opened import Opened, listed
from isd_ray.ops.reconfiguring import reconfigure
from isd_ray.ops.saying import Saying
from isd_ray.ops.telling import Telling, Told
from isd_ray.ops.undo import Undoable, Undoing
from isd_ray.report.certificate import Certificate
from isd_ray.report.notebook import default_watcher
from isd_ray.report.words import status_lines
from isd_ray.storage.files import replace_text

if TYPE_CHECKING:
    from isd_ray.ops.interim import Interim
    from isd_ray.ops.run import Run

# What asks imports torch and Ray, which takes longer than to tell; so the methods that need them import it.


class Campaign:
    """A campaign whose readouts come from a laboratory. Its directory, a folder or a URI, is its only state.

    Every method may be called from another process and another machine than the one before; none needs Ray but `ask`.

    Parameters
    ----------
    store:
        Of the directory; see `create` and `open`.
    watcher:
        Told about progress; default: in a notebook it is shown below the cell, elsewhere nowhere.
    run:
        How `ask` computes (`isd_ray.ops.run`); default: from nothing, leaving nothing behind.
    """

    def __init__(self, store: CampaignStore, watcher: Watcher | None = None, run: Run | None = None) -> None:
        self.store = store
        self._opened = Opened(store)
        self._asking = Asking(self._opened, watcher or default_watcher(self.config.stopping, self.config.task), run)
        self._telling = Telling(self._opened)
        self._saying = Saying(self._opened, self._telling)

    def __repr__(self) -> str:
        return f"Campaign({self.store.address!r})"

    def _repr_html_(self) -> str:
        return asked_card(f"Campaign {self.config.name}", lambda: status_lines(self.status()))

    @classmethod
    def create(cls, path: str | Path, config: CampaignConfig | str | Path, watcher: Watcher | None = None) -> Campaign:
        """Begin a campaign in a new folder; its library is built if it is not there. Nothing is chosen yet.

        Repeated with the same configuration it opens the campaign. The configuration may be the path of its file.

        Raises
        ------
        IsdError
            If the configuration, the library or the machine do not allow it.
        """
        from isd_ray.ops.create import begun

        config = as_config(config)
        watcher = watcher or default_watcher(config.stopping, config.task)
        return cls(begun(path, config, watcher), watcher)

    @classmethod
    def open(cls, path: str | Path, watcher: Watcher | None = None) -> Campaign:
        """Open the campaign in a folder.

        Raises
        ------
        StoreError
            If there is none.
        """
        return cls(CampaignStore.open(path), watcher)

    @property
    def path(self) -> Path:
        """Its directory on this machine: of one on an object store, the copy."""
        return self.store.path

    @property
    def config(self) -> CampaignConfig:
        """Its configuration."""
        return self._opened.config

    @property
    def library(self) -> Library:
        """Its target library."""
        return self._opened.library

    @property
    def has_ended(self) -> bool:
        """Whether the hybrid screen is delivered."""
        return self._opened.has_ended

    def ask(self) -> Batch | None:
        """The batch to be measured now; None when the screen has ended.

        While readouts of a batch are missing this is that batch. Otherwise the models are fitted, the next batch is
        chosen and frozen, or the screen stops and its results are written.

        Raises
        ------
        IsdError
            If the library or the machine has changed so that the campaign cannot go on.
        """
        self._opened.refuse_simulation()
        return self._asking.ask()

    def batch(self) -> Batch | None:
        """The batch that is out; None between batches."""
        return self._asking.batch()

    def dispatch(self, folder: str | Path, *, raw: bool = False) -> list[Path]:
        """Write the files of the batch that is out (`Batch.write`), and note that it is under way.

        Raises
        ------
        StoreError
            If no batch is out.
        """
        self._opened.refuse_simulation()
        batch = self.batch()
        if batch is None:
            raise StoreError("no batch is out", self.store.address, "ask for one")
        files = batch.write(folder, raw=raw)
        self.note_dispatch(batch.round, [file.name for file in files])
        return files

    def note_dispatch(self, round_number: int, files: Sequence[str]) -> None:
        """Note that the batch of a round is under way: files of these names were written (`dispatch` does both)."""
        self._opened.refuse_simulation()
        self.store.append_event("dispatch", {"round": round_number, "files": list(files)})

    def is_dispatched(self, round_number: int) -> bool:
        """Whether the files of a round's batch were written (`dispatch`)."""
        return is_dispatched(self.store, round_number)

    def run(self, measure: Callable[[Batch], Any]) -> Mapping[str, Any]:
        """Run to the end with a function that measures: from a batch to readouts as `tell` takes them.

        What it raises ends the run; the next one goes on with the same batch.
        """
        from isd_ray.ops.measuring import measure_to_end

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
        """Take in readouts: all of a batch or some, in any order, by id or by plate and well; twice changes nothing.

        Good lines count whatever the others are. Where compounds are in several wells, each counts once all of them
        were read, be it in several files, by the median of the good ones; a reading by id needs no others. Compounds
        whose wells the reader flagged, or whose plates failed their quality, count as failed.

        Parameters
        ----------
        readouts:
            A file (`isd_ray.plates.readers.read_readouts`), an Arrow table, a pandas frame, or a mapping from id to
            readout; of a panel to a mapping from output to readout, of those that there are.
        external:
            Also take compounds that were never asked for: they train the models from the next round on, and are
            evidence of nothing.
        plate:
            Barcode of the plate that the file is of, if it does not say it; titles do not matter.
        assay:
            Of a panel: the output that a file speaks of which names none.
        value, well, shape:
            In the place of `readouts.value`, `readouts.well` and `readouts.shape` of the configuration.
        read:
            Which of several reads of a plate reader's export counts.

        Raises
        ------
        IsdError
            If nothing in it can be used, or the screen has ended.
        """
        return self._telling.tell(readouts, external=external, said=ReadAs(plate, assay, value, well, shape, read))

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
        """What `tell` would answer, or raise, to the same arguments now; nothing is written."""
        return self._telling.preview(readouts, external=external, said=ReadAs(plate, assay, value, well, shape, read))

    def fail(
        self, ids: str | Sequence[str], reason: str, *, abandon: bool = False, assays: str | Sequence[str] = ()
    ) -> int:
        """Note that compounds of the batch that is out gave no readout; returns how many are new.

        A compound in several wells counts by those that were read, and fails if there is none. What fails may be asked
        for again, unless it is abandoned. Wells of an audit are asked for once more; what is lost again, is abandoned,
        or is a single output, counts as an error.

        Parameters
        ----------
        ids:
            As in the library; one may stand alone, here and below.
        assays:
            Of a panel: only these outputs failed; entries are counted. What is measured of the compound stays.

        Raises
        ------
        LabelError
            If an id is unknown or not in the batch, or no reason is given.
        """
        return self._saying.fail(listed(ids), reason, abandon=abandon, assays=listed(assays))

    def exclude(self, ids: str | Sequence[str], reason: str) -> int:
        """Take compounds that cannot be had out of the target set, from the next round on; returns how many are new.

        Those of the batch that is out fail with it. Measured ones stay measured.

        Raises
        ------
        StoreError, LabelError
            If the screen has ended, a reserve is drawn, which this would bias, an id is unknown, or there is no reason.
        """
        return self._saying.exclude(listed(ids), reason)

    def include(self, ids: str | Sequence[str], reason: str) -> int:
        """Have compounds measured with the next batches whatever the models say, excluded ones too; returns how many.

        Raises
        ------
        StoreError, LabelError
            As `exclude`.
        """
        return self._saying.include(listed(ids), reason)

    def extend(self, reason: str) -> int:
        """Take compounds that were added to the library into the target set; returns how many. Cannot be undone.

        They join with the next batch, and the claim is from then on about the library with them.

        Raises
        ------
        IsdError
            If the screen has ended or is stopped, a look is out, a reserve is drawn, another library lies there, a
            compound has no price, or no reason is given.
        """
        return Extending(self._opened).extend(reason)

    def reconfigure(self, settings: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Have files of readouts read otherwise from now on, on record; returns what changed.

        Settings are by key: ``{"readouts.bad_flags": ["smudge"]}``; a list takes the place of the former one. Raises
        ConfigError or LabelError if a key is not one of how files are read, a value is wrong, or no reason is given.
        """
        return reconfigure(self._opened, settings, reason)

    def close(self, reason: str) -> int:
        """End the round that is out without the readouts that are missing; returns how many those are.

        A compound in several wells counts by those that were read. Wells of an audit are asked for once more; what is
        lost again counts as an error.

        Raises
        ------
        StoreError
            If no round is out.
        LabelError
            If no reason is given.
        """
        return self._saying.close(reason)

    def stop(self, reason: str, *, last_look: bool = False) -> int:
        """Stop the screen by hand, on record: no batch is asked for any more. Cannot be undone.

        A batch that is out is closed without the readouts that are missing; returns how many those are. Then `ask` (of
        a simulation `isd resume`) delivers the screen, NOT CERTIFIED, or asks for a last look and judges it. A look
        that is out is judged by what is measured of it, and certifies if it passes without further compounds; before a
        last look it goes on to its end, with all its portions, lost wells and finish.

        Parameters
        ----------
        last_look:
            Take one last look before, at all the risk that is left, as `stopping.reserve_audit` does at the end of a
            budget: for the rule `certify` and accuracy. If it passes, the screen is certified.

        Raises
        ------
        StoreError
            If the screen has ended or is stopped, nothing is measured, or a last look is not to be had.
        LabelError
            If no reason is given.
        """
        return self._saying.stop(reason, last_look=last_look)

    def undoable(self) -> tuple[Undoable, ...]:
        """What `undo` may take back now, newest first."""
        return Undoing(self._opened).undoable()

    def undo(self, number: int, reason: str) -> int:
        """Take back readouts, failures, exclusions or wishes that no decision has used; returns how many.

        `number` is that of an entry of the log (`undoable`), which stays; all that its file brought goes with it. A
        second time changes nothing.

        Raises
        ------
        StoreError
            If a decision has used it, later readouts rest on it, or it is nothing that a person said.
        LabelError
            If no reason is given.
        """
        return Undoing(self._opened).undo(number, reason)

    def amend(self, file: str | Path, reason: str) -> int:
        """Correct readouts by a file with ids and labels; returns how many changed (`isd_ray.ops.amend`)."""
        return amend_from_file(self.store.address, Path(file), reason).n_changed

    def status(self) -> Status:
        """Where the campaign stands, and what to do now."""
        return status_of(self.store)

    def certificate(self) -> Certificate | None:
        """What is guaranteed of the hybrid screen, in words; None without a certificate."""
        return Certificate.of(self.store)

    def history(self, compound: str) -> list[dict[str, Any]]:
        """All that happened to a compound, oldest first."""
        return history_of(self.store, self.library, compound)

    def export(self, file: str | Path, *, hits: bool = False, long: bool = False, raw: bool = False) -> Exported:
        """Write the hybrid screen to a Parquet, CSV or SDF file (`isd_ray.ops.exporting.export_screen`)."""
        return export_screen(self.store, self.config, Path(file), hits=hits, long=long, raw=raw)

    def export_interim(self, file: str | Path, *, hits: bool = False, long: bool = False, raw: bool = False) -> Interim:
        """Write what is measured and predicted as of now, NOT CERTIFIED (`isd_ray.ops.interim.export_interim`)."""
        from isd_ray.ops.interim import export_interim

        return export_interim(self.store, Path(file), hits=hits, long=long, raw=raw)

    def report(self, file: str | Path) -> None:
        """Write the report of the screen as it stands to an HTML file; of one that goes on, the page says so."""
        from isd_ray.ops.results import page_file, report_of

        replace_text(page_file(file), report_of(self.store))

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json`` of a screen that has ended.

        Raises
        ------
        StoreError
            If it has not ended.
        """
        from isd_ray.ops.results import conclude, stored_summary

        conclude(self.store)
        return stored_summary(self.store) or {}

    def told_files(self) -> set[str]:
        """SHA-256 of every file of readouts that something was taken from."""
        tells = (event for event in self.store.events() if event["kind"] == "tell")
        return {event["file_sha256"] for event in tells if "file_sha256" in event}
