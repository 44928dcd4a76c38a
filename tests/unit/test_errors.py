"""What goes wrong for users ends in one clear message, with the place and the remedy, and exit code 1.

Every case runs the command line on files of a small real campaign.
"""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import tomli_w

from isd_ray import cli, errors
from isd_ray.config_file import tomllib
from isd_ray.errors import IsdError


class Campaign:
    """Files of a campaign in a folder, to be spoilt, and the command to run it."""

    def __init__(self, folder: Path, compounds: Path, capsys) -> None:
        self.folder, self._capsys = folder, capsys
        self.table = pa.csv.read_csv(compounds).slice(0, 300)
        self.config = {
            "library": {
                "source": "compounds.csv",
                "path": "library",
                "id_column": "name",
                "features": "ecfp4",
                "block_rows": 64,
                "workers": 1,
            },
            "labels": {"column": "bbb"},
            "model": {"families": ["resmlp"], "hidden_size": 8, "epochs": 2},
            "acquisition": {"batch_size": 100},
            "stopping": {"gamma": 0.5},
            "compute": {"backend": "local"},
        }
        self.write()

    def write(self) -> None:
        pa.csv.write_csv(self.table, self.folder / "compounds.csv")

    def set(self, section: str, **values) -> None:
        self.config.setdefault(section, {}).update(values)

    def column(self, name: str, values) -> None:
        self.table = self.table.set_column(self.table.column_names.index(name), name, [values])
        self.write()

    def run(self, out: str = "run") -> tuple[int, str]:
        file = self.folder / "campaign.toml"
        file.write_text(tomli_w.dumps(self.config))
        return self.isd("simulate", str(file), "--out", str(self.folder / out))

    def isd(self, *arguments: str) -> tuple[int, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["isd", *arguments])
            patch.setattr(cli.live_console, "width", 2000)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return int(ended.value.code or 0), " ".join(self._capsys.readouterr().err.split())


@pytest.fixture
def campaign(tmp_path, compounds, capsys) -> Campaign:
    return Campaign(tmp_path, compounds, capsys)


def no_config(campaign):
    return campaign.isd("simulate", str(campaign.folder / "absent.toml"), "--out", "x")


def broken_toml(campaign):
    file = campaign.folder / "broken.toml"
    file.write_text("[library\n")
    return campaign.isd("simulate", str(file), "--out", "x")


def folder_for_config(campaign):
    return campaign.isd("simulate", str(campaign.folder), "--out", "x")


def cp1252_config(campaign):
    file = campaign.folder / "ansi.toml"
    file.write_text('[library]\n# µM\nsource = "x.csv"\n', encoding="cp1252")
    return campaign.isd("simulate", str(file), "--out", "x")


def override_without_a_section(campaign):
    return campaign.isd("library", "build", "compounds.csv", "--out", "x", "--set", "id_column")


def missing_file(campaign):
    (campaign.folder / "compounds.csv").unlink()


def empty_file(campaign):
    (campaign.folder / "compounds.csv").write_bytes(b"")


def no_valid_smiles(campaign):
    campaign.column("smiles", ["not a molecule"] * 300)


def duplicated_ids(campaign):
    campaign.column("name", ["same"] * 300)


def unset_variable(campaign):
    campaign.set("library", source="${NO_SUCH_FOLDER}/x.csv")


def label_column_missing(campaign):
    campaign.set("labels", column="bb")


def one_class(campaign):
    campaign.column("bbb", ["BBB+"] * 300)


def nan_labels(campaign):
    campaign.column("bbb", ["BBB+", "", *["BBB-"] * 298])


def labels_of_other_ids(campaign):
    pa.csv.write_csv(pa.table({"name": ["x", "y"], "bbb": ["BBB+", "BBB-"]}), campaign.folder / "other.csv")
    campaign.set("labels", source="other.csv")


def labels_missing_for_some(campaign):
    pa.csv.write_csv(campaign.table.slice(10), campaign.folder / "some.csv")
    campaign.set("labels", source="some.csv")


def continuous_labels(campaign):
    campaign.column("bbb", [number / 7 for number in range(300)])


def batch_too_large(campaign):
    campaign.set("acquisition", batch_size=301)


def gamma_of_one(campaign):
    campaign.set("stopping", gamma=1.0)


def unknown_hit(campaign):
    campaign.set("stopping", quantity="recall", positive="BBB")


def delta_of_zero(campaign):
    campaign.set("stopping", delta=0.0)


def unknown_key(campaign):
    campaign.set("model", member=3)


