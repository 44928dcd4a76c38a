"""The model card: what the model of a campaign is, what it was fitted on, how far it can be trusted, how to load it.

After Mitchell et al. 2019, doi:10.1145/3287560.3287596. All of it follows from the record: it can be made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.confirmed import confirmed_lines
from isd_ray.campaign.constant import COMPARED
from isd_ray.campaign.families import SeenBlocks, read_by
from isd_ray.campaign.manifest import numbers_of
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import check_blocks, in_force, taken_up
from isd_ray.config import RESMLP, ModelConfig
from isd_ray.core.race import CONSTANT, counting
from isd_ray.data.library import Library
from isd_ray.errors import IsdError
from isd_ray.report.record import Record, Rows

SCHEMA_VERSION = 1
_SHOWN = 10
"""Columns of a block that are named of those that no model saw."""
CARD_FILES = ("model_card.md", "model_card.json")
LOADING = """```python
import isd_ray as isd

model = isd.load_model("this folder")
model.predict(["CCO"]).to_pandas()
```"""
USE = (
    "Made to decide which compounds of this library to measure, and to predict those that were not measured. Use it "
    "to rank compounds like those of the library in the same assay, read the same way.",
    "What is certified, if anything, is the screen as a whole: measured and predicted compounds of this library "
    "together. Nothing is certified of one compound, or of compounds outside the library.",
    "Confidence is what the committee gives the class that it predicts: good for ranking, and checked only as far as "
    "the table of reliability goes. Compounds far from all that was measured are predicted blindly: "
    "`isd predict` flags them by similarity.",
    "It was fitted mostly on compounds that earlier models chose to have measured: shares of classes among them are "
    "not those of the library.",
)


def model_card(store: CampaignStore, summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The card of the delivered model, as plain values; None where nothing was ever fitted."""
    rounds = store.rounds()
    delivered = store.delivered()["round"]
    files = next((files for files in rounds if files.round == delivered), None)
    if files is None or not files.released["committee_hash"]:
        return None
    record = Record.read(store, None)
    sha256 = files.released["committee_hash"]
    fitted = next(other for other in rounds if other.released["committee_hash"] == sha256)
    fitted_in = fitted.round
    manifest, model = store.manifest, record.config.model
    shares = {line["family"]: line["share"] for line in counting([fitted.released])}
    software = [event["versions"] for event in record.events if event["kind"] == "software"]
    certificate, version = store.certificate(), in_force(store)
    joined = [taken for taken in taken_up(store) if taken["round"] is not None]
    return {
        "schema_version": SCHEMA_VERSION,
        "campaign_id": manifest["campaign_id"],
        "committee_hash": sha256,
        "weights": files.attempt.committee_dir.relative_to(store.path).as_posix(),
        "round": delivered,
        "fitted_in_round": fitted_in,
        "began": record.events[0]["time"] if record.events else None,
        "delivered": next((event["time"] for event in record.events if event["kind"] == "deliver"), None),
        "software": dict(sorted((software[-1] if software else manifest["software"]).items())),
        "task": record.config.task,
        "readout": record.readout,
        "classes": list(record.classes),
        "outputs": list(manifest["outputs"]),
        **({"numbers": list(numbers)} if (numbers := numbers_of(manifest)) else {}),
        "families": [
            {
                "family": family,
                "share": shares.get(family, 1.0 if len(model.families) == 1 else None),
                "members": model.members_of(family),
                "settings": _settings(record, family),
            }
            for family in model.families
        ],
        "library": {"hash": version.hash, "n": version.n_rows, **({"joined": joined} if joined else {})},
        **_features(store, model),
        "training": _training(store, rounds, fitted_in, record.rounds),
        "evidence": {
            "goal": record.goal.words,
            "constant": summary.get("constant"),
            "certificate": None
            if certificate is None
            else {
                "certificate_id": certificate["certificate_id"],
                "withdrawn": store.withdrawn(),
                "words": certificate_lines(certificate),
            },
            "confirmed_hits": confirmed_lines(store),
            "interval_by_random_rows": _interval(record.rounds, record.config.stopping.delta),
            "true_accuracy_of_the_screen": summary.get("system_accuracy"),
            "race": _race(record.rounds),
            "reliability": list(record.calibration),
            "calibration_alarm": summary["calibration_alarm"],
        },
        "warnings": list(summary.get("warnings", ())),
        "use_and_limits": list(USE),
    }


def card_text(card: Mapping[str, Any]) -> str:
    """The card in Markdown."""
    evidence, training = card["evidence"], card["training"]
    what = {"classification": f"classes {', '.join(card['classes'])}", "panel": f"{len(card['outputs'])} outputs"}
    parts = [
        f"# Model of campaign {card['campaign_id']}",
        _table(
            ("what", "answer"),
            [
                ("Task", f"{card['task']} of `{card['readout']}`: {what.get(card['task'], 'a value')}"),
                ("Committee", f"SHA-256 `{card['committee_hash']}`, weights in `{card['weights']}/` (safetensors)"),
                ("Round", f"delivered in round {card['round']}, fitted in round {card['fitted_in_round']}"),
                ("Began, delivered", f"{card['began']}, {card['delivered']}"),
                ("Library", f"{card['library']['n']:,} compounds, SHA-256 `{card['library']['hash']}`"),
                ("Software", ", ".join(f"{name} {version}" for name, version in card["software"].items())),
            ],
        ),
        "## Use and limits",
        "\n".join(f"- {words}" for words in card["use_and_limits"]),
    ]
    if card["warnings"]:
        parts += ["## Warnings", "\n".join(f"- {words}" for words in card["warnings"])]
    parts += [
        "## How to load it",
        LOADING,
        "or `isd predict FOLDER compounds.csv --out predicted.csv`. It needs this folder and the library's "
        "`library.json`; the committee's hash is checked before it predicts.",
        "## Families",
        _table(
            ("family", "share of the answer", "members"),
            [(line["family"], _number(line["share"]), str(line["members"])) for line in card["families"]],
        ),
        "## Features",
        _table(
            ("block", "source", "columns", "SHA-256"),
            [
                (line["name"], line["source"] or "unknown", str(line["columns"] or "unknown"), f"`{line['hash']}`")
                for line in card["blocks"]
            ],
        ),
        *_unseen(card),
        "## Fitted on",
        f"{training['n']:,} measured compounds, by why they were measured:",
        _table(("role", "compounds"), [(role, f"{n:,}") for role, n in training["by_role"].items()]),
        "## How good it is",
        *_evidence(evidence),
    ]
    return "\n\n".join(parts) + "\n"


def _evidence(evidence: Mapping[str, Any]) -> list[str]:
    certificate, interval = evidence["certificate"], evidence["interval_by_random_rows"]
    parts = [f"Goal of the campaign: {evidence['goal']}."]
    if evidence["constant"]:
        parts.append(f"{COMPARED}: {evidence['constant']}.")
    if certificate is None:
        parts.append("No certificate: what the campaign aimed at is not proved.")
    elif certificate["withdrawn"]:
        parts.append(f"The certificate {certificate['certificate_id']} is WITHDRAWN: {certificate['withdrawn']}")
    else:
        parts.append("\n".join(f"- {words}" for words in [*certificate["words"], *evidence["confirmed_hits"]]))
    if interval is not None:
        parts.append(
            f"By the random compounds of round {interval['round']} alone the claimed quantity lay between "
            f"{interval['low']:.4g} and {interval['high']:.4g}, at confidence {1 - interval['delta']:.4g} for that "
            "round."
        )
    if evidence["true_accuracy_of_the_screen"] is not None:
        parts.append(f"True accuracy of the screen (a simulation): {evidence['true_accuracy_of_the_screen']:.4g}.")
    if evidence["calibration_alarm"]:
        parts.append("Calibration ALARM: confident predictions were wrong more often than unconfident ones.")
    if evidence["race"]:
        parts += [
            "Mean loss of forecasts that were frozen before the readouts of a batch came, in nats:",
            _table(
                ("family", "last batch", "mean of all batches"),
                [(line["family"], _number(line["last"]), _number(line["mean"])) for line in evidence["race"]],
            ),
        ]
    bins = [line for line in evidence["reliability"] if line["n"]]
    if bins:
        parts += [
            "Uncertainty stated, and the share that was wrong, of compounds measured in the last rounds; only those "
            "drawn at random are a fair sample:",
            _table(
                ("uncertainty", "measured", "share wrong", "of them random", "share of these wrong"),
                [
                    (
                        f"{line['low']:.3g} to {line['high']:.3g}",
                        f"{line['n']:,}",
                        _number(line["errors"] / line["n"]),
                        f"{line['n_random']:,}",
                        _number(line["random_errors"] / line["n_random"] if line["n_random"] else None),
                    )
                    for line in bins
                ],
            ),
        ]
    return parts


