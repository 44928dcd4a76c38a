"""Reference-corrected energies of a file of molecules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from isd_ray.chem.reference_energy import atom_counts, fit_reference_energies
from isd_ray.config import ReferenceEnergyConfig
from isd_ray.data.ingest.columns import convert
from isd_ray.data.ingest.plan import PlannedSource, record_ids
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.data.predictions import replace_table
from isd_ray.errors import InputFileError
from isd_ray.storage.addresses import working_folder
from isd_ray.storage.output_files import refuse_file_as_folder, written

MOLECULES, SUMMARY = "molecules.parquet", "summary.json"
"""What the folder holds."""
ENERGY = "energy"


def correct_energies(
    config: ReferenceEnergyConfig, source: str, out: Path, *, base_dir: Path | None = None
) -> dict[str, Any]:
    """Subtract the energies of the atoms, fitted on a random sample, from the total energies of all other molecules.

    Writes ``molecules.parquet`` (id, smiles, `config.column`, energy) and ``summary.json``. Molecules of the sample,
    outliers, and those without a readable structure or energy, or with an element that the sample lacks, are left out.

    Returns
    -------
    dict
        The content of ``summary.json``: energies by element, mean and standard deviation, and counts of what was left
        out.

    Raises
    ------
    InputFileError
        If the file or a column is missing, energies are not numbers, or no more molecules than the sample are usable.
    """
    refuse_file_as_folder(out)
    opened = open_source(
        resolve_source(source, base_dir or working_folder()),
        columns=(config.column, config.smiles_column, config.id_column),
    )
    for name, key in (
        (config.column, "column"),
        (config.smiles_column, "smiles_column"),
        (config.id_column, "id_column"),
    ):
        if name is not None:
            opened.require(name, key)
    wanted = tuple(dict.fromkeys(name for name in (config.smiles_column, config.column, config.id_column) if name))
    planned = PlannedSource(opened, wanted, config.smiles_column, config.id_column, "")
    ids, smiles, totals, counts = [], [], [], []
    for records in opened.read(wanted):
        ids.append(record_ids(records.table, planned, records.first, len(records)))
        smiles += records.table[config.smiles_column].to_pylist()
        try:
            totals.append(convert(records.table[config.column], "float64").to_numpy())
        except pa.ArrowInvalid as error:
            raise InputFileError(
                f"column {config.column!r} holds what is no number: {error}", str(opened.file), "choose another column"
            ) from error
        counts.append(atom_counts(smiles[-len(records) :]))
    total, atoms = np.concatenate(totals), np.concatenate(counts)
    usable = np.flatnonzero(np.isfinite(total) & atoms.any(axis=1))
    if len(usable) <= config.n_sample:
        raise InputFileError(
            f"n_sample = {config.n_sample:,} are left out, and {len(usable):,} molecules have structure and energy",
            str(opened.file),
            "lower n_sample",
        )
    drawn = np.random.default_rng(config.seed).permutation(usable)
    sample, others = drawn[: config.n_sample], np.sort(drawn[config.n_sample :])
    reference = fit_reference_energies(atoms[sample], total[sample])
    energy = total[others] - reference.of(atoms[others])
    known = ~np.isnan(energy)
    mean, sd = float(energy[known].mean()), float(energy[known].std())
    ordinary = known & (np.abs(energy - mean) <= config.max_deviations * sd)
    kept = others[ordinary]
    table = pa.table(
        {
            "id": pa.chunked_array(ids).take(pa.array(kept)),
            "smiles": pa.array([smiles[row] for row in kept.tolist()], pa.string()),
            config.column: total[kept],
            ENERGY: energy[ordinary],
        }
    )
    summary = {
        "n_read": len(total),
        "n_unreadable": len(total) - len(usable),
        "n_sample": len(sample),
        "n_unknown_element": int((~known).sum()),
        "n_outliers": int((known & ~ordinary).sum()),
        "n_molecules": len(kept),
        "mean": float(energy[ordinary].mean()),
        "standard_deviation": float(energy[ordinary].std()),
        "atomic_energies": reference.by_element(),
    }
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
        replace_table(table, out / MOLECULES)
        (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary
