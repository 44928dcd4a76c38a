"""What calls from Python may be given: what is meant is taken, anything else is an error that says what may be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

import isd_ray as isd
from isd_ray.campaign.intake import ReadAs
from isd_ray.campaign.watcher import Watcher
from isd_ray.config_file import load_config, to_toml
from isd_ray.errors import ConfigError, InputFileError, LabelError, OutputFileError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.telling import Telling, Told
from isd_ray.remote.attached import AttachedCampaign
from tests.unit.attached_helpers import InThisProcess, running

LABORATORY = {
    "labels": {"column": "bbb", "classes": ["BBB+", "BBB-"]},
    "model": {"hidden_size": 8, "epochs": 1, "members": 1},
    "acquisition": {"batch_size": 60},
    "stopping": {"rule": "none", "max_rounds": 2},
}


@pytest.fixture(params=["here", "attached", "served"])
def campaign(request, make_config, tmp_path, tmp_path_factory):
    """A campaign whose first batch is out, also as a coordinator does its verbs, and as a service hands them on."""
    made = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    made.ask()
    if request.param == "here":
        yield made
    elif request.param == "attached":
        campaign_id = made.store.manifest["campaign_id"]
        yield AttachedCampaign(InThisProcess(made.path), str(made.path), campaign_id, made.config, Watcher())
    else:
        folder = tmp_path_factory.mktemp("service")
        with running({"run": made.path}, folder / "token", folder / "scratch") as service:
            yield isd.attach("run", service.url, token=(folder / "token").read_text())


def test_a_configuration_may_be_the_path_of_its_file(make_config, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(to_toml(make_config(**LABORATORY)))
    assert isd.simulate(str(file), tmp_path / "simulated").summary["n_target"] == 900
    assert Campaign.create(tmp_path / "created", file).config == make_config(**LABORATORY)
    for call in (
        lambda: isd.simulate({"name": "x"}, tmp_path / "run"),
        lambda: isd.compare(None, tmp_path / "run"),
        lambda: Campaign.create(tmp_path / "run", make_config),
        lambda: isd.submit(3, address="http://127.0.0.1:1", out="x"),
    ):
        with pytest.raises(ConfigError, match=r"is no configuration\n.*the path of a campaign file"):
            call()
    with pytest.raises(ConfigError, match="no such file"):
        isd.simulate(tmp_path / "absent.toml", tmp_path / "run")


def test_one_override_may_stand_alone(make_config, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(to_toml(make_config(**LABORATORY)))
    assert load_config(file, "model.epochs=3").model.epochs == 3
    assert isd.CampaignConfig.from_toml(file, "model.epochs=3") == load_config(file, ["model.epochs=3"])


@pytest.mark.parametrize(
    "readouts",
    [None, ["BBB+"], 4, pd.Series(["BBB+"]), np.zeros(3)],
    ids=["None", "list", "int", "Series", "array"],
)
def test_readouts_that_are_no_table_are_refused_with_what_may_be_given(campaign, readouts):
    said = rf"no readouts can be taken from a {type(readouts).__name__}.*\n.*a pandas frame, or a mapping from id"
    for take_in in (campaign.tell, campaign.preview):
        with pytest.raises(LabelError, match=said):
            take_in(readouts)
    with pytest.raises(LabelError, match=said):
        campaign.run(lambda batch: readouts)


@pytest.mark.parametrize("verb", ["tell", "preview"])
def test_how_readouts_are_to_be_read_is_heard_wherever_they_are_told(verb, campaign, monkeypatch):
    words = {"plate": "P1", "assay": "herg", "value": "signal", "well": "position", "shape": "long", "read": "450 nm"}
    heard = []

    def take_in(telling, readouts, *, external, said):
        heard.append((external, said))
        return Told(0, 0, 0, (), 0)

    monkeypatch.setattr(Telling, verb, take_in)
    getattr(campaign, verb)({"C0000": "BBB+"}, external=True, **words)
    assert heard == [(True, ReadAs(**words))]


def test_ids_may_be_numbers_and_one_may_stand_alone(campaign):
    first, second, third, *_ = campaign.batch().ids
    assert campaign.fail(first, "spilt") == 1
    assert campaign.exclude(second, "not to be had") == 1
    assert campaign.include("C0000" if third != "C0000" else third, "wanted") == 1
    with pytest.raises(LabelError, match="1 compounds are not in the library: '7'"):
        campaign.fail([7], "spilt")


def test_a_mapping_may_have_numbers_for_ids(compounds, make_config, tmp_path):
    table = pa.csv.read_csv(compounds)
    numbered = tmp_path / "numbered.csv"
    pa.csv.write_csv(table.set_column(0, "name", pa.array(range(len(table)))), numbered)
    config = make_config(**LABORATORY, library={"source": str(numbered), "path": str(tmp_path / "library")})
    campaign = Campaign.create(tmp_path / "run", config)
    ids = campaign.ask().ids
    told = campaign.tell({int(name): "BBB+" for name in ids})
    assert (told.n_new, told.n_missing) == (len(ids), 0)


def test_errors_name_what_was_told_and_not_the_copy_that_was_read(campaign, tmp_path):
    with pytest.raises(LabelError, match=r"^the mapping: none of 1 lines") as refused:
        campaign.tell({"nobody": "BBB+"})
    assert "parquet" not in str(refused.value)
    with pytest.raises(InputFileError, match=r"^the table: neither ids"):
        campaign.tell(pa.table({"who": ["C0000"], "bbb": ["BBB+"]}))
    file = tmp_path / "day1.csv"
    file.write_text("who,bbb\nC0000,BBB+\n")
    with pytest.raises(InputFileError) as refused:
        campaign.preview(file)
    assert str(refused.value).startswith(f"{file}: ")
    with pytest.raises(LabelError, match=r"none of 1 lines") as refused:
        campaign.tell(write_line(file, "name,bbb", "nobody,BBB+"))
    assert refused.value.where == "day1.csv"


def write_line(file, *lines):
    file.write_text("\n".join((*lines, "")))
    return file


def test_what_an_attached_campaign_writes_here_meets_the_same_errors(campaign, tmp_path):
    with pytest.raises(isd.IsdError, match="cannot be written"):
        campaign.report(tmp_path / "nodir" / "report.html")
    with pytest.raises(OutputFileError, match=r"'.pdf' is no ending of a report.*\n.*name it report.html; a br"):
        campaign.report(tmp_path / "report.pdf")
    campaign.report(tmp_path / "report.html")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "report.html"}