def _settings(record: Record, family: str) -> dict[str, Any]:
    """The table of a family, as it was fitted."""
    model = record.config.model
    if family != RESMLP:
        return dict(model.options.get(family, {}))
    rest = {"families", "mixing", "blocks", "options", "members"}
    return model.model_dump(mode="json", exclude=rest, exclude_none=True)


def _features(store: CampaignStore, model: ModelConfig) -> dict[str, Any]:
    """What models saw, by block with its hash, and what was kept from them.

    Columns are told where the library's description, with the blocks that the campaign used, is at hand.
    """
    version = in_force(store)
    hashes: Mapping[str, str] = version.blocks or {"features": version.hash}
    library: Library | None = None
    blocks: list[dict[str, Any]]
    with suppress(IsdError):
        described = Library.describe(store.library, version.hash)
        check_blocks(version.blocks, described)
        library = described
    if library is None:
        blocks = [{"name": name, "hash": sha256, "source": None, "columns": None} for name, sha256 in hashes.items()]
        return {"blocks": blocks, "exclude": list(model.exclude), "unseen": None}
    main, sources = library.block_names[0], {block.name: block.source for block in library.added_blocks}
    seen = SeenBlocks(model, version.blocks, library)
    read = {block for family in model.families for block in read_by(family, model, seen.names)} & set(seen.names)
    hashes = version.blocks or {main: version.hash}
    blocks = [
        {"name": name, "hash": hashes[name], "source": sources.get(name, "library"), "columns": seen.shape(name).width}
        for name in hashes
        if name in read
    ]
    unseen = {
        name: [column for column in library.block_columns(name) if name not in read or column not in seen.columns(name)]
        for name in hashes
    }
    kept = {name: columns for name, columns in unseen.items() if columns or name not in read}
    return {"blocks": blocks, "exclude": list(model.exclude), "unseen": kept}


def _unseen(card: Mapping[str, Any]) -> list[str]:
    """What was kept from the models, in words; nothing of a card from before it was told."""
    if card.get("unseen") is None:
        patterns = ", ".join(f"`{name}`" for name in card.get("exclude", ()))
        return [f"No model saw columns that `model.exclude` names: {patterns}."] if patterns else []
    lines = [
        f"- of `{block}` "
        + (", ".join(f"`{column}`" for column in columns[:_SHOWN]) or "any column")
        + (f" and {len(columns) - _SHOWN:,} more (model_card.json)" if len(columns) > _SHOWN else "")
        for block, columns in card["unseen"].items()
    ]
    return ["No model saw:", "\n".join(lines)] if lines else []


def _training(store: CampaignStore, rounds: Sequence[RoundFiles], fitted_in: int, told: Rows) -> dict[str, Any]:
    """Compounds that the model was fitted on, by role."""
    measured = set(measured_readouts(store)[0].tolist())
    by_role: Counter[str] = Counter()
    for files in rounds:
        if files.round < fitted_in:
            batch = files.read_batch()
            lines = zip(batch["row"].to_pylist(), batch["role"].to_pylist(), strict=True)
            by_role.update(role for row, role in lines if row in measured and role != "reserve")
    n = next((row["n_observed"] for row in told if row["round"] == fitted_in), by_role.total())
    if (n_other := n - by_role.total()) > 0:
        by_role["external"] += n_other
    return {"n": by_role.total(), "by_role": dict(by_role)}


def _interval(rounds: Rows, delta: float) -> dict[str, Any] | None:
    there = [row for row in rounds if row["interval_low"] is not None and row["interval_high"] is not None]
    if not there:
        return None
    last = there[-1]
    return {"round": last["round"], "low": last["interval_low"], "high": last["interval_high"], "delta": delta}


def _race(rounds: Rows) -> list[dict[str, Any]]:
    """Losses of each family and the constant answer: on the last batch, and the mean over all."""
    losses: dict[str, list[float]] = {}
    for row in rounds:
        for line in row.get("race") or ():
            if line["loss"] is not None:
                losses.setdefault(line["family"], []).append(line["loss"])
    return [
        {"family": "constant answer" if name == CONSTANT else name, "last": of[-1], "mean": sum(of) / len(of)}
        for name, of in losses.items()
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; bars in what users wrote are escaped."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
