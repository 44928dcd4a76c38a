"""Predictions for compounds outside the library, by the model that a campaign leaves."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.predicting import NEAR, LineTally, OutsidePredictor, Predicted
from isd_ray.campaign.store import CampaignStore
from isd_ray.data.ingest.build import n_cores
from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.records import Records, Source
from isd_ray.data.ingest.sources import open_source, resolve_source
from isd_ray.errors import InputFileError
from isd_ray.formulas import escaped
from isd_ray.models.device import configure_threads, resolve_placement
from isd_ray.report.numbers import counted
from isd_ray.storage.addresses import working_folder
from isd_ray.storage.output_files import replacing

SUFFIXES = (".csv", ".parquet")
_RECORDS = 1 << 14
"""Compounds of a table in memory that are taken at a time."""
_SHOWN = 5
"""Columns that are named of those that a block lacks."""
_SERIAL_ROWS = 1 << 14
"""Compounds up to which no further process is started."""


class LoadedModel:
    """The model of a campaign, which predicts compounds outside its library.

    They are prepared as those of the library: standardised, with its fingerprints, its descriptors by its statistics,
    and the dense columns that the table brings; values of other blocks are missing. Nothing is certified of them
    (`isd_ray.campaign.predicting.NO_CLAIM`).

    Parameters
    ----------
    model:
        See `load_model`.
    near:
        As `load_model`.

    Attributes
    ----------
    round:
        The round whose model it is.
    classes, outputs:
        Names of the classes, and of a panel's outputs.
    families:
        How much each family of models counts.
    blocks:
        Blocks of features that it reads.
    """

    def __init__(self, model: DeliveredModel, near: float = NEAR) -> None:
        compute = model.config.compute
        configure_threads(compute.threads)
        placement = resolve_placement(compute.device, compute.precision, compute.threads)
        self._predictor = OutsidePredictor(model, placement, near)
        self._model = model
        self.round: int = model.files.round
        self.classes: tuple[str, ...] = model.classes
        self.outputs: tuple[str, ...] = model.outputs
        self.families: Mapping[str, float] = dict(model.committee.shares)
        self.blocks: tuple[str, ...] = self._predictor.blocks

    def __repr__(self) -> str:
        families = ", ".join(f"{name} {share:.0%}" for name, share in self.families.items())
        return f"LoadedModel({self._model.manifest['campaign_id']!r}, round={self.round}, {families})"

    @property
    def hash(self) -> str:
        """SHA-256 of its committee, checked against the release of its round."""
        return self._model.committee.hash

    def predict(
        self,
        compounds: Sequence[str] | pa.Table | Any,
        *,
        smiles_column: str | None = None,
        id_column: str | None = None,
    ) -> pa.Table:
        """Predict some compounds; the table's columns are those of `isd predict` (docs/predict.md).

        Columns of the model's blocks that are not given count as missing, and a `UserWarning` names them: families that
        read little else then say the same of every compound.

        Parameters
        ----------
        compounds:
            SMILES; or an Arrow table or pandas frame with columns as a file has them. Lines count from 1.
        smiles_column, id_column:
            Of a table; default: those of the library.

        Raises
        ------
        InputFileError
            If a column is missing that the model cannot do without, stands there twice or holds something else, or
            `compounds` is something else.
        """
        if not isinstance(compounds, pa.Table):
            if hasattr(compounds, "columns"):
                compounds = _table_of(compounds)
            else:
                smiles_column = self._model.library.metadata["options"].get("smiles_column") or "smiles"
                compounds = pa.table({smiles_column: _texts(compounds)})
        preparation = self._predictor.preparation(_TableSource(compounds), smiles_column, id_column)
        for words in missing_in_words(preparation.missing):
            warnings.warn(words, stacklevel=2)
        n_processes = 1 if len(compounds) <= _SERIAL_ROWS else n_cores()
        tables = list(self._predictor.tables(preparation, n_processes))
        return pa.concat_tables(tables) if tables else self._predictor.schema.empty_table()

    def predict_file(
        self,
        file: str | Path,
        out: str | Path | BinaryIO,
        *,
        smiles_column: str | None = None,
        id_column: str | None = None,
        history: str | Path | None = None,
        workers: int | None = None,
        raw: bool = False,
    ) -> Predicted:
        """Predict the compounds of a file, some thousand at a time; every one of its lines is one of the result.

        Parameters
        ----------
        file:
            CSV, TSV, SMI, SDF or Parquet; a path or URI.
        out:
            A .csv or .parquet file, which appears when it is whole; or a stream, for CSV.
        history:
            File with earlier readouts of the compounds, where the library has such: a column for each assay, called as
            there, and one of ids or structures. Default: columns of `file` itself.
        workers:
            Processes that prepare compounds; default: all cores.
        raw:
            Texts of CSV that spreadsheets take for formulas stay as they are (`isd_ray.formulas`).

        Raises
        ------
        InputFileError
            If the file cannot be read, or lacks a column that the model cannot do without; or the ending of `out` is
            another, or it is a file that is read.
        OutputFileError
            If the file cannot be written.
        """
        source = open_source(resolve_source(str(file), working_folder()), columns=(smiles_column, id_column))
        earlier = None if history is None else open_source(resolve_source(str(history), working_folder()))
        preparation = self._predictor.preparation(source, smiles_column, id_column, earlier)
        if isinstance(out, str | Path):
            _check_out(Path(out), [one.file for one in (source, earlier) if one is not None])
        tally = LineTally()
        tables = tally.passing(self._predictor.tables(preparation, workers or n_cores()))
        schema = self._predictor.schema
        is_csv = not isinstance(out, str | Path) or Path(out).suffix == ".csv"
        if is_csv and not raw:
            tables, schema = map(escaped, tables), escaped(schema.empty_table()).schema
        if not isinstance(out, str | Path):
            _write(tables, pa.csv.CSVWriter(out, schema))
            return tally.result(preparation)
        with replacing(Path(out)) as partial:
            kind = pa.csv.CSVWriter if is_csv else pq.ParquetWriter
            _write(tables, kind(partial, schema))
        return tally.result(preparation)


def load_model(
    run: str | Path, *, round_number: int | None = None, near: float = NEAR, library: str | Path | None = None
) -> LoadedModel:
    """The model of a campaign, checked by the hash of its release, to predict compounds outside the library.

    It needs the campaign's folder and the library's ``library.json``.

    Parameters
    ----------
    run:
        The campaign's folder, or its URI.
    round_number:
        The round whose model is wanted; default: the delivered one, or the last of a campaign that goes on.
    near:
        Tanimoto similarity to the nearest measured compound below which a prediction is flagged.
    library:
        Where the library lies now; default: where the campaign has it.

    Raises
    ------
    StoreError
        If there is no campaign, or no model.
    CorruptFileError
        If the model is not the one that was released.
    LibraryError, LibraryChangedError
        If the library's description is not there, or is of another library.
    """
    return LoadedModel(DeliveredModel.open(CampaignStore.open(run), round_number, library), near)


def missing_in_words(missing: Mapping[str, Sequence[str]]) -> list[str]:
    """Which columns of the model's blocks were not given, a line for each block."""
    return [
        f"{counted(len(absent), 'column')} of block {block!r} not given, taken as missing: "
        f"{', '.join(absent[:_SHOWN])}{' …' if len(absent) > _SHOWN else ''}"
        for block, absent in missing.items()
    ]


