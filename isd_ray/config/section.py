"""What all tables of the TOML file share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from isd_ray.config.patterns import named
from isd_ray.credentials import REMEDY, holds_credentials
from isd_ray.errors import ConfigError

Task = Literal["classification", "regression", "panel"]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


def _iso_day(value: Any) -> Any:
    """A day as ISO 8601; TOML has days of its own."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat() if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is no day; write it as 2024-05-31") from None


Day = Annotated[str, BeforeValidator(_iso_day)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
T = TypeVar("T")


def by_output(table: Mapping[str, T], outputs: Sequence[str], default: T) -> list[T]:
    """The entry of a table for each output of a panel; its keys are names or wildcards.

    Raises
    ------
    ValueError
        If a key means no output, or two wildcards the same.
    """
    patterns = {key: named(key, outputs) for key in table if key not in outputs}
    for key, names in patterns.items():
        if not names:
            raise ValueError(f"{key!r} is none of the outputs {', '.join(map(repr, outputs))}; name one of them")
    found = []
    for name in outputs:
        matching = [key for key, names in patterns.items() if name in names]
        if name not in table and len(matching) > 1:
            raise ValueError(f"{matching[0]!r} and {matching[1]!r} both match {name!r}; name it itself")
        keys = [name] if name in table else matching
        found.append(table[keys[0]] if keys else default)
    return found


class Section(BaseModel):
    """A table of the TOML file: immutable, unknown keys and silent type conversions refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_credentials(cls, data: Any) -> Any:
        """A configuration is stored, shown in reports and sent to clusters."""
        _refuse_credentials(data, ())
        return data


def _refuse_credentials(value: Any, place: tuple[str, ...]) -> None:
    if isinstance(value, str) and holds_credentials(value):
        raise ConfigError(
            f"{value!r} holds a password, key or token, and a configuration is stored and shown",
            ".".join(place),
            REMEDY,
        )
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_credentials(inner, (*place, str(name)))
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_credentials(inner, place)
