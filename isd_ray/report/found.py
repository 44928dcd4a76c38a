"""How large a share of a class a screen has found: what is predicted does not tell, a random sample does."""

from __future__ import annotations

from dataclasses import dataclass

from isd_ray.campaign.look_rounds import rounds_of_look
from isd_ray.campaign.round_files import look_of
from isd_ray.core.bounds import plausible_range
from isd_ray.core.goals import HITS
from isd_ray.report.digest import Digest
from isd_ray.report.record import Record

CONFIDENCE = 0.95


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
