"""Everything that a campaign needs to begin or to continue."""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from isd_ray.campaign.backend import Backend
from isd_ray.campaign.before import note_known, require_known
from isd_ray.campaign.claimed import CLAIM, checked_claim, note_claim
from isd_ray.campaign.families import block_hashes, check_exclude, excluded_as_begun
from isd_ray.campaign.laboratory import Laboratory
from isd_ray.campaign.loop import CampaignLoop
from isd_ray.campaign.oracle import LookupOracle, Oracle
from isd_ray.campaign.screen import Screen
from isd_ray.campaign.stock import check_order, note_stock, out_of_stock, prices_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import BLOCK_ORDER, checked_blocks, newest, target_of, versions_on_record
from isd_ray.config import (
    CONTROL_KINDS,
    EARLIER_DEFAULTS,
    AcquisitionConfig,
    CampaignConfig,
    PlatesConfig,
    StoppingConfig,
)
from isd_ray.config_file import differences
from isd_ray.core.conditions import Bought, affordable, bought, no_prices
from isd_ray.core.rules.paper import earliest_paper_stop
from isd_ray.core.stopping import kept_wells, rule_of
from isd_ray.data.blocks.assays import assays_of
from isd_ray.data.blocks.readouts import require_dates
from isd_ray.data.labels import LabelRule, Labels, as_readouts
from isd_ray.data.library import Library
from isd_ray.data.versions import is_grown_from, other_library
from isd_ray.errors import ConfigError, StoreError
from isd_ray.messages import LabelArray, Rows, WorkerSpec
from isd_ray.plates.layout import batch_size, initial_size
from isd_ray.storage.addresses import absolute, address_of, is_uri
from isd_ray.storage.files import canonical_json

LATE_STOP = 0.5
"""A paper rule that cannot stop before this share is acquired is warned about."""
UNEVEN = 0.5
"""A budget that pays for less than this share of the usual number if compounds are the dearest is warned about."""
RECORDED_SOFTWARE = ("isd_ray", "ray", "torch", "rdkit", "numpy", "pyarrow", "scipy", "xgboost", "xgboost-cpu")
"""Those of them that are there."""
NO_BLOCKS: Mapping[str, str] = {}
"""Of campaigns that began before libraries had blocks."""


@dataclass(frozen=True, slots=True)
class CampaignSetup:
    """A campaign ready to run: configuration, libraries, and, in a simulation, every label.

    Attributes
    ----------
    out:
        The campaign directory, a path or URI.
    rule:
        Classes, and the cut between them.
    labels:
        Labels of the target set; None where a laboratory will tell them.
    test_labels:
        Labels of the test library in its row order, or None.
    known:
        Of a simulation: rows whose labels are known before it starts, ascending.
    """

    config: CampaignConfig
    out: str | Path
    spec: WorkerSpec
    rule: LabelRule
    labels: Labels | None
    test_labels: LabelArray | None
    known: Rows = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def labels_hash(self) -> str:
        """SHA-256 of classes, outputs with kinds and embeddings, and every known label that a decision may rest on."""
        digest = hashlib.sha256("\n".join((*self.rule.classes, *self.spec.outputs)).encode())
        if self.rule.numbers:
            digest.update(bytes(self.rule.numbers))
        if self.labels is not None:
            digest.update(self.labels.labels.tobytes())
        digest.update(self.known.tobytes())
        if self.spec.validation_labels is not None:
            digest.update(self.spec.validation_labels.tobytes())
        if self.spec.output_embeddings is not None:
            digest.update(self.spec.output_embeddings.tobytes())
        return digest.hexdigest()

    def with_config(self, config: CampaignConfig, out: str | Path) -> CampaignSetup:
        """The same data under another configuration and folder."""
        return replace(self, config=config, out=out, spec=replace(self.spec, config=config))

    @property
    def truth(self) -> dict[str, LabelArray]:
        """Known labels of the target and test library."""
        truth = {} if self.labels is None else {"target": as_readouts(self.labels.labels)}
        if self.test_labels is not None:
            truth["test"] = self.test_labels
        return truth


