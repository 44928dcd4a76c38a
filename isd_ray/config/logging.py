"""What a campaign's processes log."""

from __future__ import annotations

from typing import Literal

from isd_ray.config.section import Section


class LoggingConfig(Section):
    """The log of the driver, the coordinator and what they do, on standard error of each process."""

    format: Literal["none", "text", "json"] = "none"
    """`json`: an object a line, for programs; where standard error is no terminal, it takes the place of the lines of
    progress. `text`: a line for people. `none`: no log beside the progress."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
