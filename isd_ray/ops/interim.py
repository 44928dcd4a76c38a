"""A screen as of now, before its end: what is measured and predicted, every line and file marked NOT CERTIFIED."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.look_rounds import unjudged
from isd_ray.campaign.oracle import Readouts
from isd_ray.campaign.round_files import RoundRecord
from isd_ray.campaign.scoring import ShardScorer
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import open_library
from isd_ray.card import card, paragraphs
from isd_ray.core.goals import Goal, goal_for
from isd_ray.core.panels import n_bytes
from isd_ray.data.export import export_hybrid
from isd_ray.data.hybrid import write_hybrid_part
from isd_ray.data.library import Library
from isd_ray.data.predictions import part_name
from isd_ray.errors import StoreError
from isd_ray.messages import ROLES, HybridRequest, LabelArray, PredictRequest, Rows
from isd_ray.models.device import configure_threads, resolve_placement
from isd_ray.ops.exporting import hit_to_list, keep_hits
from isd_ray.report.numbers import counted
from isd_ray.storage.output_files import replacing

NOT_CERTIFIED = "NOT CERTIFIED"
MARKS = {"status": NOT_CERTIFIED}
"""What every line has beside the columns of a hybrid screen."""
NOTICE_ENDING = ".NOT-CERTIFIED.txt"
"""Of the file beside the export, behind its whole name."""
WAITING = "waiting"
"""Source of compounds of a batch that is out: what is predicted of them is shown to nobody who may measure them."""


@dataclass(frozen=True, slots=True)
class Interim:
    """What was written.

    Attributes
    ----------
    n_lines, n_empty:
        As of `isd_ray.data.export.Exported`.
    round:
        The round whose model predicted.
    words:
        What the lines are, and what could be said of the whole today, as in the notice.
    notice:
        The file beside them that says so.
    """

    n_lines: int
    n_empty: int
    round: int
    words: tuple[str, ...]
    notice: Path

    def _repr_html_(self) -> str:
        return card("Interim export", paragraphs([f"{counted(self.n_lines, 'line')}; see {self.notice}", *self.words]))


def export_interim(
    store: CampaignStore, out: Path, *, hits: bool = False, long: bool = False, raw: bool = False
) -> Interim:
    """Write a screen under way to one file, of a laboratory or a simulation; nothing in its folder changes.

    Predictions are those of the last decided round's model, which are computed anew here. Compounds of a batch that is
    out have none. Columns are those of a hybrid screen and `status`, which is NOT CERTIFIED in every line; beside the
    file lies a text that says what it is, and what could be claimed today.

    Parameters
    ----------
    out, long, raw:
        As of `isd_ray.data.export.export_hybrid`.
    hits:
        Only hits: measured ones, then predicted ones, the surest first. Of a panel compounds with any.

    Raises
    ------
    StoreError
        If the screen has ended, or no round has a model yet.
    ConfigError
        If hits are asked for and there are none by the configuration.
    IsdError
        As `export_hybrid`, or if the library is not there.
    """
    if store.is_delivered():
        raise StoreError("the screen has ended", store.address, "export its hybrid screen, without --interim")
    model, library = DeliveredModel.open(store), open_library(store)
    config = model.config
    goal = goal_for(
        config.stopping,
        config.task,
        model.classes,
        model.outputs,
        config.labels.numbers,
        in_laboratory=bool(store.manifest["in_laboratory"]),
    )
    hit = hit_to_list(config, model.classes) if hits else None
    rows, readouts = measured_readouts(store)
    n_here = int(np.searchsorted(rows, library.n_rows))  # the others join with the next round
    measured = rows[:n_here], readouts.take(np.arange(n_here))
    waiting, absent = _not_predicted(store, measured[0])
    with tempfile.TemporaryDirectory() as folder:
        hybrid = Path(folder) / "hybrid"
        _write_parts(model, library, goal, measured, absent, Path(folder))
        counts = {"measured": 0, "predicted": 0, WAITING: 0, "excluded": 0}
        for file in sorted(hybrid.glob("part-*.parquet")):
            table = _with_waiting(pq.read_table(file), waiting)
            for source in table["source"].to_pylist():
                counts[source] += 1
            pq.write_table(table, file)
        if hits:
            (alone := Path(folder) / "hits").mkdir()
            keep_hits(hybrid, alone, hit)
            hybrid = alone
        exported = export_hybrid(hybrid, out, long=long, raw=raw, marks=MARKS)
    words = tuple(_words(store, goal, model.files.round, counts))
    return Interim(exported.n_lines, exported.n_empty, model.files.round, words, write_notice(out, words))


def write_notice(out: Path, words: Sequence[str]) -> Path:
    """Write what the lines of an interim file are beside it; returns where."""
    notice = out.with_name(out.name + NOTICE_ENDING)
    with replacing(notice) as partial:
        partial.write_text("\n".join([*words, ""]), encoding="utf-8")
    return notice


def _not_predicted(store: CampaignStore, known: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of batches that are not judged yet, without a readout; and with them those that cannot be had, ascending."""
    rounds = store.rounds()
    secret = unjudged(rounds)
    out = [files.read_batch()["row"].to_numpy() for files in rounds if files.round in secret]
    waiting = np.setdiff1d(np.concatenate([np.empty(0, np.int64), *out]), known)
    excluded = Laboratory(store).ledger().excluded
    return waiting, np.setdiff1d(np.union1d(excluded, waiting), known)


