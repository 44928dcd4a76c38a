"""What all tables of the TOML file share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["classification", "regression", "panel"]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]


class Section(BaseModel):
    """A table of the TOML file: immutable, unknown keys and silent type conversions refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
