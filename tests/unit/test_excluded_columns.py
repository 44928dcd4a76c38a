"""Models see the columns that are left: a name means the column that bears it, and what excludes nothing is refused."""

from __future__ import annotations

import numpy as np
import pytest

from isd_ray.campaign import families
from isd_ray.campaign.families import SeenBlocks, block_hashes, excluded_as_begun, with_assays_excluded
from isd_ray.campaign.setup import begin_or_resume, blocks_for
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import ModelConfig
from isd_ray.config.patterns import chosen, literal
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, InputFileError
from isd_ray.messages import WorkerSpec
from isd_ray.ops.prepare import prepare
from tests.unit.blocks_helpers import N, add_values, build

COLUMNS = ("conc[0]", "conc[1]", "conc1", "score")


@pytest.fixture
def library(tmp_path):
    values = np.random.default_rng(0).normal(size=(N, len(COLUMNS)))
    return add_values(build(tmp_path), "brought", values, COLUMNS)


@pytest.mark.parametrize(
    ("patterns", "meant"),
    [
        (["conc[1]"], ["conc[1]"]),
        (["conc[12]"], ["conc1"]),
        (["conc*"], ["conc[0]", "conc[1]", "conc1"]),
        (["score", "conc[0]"], ["conc[0]", "score"]),
    ],
)
def test_a_pattern_means_its_namesake_or_else_what_it_matches(library, patterns, meant):
    assert chosen(patterns, COLUMNS) == meant
    seen = SeenBlocks(ModelConfig(families=("linear",), exclude=literal(patterns, COLUMNS)), ["brought"], library)
    assert seen.columns("brought") == tuple(name for name in COLUMNS if name not in meant)


def test_a_campaign_of_an_earlier_version_sees_what_it_saw_and_a_new_one_goes_on_with_what_is_said(
    library, make_config
):
    """Names with brackets were wildcards: the stored `conc[1]` had left `conc1` out, and no namesake."""
    said = make_config(model={"families": ["linear"], "exclude": ["conc[1]"]})
    seen = SeenBlocks(said.model, ["brought"], library)
    assert seen.columns("brought") == ("conc[0]", "conc[1]", "score")
    began = with_assays_excluded(said, library).model
    assert SeenBlocks(began, ["brought"], library).columns("brought") == ("conc[0]", "conc1", "score")
    assert excluded_as_begun(said.model, began) == began.exclude != said.model.exclude
    assert excluded_as_begun(said.model, said.model) == said.model.exclude
    other = make_config(model={"families": ["linear"], "exclude": ["conc[2]"]}).model
    assert excluded_as_begun(other, began) == other.exclude


def test_an_assay_with_brackets_and_its_hits_are_what_the_campaign_began_with():
    said = ModelConfig(families=("linear",), exclude=("IC50 [uM]",))
    began = said.model_copy(update={"exclude": literal(["IC50 [uM]", "IC50 [uM]:hit"], ["IC50 [uM]", "IC50 [uM]:hit"])})
    assert excluded_as_begun(said, began) == began.exclude
    more = began.model_copy(update={"exclude": (*began.exclude, "other:hit")})
    assert excluded_as_begun(said, more) == said.exclude


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"blocks": ["brought"], "exclude": ["*"]},
            "it leaves no column of 'brought', and model.blocks names no other",
        ),
        ({"options": {"linear": {"blocks": ["brought"]}}, "exclude": ["*"]}, "and model.linear.blocks names no other"),
        ({"options": {"linear": {"blocks": ["nope"]}}}, "^model.linear.blocks: the library has no block 'nope'"),
        ({"blocks": ["nope"]}, "^model.blocks: the library has no block 'nope'"),
    ],
)
def test_blocks_without_columns_or_that_are_not_there_are_refused_by_their_key(library, settings, words):
    model = ModelConfig.model_validate({"families": ["linear"], **settings})
    with pytest.raises(ConfigError, match=words):
        block_hashes(model, None, library)


def test_a_family_does_without_the_one_of_its_blocks_that_is_left_empty(library, make_config, monkeypatch):
    table = {"blocks": ["fingerprints", "brought"]}
    config = make_config(model={"families": ["linear"], "linear": table, "exclude": ["*"]})
    spec = WorkerSpec(
        config, {"target": library.address}, ("a", "b"), (), blocks=dict.fromkeys(library.block_names, "")
    )
    seen = SeenBlocks(config.model, spec.blocks, library)
    asked = []
    monkeypatch.setattr(families, "family", lambda name, table, problem: asked.append(problem.names))
    families.models_of(spec, seen)
    assert asked == [("fingerprints",)]


def test_a_campaign_with_a_slip_in_what_it_excludes_does_not_begin_and_one_under_way_goes_on(make_config, tmp_path):
    settings = {"library": {"path": str(tmp_path / "library")}}
    prepare(make_config(**settings), tmp_path / "run", Watcher())
    library = Library.open(tmp_path / "library")
    add_values(library, "brought", np.ones((library.n_rows, 1)), ("score",))
    for exclude, words in ((["scroe*"], "did you mean 'score'"), (["score", "zzz"], "'zzz'; there are 'score'")):
        config = make_config(**settings, model={"families": ["linear"], "exclude": exclude})
        with pytest.raises(ConfigError, match=r"^model.exclude: no column of the library matches[\s\S]*" + words):
            prepare(config, tmp_path / "run", Watcher())
    model = {"families": ["linear"], "exclude": ["score"]}
    setup = prepare(make_config(**settings, model=model), tmp_path / "run", Watcher())
    begin_or_resume(setup)
    slip = make_config(**settings, model={**model, "exclude": ["score", "zzz"]})
    assert blocks_for(slip, (), Library.open(tmp_path / "library"), tmp_path / "run") == setup.spec.blocks


def test_the_day_of_an_assay_that_the_library_lacks_is_refused(make_config, compounds, tmp_path):
    history = {"source": str(compounds), "columns": ["size"]}
    settings = {"path": str(tmp_path / "library"), "history": history}
    prepare(make_config(library=settings), tmp_path / "run", Watcher())
    settings["history"] = {**history, "dates": {"sizes": "2020-01-01"}}
    with pytest.raises(InputFileError, match=r"history.dates: no assay matches 'sizes'[\s\S]*did you mean 'size'\?"):
        blocks_for(make_config(library=settings), (), Library.open(tmp_path / "library"), tmp_path / "run")
