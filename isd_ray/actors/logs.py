"""The log of a process: events with their numbers, as lines for programs or for people.

What is logged is names, numbers and words of ours: no ids of compounds, no structures, no labels, no addresses.
"""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter

from isd_ray.config import LoggingConfig

_OURS = logging.getLogger("isd_ray")
# As libraries do: whoever embeds isd_ray decides what becomes of its log.
_OURS.addHandler(logging.NullHandler())
_HANDLER = "isd_ray"


def configure(config: LoggingConfig) -> None:
    """Have this process log as configured, on standard error; what was configured before is undone."""
    for handler in [handler for handler in _OURS.handlers if handler.get_name() == _HANDLER]:
        _OURS.removeHandler(handler)
    _OURS.propagate = config.format == "none"
    if config.format == "none":
        return
    handler = logging.StreamHandler()
    handler.set_name(_HANDLER)
    handler.setFormatter(_json() if config.format == "json" else logging.Formatter("%(asctime)s %(message)s"))
    _OURS.addHandler(handler)
    _OURS.setLevel(config.level.upper())


def _json() -> logging.Formatter:
    """`time` (UTC), `level`, `logger`, `message`, then what the event holds."""
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )
