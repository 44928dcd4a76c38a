"""What people should know of a screen's models before they believe them: said in the rounds where it is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.constant import constant_warning
from isd_ray.campaign.families import SeenBlocks
from isd_ray.campaign.history import History
from isd_ray.campaign.store import CampaignStore
from isd_ray.config import HistoryConfig, Task
from isd_ray.core.constant import ConstantAnswer
from isd_ray.core.correlation import Suspect, evenly, suspects
from isd_ray.core.features import Dense, stack
from isd_ray.core.goals import Goal
from isd_ray.core.panels import entries_of
from isd_ray.core.race import CONSTANT, RaceBatch, Rival, lost_against
from isd_ray.data.blocks.assays import HIT
from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.history import HISTORY_BLOCK
from isd_ray.data.features_file import read_features
from isd_ray.data.library import Library
from isd_ray.messages import LabelArray
from isd_ray.storage.copies import fetched

Caution: TypeAlias = dict[str, Any]
"""For the record of a round: `about`, which names it from round to round, and `words`."""
PLAIN_FAMILIES = ("linear", CONSTANT)
"""What models of hits are held against: who loses here has learnt nothing that matters."""

GIVEN = ("columns", "history", "table")
"""Sources of blocks whose values people brought: they may hold the answer. What is computed of structures cannot."""
MAX_ROWS = 5_000
"""Observed rows that columns are held against in a round, evenly spaced among all."""
N_ALONE = 3
"""Columns of a block up to which each has a warning of its own; more, as those of an embedding, share one."""
N_NAMED = 10
"""Columns that the shared one names."""
MOST = 0.5
"""Share of what all columns contribute beyond which a family leans on one column alone."""
_TWO = 2


def leading_cautions(details: Mapping[str, Any], seen: SeenBlocks) -> list[Caution]:
    """That the family which counts most leans on one column alone, if it does.

    Parameters
    ----------
    details:
        Of the round: `leading` by family, and `race` where there are several.
    """
    leading: Mapping[str, Sequence[Any]] = details.get("leading") or {}
    race = details.get("race") or [{"family": family, "share": 1.0} for family in leading]
    first = max(race, key=lambda line: line["share"], default=None)
    if first is None or first["family"] not in leading:
        return []
    block, place, share = leading[first["family"]]
    if share <= MOST:
        return []
    names = seen.columns(block)
    column = names[place] if names else str(place)
    words = (
        f"the family that counts most, {first['family']!r}, takes {share:.0%} of what it has learnt from one column, "
        f"{column!r} of block {block!r}: look whether it is known before compounds are measured, and what it means"
    )
    return [{"about": f"leading:{block}:{column}", "words": words}]


def column_cautions(
    store: CampaignStore, library: Library, seen: SeenBlocks, history: History, task: Task, names: Sequence[str]
) -> list[Caution]:
    """Input columns that correlate with what is measured, by the features files of the observed rows.

    Parameters
    ----------
    names:
        Of classes, or of a panel's outputs.
    """
    blocks = [block for block in library.added_blocks if block.name in seen.names and block.source in GIVEN]
    if not blocks or not history.sets.n_observed:
        return []
    widths, main = {block.name: seen.shape(block.name).width for block in blocks}, library.block_names[0]
    files = [fetched(store.address_of(file)) for file in history.feature_files]
    features = stack([part for file in files for part in read_features(file, widths, main)])
    places = evenly(len(history.places), MAX_ROWS)
    taken = features.take(history.places[places])
    answers, called = _answers(task, history.sets.labels[places], history.values[places], names)
    cautions: list[Caution] = []
    for block in blocks:
        values = taken[block.name]
        assert isinstance(values, Dense), "blocks beside the main one are dense"
        found: dict[str, Suspect] = {}
        for suspect in suspects(np.asarray(values.values, np.float64), answers):
            column = seen.columns(block.name)[suspect.column].removesuffix(HIT)
            if column not in found or abs(suspect.correlation) > abs(found[column].correlation):
                found[column] = suspect
        named = sorted(found.items(), key=lambda item: (-abs(item[1].correlation), item[0]))
        if len(named) > N_ALONE:
            cautions.append({"about": f"columns:{block.name}", "words": _follow(named, block, called)})
            continue
        cautions += [
            {"about": f"column:{block.name}:{column}", "words": _follows(column, block, suspect, called)}
            for column, suspect in named
        ]
    return cautions


def age_cautions(history: HistoryConfig | None, seen: SeenBlocks, began: str | None) -> list[Caution]:
    """Earlier assays among the models' input that are younger than the screen.

    Parameters
    ----------
    began:
        Day on which the screen began, ISO 8601; None where nobody said.
    """
    if history is None or began is None or HISTORY_BLOCK not in seen.names:
        return []
    assays = dict.fromkeys(name.removesuffix(HIT) for name in seen.columns(HISTORY_BLOCK))
    days = {assay: day for assay in assays if (day := history.day_of(assay)) is not None and day > began}
    return [
        {
            "about": f"younger:{assay}",
            "words": f"the assay {assay!r} (block {HISTORY_BLOCK!r}) is of {day}, and the screen began on {began}: "
            "nobody would have had its readouts; leave it out (`model.exclude`) and begin anew",
        }
        for assay, day in days.items()
    ]


def _follow(named: Sequence[tuple[str, Suspect]], block: BlockDescription, called: Sequence[str]) -> str:
    kind = "earlier assays" if block.source == "history" else "input columns"
    several = len({suspect.answer for _, suspect in named}) > 1
    told = [
        f"{column!r} {suspect.correlation:+.2f}" + (f" with {called[suspect.answer]}" if several else "")
        for column, suspect in named[:N_NAMED]
    ]
    with_what = "what was measured" if several else called[named[0][1].answer]
    more = " …" if len(named) > N_NAMED else ""
    return (
        f"{len(named):,} {kind} of block {block.name!r} correlate with {with_what}, over up to "
        f"{max(suspect.n for _, suspect in named):,} measured compounds: {', '.join(told)}{more}. One that is the same "
        f"wells read in another way holds the answer, and so does an embedding that was trained on these readouts: "
        f"leave out what would not be known of new compounds (`model.exclude`) and begin anew. One that was made "
        f"without them may stay"
    )


def _follows(column: str, block: BlockDescription, suspect: Suspect, called: Sequence[str]) -> str:
    kind = "the earlier assay" if block.source == "history" else "the input column"
    return (
        f"{kind} {column!r} (block {block.name!r}) correlates {suspect.correlation:+.2f} with "
        f"{called[suspect.answer]}, over "
        f"{suspect.n:,} measured compounds: it may hold the answer, as the same wells read in another way; if it would "
        f"not be known of new compounds, leave it out (`model.exclude`) and begin anew"
    )


def _answers(
    task: Task, labels: LabelArray, values: NDArray[np.float64], names: Sequence[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """What was measured as numbers (n, q), NaN where missing, and what each is called."""
    if task == "panel":
        return entries_of(labels, len(names)), [f"output {name!r}" for name in names]
    if task == "regression":
        return np.asarray(labels, np.float64)[:, None], ["the readouts"]
    codes = np.asarray(labels, np.float64)
    classes = range(1, len(names)) if len(names) == _TWO else range(len(names))
    columns = [(codes == code).astype(np.float64) for code in classes]
    called = [f"class {names[code]!r}" for code in classes]
    return np.column_stack([*columns, values]), [*called, "the readouts"]


def constant_cautions(goal: Goal, constant: ConstantAnswer | None, classes: Sequence[str]) -> list[Caution]:
    """That the claim may be true of one answer for every compound, if it may."""
    words = constant_warning(goal, constant, classes)
    return [] if words is None else [{"about": "constant", "words": words}]


def race_cautions(batches: Sequence[RaceBatch], families: Sequence[str]) -> list[Caution]:
    """That the committee of a claim about hits lost against plain answers on the latest batches, if it did."""
    rival = lost_against(batches, families, PLAIN_FAMILIES)
    return [] if rival is None else [{"about": f"race:{rival.family}", "words": _lost(rival)}]


def _lost(rival: Rival) -> str:
    name = "the constant answer, the share of hits known before" if rival.family == CONSTANT else repr(rival.family)
    batches = "batch" if rival.n == 1 else f"{rival.n} batches"
    remedy = (
        "models with other features may find hits sooner"
        if rival.family == CONSTANT
        else f"a replay with model.families = [{rival.family!r}] tells how many"
    )
    return (
        f"on the last {batches} {name} forecast the readouts better than the families that count together "
        f"(mean loss {rival.loss:.3f} against {rival.committee_loss:.3f}): hits are looked for in no "
        f"better order than its own; a certificate still holds, but wells are lost; {remedy}"
    )


def news(cautions: Sequence[Caution], before: Mapping[str, Any] | None) -> list[str]:
    """Words of those that the last round did not have."""
    known = {caution["about"] for caution in (before or {}).get("warnings", ())}
    return [caution["words"] for caution in cautions if caution["about"] not in known]
