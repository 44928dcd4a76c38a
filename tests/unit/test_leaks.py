"""Input columns that hold the answer are named, in the round, the status and the report; others are not."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from isd_ray.campaign.delivered import DeliveredModel
from isd_ray.campaign.honesty import N_ALONE, N_NAMED, leading_cautions
from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.core.correlation import MIN_ROWS, correlations, ranks, suspects
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError
from isd_ray.ops import prepare as prepare_module
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import simulate
from isd_ray.report.blocks import Facts
from isd_ray.report.record import Record
from isd_ray.report.sections.headline import headline
from isd_ray.report.words import status_lines, summary_lines
from tests.unit.blocks_helpers import add_values


class Heard(Watcher):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, name, progress) -> None:
        self.warnings += progress.warnings


def screen(make_config, folder, values, columns, heard=None, **changes):
    settings = {
        "library": {"path": str(folder / "library")},
        "model": {"families": ["linear"]},
        "stopping": {"rule": "none", "max_rounds": 3},
        **changes,
    }
    config = make_config(**settings)
    prepare(config, folder / "run", Watcher())
    add_values(Library.open(folder / "library"), "brought", values, columns)
    return simulate(config, folder / "run", heard)


@pytest.fixture(scope="module")
def labels(compounds) -> np.ndarray:
    return np.array([name == "BBB+" for name in pyarrow.csv.read_csv(compounds)["bbb"].to_pylist()], float)


def test_a_column_that_holds_the_answer_is_named_once_and_stays_named(make_config, labels, tmp_path):
    rng = np.random.default_rng(0)
    leak = labels + rng.normal(0, 0.3, 900)
    leak[rng.random(900) < 0.4] = np.nan
    heard = Heard()
    values = np.column_stack([rng.normal(size=900), leak])
    run = screen(make_config, tmp_path, values, ("noise", "leak"), heard)
    [said] = [words for words in heard.warnings if "may hold the answer" in words]
    assert "'leak' (block 'brought') correlates -0." in said or "'leak' (block 'brought') correlates +0." in said
    store = CampaignStore.open(run.path)
    for files in store.rounds()[:-1]:
        [caution] = files.committed["warnings"]
        assert caution["about"] == "column:brought:leak"
    status = status_of(store)
    [shown] = status.warnings
    observed = [line for line in run.hybrid.to_pylist() if line["source"] == "measured"]
    n = sum(np.isfinite(leak[line["row"]]) for line in observed)
    assert f"over {n:,} measured compounds" in shown
    assert ("Warning", shown) in status_lines(status)
    assert ("Warning", shown) in summary_lines(run.summary)
    facts = next(b for b in headline(Record.read(store, run.summary)).blocks if isinstance(b, Facts))
    assert ("Warning", shown) in facts.pairs
    assert shown in json.loads((run.path / "model_card.json").read_text())["warnings"]


@pytest.mark.parametrize("n", [N_ALONE, N_ALONE + 1, N_NAMED + 2])
def test_many_columns_of_a_block_share_one_warning_that_names_the_strongest(n, make_config, labels, tmp_path):
    rng = np.random.default_rng(0)
    signs, noise = (-1.0) ** np.arange(n), np.linspace(0.2, 0.35, n)  # as in an embedding that knows the answer
    values = labels[:, None] * signs + rng.normal(size=(900, n)) * noise
    heard = Heard()
    run = screen(make_config, tmp_path, np.column_stack([rng.normal(size=900), values]), (), heard)
    shown = status_of(CampaignStore.open(run.path)).warnings
    if n == N_ALONE:
        assert len(shown) == n
        assert all(" correlates " in words for words in shown)
        return
    [said] = shown
    assert said.startswith(f"{n} input columns of block 'brought' correlate with class ")
    assert said.count(" +0.") + said.count(" -0.") == min(n, N_NAMED)
    assert (" …." in said) == (n > N_NAMED)
    assert len([words for words in heard.warnings if "correlate" in words]) == 1  # not anew in each round


def test_columns_of_chance_and_descriptors_are_not_named(make_config, tmp_path):
    values = np.random.default_rng(1).normal(size=(900, 40))
    run = screen(make_config, tmp_path, values, ())
    assert status_of(CampaignStore.open(run.path)).warnings == ()


def test_a_block_that_the_models_do_not_see_is_no_leak(make_config, labels, tmp_path):
    changes = {"model": {"families": ["linear"], "blocks": ["fingerprints"]}}
    run = screen(make_config, tmp_path, labels[:, None] * 1.0, ("leak",), **changes)
    assert status_of(CampaignStore.open(run.path)).warnings == ()


@pytest.mark.parametrize("task", ["regression", "panel"])
def test_values_and_outputs_of_panels_are_held_against_as_well(
    task, request, make_config, compounds, panel_file, tmp_path
):
    table = pyarrow.csv.read_csv(compounds if task == "regression" else panel_file)
    answer = table["size" if task == "regression" else "has_03"].to_pylist()
    column = np.array([np.nan if value is None else float(value) for value in answer])
    changes = {**request.getfixturevalue(task), "model": {"families": ["linear"], "linear": {"members": 2}}}
    run = screen(make_config, tmp_path, column[:, None], ("leak",), **changes)
    [said] = status_of(CampaignStore.open(run.path)).warnings
    assert "correlates +1.00 with " + ("the readouts" if task == "regression" else "output 'has_03'") in said


def test_an_earlier_assay_is_named_by_its_name(make_config, compounds, labels, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    scores = pa.array(labels * 8 + np.random.default_rng(0).normal(size=900))
    pyarrow.csv.write_csv(pa.table({"name": table["name"], "twin": scores}), tmp_path / "h.csv")
    library = {"path": str(tmp_path / "library"), "history": {"source": str(tmp_path / "h.csv"), "columns": ["twin"]}}
    settings = {"library": library, "model": {"families": ["linear"]}, "stopping": {"rule": "none", "max_rounds": 2}}
    run = simulate(make_config(**settings), tmp_path / "run")
    [said] = status_of(CampaignStore.open(run.path)).warnings
    assert said.startswith("the earlier assay 'twin' (block 'history')")
    assert "`model.exclude`" in said


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["twin"], ["other", "other:hit"]),
        (["tw?n"], ["other", "other:hit"]),
        (["twin:hit"], ["twin", "other", "other:hit"]),
        (["twin:*", "other"], ["twin"]),
        (["*:hit"], ["twin", "other"]),
    ],
)
def test_the_name_of_an_assay_excludes_all_that_was_made_of_it(exclude, left, make_config, compounds, tmp_path):
    config = with_history(make_config, compounds, tmp_path, exclude=exclude)
    run = simulate(config, tmp_path / "run")
    assert DeliveredModel.open(CampaignStore.open(run.path)).seen.columns("history") == tuple(left)
    assert simulate(config, tmp_path / "run").summary == run.summary  # the same campaign, said as before


def test_the_remedy_for_an_assay_that_is_the_answer_leaves_nothing_of_it(make_config, compounds, tmp_path):
    labels = {"source": str(tmp_path / "h.csv"), "column": "twin", "transform": "threshold", "threshold": 0.5}
    with pytest.raises(ConfigError, match=r"the column 'twin', which is what[\s\S]*model.exclude = \['twin'\]"):
        simulate(with_history(make_config, compounds, tmp_path, labels=labels), tmp_path / "run")
    run = simulate(with_history(make_config, compounds, tmp_path, labels=labels, exclude=["twin"]), tmp_path / "run")
    store = CampaignStore.open(run.path)
    assert DeliveredModel.open(store).seen.columns("history") == ("other", "other:hit")
    assert not any("'twin'" in words for words in status_of(store).warnings)


def test_a_campaign_that_saw_the_hits_of_an_excluded_assay_goes_on_seeing_them(
    make_config, compounds, tmp_path, monkeypatch
):
    config = with_history(make_config, compounds, tmp_path, exclude=["twin"])
    monkeypatch.setattr(prepare_module, "with_assays_excluded", lambda config, library: config)  # of an earlier version
    run = simulate(config, tmp_path / "run")
    monkeypatch.undo()
    assert simulate(config, tmp_path / "run").summary == run.summary
    assert DeliveredModel.open(CampaignStore.open(run.path)).seen.columns("history")[0] == "twin:hit"


def with_history(make_config, compounds, folder, exclude=(), **changes):
    """Two earlier assays, `twin` and `other`, in the library's history."""
    rng, names = np.random.default_rng(0), pyarrow.csv.read_csv(compounds)["name"]
    pyarrow.csv.write_csv(
        pa.table({"name": names, **{name: pa.array(rng.normal(size=900)) for name in ("twin", "other")}}),
        folder / "h.csv",
    )
    history = {"source": str(folder / "h.csv"), "columns": ["twin", "other"]}
    settings = {
        "library": {"path": str(folder / "library"), "history": history},
        "model": {"families": ["linear"], "exclude": list(exclude)},
        "stopping": {"rule": "none", "max_rounds": 2},
        **changes,
    }
    return make_config(**settings)


