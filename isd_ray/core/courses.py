"""How far a screen goes: wells until its end, from the least to the most that is thought of, and how that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isd_ray.core.replay import Replayed


@dataclass(frozen=True, slots=True)
class Course:
    """Rows measured at the end, and those of them that an audit takes."""

    n_acquired: int
    n_audit: int = 0


@dataclass(frozen=True, slots=True)
class Courses:
    """How far a screen goes.

    Attributes
    ----------
    least, most:
        The shortest and the longest course that is thought of; a range without a probability.
    likely:
        The one between; None where nothing says which of them is likely.
    known_by:
        How that is known, in sentences.
    """

    least: Course
    likely: Course | None
    most: Course
    known_by: tuple[str, ...]

    @classmethod
    def one(cls, n_acquired: int, *known_by: str) -> Courses:
        """A course that is certain, or assumed."""
        only = Course(n_acquired)
        return cls(only, only, only, known_by)

    @classmethod
    def of(
        cls,
        ends: Sequence[Replayed | None],
        n_limit: int,
        known_by: Sequence[str],
        others: Sequence[Replayed | None] = (),
        *,
        is_guess: bool = False,
    ) -> Courses:
        """The least, the median (of two the larger) and the most wells of some replays.

        Parameters
        ----------
        others:
            Replays that are less likely: of them only the least and the most count.
        n_limit:
            Rows after which the screen ends in any case: where a replay does not end before.
        is_guess:
            None of the replays is more likely than another.
        """

        def course(end: Replayed | None) -> Course:
            return Course(min(n_limit, end.n_wells), end.n_audit) if end else Course(n_limit)

        def wells(course: Course) -> int:
            return course.n_acquired

        found = sorted(map(course, ends), key=wells)
        ends_of_all = sorted((*found, *map(course, others)), key=wells)
        return cls(ends_of_all[0], None if is_guess else found[len(found) // 2], ends_of_all[-1], tuple(known_by))

    @property
    def planned(self) -> Course:
        """What is planned by: the likely course; where nothing is known, the longest."""
        return self.likely or self.most
