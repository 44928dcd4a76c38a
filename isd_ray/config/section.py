"""What all tables of the TOML file share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