@pytest.mark.parametrize("name", ["has_03", "plain"])
def test_an_output_of_a_panel_is_refused_as_input_like_a_single_label(name, panel, make_config, tmp_path):
    changes = {**panel, "model": {"families": ["linear"], "linear": {"members": 2}}}
    if name == "plain":
        screen(make_config, tmp_path, np.ones((900, 1)), (name,), **changes)
        return
    with pytest.raises(ConfigError, match=r"the column 'has_03', which is what models are to predict"):
        screen(make_config, tmp_path, np.ones((900, 1)), (name,), **changes)


# --- the arithmetic ---------------------------------------------------------------------------------------------------


def test_correlations_are_those_of_numpy_over_the_rows_that_have_both():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(200, 4)), rng.normal(size=(200, 3))
    y[:, 0] += x[:, 1]
    x[rng.random(x.shape) < 0.3] = np.nan
    y[rng.random(y.shape) < 0.2] = np.nan
    found, n = correlations(x, y)
    for i in range(4):
        for j in range(3):
            both = np.isfinite(x[:, i]) & np.isfinite(y[:, j])
            assert n[i, j] == both.sum()
            assert found[i, j] == pytest.approx(np.corrcoef(x[both, i], y[both, j])[0, 1])


def test_ranks_are_shared_by_equals_and_a_monotone_column_is_found():
    assert (ranks(np.array([[3.0], [1.0], [np.nan], [3.0]])) * 3)[:, 0].tolist() == pytest.approx(
        [1.5, 0.0, np.nan, 1.5], nan_ok=True
    )
    y = np.random.default_rng(0).normal(size=(100, 1))
    [found] = suspects(np.exp(8 * y), y)
    assert found.correlation == pytest.approx(1.0)


