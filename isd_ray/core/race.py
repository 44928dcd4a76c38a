"""The race of the families: how much each counts, by what it had forecast of batches before their readouts came.

Every family's forecasts of a batch are frozen when the batch is released, so what the readouts then say of them is
honest without a validation set (prequential: Dawid 1984, doi:10.2307/2981683). Shares maximise the likelihood of the
mixture of the families over the random rows of the latest batches, the only ones that stand for those left (stacking:
Yao et al. 2018, doi:10.1214/17-BA1091), under a Dirichlet prior for the first family, so that little evidence moves
them little. The certificate holds for any shares: the audit judges what they give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import Task
from isd_ray.core.panels import unpack
from isd_ray.messages import LabelArray

WINDOW = 8
"""Latest batches that shares follow from."""
FADING = 0.8
"""Weight of a batch against that of the next."""
PRIOR_ROWS = 50.0
"""Rows of evidence that the prior is worth."""
FIRST_SHARE = 0.96
"""Of the first family in the prior: what measured best is believed in until readouts say otherwise."""
LEAST_SHARE = 0.05
"""A family that deserves less counts nothing, and costs nothing in scoring."""
BEYOND_CHANCE = 2.0
"""Standard errors by which a committee must lose against a rival for this to be said."""
_STEPS = 1000
_IN_CACHE = 1 << 13
"""Readouts whose likelihoods are weighed at a time: they stay in the processor's cache."""
_FLOOR = 1e-6
"""Smallest probability that a forecast is held to: one row must not decide a race."""


@dataclass(frozen=True, slots=True)
class RaceBatch:
    """What the families had forecast of the readouts of one batch.

    Attributes
    ----------
    likelihood:
        float64 (F, c): the probability that each family gave to what was read, of c readouts (of a panel: entries); of
        a regression the normal density of the error, with the standard deviation of the best family's errors.
    constant:
        float64 (c,): the same of the constant answer, the shares of the labels that were known before.
    weight:
        float64 (c,): of each readout; the entries of a panel's row together weigh 1.
    fair:
        bool (c,): of rows that were drawn by chance. The others were chosen because the committee was unsure of them,
        or hoped for them: they count against whoever was believed, and say little of the rows that are left.
    counted:
        float64 (F,): how much each family counted when it forecast the batch; None where this is not asked for.
    """

    likelihood: NDArray[np.float64]
    constant: NDArray[np.float64]
    weight: NDArray[np.float64]
    fair: NDArray[np.bool_]
    counted: NDArray[np.float64] | None = None

    def with_counted(self, lined_up: Sequence[Mapping[str, Any]]) -> RaceBatch:
        """The same with the shares that `line_up` noted."""
        return replace(self, counted=np.array([line["share"] for line in lined_up]))

    @property
    def losses(self) -> list[float]:
        """Mean loss of each family, in nats: minus the logarithm of its likelihood."""
        return [float(-(np.log(row) * self.weight).sum() / self.weight.sum()) for row in self.likelihood]

    @property
    def constant_loss(self) -> float:
        """Mean loss of the constant answer, in nats."""
        return float(-(np.log(self.constant) * self.weight).sum() / self.weight.sum())