def unknown_function(campaign):
    campaign.set("acquisition", function="least_confidense")


def other_features(campaign):
    campaign.run()
    shutil.rmtree(campaign.folder / "run")
    campaign.set("library", features="light")


def other_options(campaign):
    campaign.run()
    shutil.rmtree(campaign.folder / "run")
    campaign.set("library", standardise=False, columns=["size"])


def other_source(campaign):
    campaign.run()
    shutil.rmtree(campaign.folder / "run")
    campaign.table = campaign.table.slice(0, 250)
    campaign.write()


def other_split(campaign):
    campaign.set("library", split={"fractions": [0.8, 0.1, 0.1]})
    campaign.run()
    shutil.rmtree(campaign.folder / "run")
    campaign.set("library", split={"fractions": [0.5, 0.1, 0.4]})


def budget_below_one(campaign):
    campaign.set("stopping", max_fraction=0.0005)


def altered_model(campaign):
    campaign.run()
    for name in ("summary.json", "delivered.json"):
        (campaign.folder / "run" / name).unlink()
    first, *_, last = sorted((campaign.folder / "run").glob("rounds/*/attempt-*/committee/member-000.safetensors"))
    shutil.copy(first, last)
    return campaign.run()


def altered_features(campaign):
    campaign.run()
    (campaign.folder / "run" / "summary.json").unlink()
    first, second, *_ = sorted((campaign.folder / "run").glob("rounds/*/attempt-*/features.arrow"))
    shutil.copy(first, second)
    return campaign.run()


def truncated_part(campaign):
    campaign.run()
    part = next((campaign.folder / "library" / "parts").iterdir())
    part.write_bytes(part.read_bytes()[:-100])
    return campaign.run("again")


def flipped_byte_in_part(campaign):
    campaign.run()
    part = next((campaign.folder / "library" / "parts").iterdir())
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    return campaign.run("again")


def other_finished_run(campaign):
    campaign.run()
    campaign.set("model", epochs=3)
    return campaign.run()


def other_campaign_in_folder(campaign):
    campaign.run()
    (campaign.folder / "run" / "summary.json").unlink()
    campaign.set("model", epochs=3)
    return campaign.run()


def changed_library(campaign):
    campaign.run()
    (campaign.folder / "run" / "summary.json").unlink()
    shutil.rmtree(campaign.folder / "library")
    campaign.table = campaign.table.slice(0, 299)
    campaign.write()
    return campaign.run()


def too_little_memory(campaign):
    campaign.set("compute", memory="64 MiB")


def no_gpu(campaign):
    campaign.set("compute", device="cuda")


def external_without_rows(campaign):
    campaign.set("validation", source="external")
    campaign.set("library", split={"fractions": [0.9, 0.0, 0.1]})


