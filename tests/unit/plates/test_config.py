"""Tables of plates, readouts and hit calling: what cannot be meant is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isd_ray.config import ControlWells, HitCallingConfig, PlatesConfig, nanolitres
from isd_ray.config_file import parse_section
from isd_ray.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("25 nL", "25"),
        ("2.5nl", "2.5"),
        ("0.5 uL", "500"),
        (".25 µL", "250"),
        ("0.0025 μl", "2.5"),
        ("1 mL", "1000000"),
    ],
)
def test_volumes_are_exact_in_any_of_three_units(text, volume):
    assert nanolitres(text) == Decimal(volume)


@pytest.mark.parametrize("text", ["25", "25 L", "25 NL", "-5 nL", "1e3 nL", "2,5 nL", "nL", "25 nL each", "25 pL"])
def test_a_volume_without_a_known_unit_is_refused(text):
    with pytest.raises(ConfigError, match=r'write a number and its unit .* as "25 nL"'):
        parse_section(PlatesConfig, {"transfer_volume": text})


def test_volumes_are_multiples_of_what_the_instrument_dispenses():
    assert parse_section(PlatesConfig, {"transfer_volume": "27.5 nL"}).volume_nl == 27.5
    for given in ({"transfer_volume": "26 nL"}, {"transfer_volume": "0 nL"}):
        with pytest.raises(ConfigError, match=r"not a multiple of echo_increment='2\.5 nL'"):
            parse_section(PlatesConfig, given)
    with pytest.raises(ConfigError, match="not a multiple of echo_increment='25 nL'"):
        parse_section(PlatesConfig, {"transfer_volume": "27.5 nL", "echo_increment": "25 nL"})


@pytest.mark.parametrize("given", [{}, {"columns": [1], "scattered": 4}])
def test_controls_are_placed_in_exactly_one_way(given):
    with pytest.raises(ConfigError, match="exactly one key"):
        parse_section(PlatesConfig, {"positive": given})


def test_tables_of_a_file_become_controls():
    config = parse_section(PlatesConfig, {"positive": {"columns": [1, 24]}, "negative": {"wells": ["A02"]}})
    assert config.positive == ControlWells(columns=(1, 24))
    assert config.negative == ControlWells(wells=("A02",))


def test_source_plate_and_well_go_together():
    with pytest.raises(ConfigError, match="go together"):
        parse_section(PlatesConfig, {"source_plate_column": "rack"})


def test_limits_of_ssmd_that_no_plate_could_keep_are_refused():
    with pytest.raises(ConfigError, match="so no plate passes"):
        parse_section(HitCallingConfig, {"cut": 1.0, "min_ssmd": 3.0, "max_ssmd": -3.0})
    assert not parse_section(HitCallingConfig, {"cut": 1.0}).has_limits
    assert parse_section(HitCallingConfig, {"cut": 1.0, "max_ssmd": -3.0}).has_limits
