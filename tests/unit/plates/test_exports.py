"""What the laboratory gets: plate maps, and pick lists to the letter."""

from __future__ import annotations

import csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isd_ray.config import ControlWells, PlatesConfig, ReadoutsConfig
from isd_ray.errors import ConfigError, LibraryError
from isd_ray.plates.assign import plate_map
from isd_ray.plates.exports import write_pick_list, write_plate_map
from isd_ray.plates.readers import read_readouts

CONFIG = PlatesConfig(
    format=1536,
    edge=1,
    negative=ControlWells(columns=(2,)),
    transfer_volume="0.0025 uL",
    source_plate_column="rack",
    source_well_column="pos",
)
N = 60


def made(config=CONFIG):
    ids = [f"c,{n}" for n in range(N)]
    return plate_map(np.arange(N), ids, config, seed=0, first_plate=1, smiles=["C"] * N)


def sources(**changed):
    table = {"id": [f"c,{n}" for n in range(N)], "plate": ["S1"] * N, "well": [f"a0{1 + n % 9}" for n in range(N)]}
    return pa.table({**table, **changed})


def test_a_plate_map_is_written_whole_and_says_no_role(tmp_path):
    write_plate_map(made(), tmp_path / "map.parquet")
    assert pq.read_table(tmp_path / "map.parquet").equals(made().drop(["row"]))
    write_plate_map(made(), tmp_path / "map.csv")
    with (tmp_path / "map.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0]) == ["plate", "well", "content", "id", "smiles", "volume_nl"]
    assert [line["id"] or None for line in lines] == made()["id"].to_pylist()
    assert [line["content"] for line in lines] == made()["content"].to_pylist()


def test_a_plate_map_with_a_column_of_readouts_comes_back(tmp_path):
    readouts = made().append_column("value", pa.array(np.arange(1536.0)))
    write_plate_map(readouts, tmp_path / "map.csv")
    found = read_readouts(tmp_path / "map.csv", ReadoutsConfig(), 1536).readings
    for name in ("plate", "well", "id", "value"):
        assert found[name].to_pylist() == readouts[name].to_pylist()


def test_a_pick_list_has_exactly_five_columns_and_plain_wells(tmp_path):
    write_pick_list(made(), sources(), CONFIG, tmp_path / "picks.csv")
    text = (tmp_path / "picks.csv").read_text()
    header = "Source Plate Barcode,Source Well,Destination Plate Barcode,Destination Well,Transfer Volume"
    assert text.splitlines()[0] == header
    lines = list(csv.reader(text.splitlines()[1:]))
    samples = [line for line in made().to_pylist() if line["content"] == "sample"]
    assert len(lines) == N
    for (source, well, target, target_well, volume), sample in zip(lines, samples, strict=True):
        assert (source, well) == ("S1", f"A{1 + sample['row'] % 9}")
        assert target == "P00001"
        assert target_well == re.sub(r"^([A-Z]+)0", r"\1", sample["well"])
        assert volume == "2.5"


@pytest.mark.parametrize(("volume", "written"), [("25 nL", "25"), ("0.1 mL", "100000"), ("1.0025 uL", "1002.5")])
def test_volumes_are_written_in_nanolitres_without_exponents(tmp_path, volume, written):
    config = CONFIG.model_copy(update={"transfer_volume": volume})
    write_pick_list(made(config), sources(), config, tmp_path / "picks.csv")
    assert (tmp_path / "picks.csv").read_text().splitlines()[1].endswith(f",{written}")


def test_compounds_without_a_source_are_named(tmp_path):
    wells = ["A1", None, " ", *["A1"] * (N - 3)]
    with pytest.raises(LibraryError, match=r"2 compounds have no source .*ids 'c,[12]', 'c,[12]'\n.*'rack' and 'pos'"):
        write_pick_list(made(), sources(well=wells), CONFIG, tmp_path / "picks.csv")
    some = sources().slice(0, N - 7)
    with pytest.raises(LibraryError, match=r"7 compounds have no source plate and well; ids ('c,5\d', ){4}'c,5\d' …"):
        write_pick_list(made(), some, CONFIG, tmp_path / "picks.csv")
    nothing = CONFIG.model_copy(update={"source_plate_column": None, "source_well_column": None})
    with pytest.raises(LibraryError, match=r"name the library's columns in plates.source_plate_column"):
        write_pick_list(made(), some, nothing, tmp_path / "picks.csv")
    assert not (tmp_path / "picks.csv").exists()


def test_a_source_well_outside_its_plate_is_refused(tmp_path):
    wells = ["A1", "Q1", *["A1"] * (N - 2)]
    with pytest.raises(LibraryError, match=r"1 compounds have no source well: 'Q1' is no well of a 384.*'c,1'"):
        write_pick_list(made(), sources(well=wells), CONFIG, tmp_path / "picks.csv")
    wider = CONFIG.model_copy(update={"source_format": 1536})
    write_pick_list(made(), sources(well=wells), wider, tmp_path / "picks.csv")


def test_volumes_must_be_set_and_fit_the_instrument(tmp_path):
    without = CONFIG.model_copy(update={"transfer_volume": None})
    with pytest.raises(ConfigError, match=r"plates.transfer_volume: a pick list needs the volume"):
        write_pick_list(made(without), sources(), without, tmp_path / "picks.csv")
    coarse = CONFIG.model_copy(update={"echo_increment": "25 nL"})
    with pytest.raises(ConfigError, match=r"2.5 nL is not a multiple of 25 nL"):
        write_pick_list(made(), sources(), coarse, tmp_path / "picks.csv")