def race_batch(
    forecasts: NDArray[np.float32],
    labels: LabelArray,
    is_random: NDArray[np.bool_],
    known: LabelArray,
    task: Task,
    n_outputs: int,
    numbers: Sequence[bool] = (),
) -> RaceBatch | None:
    """Judge the forecasts of a batch by its readouts; None if there is no readout.

    Parameters
    ----------
    forecasts:
        float32 (F, n, K) class probabilities, or of a panel that an output is 1; or values (F, n).
    labels:
        Readouts of the n rows: class indices or values with NaN where a well gave none, or packed bits of a panel.
    is_random:
        bool (n,): rows drawn by chance.
    known:
        Labels that were known before the batch, for the constant answer.
    numbers:
        Of a panel: which outputs are numbers; empty where none is.
    """
    if numbers:
        return _of_entries(forecasts, labels, is_random, known, numbers)
    if task == "panel":
        ones, measured = (unpack(np.asarray(labels, np.uint8)[:, part], n_outputs).astype(bool) for part in (0, 1))
        if not measured.any():
            return None
        probability = np.where(ones, forecasts, 1.0 - forecasts.astype(np.float64))[:, measured]
        seen_ones, seen = (unpack(np.asarray(known, np.uint8)[:, part], n_outputs).sum(axis=0) for part in (0, 1))
        share = (seen_ones + 1.0) / (seen + 2.0)
        constant = np.where(ones, share, 1.0 - share)[measured]
        weight = np.broadcast_to(1.0 / np.maximum(measured.sum(axis=1, keepdims=True), 1), measured.shape)[measured]
        fair = np.broadcast_to(is_random[:, None], measured.shape)[measured]
        return RaceBatch(_held(probability), _held(constant), weight, fair)
    present = np.isfinite(labels)
    if not present.any():
        return None
    weight = np.ones(int(present.sum()))
    if task == "regression":
        likelihood, constant = _of_values(forecasts[:, present], labels[present], float(np.mean(known)))
        return RaceBatch(_held(likelihood), _held(constant), weight, is_random[present])
    classes = labels[present].astype(np.int64)
    probability = forecasts[:, present][:, np.arange(len(classes)), classes]
    shares = (np.bincount(np.asarray(known, np.int64), minlength=n_outputs) + 1.0) / (len(known) + n_outputs)
    return RaceBatch(_held(probability), _held(shares[classes]), weight, is_random[present])