def check(config: CampaignConfig, library: Library) -> list[str]:
    """Whether the configuration fits a target library; returns warnings for the user.

    Raises
    ------
    ConfigError
        If a batch is larger than the target set.
    LibraryError
        If columns of stock, price or order do not hold what is needed.
    """
    stopping, acquisition, plates = config.stopping, config.acquisition, config.plates
    unavailable = out_of_stock(acquisition, library)
    check_order(acquisition, library)
    prices = prices_of(stopping, acquisition, config.replicates, library)
    n_target, n_batch = library.n_rows - len(unavailable), batch_size(acquisition, plates)
    sized_by = "batch_size" if acquisition.n_plates is None else "n_plates"
    for key, size in ((sized_by, n_batch), ("initial_size", initial_size(acquisition, plates))):
        if size > n_target:
            by_plates = " compounds" if key == "n_plates" else ""
            raise ConfigError(
                f"{key}={size}{by_plates} is larger than the target set of {n_target:,} compounds",
                f"acquisition.{key}",
                f"choose at most {n_target:,}; 1 to 5 % of the library is usual",
            )
    if config.batch_pick.choose is not None and library.spec.kind != "on_bits":
        raise ConfigError(
            "only fingerprints tell which compounds are alike, and the library's main features are none",
            "acquisition.pick",
            "use pick = 'best'",
        )
    warnings = list[str]()
    paid: Bought = no_prices
    if prices is not None:
        left = np.delete(prices, unavailable)
        paid, usually = bought(-np.sort(-left)), bought(np.full(n_target, left.mean()))
        dearest, usual = (affordable(stopping, 0, 0, n_target, money) for money in (paid, usually))
        if dearest < UNEVEN * usual:
            warnings.append(
                f"prices are uneven: the money pays for {usual} compounds at the mean price and for {dearest} of the "
                "dearest, and no audit is drawn that could cost too much; exclude compounds of extreme price"
            )
    n_affordable = affordable(stopping, 0, 0, n_target, paid)
    if n_affordable < 1 + wells_beforehand(stopping, n_target):
        raise ConfigError(
            f"the budget pays for {n_affordable:,} of {n_target:,} compounds, and "
            f"{wells_beforehand(stopping, n_target)} of these are kept for the audit",
            "stopping.max_fraction, stopping.max_compounds, stopping.max_cost",
            "allow at least one batch beside the audit",
        )
    if not stopping.in_force.is_heuristic:
        return warnings
    if (earliest := earliest_stop(stopping, acquisition, plates, n_target)) >= LATE_STOP:
        growing = "" if acquisition.growth == 1.0 else f" that grow {acquisition.growth:g} times a round"
        warnings.append(
            f"with batches of {n_batch:,}{growing} the paper's rule cannot stop before {earliest:.0%} of the "
            f"target set is measured, however good the model (alpha <= delta^(1/b), gamma={stopping.gamma:g}, "
            f"delta={stopping.delta:g}); use larger batches or a lower gamma"
        )
    return warnings


def earliest_stop(
    stopping: StoppingConfig, acquisition: AcquisitionConfig, plates: PlatesConfig | None, n_target: int
) -> float:
    """Least share of the target set at which the paper's rule can stop, were every prediction right."""
    number, n_acquired, before = 1, initial_size(acquisition, plates), 0.0
    while True:
        n_left = n_target - n_acquired
        n_batch = min(batch_size(acquisition, plates, number, n_left), n_left)
        earliest = earliest_paper_stop(max(1, n_batch), stopping.gamma, stopping.delta)
        n_acquired += n_batch
        if n_acquired >= earliest * n_target:
            return max(earliest, before)
        number, before = number + 1, n_acquired / n_target


def wells_beforehand(stopping: StoppingConfig, n_target: int) -> int:
    """Wells that are no acquisition's: a reserve, or those kept for a last audit.

    Raises
    ------
    ConfigError
        If no audit could certify so small a target set.
    """
    try:
        return rule_of(stopping).reserved_rows(stopping, n_target) + kept_wells(stopping, n_target)
    except ValueError as error:
        raise ConfigError(
            f"{error}; with {n_target:,} compounds gamma={stopping.gamma:g} cannot be certified by a reserve",
            "stopping.rule, stopping.reserve_audit",
            "lower gamma, or use rule = 'certify'",
        ) from error


