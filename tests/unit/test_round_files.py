"""What a round leaves behind has one definition: of its JSON files, of rounds.parquet, and for the type check."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from isd_ray.campaign.round_files import (
    ROUND_SCHEMA,
    Details,
    Release,
    RoundColumns,
    RoundRecord,
    as_stored,
    details_of,
)
from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import CorruptFileError
from isd_ray.ops.simulate import simulate


@pytest.fixture(scope="module")
def run(make_config, tmp_path_factory):
    return simulate(make_config(stopping={"rule": "certify", "gamma": 0.7}), tmp_path_factory.mktemp("rounds") / "run")


def test_the_columns_of_rounds_parquet_are_entries_of_the_record(run):
    assert run.rounds.schema.names == ROUND_SCHEMA.names == list(RoundColumns.__annotations__)
    stored = [json.loads((folder / "round.json").read_text()) for folder in sorted((run.path / "rounds").iterdir())]
    for record, line in zip(stored, run.rounds.to_pylist(), strict=True):
        assert {name: line[name] for name in record.keys() & line.keys()} == {
            name: record[name] for name in record.keys() & line.keys()
        }


@pytest.mark.parametrize("name", ["batch.json", "round.json"])
def test_a_key_that_nobody_knows_is_refused_with_its_name(name, run):
    file = sorted((run.path / "rounds").iterdir())[0] / name
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), "n_obsreved": 3}))
    try:
        with pytest.raises(CorruptFileError, match="holds 'n_obsreved', which this isd_ray does not know"):
            CampaignStore.open(run.path).rounds()
    finally:
        file.write_text(before)


def test_a_record_repeats_of_its_release_what_both_have(tmp_path):
    released: Release = {"attempt": "a", "n_events": 3, "frozen": "x", "round": 2, "committee_hash": None}
    released |= {"batch_sha256": "b", "features_sha256": "f"}
    assert details_of(released) == {"n_events": 3, "round": 2}
    assert Details.__annotations__.keys() <= Release.__annotations__.keys() & RoundRecord.__annotations__.keys()
    assert as_stored(Release, released, tmp_path) == released


MISSPELT = """
from isd_ray.campaign.round_files import RoundRecord, Release
def look(record: RoundRecord, released: Release) -> None:
    print(record["n_obsreved"], released.get("comittee_hash"))
    record["desicion"] = "stop"
"""


def test_a_misspelt_key_fails_the_type_check(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "misspelt.py").write_text(MISSPELT)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(tmp_path / "misspelt.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    for key in ("n_obsreved", "desicion"):
        assert f'"{key}"' in found.stdout
