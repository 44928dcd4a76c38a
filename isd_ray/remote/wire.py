"""Calls, answers, steps and errors as JSON, for those who call from another machine: nothing that runs code is sent.

What a verb takes and returns is read from the annotations of `isd_ray.ops.campaign.Campaign`, so that no verb is
described twice.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, get_type_hints

import pyarrow as pa
from pydantic import PlainValidator, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from isd_ray.campaign.released import Batch
from isd_ray.config import PlatesConfig
from isd_ray.errors import ClusterError
from isd_ray.messages import Progress
from isd_ray.ops.calls import CHANGES, LOOKS, TAKE_FILE, WRITES, SentFile, VerbCall
from isd_ray.ops.campaign import Campaign

VERSION_HEADER = "ISD-Ray-Version"
"""Header by which a service says its version, to who has shown a token."""
ATTACH, DETACH = "attach", "stop_coordinator"
"""Calls that are no verbs of a campaign: start its coordinator and say who it is, and end it."""
RUNNING, DONE, UNKNOWN = "running", "done", "unknown"
"""States of a call: under way, answered, or not (any more) known to the service."""
_TABLE = "arrow"
"""Key of a table: its Arrow stream in Base64."""
_VERSIONS = "use one version of isd_ray on both sides"


def call_to_json(call: VerbCall) -> tuple[dict[str, Any], SentFile | None]:
    """A call without the file that it sends, and that file."""
    sent, rest = None, call.arguments
    if rest and isinstance(rest[0], SentFile):
        sent, rest = rest[0], rest[1:]
    said = {name: getattr(call, name) for name in ("campaign_id", "who", "verb", "key")}
    return {**said, "arguments": list(rest), "keywords": dict(call.keywords)}, sent


def call_from_json(said: Any, sent: SentFile | None) -> VerbCall:
    """The call that `call_to_json` was given; only what the verb takes, in what types it takes it.

    Raises
    ------
    ClusterError
        If it is none, or its verb is not one that a coordinator does, or does not take such arguments.
    """
    try:
        call = TypeAdapter(VerbCall).validate_python(said)
        if call.verb not in (*CHANGES, *LOOKS, *WRITES):
            raise ValueError(f"{call.verb!r} is no verb of a coordinator")
        if (call.verb in TAKE_FILE) != (sent is not None):
            raise ValueError(f"{call.verb} {'needs' if sent is None else 'takes no'} file")
        # The coordinator makes the file that a verb writes, and this process has no path that a caller may name.
        file = ("",) if sent is not None or call.verb in WRITES else ()
        given = _signature(call.verb).bind(None, *file, *call.arguments, **call.keywords).arguments
        hints = _hints(call.verb)
        for name, value in list(given.items())[1 + len(file) :]:
            TypeAdapter(hints[name]).validate_python(value, strict=True)
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        raise ClusterError(f"the call cannot be read: {error}", "the service", _VERSIONS) from error
    return call if sent is None else replace(call, arguments=(sent, *call.arguments))


def value_to_json(value: Any) -> Any:
    """What a verb returned, or the steps of a call."""
    return to_jsonable_python(value, fallback=_table_to_json)


def value_from_json(verb: str, said: Any) -> Any:
    """What `value_to_json` was given.

    Raises
    ------
    ClusterError
        If it cannot be what the verb returns.
    """
    try:
        return _returned(verb).validate_python(said)
    except ValidationError as error:
        raise ClusterError(f"the answer to {verb} cannot be read: {error}", "the service", _VERSIONS) from error


STEPS: TypeAdapter[list[Progress]] = TypeAdapter(list[Progress])
"""Steps of a call."""


def _table_to_json(table: Any) -> dict[str, str]:
    if not isinstance(table, pa.Table):
        raise TypeError(f"a {type(table).__name__} is sent by no verb")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return {_TABLE: base64.b64encode(sink.getvalue()).decode()}


def _batch_from_json(said: Mapping[str, Any] | None) -> Batch | None:
    if said is None:
        return None
    parts = dict(said)
    for name, part in said.items():
        if isinstance(part, dict) and _TABLE in part:
            parts[name] = pa.ipc.open_stream(base64.b64decode(part[_TABLE])).read_all()
    plates = said["plates"] and PlatesConfig.model_validate(said["plates"])
    return Batch(**{**parts, "plates": plates})


def _member(verb: str) -> Any:
    member = inspect.getattr_static(Campaign, verb)
    return member.fget if isinstance(member, property) else member


@cache
def _signature(verb: str) -> inspect.Signature:
    return inspect.signature(_member(verb))


@cache
def _hints(verb: str) -> dict[str, Any]:
    from isd_ray.ops.interim import Interim

    return get_type_hints(_member(verb), localns={"Interim": Interim})


@cache
def _returned(verb: str) -> TypeAdapter[Any]:
    returned = _hints(verb)["return"]
    return TypeAdapter(Annotated[Any, PlainValidator(_batch_from_json)] if returned == Batch | None else returned)