def test_nothing_is_said_of_few_rows_or_of_a_constant():
    y = np.random.default_rng(0).normal(size=(MIN_ROWS, 1))
    assert [found.n for found in suspects(y, y)] == [MIN_ROWS]
    assert suspects(y[1:], y[1:]) == []
    assert suspects(np.ones_like(y), y) == []
    assert suspects(np.empty((MIN_ROWS, 0)), y) == []


def test_many_columns_of_chance_are_rarely_named():
    rng = np.random.default_rng(4)
    named = [len(suspects(rng.normal(size=(MIN_ROWS, 200)), rng.normal(size=(MIN_ROWS, 100)))) for _ in range(5)]
    assert sum(named) == 0


# --- a family that wins by one column alone ---------------------------------------------------------------------------

BOOSTED = {"model": {"families": ["boosted"], "boosted": {"trees": 20, "column_share": 0.99}}}


def test_trees_that_lean_on_one_column_are_said_to(make_config, labels, tmp_path):
    values = np.column_stack([np.random.default_rng(1).normal(size=900), labels])
    run = screen(make_config, tmp_path, values, ("noise", "answer"), **BOOSTED)
    warnings = status_of(CampaignStore.open(run.path)).warnings
    [said] = [
        words for words in warnings if "of what it has learnt from one column, 'answer' of block 'brought'" in words
    ]
    assert said.startswith("the family that counts most, 'boosted', takes ")


