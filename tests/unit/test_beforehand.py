"""What is wrong with a campaign is said before its library is built; a failed first run leaves no obstacle."""

from __future__ import annotations

import pytest

from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig, ModelConfig
from isd_ray.config_file import load_config, parse_config
from isd_ray.data.library import Library
from isd_ray.errors import ConfigError, IsdError, LabelError, LibraryError
from isd_ray.ops import beforehand
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.simulate import simulate


class Heard(Watcher):
    """What was said."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def in_its_folder(make_config):
    """A campaign whose library lies in its own folder."""

    def make(library=None, **changes):
        return make_config(library={"path": None, **(library or {})}, **changes)

    return make


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"acquisition": {"function": "foo"}}, "no acquisition function 'foo'"),
        ({"acquisition": {"function": "variance"}}, "is not for task = 'classification'"),
        ({"acquisition": {"function": "vote_entropy"}, "model": {"members": 1}}, "needs a committee"),
        ({"acquisition": {"function": "bald"}, "model": {"dropout": 0.0}}, "needs dropout"),
        ({"labels": {"column": "bb"}}, "'bb'"),
        ({"labels": {"id_column": "nmae"}}, "'nmae'"),
        ({"library": {"source": None, "path": "nowhere"}}, "there is no library here, and no source"),
        ({"task": "panel", "labels": {"column": None, "columns": ["has_*"]}}, "matches 'has_\\*'"),
    ],
    ids=str,
)
def test_a_simulation_is_refused_before_its_library_is_built(in_its_folder, tmp_path, changes, message):
    with pytest.raises(IsdError, match=message):
        simulate(in_its_folder(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stopping": {"rule": "certify", "quantity": "recall", "positive": "yes"}}, "no class 'yes'"),
        ({"acquisition": {"function": "foo"}}, "no acquisition function 'foo'"),
    ],
    ids=str,
)
def test_a_campaign_of_a_laboratory_is_refused_before_its_library_is_built(in_its_folder, tmp_path, changes, message):
    config = in_its_folder(labels={"column": "bbb", "classes": ["BBB+", "BBB-"]}, **changes)
    with pytest.raises(ConfigError, match=message):
        Campaign.create(tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def of_values(**tables) -> CampaignConfig:
    return parse_config(
        {
            "task": "regression",
            "library": {"source": "compounds.csv"},
            "labels": {"column": "size"},
            "acquisition": {"batch_size": 10},
            "stopping": {"tolerance": 0.5},
            **tables,
        }
    )


FAMILIES = {"families", "options"}
"""Keys that a campaign resolves by its task."""


def test_a_regression_has_a_committee_unless_it_says_otherwise():
    assert of_values().model.members == 5
    assert of_values(model={"epochs": 3}).model.members == 5
    assert of_values(model={"preset": "qm9"}).model.model_dump(exclude=FAMILIES) == ModelConfig(
        preset="qm9", members=5
    ).model_dump(exclude=FAMILIES)
    assert of_values(model={"preset": "molecules3d"}).model.members == 5
    assert of_values(model={"members": 2}).model.members == 2
    assert of_values(model=ModelConfig(members=1)).model.members == 1
    assert of_values(model=ModelConfig(epochs=3)).model.model_dump(exclude=FAMILIES) == ModelConfig(
        epochs=3, members=5
    ).model_dump(exclude=FAMILIES)
    assert of_values(task="classification", stopping={}).model.members == 1
    for key, value in (("model", 3), ("labels", 5), ("labels", "bbb.csv"), ("labels", ["bbb"])):
        for task in ("regression", "panel"):
            with pytest.raises(ConfigError, match=rf"{key}: Input should be a valid dictionary"):
                of_values(**{"task": task, key: value})


def test_a_regression_runs_with_its_defaults(compounds, in_its_folder, tmp_path, regression):
    config = in_its_folder(**{**regression, "stopping": {"rule": "none", "max_fraction": 0.2}})
    data = config.model_dump(mode="json", exclude_unset=True)
    del data["model"]["members"], data["acquisition"]["function"], data["acquisition"]["random_share"]
    found = parse_config(data)
    assert (found.acquisition_name, found.model.members) == ("variance", 5)
    assert simulate(found, tmp_path / "run").summary["n_acquired"] == 180


def test_a_library_is_never_removed_whoever_may_use_it(in_its_folder, tmp_path):
    run, split = tmp_path / "run", {"fractions": [0.8, 0.1, 0.1]}
    with pytest.raises(LabelError, match="no label"):
        simulate(in_its_folder({"id_column": "smiles", "split": split}, labels={"id_column": "name"}), run)
    before = Library.open(run / "library").hash
    with pytest.raises(LibraryError, match=r"built otherwise[\s\S]*library\.id_column[\s\S]*Remedy: remove it"):
        simulate(in_its_folder({"split": split}), run)
    with pytest.raises(LibraryError, match=r"this split was made[\s\S]*Remedy: remove the folder"):
        simulate(in_its_folder({"id_column": "smiles", "split": {"fractions": [0.7, 0.1, 0.2]}}), run)
    assert Library.open(run / "library").hash == before
    assert (run / "library-split" / "target").is_dir()


def test_places_that_the_library_does_not_keep_are_refused_before_it_is_built(make_config, tmp_path):
    labels, place = {"column": "bbb", "classes": ["BBB+", "BBB-"]}, {"path": str(tmp_path / "mine")}
    plates = {"source_plate_column": "size", "source_well_column": "tube"}
    config = make_config(library={**place, "columns": ["size"]}, labels=labels, plates=plates)
    with pytest.raises(ConfigError, match=r"plates.source_well_column: 'tube' (?s:.*)add it to `library.columns`"):
        Campaign.create(tmp_path / "run", config)
    assert not (tmp_path / "mine").exists()


def test_nobody_is_told_to_remove_the_library_of_a_campaign_that_was_begun(in_its_folder, tmp_path):
    labels = {"column": "bbb", "classes": ["BBB+", "BBB-"]}
    campaign = Campaign.create(tmp_path / "run", in_its_folder(labels=labels))
    with pytest.raises(LibraryError, match=r"begun here[\s\S]*library\.id_column\n  Remedy: choose another folder"):
        Campaign.create(tmp_path / "run", in_its_folder({"id_column": "smiles"}, labels=labels))
    assert len(campaign.ask()) == 120


def test_what_is_said_of_a_campaign_that_was_begun_has_no_effect_and_a_warning(make_config, tmp_path):
    run, labels = tmp_path / "run", {"column": "bbb", "classes": ["BBB+", "BBB-"]}
    for limit, n_warnings in ((60.0, 0), (60.0, 0), (90.0, 1)):
        heard = Heard()
        campaign = Campaign.create(run, make_config(labels=labels, compute={"call_timeout_s": limit}), heard)
        found = [text for text in heard.messages if "what is said now of compute.call_timeout_s has no effect" in text]
        assert len(found) == n_warnings
        in_force = campaign.config.compute.call_timeout_s
        assert in_force == load_config(run / "config.toml").compute.call_timeout_s == 60.0


def test_a_library_with_a_place_of_its_own_is_never_replaced(make_config, tmp_path):
    place = {"path": str(tmp_path / "mine")}
    labels = {"column": "bbb", "classes": ["BBB+", "BBB-"]}
    Campaign.create(tmp_path / "run", make_config(library=place, labels=labels))
    with pytest.raises(LibraryError, match="built otherwise"):
        Campaign.create(tmp_path / "other", make_config(library={**place, "id_column": "smiles"}, labels=labels))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"boosted": {"tres": 5}}, r"model\.boosted\.tres: unknown key[\s\S]*did you mean 'trees'"),
        ({"boosted": {"trees": "many"}}, r"model\.boosted\.trees: Input should be a valid integer"),
        ({"bosted": {"trees": 5}}, r"no family of models 'bosted'[\s\S]*did you mean 'boosted'"),
        ({"resmlp": {"epochs": 5}}, r"the keys of resmlp stand in \[model\] itself"),
        ({"families": []}, r"name at least one"),
    ],
)
def test_a_mistake_in_the_table_of_a_family_is_told_with_its_place(model, message):
    with pytest.raises(ConfigError, match=message):
        of_values(model=model)


def test_it_is_said_that_a_model_for_each_of_many_outputs_takes_long(make_config, panel, tmp_path, monkeypatch):
    panel["labels"] = {"column": None, "columns": [f"has_{place:02d}" for place in range(11)]}
    trees, network = (make_config(**panel, model={"families": families}) for families in (["boosted"], ["resmlp"]))
    assert beforehand.slow_words(trees.model, 50) is None
    monkeypatch.setattr(beforehand, "MANY_OUTPUTS", 10)
    told = {}
    for name, config in (("trees", trees), ("network", network)):
        told[name] = Heard()
        Campaign.create(tmp_path / name, config, told[name])
    words = "warning: 'boosted' will fit a model for each of the 11 outputs, so that rounds take long; model.families"
    assert [text.startswith(words) for text in told["trees"].messages if "each of the" in text] == [True]
    assert not any("each of the" in text for text in told["network"].messages)