def science_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dumped configuration makes a campaign: not how many actors compute it, nor where it lies."""
    keys = ("name", "task", "seed", "model", "acquisition", "stopping", "hits")
    science = {key: config[key] for key in keys if key in config}  # an earlier version may know fewer sections
    # Where the embeddings of outputs lie does not matter: their content is in `labels_hash`.
    science["model"] = {key: value for key, value in config["model"].items() if key != "output_embeddings"}
    plates = config.get("plates") or {}
    science |= {"replicates": plates["replicates"]} if "replicates" in plates else {}
    if lost_share := config.get("simulation", {}).get("lost_share", 0.0):
        science["lost_share"] = lost_share
    if config["acquisition"].get("n_plates") is not None:
        science["layout"] = {key: plates[key] for key in ("format", "edge", *CONTROL_KINDS)}
    science["validation"] = {key: value for key, value in config["validation"].items() if key != "file"}
    return {"science": science, "numerics": {key: config["compute"][key] for key in ("device", "precision", "threads")}}


def campaign_id(
    config: Mapping[str, Any], library_hash: str, labels_hash: str, blocks: Mapping[str, str] = NO_BLOCKS
) -> str:
    """Name of a campaign: equal for equal science, library and labels.

    Blocks beside the library's main one, whose hash is the library's, count where there are any.
    """
    content = {**science_of(config), "library": library_hash, "labels": labels_hash}
    if len(blocks) > 1:
        content["blocks"] = dict(blocks)
    return f"{config['name']}-{hashlib.sha256(canonical_json(content)).hexdigest()[:12]}"


def as_begun(config: CampaignConfig, store: CampaignStore) -> CampaignConfig:
    """A configuration with what the campaign of a store began with in the place of what it does not say.

    That is the class of hits, columns of excluded assays, and whatever had another default in the version that began
    it.
    """
    stored = CampaignConfig.from_stored(store.config)
    began, said = stored.stopping, config.stopping
    kept: dict[str, Any] = {
        key: default
        for key, default in EARLIER_DEFAULTS.items()
        if key not in said.model_fields_set and getattr(began, key) == default
    }
    kept["positive"] = said.positive or began.positive
    model = config.model.model_copy(update={"exclude": excluded_as_begun(config.model, stored.model)})
    return config.model_copy(update={"stopping": said.model_copy(update=kept), "model": model})


def blocks_for(config: CampaignConfig, answers: Sequence[str], library: Library, out: str | Path) -> Mapping[str, str]:
    """The feature blocks of the campaign in `out`, or of one that is to begin there, with their hashes.

    Parameters
    ----------
    answers:
        As `isd_ray.campaign.families.block_hashes` takes them.

    Raises
    ------
    ConfigError
        As `block_hashes`; or if the configuration excludes a column that is not there.
    InputFileError
        If it gives the day of an assay that is not there.
    LibraryChangedError
        If the campaign began with another one.
    """
    if not CampaignStore.exists(out):
        check_exclude(config.model.exclude, library)
        for block in library.added_blocks:
            if block.source == "history" and config.library.history is not None:
                require_dates(config.library.history, [assay.name for assay in assays_of(block)])
        return block_hashes(config.model, answers, library)
    store = CampaignStore.open(out)
    return checked_blocks(store, newest(store), library)


def begin_or_resume(setup: CampaignSetup) -> CampaignStore:
    """Create the campaign directory, or open it when this very campaign was begun there.

    Raises
    ------
    LibraryChangedError
        If the library is not the one that the campaign began with.
    StoreError
        If another campaign lies there.
    """
    library, config = target_of(setup.spec), setup.config.model_dump(mode="json")
    if not CampaignStore.exists(setup.out):
        manifest = {
            "campaign_id": campaign_id(config, library.hash, setup.labels_hash, setup.spec.blocks),
            "config": config,
            "library_hash": library.hash,
            "blocks": dict(setup.spec.blocks),
            BLOCK_ORDER: list(setup.spec.blocks),
            "in_laboratory": setup.labels is None,
            "repeats_lost": True,
            "fills_plates": True,
            "nonce": new_nonce() if setup.labels is None else None,
            "earlier": earlier_campaigns(setup.out, library) if setup.labels is None else [],
            "n_target": library.n_rows,
            "library": absolute(setup.spec.libraries["target"]),
            "classes": list(setup.rule.classes),
            "cut": setup.rule.cut,
            "outputs": list(setup.rule.outputs),
            "cuts": list(setup.rule.cuts),
            "software": _software(),
        }
        if (checked := checked_claim(setup.config.stopping)) is not None:
            manifest[CLAIM] = checked
        store = CampaignStore.create(setup.out, manifest)
        note_stock(setup.config.acquisition, library, store)
        return store
    store = CampaignStore.open(setup.out)
    if library.hash not in [version.hash for version in versions_on_record(store)]:
        raise other_library(str(setup.spec.libraries["target"]), newest(store).hash, library.hash)
    # A version that knows more keys has begun with their defaults as well; the name is that of the keys of its time.
    stored = store.manifest["config"]
    begun = CampaignConfig.from_stored(stored).model_dump(mode="json")
    rule = {"classes": list(setup.rule.classes), "cut": setup.rule.cut, "cuts": list(setup.rule.cuts)}
    is_same = science_of(begun) == science_of(config) and all(
        store.manifest.get(name, []) == rule[name] for name in rule
    )
    if (
        not is_same
        or campaign_id(stored, store.manifest["library_hash"], setup.labels_hash, store.manifest.get("blocks", {}))
        != store.manifest["campaign_id"]
    ):
        changed = differences(begun, config)
        raise StoreError(
            f"another campaign was begun here; the configuration differs in {', '.join(changed) or 'its labels'}",
            address_of(setup.out),
            "choose another folder, or restore the configuration (campaign.json holds it) to continue",
        )
    note_software(store)
    note_claim(store, setup.config.stopping)
    note_stock(setup.config.acquisition, library, store)
    return store


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in RECORDED_SOFTWARE:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def note_software(store: CampaignStore) -> None:
    """Log the versions that the campaign goes on with, where they are not those that were noted last."""
    noted = [event["versions"] for event in store.events() if event["kind"] == "software"]
    if (versions := _software()) != (noted[-1] if noted else store.manifest["software"]):
        store.append_event("software", {"versions": versions})


def new_nonce() -> str | None:
    """What makes the draws of a campaign in a laboratory its own, whatever its seed (`Screen.draw_seed`)."""
    return secrets.token_hex(16)


def earlier_campaigns(out: str | Path, library: Library) -> list[str]:
    """Names of the campaigns of a laboratory on a library, in any version, that lie beside `out`, for its certificate.

    Only what can be seen: folders beside it on a file system.
    """
    if is_uri(address_of(out)):
        return []
    found = []
    for file in sorted(Path(absolute(out)).parent.glob("*/campaign.json")):
        with suppress(OSError, ValueError):
            manifest = json.loads(file.read_bytes())
            if is_grown_from(library.metadata, manifest.get("library_hash")) and manifest.get("in_laboratory"):
                found.append(f"{manifest['campaign_id']} in {file.parent.name}")
    return found


def open_loop(setup: CampaignSetup, backend: Backend) -> CampaignLoop:
    """The campaign's loop, standing where its store says."""
    library = target_of(setup.spec)
    store = begin_or_resume(setup)
    laboratory = Laboratory(store)
    oracle: Oracle = laboratory
    if setup.labels is not None:
        lost_share, seed = setup.config.simulation.lost_share, setup.config.seed
        excluded = laboratory.standing().excluded
        stops = laboratory.stops
        oracle = LookupOracle(setup.labels, excluded, setup.known, stops=stops, lost_share=lost_share, seed=seed)
        note_known(store, setup.config.known, setup.known, oracle.standing().readouts)
    else:
        require_known(store)
    return CampaignLoop(Screen(setup.config, store, library, oracle, backend))
