"""Campaigns that were never disturbed, to compare others with."""

from __future__ import annotations

import pyarrow.csv
import pytest

from isd_ray.ops.simulate import simulate
from tests.chaos.laboratory import CONFIG, SCREEN, Technician, create, outcome


@pytest.fixture(scope="session")
def laboratory_config(make_config):
    return make_config(**CONFIG)


@pytest.fixture(scope="session")
def technician(compounds) -> Technician:
    table = pyarrow.csv.read_csv(compounds)
    return Technician(dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True)))


@pytest.fixture(scope="session")
def undisturbed(laboratory_config, technician, tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    create(path, laboratory_config)
    technician.finish(path)
    return outcome(path)


@pytest.fixture(scope="session")
def undisturbed_screen(make_config, tmp_path_factory) -> dict:
    return outcome(simulate(make_config(**SCREEN), tmp_path_factory.mktemp("screen") / "run").path)
