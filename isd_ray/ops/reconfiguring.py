"""Having a campaign under way read files of readouts otherwise: flags, columns, shapes that nobody knew of before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from isd_ray.campaign.manifest import RECONFIGURE
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import CampaignConfig, ReadoutsConfig
from isd_ray.config.readouts import OF_LABELS
from isd_ray.config_file import differences, set_reading, to_toml, translated
from isd_ray.errors import ConfigError, StoreError
from isd_ray.ops.opened import Opened, need

_READOUTS = "readouts"


def reconfigured(config: CampaignConfig, settings: Mapping[str, Any]) -> CampaignConfig:
    """A configuration with other settings of how files of readouts are read.

    Raises
    ------
    ConfigError
        If a key is none of these, or a value is wrong.
    """
    data: dict[str, Any] = {_READOUTS: config.readouts.model_dump(mode="json")}
    set_reading(data, settings)
    try:
        readouts = ReadoutsConfig.model_validate(data[_READOUTS])
    except ValidationError as error:
        raise translated(error, ReadoutsConfig, _READOUTS) from error
    return config.model_copy(update={_READOUTS: readouts})


def reconfigure(opened: Opened, settings: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """See `isd_ray.ops.campaign.Campaign.reconfigure`."""
    opened.refuse_simulation()
    need(reason)
    if not settings:
        raise ConfigError("no setting is named", remedy="name one and its value, as readouts.bad_flags = ['smudge']")
    store = opened.store
    while True:
        n_events, before = len(store.events()), opened.config
        after = reconfigured(before, settings)
        now = after.readouts.model_dump(mode="json")
        changed = {f"{_READOUTS}.{key}": now[key] for key in differences(before.readouts.model_dump(mode="json"), now)}
        if not changed or store.append_event(RECONFIGURE, {"settings": changed, "reason": reason}, after=n_events):
            write_config(store)  # also of a call that was cut off before it
            return changed


def write_config(store: CampaignStore) -> None:
    """Write the configuration in force for people, as ``config.toml``; of several at once the last on record stays."""
    while True:
        n_events, now = len(store.events()), CampaignConfig.from_stored(store.config)
        store.write_text("config.toml", to_toml(now))
        if len(store.events()) == n_events:
            return


def in_force(store: CampaignStore, said: CampaignConfig) -> CampaignConfig:
    """A configuration that a campaign is begun with once more, with what changed since it began.

    Raises
    ------
    StoreError
        If it reads files of readouts in a way of its own: nothing would go by it.
    """
    began, now = (CampaignConfig.from_stored(data).readouts for data in (store.manifest["config"], store.config))
    if said.readouts not in (began, now):
        keys = differences(now.model_dump(mode="json"), said.readouts.model_dump(mode="json"))
        other = ", ".join(f"{_READOUTS}.{key}" for key in keys)
        remedy = f"change it on record: isd reconfigure {store.address} --set KEY=VALUE --reason WHY"
        if lasting := [f"{_READOUTS}.{key}" for key in keys if key in OF_LABELS]:
            remedy = f"{', '.join(lasting)} stays as it is to the end: restore it, or choose another folder"
        raise StoreError(
            f"the campaign reads files of readouts otherwise than the configuration says: {other}",
            store.address,
            remedy,
        )
    return said.model_copy(update={_READOUTS: now})
