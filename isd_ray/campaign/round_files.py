"""What a round leaves behind: the one definition of ``batch.json``, ``round.json`` and ``rounds.parquet``.

A key that is not here fails the type check where it is written or read, and a stored file that has one is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar, cast, get_type_hints

import pyarrow as pa

from isd_ray.errors import CorruptFileError
from isd_ray.storage.files import canonical_json, read_checked, require_keys
from isd_ray.storage.folder import Folder

Int32 = Annotated[int, pa.int32()]
Int = Annotated[int, pa.int64()]
Number = Annotated[float, pa.float64()]
OptionalNumber = Annotated[float | None, pa.float64()]
Text = Annotated[str, pa.string()]
Flag = Annotated[bool, pa.bool_()]
Race = Annotated[
    list[dict[str, Any]],
    pa.list_(pa.struct([("family", pa.string()), ("share", pa.float64()), ("loss", pa.float64())])),
]


class RoundColumns(TypedDict, total=False):
    """The columns of ``rounds.parquet``, in their order.

    `n_observed`, `n_inference`, `fraction_acquired`, and all accuracies and errors but one, speak of the moment at
    which the model of the round was fitted: X_obs^t and X_inf^t of the paper's Eq. 1. Reserved compounds whose wells
    gave no readout are in neither, and counted by `n_abandoned`. The batch of the round comes on top: `n_acquired`
    counts it in, and so does `spent`, the money for all wells asked for (null without a limit on money); `alpha`,
    `system_bound` and `decision` are judged after it, and `delivered_accuracy` is the true accuracy of the hybrid
    screen that a stop at this round delivers (that model, that many measured). Columns that need known labels are null
    in a real screen; accuracies of a regression are null without a tolerance.

    `system_value` and `delivered_value` are the claimed quantity (accuracy, recall, …) at these two moments, `goal_met`
    whether the claim was true at the first. Errors of mae, mse and panels are sums of losses in [0, 1]; accuracies of a
    panel are means over the rows of their shares of right outputs.

    `calibration_pvalue` tests whether confident rows are wrong more often than unconfident ones; small is alarming.
    `system_bound` is the paper's bound under the rules `paper` and `none`; under the others it is the bound by the
    round's random rows alone, and `interval_low` and `interval_high` are its two-sided interval, of the claimed
    quantity before the batch. `forecast_errors` is the trigger's guess of the errors left, `n_finish` the cut of a
    finish, `n_lost` counts wells without a readout, `n_repeated` those of a round that were lost before, in a look or
    its finish: they are measured once more in a round of their own after one with the decision ``repeat``, and `n_lost`
    of them were lost again.

    The claimed quantity of the best single answer for every compound, without any model, lies between `constant_low`
    and `constant_high`; of a recall both are what random picking of as many compounds finds, with the batch.

    `race` holds, where several families of models run, how much each counted in the round, and its mean loss on the
    round's batch in nats, forecast before the readouts came; and the loss of the constant answer.
    """

    round: Int32
    n_observed: Int
    n_inference: Int
    n_abandoned: Int
    fraction_acquired: Number
    n_batch: Int
    n_random: Int
    n_random_errors: OptionalNumber
    n_audit: Int
    n_errors_audit: OptionalNumber
    n_finish: Int
    n_lost: Int
    n_repeated: Int
    n_acquired: Int
    spent: OptionalNumber
    batch_accuracy: OptionalNumber
    alpha: OptionalNumber
    system_bound: OptionalNumber
    interval_low: OptionalNumber
    interval_high: OptionalNumber
    constant_low: OptionalNumber
    constant_high: OptionalNumber
    decision: Text
    reason: Text
    forecast_errors: OptionalNumber
    calibration_pvalue: OptionalNumber
    calibration_alarm: Flag
    validation_loss: OptionalNumber
    epochs: OptionalNumber
    fit_seconds: Number
    score_seconds: Number
    round_seconds: Number
    inference_errors: Number
    inference_accuracy: Number
    system_accuracy: Number
    delivered_accuracy: Number
    system_value: Number
    delivered_value: Number
    goal_met: Flag
    test_accuracy: Number
    inference_mse: Number
    inference_mae: Number
    system_mse: Number
    test_mse: Number
    test_mae: Number
    race: Race


def n_target_of(row: Mapping[str, Any]) -> int:
    """Size of the target set at a round of ``rounds.parquet``; versions before count what is abandoned as left."""
    return int(row["n_observed"] + row["n_inference"] + (row.get("n_abandoned") or 0))


class Details(RoundColumns, total=False):
    """What else a release and the record of a round have in common.

    Attributes
    ----------
    look, frozen:
        The plans of the look (`isd_ray.core.looks.LookPlan`), and where its frozen predictions lie, seen from the
        campaign's address; None without one.
    predictions:
        Hashes of the files of frozen predictions, by name.
    group_sizes, group_losses, output_wrong, output_entries:
        Before the batch: rows of the inference set by group, and in a simulation their true losses; wrong entries and
        all entries by output of a panel.
    outlook, needed:
        Why there is no look, and what a certificate would still cost (`isd_ray.core.audit_size.Needed`).
    passed:
        Rows of a reserve that acquisition has passed over.
    leading:
        By family the block and the place of the column that it leans on most, and the share of that.
    repeats, continues:
        The round before, whose lost wells this one measures once more, or whose look goes on with another portion.
    audit_rest_sha256, rest_sizes:
        The later portions of the audit (`isd_ray.core.portions`), and how many rows each has.
    look_sizes, n_fitted:
        Of a further portion: groups that its rows were ranked among, and rows that the model was fitted on.
    """

    look: list[dict[str, Any]] | None
    frozen: str | None
    predictions: dict[str, str]
    n_amendments: int
    audit_seed: int
    reserve_seed: int
    group_sizes: list[int]
    group_losses: Sequence[float]
    output_wrong: Sequence[int]
    output_entries: Sequence[int]
    outlook: str
    passed: list[int]
    needed: dict[str, Any] | None
    n_events: int
    external_sha256: str
    forecasts_sha256: str
    leading: dict[str, Any]
    repeats: int
    continues: int
    audit_rest_sha256: str
    rest_sizes: list[int]
    look_sizes: list[int]
    n_fitted: int
    n_filling: int


class Release(Details, total=False):
    """``batch.json``: a batch that is frozen and may be measured."""

    attempt: str
    batch_sha256: str
    features_sha256: str
    plates_sha256: str
    n_plates: int
    committee_hash: str | None


class RoundRecord(Details, total=False):
    """``round.json``: what came back, and what was decided.

    Attributes
    ----------
    readouts_sha256, audits_sha256:
        Tables of the readouts, and of the evidence of a look that was judged.
    audits:
        Of a look: readouts and errors of each audit.
    judged:
        Hits and other rows measured outside the audit, by which a look was judged.
    once_more:
        Rows without a readout that the next round releases once more.
    bounds, output_ranges, output_accuracies, output_constants:
        Of a panel with a claim about each output: what is shown of each, what random rows say, the truth, and what one
        answer would reach.
    left_sizes, left_errors, left_losses, left_met, left_output_wrong, left_output_entries:
        As `group_sizes` and so on, after the batch.
    constant, constant_brief:
        What the claim is held against, in words, and in few.
    warnings:
        `isd_ray.campaign.honesty.Caution`.
    n_known:
        Readouts of before that started the screen, which no limit counts.
    n_heard:
        In a laboratory: how many events of the log the readouts were taken in by; none of them is undone any more.
    """

    readouts_sha256: str
    audits_sha256: str
    audits: list[dict[str, Any]]
    judged: dict[str, Any]
    once_more: list[int]
    bounds: Sequence[float] | None
    output_ranges: list[Any]
    output_constants: list[Any]
    output_accuracies: Sequence[float]
    left_sizes: list[int]
    left_errors: float
    left_losses: Sequence[float]
    left_met: bool
    left_output_wrong: Sequence[int]
    left_output_entries: Sequence[int]
    constant: str
    constant_brief: str
    warnings: list[dict[str, Any]]
    n_known: int
    n_heard: int


ROUND_SCHEMA = pa.schema(
    [(name, hint.__metadata__[0]) for name, hint in get_type_hints(RoundColumns, include_extras=True).items()]
)
"""Columns of ``rounds.parquet``."""
_OF_WORK = get_type_hints(Details).keys() - {"look", "frozen"}
_KEYS = {kind: frozenset(get_type_hints(kind)) for kind in (Release, RoundRecord)}
_NEEDED = {
    Release: ("round", "attempt", "batch_sha256", "features_sha256", "committee_hash", "frozen"),
    RoundRecord: ("round", "decision", "readouts_sha256", "n_batch", "look"),
}
"""Keys that every version has written."""
Stored = TypeVar("Stored", Release, RoundRecord)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a round: a folder that counts only once a ``batch.json`` names it."""

    round: int
    path: Path

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Write ``plan.json``: what is going to be asked for, and why."""
        (self.path / "plan.json").write_bytes(canonical_json(plan))

    @property
    def committee_dir(self) -> Path:
        """Where the members' weights lie."""
        return self.path / "committee"

    @property
    def features_file(self) -> Path:
        """The features of the batch, for the trainers."""
        return self.path / "features.arrow"

    @property
    def external_file(self) -> Path:
        """The features of what was measured outside the plan until this round."""
        return self.path / "external.arrow"

    @property
    def plates_file(self) -> Path:
        """The wells of the batch and its controls."""
        return self.path / "plates.parquet"

    @property
    def batch_file(self) -> Path:
        """The frozen batch."""
        return self.path / "batch.parquet"

    @property
    def forecasts_file(self) -> Path:
        """What each family of models forecast of the batch."""
        return self.path / "forecasts.parquet"

    @property
    def predictions_dir(self) -> Path:
        """Frozen predictions of the inference set."""
        return self.path / "predictions"


