"""Which class is a hit: the one that is named, or that everybody would name; never the last one by its place."""

from __future__ import annotations

from isd_ray.config import StoppingConfig, Task
from isd_ray.core.acquisition import find_acquisition
from isd_ray.errors import ConfigError

PAIRS = (
    ("0", "1"),
    ("-1", "1"),
    ("inactive", "active"),
    ("negative", "positive"),
    ("neg", "pos"),
    ("-", "+"),
    ("no", "yes"),
    ("n", "y"),
    ("false", "true"),
    ("no hit", "hit"),
    ("non-hit", "hit"),
    ("nonhit", "hit"),
)
"""Two classes of which the second is a hit whoever reads them, in whatever order they stand."""
_TWO = 2


def recognised(classes: tuple[str, ...]) -> str | None:
    """The hit of two classes that are one of `PAIRS`, but for case and blanks; else None."""
    plain = {" ".join(name.split()).casefold(): name for name in classes}
    if len(classes) != _TWO:
        return None
    return next((plain[hit] for other, hit in PAIRS if {other, hit} == plain.keys()), None)


def shown_hit(stopping: StoppingConfig, classes: tuple[str, ...], *, by_plates: bool) -> str | None:
    """The class whose compounds are listed as hits, where no claim needs one; None where nobody could tell.

    Parameters
    ----------
    by_plates:
        Hits are called plate by plate, which makes the second class of them, whatever it is called.
    """
    if stopping.positive is not None or not classes:
        return stopping.positive
    return classes[1] if by_plates else recognised(classes)


def needs_hit(stopping: StoppingConfig, task: Task, acquisition: str) -> bool:
    """Whether a class has to be a hit: for the claim, or for the acquisition function of that name."""
    if task != "classification":
        return False
    return stopping.goal_class(task).knows_hits or find_acquisition(acquisition).needs_hit


def hit_class(
    stopping: StoppingConfig, task: Task, acquisition: str, classes: tuple[str, ...], *, by_plates: bool = False
) -> str | None:
    """The class of hits of a campaign that begins; None where no class has to be one and none is named.

    Parameters
    ----------
    acquisition:
        Name of the acquisition function.
    by_plates:
        As `shown_hit` takes it.

    Raises
    ------
    ConfigError
        If the class that is named is none of them, or none is named and nobody could tell.
    """
    named = stopping.positive
    shown = ", ".join(map(repr, classes))
    if named is not None and named not in classes:
        raise ConfigError(
            f"the labels have no class {named!r}; they have {shown}", "stopping.positive", "name one of these"
        )
    if named is not None or not needs_hit(stopping, task, acquisition):
        return named
    found = shown_hit(stopping, classes, by_plates=by_plates)
    if found is None:
        why = stopping.quantity if stopping.goal_class(task).knows_hits else acquisition
        raise ConfigError(
            f"{why!r} is about hits, and which of the classes {shown} is a hit is not said",
            "stopping.positive",
            f"name it, as positive = {classes[-1]!r}",
        )
    return found