def test_trees_that_lean_on_many_columns_are_not(make_config, tmp_path):
    run = screen(make_config, tmp_path, np.random.default_rng(1).normal(size=(900, 2)), (), **BOOSTED)
    store = CampaignStore.open(run.path)
    leading = [files.committed["leading"]["boosted"] for files in store.rounds() if files.released["committee_hash"]]
    assert leading
    assert all(0.0 < share < 0.5 for _, _, share in leading)
    assert status_of(store).warnings == ()


def test_only_the_family_that_counts_most_is_asked():
    seen = type("Described", (), {"columns": staticmethod(lambda block: ("a", "b"))})
    details = {"leading": {"boosted": ["x", 1, 0.9]}, "race": [{"family": "boosted", "share": 0.4}]}
    [caution] = leading_cautions(details, seen)
    assert caution["about"] == "leading:x:b"
    details["race"].append({"family": "linear", "share": 0.6})
    assert leading_cautions(details, seen) == []


DATES = {"twi*": "2011-06-01", "old": "2003-01-31"}


@pytest.mark.parametrize(("began", "younger"), [("2010-05-31", ["twin"]), ("2011-06-01", []), (None, [])])
def test_an_assay_that_is_younger_than_the_screen_is_named(began, younger, make_config, compounds, tmp_path):
    table, rng = pyarrow.csv.read_csv(compounds), np.random.default_rng(0)
    assays = {name: pa.array(rng.normal(size=900)) for name in ("twin", "old", "undated")}
    pyarrow.csv.write_csv(pa.table({"name": table["name"], **assays}), tmp_path / "h.csv")
    history = {"source": str(tmp_path / "h.csv"), "columns": list(assays), "dates": DATES}
    settings = {
        "library": {"path": str(tmp_path / "library"), "history": history},
        "model": {"families": ["linear"]},
        "stopping": {"rule": "none", "max_rounds": 2},
        "simulation": {"date": began} if began else {},
    }
    run = simulate(make_config(**settings), tmp_path / "run")
    said = status_of(CampaignStore.open(run.path)).warnings
    assert [words.split(", and")[0] for words in said] == [
        f"the assay {name!r} (block 'history') is of 2011-06-01" for name in younger
    ]


def test_in_a_laboratory_the_screen_began_with_its_first_event(make_config, compounds, tmp_path):
    table = pyarrow.csv.read_csv(compounds)
    scores = pa.array(np.random.default_rng(0).normal(size=900))
    pyarrow.csv.write_csv(pa.table({"name": table["name"], "late": scores}), tmp_path / "h.csv")
    history = {"source": str(tmp_path / "h.csv"), "columns": ["late"], "dates": {"late": "2999-01-01"}}
    settings = {
        "library": {"path": str(tmp_path / "library"), "history": history},
        "labels": {"classes": ["BBB+", "BBB-"]},
        "model": {"families": ["linear"]},
    }
    campaign = Campaign.create(tmp_path / "run", make_config(**settings))
    truth = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    campaign.tell({name: truth[name] for name in campaign.ask().ids})
    campaign.ask()
    assert any("'late' (block 'history') is of 2999-01-01" in line for line in campaign.status().warnings)


def test_a_day_that_is_none_is_refused(make_config):
    with pytest.raises(ConfigError, match="is no day; write it as 2024-05-31"):
        make_config(simulation={"date": "31.5.2024"})