@dataclass(frozen=True, slots=True)
class RoundFiles:
    """What the store holds of one round."""

    round: int
    attempt: Attempt
    released: Release
    committed: RoundRecord | None
    folder: Folder

    @property
    def repeats(self) -> int | None:
        """The round whose lost wells this one measures once more, and nothing else; None of other rounds."""
        return self.released.get("repeats")

    @property
    def goes_on_from(self) -> int | None:
        """The round before, where this one goes on with its look or finish; None of other rounds."""
        return self.released.get("continues", self.repeats)

    def read_batch(self) -> pa.Table:
        """The frozen batch, its hash checked against the release."""
        self.folder.holds(self.attempt.batch_file)
        return read_checked(self.attempt.batch_file, self.released["batch_sha256"])

    def read_plates(self) -> pa.Table | None:
        """The plate map (`isd_ray.plates.assign.PLATE_MAP`), its hash checked; None without plates."""
        if "plates_sha256" not in self.released:
            return None
        self.folder.holds(self.attempt.plates_file)
        return read_checked(self.attempt.plates_file, self.released["plates_sha256"])


def some_of(record: Details, names: Collection[str]) -> RoundRecord:
    """Those of some entries that a record has."""
    return cast(RoundRecord, {name: value for name, value in record.items() if name in names})