def _write_parts(
    model: DeliveredModel,
    library: Library,
    goal: Goal,
    measured: tuple[Rows, Readouts],
    absent: NDArray[np.int64],
    folder: Path,
) -> None:
    """Predict what is left and write a hybrid screen to `folder`/hybrid."""
    rows, readouts = measured
    is_left = np.ones(library.n_rows, np.bool_)
    is_left[rows] = is_left[absent] = False
    compute = model.config.compute
    configure_threads(compute.threads)
    scorer = ShardScorer(model.spec, resolve_placement(compute.device, compute.precision, compute.threads))
    numbers = model.config.labels.numbers_among(model.outputs)
    nothing: LabelArray = np.zeros((1, n_bytes(len(model.outputs))), np.uint8) if model.outputs else np.zeros(1)
    if numbers:
        nothing = np.zeros((1, len(model.outputs)))
    inference = np.packbits(is_left)
    predict = PredictRequest(model.files.round, inference, str(folder / "predictions"), nothing)
    rounds, roles = _when_and_why(model.store, rows)
    request = HybridRequest(
        inference=inference,
        rows=rows,
        labels=readouts.labels,
        values=readouts.values,
        rounds=rounds,
        roles=roles,
        wells=readouts.wells,
        absent=absent,
        abandoned=np.zeros(len(absent), np.bool_),
        classes=model.classes,
        outputs=model.outputs,
        numbers=numbers,
        committee_hash=model.committee.hash,
        campaign_id=str(model.manifest["campaign_id"]),
        certificate_id="",
        predictions_dir=predict.directory,
        hybrid_dir=str(folder / "hybrid"),
    )
    for part in range(library.n_parts):
        scorer.freeze(predict, part, model.committee)
        frozen = Path(predict.directory) / part_name(part)
        write_hybrid_part(library, part, request, frozen, Path(request.hybrid_dir) / part_name(part))


def _when_and_why(store: CampaignStore, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Round and role of measured rows; those from outside the plan are of the last round."""
    rounds = store.rounds()
    last = rounds[-1].round if rounds else 0
    when, why = dict.fromkeys(rows.tolist(), last), dict.fromkeys(rows.tolist(), "external")
    for files in rounds:
        batch = files.read_batch()
        for row, role in zip(batch["row"].to_pylist(), batch["role"].to_pylist(), strict=True):
            when[row], why[row] = files.round, role
    names: list[str] = [*ROLES]
    of_rows = rows.tolist()
    return (
        np.array([when[row] for row in of_rows], np.int32),
        np.array([names.index(why[row]) for row in of_rows], np.int8),
    )


def _with_waiting(table: pa.Table, waiting: NDArray[np.int64]) -> pa.Table:
    is_waiting = pa.array(np.isin(table["row"].to_numpy(), waiting))
    sources = pc.if_else(is_waiting, pa.scalar(WAITING), table["source"])
    return table.set_column(table.column_names.index("source"), "source", sources)


def _words(store: CampaignStore, goal: Goal, model_round: int, counts: Mapping[str, int]) -> Iterator[str]:
    """What the lines are, and what could be said today."""
    yield (
        f"{NOT_CERTIFIED}: campaign {store.manifest['campaign_id']}, under way. {counts['measured']:,} compounds are "
        f"measured, {counts['predicted']:,} predicted by the model of round {model_round}, {counts[WAITING]:,} in the "
        f"batch that is out, {counts['excluded']:,} cannot be had. Nothing is guaranteed of any prediction."
    )
    yield f"the goal: {goal.words}"
    last = next((files.committed for files in reversed(store.rounds()) if files.committed), RoundRecord())
    low, high = last.get("interval_low"), last.get("interval_high")
    if low is None or high is None:
        yield "what could be claimed today: nothing, as no random rows of the last decided round speak of it"
    else:
        delta = float(store.config["stopping"]["delta"])
        yield (
            f"what could be said today: {goal.name} between {low:.4g} and {high:.4g}, by the random rows of round "
            f"{last['round']}, before whose batch it was so; at confidence {1 - delta:.0%} for that round on its own, "
            "which is no certificate, and no stop rests on it"
        )
    if last.get("constant"):
        yield f"for comparison: {last['constant']}"
    if last.get("outlook"):
        yield f"a look: {last['outlook']}"