def _of_values(
    forecasts: NDArray[np.float32], values: NDArray[np.float64], guess: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal densities of the errors of forecasts (F, n), and of a guess, in those of the best family."""
    errors = forecasts.astype(np.float64) - values
    sd = max(float(np.sqrt((errors**2).mean(axis=1).min())), float(np.finfo(np.float32).tiny))
    return _normal(errors / sd), _normal((values - guess) / sd)


def _of_entries(
    forecasts: NDArray[np.float32],
    labels: NDArray[np.float64],
    is_random: NDArray[np.bool_],
    known: NDArray[np.float64],
    numbers: Sequence[bool],
) -> RaceBatch | None:
    """As `race_batch`, of a panel with numbers: output by output, entries of each weighing what they weigh there."""
    there = ~np.isnan(labels)
    if not there.any():
        return None
    of_row = 1.0 / np.maximum(there.sum(axis=1), 1)
    parts: list[tuple[NDArray[Any], ...]] = []
    for place, is_number in enumerate(numbers):
        rows = np.flatnonzero(there[:, place])
        if not len(rows):
            continue
        values, said, seen = labels[rows, place], forecasts[:, rows, place], known[~np.isnan(known[:, place]), place]
        if is_number:
            likelihood, constant = _of_values(said, values, float(seen.mean()) if len(seen) else 0.0)
        else:
            share = (float(seen.sum()) + 1.0) / (len(seen) + 2.0)
            likelihood = np.where(values == 1.0, said, 1.0 - said.astype(np.float64))
            constant = np.where(values == 1.0, share, 1.0 - share)
        parts.append((likelihood, constant, of_row[rows], rows))
    likelihood, constant, weight, rows = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return RaceBatch(_held(likelihood), _held(constant), weight, is_random[rows])


def shares(batches: Sequence[RaceBatch], n_families: int) -> NDArray[np.float64]:
    """How much each family counts, float64 (F,), summing to 1; before there is evidence only the first does.

    Expectation maximisation of the penalised likelihood of the mixture: deterministic, and no row is looked at twice.
    """
    if n_families == 1:
        return np.ones(1)
    prior = np.full(n_families, (1.0 - FIRST_SHARE) / (n_families - 1))
    prior[0] = FIRST_SHARE
    found, latest = prior, list(batches)[-WINDOW:]
    if latest:
        likelihood = np.concatenate([batch.likelihood[:, batch.fair] for batch in latest], axis=1)
        fading = FADING ** np.arange(len(latest) - 1, -1, -1.0)
        weight = np.concatenate([b.weight[b.fair] * factor for b, factor in zip(latest, fading, strict=True)])
        found = _most_likely(likelihood, weight, prior)
    found = np.where(found < LEAST_SHARE, 0.0, found)
    return found / found.sum()


def _most_likely(
    likelihood: NDArray[np.float64], weight: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`_STEPS` steps of expectation maximisation from the prior, float64 (F,), of likelihoods (F, c) and weights (c,).

    A step knows nothing but the shares before it. So once shares come back, as they do bit for bit where the last
    digits settle or go round, the rest of the course is known and not computed.
    """
    course, found = {prior.tobytes(): 0}, prior
    by_family, belongs = np.ascontiguousarray(likelihood), np.empty_like(likelihood)
    for step in range(1, _STEPS + 1):
        for start in range(0, likelihood.shape[1], _IN_CACHE):
            piece = slice(start, start + _IN_CACHE)
            joint = found[:, None] * by_family[:, piece]
            joint /= joint.sum(axis=0)
            belongs[:, piece] = joint
        # One product of all readouts, in the order of memory that they came in: any other is rounded otherwise.
        counts = belongs @ weight + PRIOR_ROWS * prior
        found = counts / counts.sum()
        first = course.setdefault(found.tobytes(), step)
        if first < step:
            ending = first + (_STEPS - first) % (step - first)
            return np.frombuffer(list(course)[ending])
    return found


@dataclass(frozen=True, slots=True)
class Rival:
    """What the committee lost against.

    Attributes
    ----------
    family:
        Its name, or `CONSTANT`.
    loss, committee_loss:
        Mean losses on the latest batches, in nats: of it, and of the families that counted together.
    n:
        Batches.
    """

    family: str
    loss: float
    committee_loss: float
    n: int


def lost_against(batches: Sequence[RaceBatch], families: Sequence[str], rivals: Sequence[str]) -> Rival | None:
    """The best of some rivals that beat the committee on the latest batches beyond chance; None if none did.

    Parameters
    ----------
    batches:
        Oldest first, each with what the families counted.
    rivals:
        Some of `families`, or `CONSTANT`; those that do not run are left out.
    """
    latest = [batch for batch in list(batches)[-WINDOW:] if batch.counted is not None]
    if not latest:
        return None
    weight = np.concatenate([batch.weight for batch in latest])
    mixed = [-np.log(batch.counted @ batch.likelihood) for batch in latest if batch.counted is not None]
    committee = np.concatenate(mixed)
    found: list[Rival] = []
    for name in rivals:
        if name != CONSTANT and name not in families:
            continue
        rows = [
            batch.constant if name == CONSTANT else batch.likelihood[list(families).index(name)] for batch in latest
        ]
        loss = -np.log(np.concatenate(rows))
        gain = committee - loss
        mean = float(np.average(gain, weights=weight))
        spread = float(np.average((gain - mean) ** 2, weights=weight))
        if mean > BEYOND_CHANCE * np.sqrt(spread / weight.sum()):
            its_own, joint = (float(np.average(losses, weights=weight)) for losses in (loss, committee))
            found.append(Rival(name, its_own, joint, len(latest)))
    return min(found, key=lambda rival: rival.loss, default=None)


def equal_shares(n_families: int) -> NDArray[np.float64]:
    """All families count the same, float64 (F,): without a race."""
    return np.full(n_families, 1.0 / n_families)


def line_up(counted: Mapping[str, float]) -> list[dict[str, Any]]:
    """The race of a round before its batch is measured, for the record: each family and its share."""
    return [{"family": name, "share": share, "loss": None} for name, share in counted.items()]


def race_record(lined_up: Sequence[Mapping[str, Any]], batch: RaceBatch) -> list[dict[str, Any]]:
    """The same with the loss of each family on the batch, and behind them the constant answer."""
    judged = [{**line, "loss": loss} for line, loss in zip(lined_up, batch.losses, strict=True)]
    return [*judged, {"family": CONSTANT, "share": 0.0, "loss": batch.constant_loss}]


def counting(rounds: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """How much each family counts in the last of some rounds, oldest first, that had several; `family` and `share`."""
    races = [record["race"] for record in rounds if record.get("race")]
    lines = races[-1] if races else ()
    return tuple({"family": line["family"], "share": line["share"]} for line in lines if line["family"] != CONSTANT)


CONSTANT = "constant"
"""The answer that every compound is what most are, in the record of a race."""


def _held(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.maximum(np.asarray(probability, np.float64), _FLOOR)


def _normal(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-0.5 * np.minimum(standardised**2, 60.0)) / np.sqrt(2.0 * np.pi)
