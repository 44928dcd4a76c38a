"""Classes, values or outputs: what was found by measuring, and what is predicted.

How large a share of a class was found the predictions do not tell; a random sample does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isd_ray.campaign.look_rounds import rounds_of_look
from isd_ray.campaign.round_files import look_of, n_target_of
from isd_ray.core.bounds import plausible_range
from isd_ray.core.goals import HITS
from isd_ray.data.hit_class import shown_hit
from isd_ray.report.blocks import ReportSection, Table, Text
from isd_ray.report.digest import Digest
from isd_ray.report.figures import Line, bars, lines
from isd_ray.report.numbers import counted
from isd_ray.report.record import Record
from isd_ray.report.sections.accuracy import MEASURED

N_OUTPUTS = 25
"""Outputs of a panel that the figure shows; the table has all."""
CONFIDENCE = 0.95


def hits(record: Record) -> ReportSection | None:
    """By the task: classes, outputs of a panel, or values."""
    if record.digest is None:
        return None
    if record.config.task == "panel":
        return _outputs(record, record.digest)
    return _values(record, record.digest) if record.config.task == "regression" else _classes(record, record.digest)


def _classes(record: Record, digest: Digest) -> ReportSection:
    classes = record.classes
    known = shown_hit(record.config.stopping, tuple(classes), by_plates=record.config.hits is not None)
    hit = known or classes[record.goal.positive]
    found, predicted = ([digest.labels[source, name] for name in classes] for source in ("measured", "predicted"))
    columns = {"class": classes, "found (measured)": found, "predicted": predicted}
    sample = sample_of(record)
    if sample is not None:
        shares = [sample.share_found(digest, name) for name in classes]
        columns[f"share found ({CONFIDENCE:.0%} interval)"] = [f"{low:.0%} to {high:.0%}" for low, high in shares]
    table = Table.of("Compounds by class", columns)
    n_found, n_predicted = digest.labels["measured", hit], digest.labels["predicted", hit]
    total = n_found + n_predicted
    x, y, so_far = [0.0], [0.0], 0
    for row in record.rounds:
        so_far += sum(n for (number, _, name), n in digest.found.items() if (number, name) == (row["round"], hit))
        x.append(100.0 * row["n_acquired"] / n_target_of(row))
        y.append(float(so_far))
    figure = lines(
        "hits-found",
        [
            Line("found by this screen", x, y),
            Line("expected by measuring at random", x, [total * share / 100 for share in x]),
        ],
        x=MEASURED,
        y=f"class {hit} found (compounds)",
        alt=f"Compounds of class {hit} found by measuring, against the share of compounds measured",
        caption=f"The second line takes found and predicted together, {total:,}, for the number of all of them.",
    )
    words = (
        f"Class {hit}: {counted(n_found, 'compound')} found by measuring, {n_predicted:,} more predicted. "
        "This screen measures what is uncertain; it is no search for hits, and may find them no faster than chance."
    )
    if sample is not None:
        words += (
            f" How large a share of a class was found is told by {sample.basis}, a random sample, not by predictions."
        )
    title = "Hits found and predicted" if known else "Classes found and predicted"
    return ReportSection(title, "hits", (Text(words), table, figure))


def _values(record: Record, digest: Digest) -> ReportSection:
    drawn = [Line(source, h.centres, h.counts.tolist()) for source, h in digest.values.items() if h.counts.any()]
    figure = lines(
        "values",
        drawn,
        x=f"{record.readout} (unit of the readout)",
        y="compounds (number)",
        alt=f"Numbers of measured and of predicted compounds by {record.readout}",
        caption="Each point counts a bin; all bins are equally wide.",
    )
    words = f"How {record.readout} is spread over the measured and over the predicted compounds."
    return ReportSection("Values found and predicted", "hits", (Text(words), figure))


def _outputs(record: Record, digest: Digest) -> ReportSection:
    n_predicted = digest.sources["predicted"]
    numbers = (_numbers(digest, n_predicted),) if digest.numbers else ()
    if len(digest.numbers) == len(digest.outputs):
        words = (
            f"For each of the {len(digest.outputs):,} outputs, the mean of its readouts and of its predictions, in its "
            "own unit. Measured compounds are the uncertain ones, so the two means need not agree."
        )
        return ReportSection("Values found and predicted", "hits", (Text(words), *numbers))
    outputs = [name for name in digest.outputs if name not in digest.numbers]
    counts = digest.output_counts[:, [name not in digest.numbers for name in digest.outputs]]
    readouts, ones, said = counts.astype(np.int64).tolist()
    positive = record.classes[-1]
    rates = {
        "measured": [100 * one / max(1, n) for one, n in zip(ones, readouts, strict=True)],
        "predicted": [100 * one / max(1, n_predicted) for one in said],
    }
    shown = slice(N_OUTPUTS)
    figure = bars(
        "outputs",
        outputs[shown],
        {source: values[shown] for source, values in rates.items()},
        x="output of the panel",
        y=f"entries of class {positive} (%)",
        mode="group",
        alt=f"Share of entries of class {positive} among readouts and among predictions, by output",
        caption="All outputs." if len(outputs) <= N_OUTPUTS else f"The first {N_OUTPUTS} outputs; the table has all.",
    )
    table = Table.of(
        "Entries by output",
        {
            "output": outputs,
            "readouts": readouts,
            f"of class {positive}": ones,
            "compounds predicted": [n_predicted] * len(said),
            f"predicted {positive}": said,
        },
    )
    which = f"{len(outputs):,} outputs{' of classes' if numbers else ''}"
    words = (
        f"For each of the {which}, the readouts and the predictions of class {positive}. "
        "Measured compounds are the uncertain ones, so the two shares need not agree."
    )
    return ReportSection("Hits found and predicted", "hits", (Text(words), figure, table, *numbers))


@dataclass(frozen=True, slots=True)
class Sample:
    """Compounds that were drawn at random, and measured, from those left at some time.

    Attributes
    ----------
    basis:
        What they are, in words.
    population, drawn:
        How many they were drawn from, and how many were drawn.
    rounds, role:
        Of the drawn ones, in the record.
    before, beside:
        Compounds measured outside the population: those of earlier rounds than this, and others of `rounds` that have
        this role.
    """

    basis: str
    population: int
    drawn: int
    rounds: tuple[int, ...]
    role: str
    before: int
    beside: str | None = None

    def share_found(self, digest: Digest, name: str) -> tuple[float, float]:
        """Interval of the share of a class that is measured, exact for this sample; 1 to 1 where there is none of it.

        A compound of the sample without a readout may be of the class, or not. For reading: which audit was the last
        one, and how much of it was measured, follows from what audits show.
        """
        of_class = {key: n for key, n in digest.found.items() if key[2] == name}
        measured = sum(
            n for (number, role, _), n in digest.found.items() if number in self.rounds and role == self.role
        )
        seen = sum(n for (number, role, _), n in of_class.items() if number in self.rounds and role == self.role)
        outside = sum(
            n
            for (number, role, _), n in of_class.items()
            if number is not None and (number < self.before or (number in self.rounds and role == self.beside))
        )
        delta, lost = 1.0 - CONFIDENCE, self.drawn - measured
        least, _ = plausible_range(seen, self.population, self.drawn, delta)
        _, most = plausible_range(seen + lost, self.population, self.drawn, delta)
        n_found = digest.labels["measured", name]
        low, high = max(n_found, outside + least), max(n_found, outside + most)
        return (n_found / high if high else 1.0), (n_found / low if low else 1.0)


def sample_of(record: Record) -> Sample | None:
    """The last audit of all that was left, or the first batch; None where neither tells of the whole."""
    if any(files.released.get("external_sha256") for files in record.files):
        return None  # told from outside the plan, at no time that the hybrid screen tells
    for files in reversed(record.files):
        if files.committed is None or not (look := look_of(files.committed)):
            continue
        is_whole = not record.goal.knows_hits or (record.goal.takes_hits and look[0]["group"] != HITS)
        if len(look) == 1 and is_whole and not record.config.stopping.in_force.is_reserved:
            of_look = rounds_of_look(record.files, files.round)
            rounds = tuple(part.round for part in of_look)
            beside = "hit" if record.goal.takes_hits else None
            basis = f"the audit of round {rounds[0]}"
            return Sample(basis, look[0]["n_inference"], look[0]["size"], rounds, "audit", rounds[0], beside)
        break
    first = record.files[0] if record.files else None
    if first is None or first.committed is None or record.config.stopping.in_force.is_reserved:
        return None
    n_before = first.committed["n_observed"]
    if n_before:
        return None
    return Sample("the first batch", record.n_target, first.released["n_batch"], (0,), "initial", 0)


def _numbers(digest: Digest, n_predicted: int) -> Table:
    """Means of the outputs that are numbers."""
    places = [place for place, name in enumerate(digest.outputs) if name in digest.numbers]
    readouts, measured, said = digest.output_counts[:, places].tolist()
    return Table.of(
        "Numbers by output",
        {
            "output": [digest.outputs[place] for place in places],
            "readouts": [int(n) for n in readouts],
            "mean measured": [total / n if n else None for total, n in zip(measured, readouts, strict=True)],
            "compounds predicted": [n_predicted] * len(places),
            "mean predicted": [total / n_predicted if n_predicted else None for total in said],
        },
    )
