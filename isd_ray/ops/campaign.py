"""A campaign in a laboratory: ask for a batch, tell its readouts, days and machines apart."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.campaign.entries import lost_entries, masks_table, n_entries, place_entries
from isd_ray.campaign.files import replace_text
from isd_ray.campaign.intake import Intake, recorded_rule
from isd_ray.campaign.laboratory import Laboratory, Ledger
from isd_ray.campaign.released import Batch
from isd_ray.campaign.status import Status, history_of, is_dispatched, status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.telling import Place, Refusal, place_readouts
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import to_toml
from isd_ray.data.export import export_hybrid
from isd_ray.data.labels import LabelRule
from isd_ray.data.layout import sha256_file
from isd_ray.data.library import Library
from isd_ray.errors import LabelError, StoreError
from isd_ray.messages import Rows, WorkerSpec
from isd_ray.ops.amend import amend_from_file
from isd_ray.report.certificate import Certificate
from isd_ray.report.looks import asked_card
from isd_ray.report.notebook import default_watcher
from isd_ray.report.words import status_lines

if TYPE_CHECKING:
    from isd_ray.campaign.setup import CampaignSetup
    from isd_ray.ops.run import Run

# What asks imports torch and Ray, which takes longer than to tell; so the methods that need them import it.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a file of readouts.

    Attributes
    ----------
    n_new, n_unchanged:
        Readouts that were taken in, and those on record already; of a panel entries are counted, here and below.
    n_lost:
        Compounds whose wells were read but gave no readout: they count as failed.
    refused:
        Lines that were not used, and why.
    n_missing:
        Readouts that the open round still waits for.
    n_waiting:
        Compounds of the file whose other wells were not read yet: they count once these are.
    """

    n_new: int
    n_unchanged: int
    n_lost: int
    refused: tuple[Refusal, ...]
    n_missing: int
    n_waiting: int = 0


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
        self._run = run
        self._watcher = watcher or default_watcher(self.config)
        self._laboratory = Laboratory(store)

    def __repr__(self) -> str:
        return f"Campaign({self.store.address!r})"

    def _repr_html_(self) -> str:
        return asked_card(f"Campaign {self.config.name}", lambda: status_lines(self.status()))

    @classmethod
    def create(cls, path: str | Path, config: CampaignConfig, watcher: Watcher | None = None) -> Campaign:
        """Begin a campaign in a new folder; its library is built if it is not there. Nothing is chosen yet.

        Repeated with the same configuration it opens the campaign.

        Raises
        ------
        IsdError
            If the configuration, the library or the machine do not allow it.
        """
        from isd_ray.campaign.setup import begin_or_resume, check
        from isd_ray.ops.prepare import prepare

        watcher = watcher or default_watcher(config)
        setup = prepare(config, path, watcher, in_laboratory=True)
        for warning in check(config, Library.open(setup.spec.libraries["target"])):
            watcher.message(f"warning: {warning}")
        store = begin_or_resume(setup)
        store.write_text("config.toml", to_toml(config))
        return cls(store, watcher)

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

    @cached_property
    def config(self) -> CampaignConfig:
        """Its configuration."""
        return CampaignConfig.model_validate(self.store.manifest["config"])

    @cached_property
    def library(self) -> Library:
        """Its target library."""
        return Library.open(self.store.manifest["library"])

    @property
    def has_ended(self) -> bool:
        """Whether the hybrid screen is delivered."""
        return self.store.is_delivered()

    @cached_property
    def _rule(self) -> LabelRule:
        return recorded_rule(self.store)

    # --- asking -----------------------------------------------------------------------------------------------------

    def ask(self) -> Batch | None:
        """The batch to be measured now; None when the screen has ended.

        While readouts of a batch are missing this is that batch. Otherwise the models are fitted, the next batch is
        chosen and frozen, or the screen stops and its results are written.

        Raises
        ------
        IsdError
            If the library or the machine has changed so that the campaign cannot go on.
        """
        from isd_ray.ops.run import run_cold

        if self.has_ended:
            self._conclude()
            return None
        if not self._n_missing():
            for progress in (self._run or run_cold)(self._setup()):
                self._watcher.step(self.config.name, progress)
            if self.has_ended:
                self._conclude()
                return None
        return self.batch()

    def batch(self) -> Batch | None:
        """The batch that is out; None between batches."""
        rounds = self.store.rounds()
        if not rounds or rounds[-1].committed is not None:
            return None
        table, plates = rounds[-1].read_batch(), rounds[-1].read_plates()
        # By place, or by id: the order of the batch tells why compounds were chosen.
        table = table.sort_by([("plate", "ascending"), ("well", "ascending"), ("id", "ascending")])
        shown = ["id", "smiles"] if plates is None else ["id", "smiles", "plate", "well"]
        return Batch(rounds[-1].round, table.select(shown), plates, self._sources(table), self.config.plates)

    def _sources(self, batch: pa.Table) -> pa.Table | None:
        plates = self.config.plates
        if plates is None or plates.source_plate_column is None or plates.source_well_column is None:
            return None
        rows = batch["row"].to_numpy()
        columns = (plates.source_plate_column, plates.source_well_column)
        plate, well = ([None if cell is None else str(cell) for cell in self.library.column(n, rows)] for n in columns)
        return pa.table({"id": batch["id"], "plate": pa.array(plate, pa.string()), "well": pa.array(well, pa.string())})

    def dispatch(self, folder: str | Path) -> list[Path]:
        """Write the files of the batch that is out, and note that it is under way.

        Raises
        ------
        StoreError
            If no batch is out.
        """
        batch = self.batch()
        if batch is None:
            raise StoreError("no batch is out", self.store.address, "ask for one")
        files = batch.write(folder)
        self.note_dispatch(batch.round, [file.name for file in files])
        return files

    def note_dispatch(self, round_number: int, files: Sequence[str]) -> None:
        """Note that the batch of a round is under way: files of these names were written (`dispatch` does both)."""
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

    # --- telling ----------------------------------------------------------------------------------------------------

    def tell(
        self, readouts: Any, *, external: bool = False, plate: str | None = None, assay: str | None = None
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
            Barcode for a plate matrix that does not say its own.
        assay:
            Of a panel: the output that a file speaks of which names none.

        Raises
        ------
        IsdError
            If nothing in it can be used, or the screen has ended.
        """
        self._refuse_after_end("readouts")
        if external:
            self._refuse_beside_reserve()
        intake = self._intake
        with tempfile.TemporaryDirectory() as folder:
            file = as_file(readouts, Path(folder), self.config)
            read = intake.read(file, plate, assay)
            source = {"file": file.name, "file_sha256": sha256_file(file)}
            source["readings_sha256"] = self.store.keep(read.readings)
        while True:
            ledger = self._laboratory.ledger()
            labelled, details = intake.label(read, ledger, file.name)
            place = Place.of(self.store.rounds())
            if self._rule.outputs:
                placed = place_entries(labelled, ledger, place, self._rule.outputs, external=external)
            else:
                line_of = (labelled.readouts, labelled.lines, labelled.ids)
                placed = place_readouts(*line_of, ledger, place, external=external)
            if placed.n_new or labelled.is_new:
                details |= {**source, "round": place.open_round, "n": placed.n_new, "external": external}
                details["readouts_sha256"] = self.store.keep(placed.told)
                if not self.store.append_event("tell", details, after=ledger.n_events):
                    continue  # somebody else was faster: decide again by what is on record now
            lost = self._lost(labelled.lost, self._laboratory.ledger(), place)
            self._fail_rows(lost, place.open_round)
            n_lost = len(lost) + self._fail_entries(labelled.lost_entries, place)
            break
        refused = sorted((*labelled.refused, *placed.refused), key=lambda refusal: refusal.line)
        is_used = placed.n_new or placed.n_unchanged or labelled.n_waiting
        if not is_used and not labelled.lost and not labelled.lost_entries:
            shown = "; ".join(f"line {refusal.line}: {refusal.reason}" for refusal in refused[:_SHOWN])
            raise LabelError(f"none of {len(refused)} lines can be used: {shown}", file.name, "correct the file")
        n_missing, n_waiting = self._n_missing(), labelled.n_waiting
        return Told(placed.n_new, placed.n_unchanged, n_lost, tuple(refused), n_missing, n_waiting)

    def _lost(self, lost: Mapping[int, str], ledger: Ledger, place: Place) -> dict[int, str]:
        """Compounds of the open round that newly have no readout."""
        failed = ledger.failed.get(-1 if place.open_round is None else place.open_round, {})
        is_open = set(place.open_rows.tolist())
        return {
            row: why for row, why in lost.items() if row in is_open and row not in failed and row not in ledger.told
        }

    @property
    def _intake(self) -> Intake:
        return Intake(self.store, self.library, self.config, self._rule)

    def _settle(self, rows: Sequence[int]) -> None:
        """Have compounds of the batch that is out counted by those of their wells that were read."""
        open_round = self.store.rounds()[-1:]
        while open_round and open_round[0].committed is None:
            ledger = self._laboratory.ledger()
            told, details = self._intake.settle(open_round[0], np.array(rows, np.int64), ledger)
            details |= {"round": open_round[0].round, "n": len(told), "external": False}
            if not len(told) or self.store.append_event(
                "tell", {**details, "readouts_sha256": self.store.keep(told)}, after=ledger.n_events
            ):
                break

    # --- what else people say ---------------------------------------------------------------------------------------

    def fail(self, ids: Sequence[str], reason: str, *, abandon: bool = False, assays: Sequence[str] = ()) -> int:
        """Note that compounds of the batch that is out gave no readout; returns how many are new.

        A compound in several wells counts by those that were read, and fails if there is none. What fails may be asked
        for again, unless it is abandoned. In an audit it counts as an error.

        Parameters
        ----------
        assays:
            Of a panel: only these outputs failed; entries are counted. What is measured of the compound stays.

        Raises
        ------
        LabelError
            If an id is unknown or not in the batch, or no reason is given.
        """
        if abandon:
            self._refuse_beside_reserve()
        rows = self._rows_of(ids, reason)
        place = Place.of(self.store.rounds())
        outside = [name for name, row in zip(ids, rows.tolist(), strict=True) if row not in place.open_rows]
        self._refuse(outside, "are not in the batch that is out")
        if assays:
            return self._fail_assays(rows, reason, assays, place, abandon=abandon)
        self._settle(rows.tolist())
        ledger = self._laboratory.ledger()
        known = ledger.failed.get(place.open_round or 0, {})
        is_out = ledger.missing(place.open_round or 0, rows)
        new = {row: reason for row in rows.tolist() if row in is_out and row not in known}
        self._fail_rows(new, place.open_round)
        if abandon:
            self.exclude(ids, reason)
        return len(new)

    def _fail_assays(self, rows: Rows, reason: str, assays: Sequence[str], place: Place, *, abandon: bool) -> int:
        outputs = self._rule.outputs
        if abandon or (unknown := [name for name in assays if name not in outputs]):
            what = "single assays cannot be abandoned" if abandon else f"there is no assay {unknown[0]!r}"
            raise LabelError(what, self.store.address, f"there are {', '.join(map(repr, outputs)) or 'none'}")
        lost = {(row, outputs.index(name)): reason for row in rows.tolist() for name in assays}
        return self._fail_entries(lost, place)

    def exclude(self, ids: Sequence[str], reason: str) -> int:
        """Take compounds that cannot be had out of the target set, from the next round on; returns how many are new.

        Those of the batch that is out fail with it. Measured ones stay measured.

        Raises
        ------
        StoreError
            If the screen has ended, or a reserve is drawn, which this would bias.
        LabelError
            If an id is unknown, or no reason is given.
        """
        self._refuse_beside_reserve()
        rows = self._rows_of(ids, reason)
        self._settle(rows.tolist())
        ledger, place = self._laboratory.ledger(), Place.of(self.store.rounds())
        new = [row for row in rows.tolist() if row not in ledger.excluded and row not in ledger.told]
        if new:
            self._note("exclude", new, reason)
        # Not of new ones only: a call that was cut off between the two is repeated.
        self._fail_rows(self._lost(dict.fromkeys(rows.tolist(), reason), ledger, place), place.open_round)
        return len(new)

    def include(self, ids: Sequence[str], reason: str) -> int:
        """Have compounds measured with the next batches whatever the models say, excluded ones too; returns how many.

        Raises
        ------
        StoreError
            As `exclude`.
        LabelError
            If an id is unknown, or no reason is given.
        """
        self._refuse_beside_reserve()
        rows, ledger = self._rows_of(ids, reason), self._laboratory.ledger()
        new = [row for row in rows.tolist() if row not in ledger.wanted and row not in ledger.told]
        if new:
            self._note("include", new, reason)
        return len(new)

    def close(self, reason: str) -> int:
        """End the round that is out without the readouts that are missing; returns how many those are.

        A compound in several wells counts by those that were read.

        Raises
        ------
        StoreError
            If no round is out.
        LabelError
            If no reason is given.
        """
        n_missing, place = self._n_missing(), Place.of(self.store.rounds())
        if place.open_round is None:
            raise StoreError("no batch is out", self.store.address, "there is nothing to close")
        _need(reason)
        if n_missing:
            self._settle(place.open_rows.tolist())
            n_missing = self._n_missing()
            self.store.append_event("close", {"round": place.open_round, "reason": reason, "n_missing": n_missing})
        return n_missing

    def amend(self, file: str | Path, reason: str) -> int:
        """Correct readouts by a file with ids and labels; returns how many changed (`isd_ray.ops.amend`)."""
        return amend_from_file(self.store.address, Path(file), reason).n_changed

    def _note(self, kind: str, rows: Sequence[int], reason: str, **details: Any) -> None:
        sha256 = self.store.keep(pa.table({"row": pa.array(sorted(rows), pa.int64())}))
        self.store.append_event(kind, {"readouts_sha256": sha256, "n": len(rows), "reason": reason, **details})

    def _fail_rows(self, lost: Mapping[int, str], open_round: int | None) -> None:
        for reason in sorted(set(lost.values())):
            self._note("fail", [row for row, why in lost.items() if why == reason], reason, round=open_round)

    def _fail_entries(self, lost: Mapping[tuple[int, int], str], place: Place) -> int:
        """Note entries of a panel that gave no readout; returns how many are new."""
        found = lost_entries(lost, self._laboratory.ledger(), place)
        for reason, masks in sorted(found.items()):
            sha256 = self.store.keep(masks_table(masks, len(self._rule.outputs)))
            details = {"readouts_sha256": sha256, "n": n_entries(masks.values()), "reason": reason}
            self.store.append_event("fail", {**details, "round": place.open_round})
        return sum(n_entries(masks.values()) for masks in found.values())

    def _rows_of(self, ids: Sequence[str], reason: str) -> Rows:
        self._refuse_after_end("this")
        _need(reason)
        rows = self.library.rows_of(list(ids))
        self._refuse([name for name, row in zip(ids, rows.tolist(), strict=True) if row < 0], "are not in the library")
        return rows

    def _refuse(self, ids: Sequence[str], what: str) -> None:
        if ids:
            shown = ", ".join(map(repr, ids[:_SHOWN]))
            raise LabelError(
                f"{len(ids)} compounds {what}: {shown}", self.store.address, "correct the ids; nothing was noted"
            )

    def _refuse_after_end(self, what: str) -> None:
        if self.has_ended:
            raise StoreError(
                f"the screen has ended; {what} cannot change it any more",
                self.store.address,
                "correct readouts by an amendment, or begin another campaign",
            )

    def _refuse_beside_reserve(self) -> None:
        """Refuse what takes compounds that people choose out of the inference set, but none of the reserve.

        The reserve is measured, so no choice of unmeasured compounds can contain it: what is left of it would hold too
        many of their kind, and be no uniform sample any more (`isd_ray.core.certify.LookRule.reserved`).
        """
        if self.config.stopping.rule == "reserved" and self.store.rounds():
            raise StoreError(
                "the reserve is drawn: compounds that people choose, exclude or measure outside the plan from now on "
                "would bias it",
                self.store.address,
                "do so before the first batch, or begin a campaign with stopping.rule = 'certify'; wells may fail",
            )

    # --- looking ----------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Where the campaign stands, and what to do now."""
        return status_of(self.store)

    def certificate(self) -> Certificate | None:
        """What is guaranteed of the hybrid screen, in words; None without a certificate."""
        return Certificate.of(self.store)

    def history(self, compound: str) -> list[dict[str, Any]]:
        """All that happened to a compound, oldest first."""
        return history_of(self.store, self.library, compound)

    def export(self, file: str | Path, *, long: bool = False) -> int:
        """Write the hybrid screen to a Parquet, CSV or SDF file; returns the number of lines (`export_hybrid`)."""
        self.store.bring_hybrid()
        return export_hybrid(self.store.hybrid_dir, Path(file), long=long)

    def report(self, file: str | Path) -> None:
        """Write the report of the screen as it stands to an HTML file; of one that goes on, the page says so."""
        from isd_ray.ops.results import report_of

        replace_text(Path(file), report_of(self.store))

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json`` of a screen that has ended.

        Raises
        ------
        StoreError
            If it has not ended.
        """
        self._conclude()
        summary: dict[str, Any] = json.loads(self.store.latest("summary.json").read_bytes())
        return summary

    def told_files(self) -> set[str]:
        """SHA-256 of every file of readouts that something was taken from."""
        return {
            event["file_sha256"] for event in self.store.events() if "file_sha256" in event and event["kind"] == "tell"
        }

    def _n_missing(self) -> int:
        """Readouts that the open round waits for; none in a closed round."""
        place, ledger = Place.of(self.store.rounds()), self._laboratory.ledger()
        if place.open_round is None or place.open_round in ledger.closed:
            return 0
        return sum(ledger.missing(place.open_round, place.open_rows).values())

    def _setup(self) -> CampaignSetup:
        from isd_ray.campaign.setup import CampaignSetup
        from isd_ray.ops.prepare import output_embeddings

        spec = WorkerSpec(
            self.config,
            {"target": self.store.manifest["library"]},
            self._rule.classes,
            self._rule.outputs,
            output_embeddings=output_embeddings(self.config, self._rule.outputs),
        )
        return CampaignSetup(self.config, self.store.address, spec, self._rule, None, None)

    def _conclude(self) -> None:
        from isd_ray.ops.results import summary_of, write_results

        if not self.has_ended:
            raise StoreError("the screen has not ended", self.store.address, "see `status`; ask until no batch is left")
        if not self.store.latest("summary.json").is_file():
            write_results(summary_of(self.store), self.store)


def _need(reason: str) -> None:
    if not reason.strip():
        raise LabelError("this needs a reason, which is kept on record", remedy="say why")


def as_file(readouts: Any, folder: Path, config: CampaignConfig) -> Path:
    """A file with the readouts: the given one, or one written from a table."""
    if isinstance(readouts, str | Path):
        return Path(readouts)
    if isinstance(readouts, Mapping):
        ids, values = list(readouts), list(readouts.values())
        columns = {config.readouts.value: values}
        if values and all(isinstance(entries, Mapping) for entries in values):
            outputs = dict.fromkeys(name for entries in values for name in entries)
            columns = {name: [entries.get(name) for entries in values] for name in outputs}
        readouts = pa.table({config.readouts.id: pa.array(ids, pa.string()), **columns})
    elif not isinstance(readouts, pa.Table):
        readouts = pa.Table.from_pandas(readouts, preserve_index=False)
    pq.write_table(readouts, folder / "readouts.parquet")
    return folder / "readouts.parquet"
