"""Our own ways to pick a batch pass the tests that we ship for those of others, and wrong ones do not."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from isd_ray import plugins
from isd_ray.chem.diverse import DIVERSE
from isd_ray.config import picks
from isd_ray.config.picks import BatchPick, pick_named
from isd_ray.errors import ConfigError
from isd_ray.ops.simulate import simulate
from isd_ray.testing.picks import PickConformance

RANDOM = np.random.default_rng(0)


class TestDiverse(PickConformance):
    pick = DIVERSE


def last(features, n):
    """The worst of them."""
    return np.arange(len(features))[len(features) - min(n, len(features)) :]


def short(features, n):
    return np.arange(min(n, len(features), 30))


def backwards(features, n):
    return last(features, n)[::-1]


def drawn(features, n):
    return np.sort(RANDOM.permutation(len(features))[:n])


def twice(features, n):
    return np.zeros(min(n, len(features)), np.int64)


def writing(features, n):
    features.values[:] = 0
    return last(features, n)


TESTS = [name for name in vars(PickConformance) if name.startswith("test_")]
SPREAD = BatchPick(last, n_batches=2)


def fails(stage) -> set[str]:
    suite = type("Suite", (PickConformance,), {"pick": stage})()

    def finds(name: str) -> bool:
        try:
            getattr(suite, name)()
        except AssertionError:
            return True
        return False

    return set(filter(finds, TESTS))


def test_a_sound_one_of_somebody_else_passes():
    assert fails(SPREAD) == set()


@pytest.mark.parametrize(
    ("flaw", "found"),
    [
        (short, "test_it_takes_as_many_rows_as_it_is_asked_for"),
        (backwards, "test_it_takes_as_many_rows_as_it_is_asked_for"),
        (twice, "test_it_takes_as_many_rows_as_it_is_asked_for"),
        (drawn, "test_it_takes_the_same_each_time"),
        (writing, "test_it_takes_the_same_each_time"),
    ],
)
def test_a_flaw_is_found(flaw, found):
    assert found in fails(BatchPick(flaw))


def test_what_is_no_batch_stage_is_said_to_be_none():
    with pytest.raises(AssertionError, match="it is a function"):
        type("Suite", (PickConformance,), {"pick": staticmethod(last)})().test_it_says_what_it_is()
    assert fails(BatchPick(last, n_batches=0)) == {"test_it_says_what_it_is"}


@pytest.fixture
def installed(monkeypatch):
    """Packages that add `last`, and one that takes a row twice."""
    added = {
        name: EntryPoint(name, f"{__name__}:{value}", picks.PICKS)
        for name, value in {"last": "SPREAD", "twice": "TWICE", "nothing": "last"}.items()
    }
    monkeypatch.setattr(plugins, "entry_points", lambda group: list(added.values()) if group == picks.PICKS else [])
    pick_named.cache_clear()
    yield
    pick_named.cache_clear()


TWICE = BatchPick(twice)


def test_a_package_adds_one_and_what_it_takes_is_checked(installed, make_config, tmp_path):
    none = {"stopping": {"rule": "none", "max_fraction": 0.3}}
    found = simulate(make_config(acquisition={"batch_size": 100, "pick": "last"}, **none), tmp_path / "last")
    best = simulate(make_config(acquisition={"batch_size": 100}, **none), tmp_path / "best")
    assert found.summary["n_acquired"] == best.summary["n_acquired"]
    rows = [
        sorted(run.hybrid.filter(run.hybrid["source"].to_numpy() == "measured")["id"].to_pylist())
        for run in (found, best)
    ]
    assert rows[0] != rows[1]
    with pytest.raises(ConfigError, match=r"acquisition\.pick='twice' does not take 100 of 100 rows, each once"):
        simulate(make_config(acquisition={"batch_size": 100, "pick": "twice"}, **none), tmp_path / "twice")
    with pytest.raises(ConfigError, match="nothing"):
        make_config(acquisition={"pick": "nothing"})


def test_one_that_there_is_not_is_refused_with_what_was_meant(make_config):
    with pytest.raises(ConfigError, match="there is no way to pick a batch 'divers'") as refused:
        make_config(acquisition={"pick": "divers"})
    assert refused.value.remedy == "did you mean 'diverse'?"