def details_of(released: Release) -> RoundRecord:
    """What the record of a round repeats of its release; the look and its predictions it has from the work itself."""
    return some_of(released, _OF_WORK)


def released_of(details: RoundRecord) -> Release:
    """What a release says of a round that is on its way, of which nothing is measured yet."""
    return cast(Release, dict(details))


def look_of(record: Details) -> Sequence[dict[str, Any]]:
    """The plans of the look of a round; empty without one."""
    return record.get("look") or ()


def rounds_table(rounds: Sequence[RoundFiles]) -> pa.Table:
    """What ``rounds.parquet`` has to hold: the records of the decided rounds."""
    return pa.Table.from_pylist([dict(one.committed) for one in rounds if one.committed is not None], ROUND_SCHEMA)


def as_stored(kind: type[Stored], data: Mapping[str, Any], file: Path) -> Stored:
    """The content of a file as its kind.

    Raises
    ------
    CorruptFileError
        If it has a key that its kind has not, or lacks one that each has.
    """
    require_keys(data, _NEEDED[kind], file)
    if unknown := sorted(data.keys() - _KEYS[kind]):
        raise CorruptFileError(
            f"holds {', '.join(map(repr, unknown))}, which this isd_ray does not know",
            str(file),
            "open the campaign with the version of isd_ray that went on with it, or restore the file from a backup",
        )
    return cast(Stored, data)
