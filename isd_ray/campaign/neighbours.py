"""The nearest measured compound of others: how far a model is asked beyond what it has seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from isd_ray.campaign.amend import measured_readouts
from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.round_files import RoundFiles
from isd_ray.config import OnBitFeatures
from isd_ray.core.features import OnBits, concatenate
from isd_ray.data.features_file import read_features
from isd_ray.data.outside import fingerprints_of
from isd_ray.data.similar import Similar


def measured_neighbours(model: DeliveredModel, lines: Mapping[int, tuple[str, str | None]]) -> Similar | None:
    """All measured compounds of a campaign by their fingerprints; None where there are none of either.

    The fingerprints of batches lie in the campaign's folder, where its models see them; those of compounds measured
    otherwise (an audit drawn beforehand, or outside the plan) are made anew from their structures.

    Parameters
    ----------
    lines:
        Id and canonical SMILES by row, at least of those of `unbatched`.
    """
    store, library = model.store, model.library
    main = library.block_names[0]
    if not isinstance(library.spec, OnBitFeatures):
        return None
    measured = set(measured_readouts(store)[0].tolist())
    found: dict[int, str] = {}
    parts: list[OnBits] = []
    for files in _with_fingerprints(model):
        batch = files.read_batch()
        rows = [row for row, role in _pairs(batch, "role") if role != "reserve"]
        names = dict(_pairs(batch, "id"))
        store.check(files.attempt.features_file, files.released["features_sha256"])
        pieces = [piece[main] for piece in read_features(files.attempt.features_file, {main: library.width}, main)]
        bits = concatenate([piece for piece in pieces if isinstance(piece, OnBits)])
        places = [place for place, row in enumerate(rows) if row in measured and row not in found]
        parts.append(bits.take(np.array(places, np.int64)))
        found |= {rows[place]: names[rows[place]] for place in places}
    others = [(row, *lines[row]) for row in sorted(measured - found.keys()) if lines.get(row, ("", None))[1]]
    if others and not library.spec.context_columns:
        made, passed = fingerprints_of(library, [str(smiles) for _, _, smiles in others])
        parts.append(made)
        found |= {others[place][0]: others[place][1] for place in passed.tolist()}
    if not found:
        return None
    return Similar(concatenate(parts), np.array(list(found.values()), object))


def unbatched(model: DeliveredModel) -> set[int]:
    """Measured rows of a campaign whose fingerprints lie in no file of a batch."""
    batches = [files.read_batch() for files in _with_fingerprints(model)]
    drawn = {row for batch in batches for row, role in _pairs(batch, "role") if role != "reserve"}
    return set(measured_readouts(model.store)[0].tolist()) - drawn


def _with_fingerprints(model: DeliveredModel) -> list[RoundFiles]:
    """The rounds whose files hold the library's main block: all or none, as files hold the blocks that models see."""
    return model.store.rounds() if model.library.block_names[0] in model.blocks else []


def _pairs(batch: pa.Table, name: str) -> list[tuple[int, str]]:
    return list(zip(batch["row"].to_pylist(), batch[name].to_pylist(), strict=True))