def _check_out(out: Path, inputs: Sequence[SourceFile]) -> None:
    """Refuse an ending that is none of `SUFFIXES`, and a file that is read (raises InputFileError)."""
    if out.suffix not in SUFFIXES:
        raise InputFileError(
            f"{out.suffix!r} is no kind of file to write predictions to", str(out), f"choose {' or '.join(SUFFIXES)}"
        )
    for file in inputs:
        if isinstance(file.filesystem, pafs.LocalFileSystem) and out.exists() and out.samefile(file.path):
            raise InputFileError(
                f"the predictions would take the place of {file}, which is read", str(out), "name another file to write"
            )


def _table_of(frame: Any) -> pa.Table:
    """A pandas frame as a table; a column of values of several types as texts, as in a file."""
    names = [str(name) for name in frame.columns]
    return pa.Table.from_arrays([_column(frame.iloc[:, place]) for place in range(len(names))], names=names)


def _column(values: Any) -> pa.Array:
    if not len(values):
        return pa.nulls(0)  # whatever pandas takes the type of nothing to be
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        is_missing = values.isna().tolist()
        return pa.array([None if no else str(value) for value, no in zip(values, is_missing, strict=True)], pa.string())


def _texts(compounds: Any) -> pa.Array:
    try:
        return pa.array([compounds] if isinstance(compounds, str) else list(compounds), pa.string())
    except (TypeError, pa.ArrowException) as error:
        raise InputFileError(
            f"the compounds to predict are no SMILES: {error}",
            "",
            "give a list of SMILES, or an Arrow table or pandas frame with a column of them; numbers of a block are "
            "columns beside it, called as in the library",
        ) from error


def _write(tables: Iterator[pa.Table], writer: Any) -> None:
    with writer:
        for table in tables:
            writer.write_table(table)


class _TableSource(Source):
    """A table in memory as a source."""

    typed = True

    def __init__(self, table: pa.Table) -> None:
        super().__init__(SourceFile.local(Path("the table")))
        self._table = table

    @property
    def column_names(self) -> list[str]:
        names: list[str] = self._table.column_names
        return names

    def column_type(self, name: str) -> pa.DataType:
        return self._table.schema.field(name).type

    def read(self, columns: Sequence[str]) -> Iterator[Records]:
        chosen = self._table.select(list(columns))
        for start in range(0, len(chosen), _RECORDS):
            part = chosen.slice(start, _RECORDS)
            lines = np.arange(start + 1, start + 1 + len(part))
            yield Records(part, start + 1, lines, (start + len(part)) / len(chosen))