CASES = [
    (no_config, "ConfigError", "absent.toml: there is no such file .* `isd init`"),
    (broken_toml, "ConfigError", r"broken.toml: cannot be read as TOML.*line 1"),
    (folder_for_config, "ConfigError", r"this is a folder, not a file .*name the TOML file"),
    (cp1252_config, "ConfigError", r"ansi.toml: line 2 is not UTF-8 text .*save the file as UTF-8"),
    (override_without_a_section, "ConfigError", r"cannot read the override 'id_column' .*write it as KEY=VALUE"),
    (missing_file, "InputFileError", r"compounds.csv.*Remedy"),
    (empty_file, "InputFileError", r"compounds.csv.*empty.*Remedy"),
    (no_valid_smiles, "InputFileError", r"300.*does not parse.*Remedy"),
    (duplicated_ids, "InputFileError", r"'same'.*Remedy"),
    (unset_variable, "InputFileError", r"NO_SUCH_FOLDER.*Remedy"),
    (label_column_missing, "LabelError", r"'bb'.*bbb"),
    (one_class, "LabelError", r"only one class.*Remedy"),
    (nan_labels, "LabelError", r"line 3 \(id 'C0001'\).*by library.columns = \[\"bbb\"\] and library.required"),
    (labels_of_other_ids, "LabelError", r"'x', 'y'.*Remedy: set labels.id_column"),
    (labels_missing_for_some, "LabelError", r"10 compounds of the library have no label.*'C0000'"),
    (continuous_labels, "LabelError", r"line 3.*median"),
    (batch_too_large, "ConfigError", r"acquisition.batch_size: batch_size=301.*target set of 300"),
    (gamma_of_one, "ConfigError", r"stopping.gamma: Input should be less than 1 \(given: 1.0\)"),
    (delta_of_zero, "ConfigError", r"stopping.delta: Input should be greater than 0 \(given: 0.0\)"),
    (
        unknown_hit,
        "ConfigError",
        r"stopping.positive: the labels have no class 'BBB'; they have 'BBB\+', 'BBB-'",
    ),
    (unknown_key, "ConfigError", r"model.member: unknown key.*did you mean 'members'"),
    (unknown_function, "ConfigError", r"acquisition.function: .*did you mean 'least_confidence'"),
    (other_features, "LibraryError", r"library: the library was built with other features.*Remedy"),
    (other_options, "LibraryError", r"built otherwise.*library.standardise, library.columns \(size\).*Remedy"),
    (other_source, "LibraryError", r"built otherwise.*library.source.*Remedy"),
    (other_split, "LibraryError", r"this split was made from another library, or with other settings.*Remedy"),
    (budget_below_one, "ConfigError", r"stopping.max_fraction.*the budget pays for 0 of 300 compounds"),
    (altered_model, "CorruptFileError", r"committee: the stored model has hash .*Remedy"),
    (altered_features, "CorruptFileError", r"00001.*features.arrow: the file is missing or its bytes"),
    (truncated_part, "CorruptFileError", r"part-00000.arrow.*bytes instead of.*Remedy"),
    (flipped_byte_in_part, "CorruptFileError", r"part-00000.arrow: sha256.*Remedy"),
    (
        other_finished_run,
        "StoreError",
        r"run: a run with another conf.* is finished here.*model.epochs.*another folder",
    ),
    (other_campaign_in_folder, "StoreError", r"another campaign.*model.epochs.*Remedy"),
    (changed_library, "LibraryChangedError", r"library: the library has changed since the campaign began.*Remedy"),
    (too_little_memory, "ResourceError", r"compute.memory: the run may need .* GiB.*Remedy"),
    (no_gpu, "ResourceError", r"compute.device.*sees no CUDA device.*Remedy"),
    (external_without_rows, "LibraryError", r"library.split: the split leaves no validation rows"),
]


@pytest.mark.parametrize(("spoil", "kind", "message"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_mistake_is_told_with_place_and_remedy(campaign, spoil, kind, message):
    outcome = spoil(campaign) or campaign.run()
    code, text = outcome
    assert code == 1
    assert "Traceback" not in text
    assert re.search(f"{kind} .*{message}", text), text


def test_what_the_system_refuses_is_said_in_words_whatever_reads_it(campaign, monkeypatch):
    folder = campaign.folder / "run"
    (folder / "events").mkdir(parents=True)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(folder / "events"))

    monkeypatch.setattr("isd_ray.campaign.store.CampaignStore.open", refuse)
    code, text = campaign.isd("status", str(folder))
    assert code == 1
    assert text.startswith(f"StoreError {folder / 'events'}: cannot be read or written (Permission denied)")
    assert "nothing that is on record is lost" in text


def test_merged_duplicates_and_bad_lines_do_not_stop_a_screen(campaign):
    smiles = campaign.table["smiles"].to_pylist()
    campaign.column("smiles", ["nonsense", *smiles[1:150], smiles[1], *smiles[151:]])
    with pytest.MonkeyPatch.context() as patch:
        file = campaign.folder / "campaign.toml"
        file.write_text(tomli_w.dumps(campaign.config))
        patch.setattr("sys.argv", ["isd", "simulate", str(file), "--out", str(campaign.folder / "run")])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code
    rejects = pq.read_table(campaign.folder / "library" / "rejects.parquet").to_pylist()
    kept = pq.read_table(campaign.folder / "run" / "hybrid").num_rows
    assert kept + len(rejects) == 300
    assert {(row["line"], row["id"]) for row in rejects} >= {(2, "C0000"), (152, "C0150")}


@pytest.mark.parametrize("kind", [value for value in vars(errors).values() if isinstance(value, type)])
def test_errors_cross_process_borders_unchanged(kind):
    error = pickle.loads(pickle.dumps(kind("what", "where", "remedy")))  # noqa: S301
    assert isinstance(error, IsdError)
    assert (type(error), str(error)) == (kind, "where: what\n  Remedy: remedy")


def test_the_template_is_valid_and_complete(campaign, capsys):
    file = campaign.folder / "new.toml"
    assert campaign.isd("init", str(file))[0] == 0
    assert tomllib.loads(file.read_text())["acquisition"] == {"batch_size": 384}
    code, text = campaign.isd("init", str(file))
    assert code == 1
    assert "exists already" in text
