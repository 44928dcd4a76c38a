"""A campaign from its configuration to its hybrid screen, in process, on real compounds."""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from isd_ray.campaign.setup import begin_or_resume, campaign_id
from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.config import CampaignConfig
from isd_ray.config_file import load_config, parse_config
from isd_ray.core.bounds import kl_lower_bound
from isd_ray.errors import CorruptFileError, LibraryError, StoreError
from isd_ray.models.committee import committee_hash
from isd_ray.models.resmlp_family import ResMLPFamily
from isd_ray.ops.prepare import prepare
from isd_ray.ops.simulate import fraction_reaching, simulate
from isd_ray.ops.verify import verify
from isd_ray.storage.files import put_if_absent

TIMES = ["fit_seconds", "score_seconds", "round_seconds"]


class Recorder(Watcher):
    """Keeps the messages, and may break off at a state of the loop."""

    def __init__(self, stop_at: tuple[int, str] | None = None) -> None:
        self.messages: list[str] = []
        self._stop_at = stop_at

    def message(self, text: str) -> None:
        self.messages.append(text)

    def step(self, name, progress) -> None:
        self.messages.extend(progress.warnings)
        if (progress.round, progress.state) == self._stop_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def screen(make_config, tmp_path_factory):
    return simulate(make_config(), tmp_path_factory.mktemp("screen") / "run")


@pytest.fixture(scope="module")
def truth(compounds) -> dict[str, str]:
    table = pa.csv.read_csv(compounds)
    return dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))


def test_the_hybrid_screen_reconciles_with_the_library_line_by_line(screen, truth):
    hybrid = screen.hybrid.to_pylist()
    assert [line["id"] for line in hybrid] == list(truth)
    assert [line["row"] for line in hybrid] == list(range(len(truth)))
    measured = [line for line in hybrid if line["source"] == "measured"]
    predicted = [line for line in hybrid if line["source"] == "predicted"]
    assert len(measured) + len(predicted) == len(truth)
    assert all(line["label"] == truth[line["id"]] for line in measured)
    assert all(line["committee_hash"] and 0.5 <= line["confidence"] <= 1.0 for line in predicted)
    assert all(line["confidence"] is None and line["role"] for line in measured)
    right = sum(line["label"] == truth[line["id"]] for line in hybrid)
    assert screen.summary["system_accuracy"] == pytest.approx(right / len(truth))
    assert (len(measured), len(predicted)) == (screen.summary["n_acquired"], screen.summary["n_predicted"])


def test_measured_lines_say_when_and_why(screen):
    batches = {}
    for file in sorted(screen.path.glob("rounds/*/attempt-*/batch.parquet")):
        number = int(file.parts[-3])
        batches |= {line["row"]: (number, line["role"]) for line in pq.read_table(file).to_pylist()}
    measured = [line for line in screen.hybrid.to_pylist() if line["source"] == "measured"]
    assert {line["row"]: (line["round"], line["role"]) for line in measured} == batches


def test_the_numbers_of_a_round_follow_from_its_batch(screen, truth):
    for row in screen.rounds.to_pylist():
        assert row["n_observed"] + row["n_inference"] == len(truth)
        assert row["n_acquired"] == row["n_observed"] + row["n_batch"]
        if not row["round"]:
            assert row["alpha"] is None
            continue
        [file] = screen.path.glob(f"rounds/{row['round']:05d}/attempt-*/batch.parquet")
        batch = pq.read_table(file).to_pylist()
        right = sum(truth[line["id"]] == ["BBB+", "BBB-"][int(line["prediction"])] for line in batch)
        assert row["batch_accuracy"] == pytest.approx(right / len(batch))
        assert row["alpha"] == kl_lower_bound(right / len(batch), len(batch), 0.05)
        bound = (row["n_acquired"] + row["alpha"] * (len(truth) - row["n_acquired"])) / len(truth)
        assert row["system_bound"] == pytest.approx(bound)
        assert (row["decision"] == "stop") == (bound > 0.9)


def test_the_batch_is_the_least_confident_of_the_inference_set(screen, truth):
    """The scores of the acquired rows are at least those of every row that the delivered model left."""
    [file] = screen.path.glob(f"rounds/{screen.summary['stopped_at_round']:05d}/attempt-*/batch.parquet")
    lowest = min(pq.read_table(file)["score"].to_pylist())
    left = [line["uncertainty"] for line in screen.hybrid.to_pylist() if line["source"] == "predicted"]
    assert max(left) <= lowest


def test_the_delivered_committee_is_stored_and_named_by_its_hash(screen):
    [line, *_] = [line for line in screen.hybrid.to_pylist() if line["source"] == "predicted"]
    folder = next(screen.path.glob(f"rounds/{screen.summary['stopped_at_round']:05d}/attempt-*/committee"))
    members = [load_file(file) for file in sorted(folder.glob("*.safetensors"))]
    assert len(members) == 2
    assert committee_hash(members) == line["committee_hash"]


def test_the_resolved_configuration_is_stored_and_runs_again(screen, make_config):
    assert load_config(screen.path / "config.toml") == make_config()
    manifest = json.loads((screen.path / "campaign.json").read_text())
    assert CampaignConfig.model_validate(manifest["config"]) == make_config()


def test_the_report_is_one_file_that_names_the_heuristic(screen):
    page = (screen.path / "report.html").read_text()
    assert "heuristic" in page
    assert "Content-Security-Policy" in page
    assert f"{screen.summary['n_acquired']:,}" in page


@pytest.mark.parametrize("state", ["score", "release", "measure", "decide", "fit", "deliver"])
def test_a_run_that_was_cut_off_continues_to_the_same_end(state, screen, make_config, tmp_path):
    at = screen.summary["stopped_at_round"] if state == "deliver" else 2
    with pytest.raises(KeyboardInterrupt):
        simulate(make_config(), tmp_path / "run", Recorder(stop_at=(at, state)))
    resumed = simulate(make_config(), tmp_path / "run")
    assert resumed.rounds.drop(TIMES).equals(screen.rounds.drop(TIMES))
    assert resumed.hybrid.equals(screen.hybrid)
    assert {**resumed.summary, "seconds": 0} == {**screen.summary, "seconds": 0}


def test_a_frozen_batch_that_was_altered_is_found_when_the_run_continues(make_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        simulate(make_config(), tmp_path / "run", Recorder(stop_at=(2, "fit")))
    [file] = tmp_path.glob("run/rounds/00001/attempt-*/batch.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(CorruptFileError, match=r"00001.*batch.parquet"):
        simulate(make_config(), tmp_path / "run")


def test_a_model_never_sees_a_label_of_its_own_batch(make_config, tmp_path, monkeypatch):
    """What fit receives in round t are the batches of rounds before t, and nothing else."""
    sizes = []
    original = ResMLPFamily.fit

    def spy(self, data, **arguments):
        sizes.append((len(data.features), len(data.labels)))
        return original(self, data, **arguments)

    monkeypatch.setattr(ResMLPFamily, "fit", spy)
    rounds = simulate(make_config(model={"members": 1}), tmp_path / "run").rounds.to_pylist()
    assert sizes == [(row["n_observed"],) * 2 for row in rounds[1:]]


def test_without_a_rule_the_screen_runs_to_its_fraction_and_fits_once_more(make_config, tmp_path):
    config = make_config(stopping={"rule": "none", "max_fraction": 0.4})
    result = simulate(config, tmp_path / "run")
    last = result.rounds.to_pylist()[-1]
    assert (last["n_observed"], last["n_batch"], last["decision"]) == (360, 0, "stop")
    assert result.summary["accuracy_claimed"] is None
    assert result.summary["certified"] is False
    assert result.summary["system_accuracy"] == pytest.approx(last["system_accuracy"])


def test_going_on_after_the_stop_keeps_the_stop_and_its_hybrid_screen(screen, make_config, tmp_path):
    config = make_config(stopping={"continue_after_stop": True})
    result = simulate(config, tmp_path / "run")
    assert result.summary["stopped_at_round"] == screen.summary["stopped_at_round"]
    assert result.hybrid.drop(["campaign_id"]).equals(screen.hybrid.drop(["campaign_id"]))
    assert result.rounds["n_acquired"].to_pylist()[-1] == 900


def test_random_rows_are_drawn_and_stay_out_of_the_bound(make_config, tmp_path):
    config = make_config(acquisition={"random_share": 0.25}, stopping={"max_fraction": 0.4, "rule": "none"})
    rounds = simulate(config, tmp_path / "run").rounds.to_pylist()
    assert [row["n_random"] for row in rounds] == [0, 30, 30, 0]
    [file] = tmp_path.glob("run/rounds/00001/attempt-*/batch.parquet")
    roles = pq.read_table(file)["role"].to_pylist()
    assert (roles.count("random"), roles.count("top")) == (30, 90)
    assert rounds[1]["alpha"] == kl_lower_bound(rounds[1]["batch_accuracy"], 90, 0.05)


def test_until_two_classes_are_seen_the_batch_is_random_with_a_warning(compounds, tmp_path, make_config):
    table = pa.csv.read_csv(compounds)
    rare = ["rare" if number == 17 else "common" for number in range(table.num_rows)]
    pa.csv.write_csv(table.append_column("rare", pa.array(rare)), tmp_path / "rare.csv")
    config = make_config(
        labels={"source": str(tmp_path / "rare.csv"), "column": "rare"},
        acquisition={"batch_size": 20},
        stopping={"rule": "none", "max_fraction": 0.1},
    )
    recorder = Recorder()
    result = simulate(config, tmp_path / "run", recorder)
    rounds = result.rounds.to_pylist()
    assert any("one class" in message for message in recorder.messages)
    assert rounds[1]["n_random"] == 20
    assert rounds[1]["alpha"] is None
    hybrid = result.hybrid
    assert set(hybrid["label"].to_pylist()) == {"common"}
    assert set(hybrid["confidence"].to_pylist()) == {None}


def test_measuring_everything_predicts_nothing(make_config, tmp_path):
    config = make_config(acquisition={"batch_size": 450}, stopping={"rule": "none"})
    result = simulate(config, tmp_path / "run")
    assert result.summary["certified"] is True
    assert set(result.hybrid["source"].to_pylist()) == {"measured"}


def test_small_batches_that_cannot_certify_early_are_warned_about(make_config, tmp_path):
    config = make_config(acquisition={"batch_size": 50}, stopping={"gamma": 0.99, "max_fraction": 0.06})
    recorder = Recorder()
    simulate(config, tmp_path / "run", recorder)
    assert any("cannot stop before 83% of the target set" in message for message in recorder.messages)


@pytest.mark.parametrize("function", ["margin", "entropy", "vote_entropy", "bald", "random", "in_order"])
def test_every_acquisition_function_runs_a_screen(function, make_config, tmp_path):
    config = make_config(
        acquisition={"function": function, "dropout_samples": 3}, stopping={"rule": "none", "max_fraction": 0.3}
    )
    assert simulate(config, tmp_path / "run").rounds.num_rows == 4


def test_in_order_follows_its_column(make_config, compounds, tmp_path):
    config = make_config(
        acquisition={"function": "in_order", "column": "size", "descending": True},
        stopping={"rule": "none", "max_fraction": 0.4},
    )
    result = simulate(config, tmp_path / "run")
    sizes = pa.csv.read_csv(compounds)["size"].to_numpy()
    files = sorted(result.path.glob("rounds/*/attempt-*/batch.parquet"))
    first, second = (sizes[pq.read_table(file)["row"].to_numpy()] for file in files[1:3])
    assert (np.diff(first) <= 0).all()
    assert first.min() >= second.max()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            "gap",
            r"2 compounds have no finite number in the column 'gap', and [^:]*: 'C0017', 'C0020'",
        ),
        ("bbb", r"the column 'bbb' holds text, not numbers"),
    ],
)
def test_a_column_that_gives_no_order_is_refused_before_the_first_round(column, said, make_config, compounds, tmp_path):
    table = pa.csv.read_csv(compounds)
    gap = [None if row in (17, 20) else float(row) for row in range(900)]
    pa.csv.write_csv(table.append_column("gap", pa.array(gap)), tmp_path / "gap.csv")
    library = {"source": str(tmp_path / "gap.csv"), "path": str(tmp_path / "library"), "columns": ["gap", "bbb"]}
    config = make_config(library=library, acquisition={"function": "in_order", "column": column})
    with pytest.raises(LibraryError, match=said):
        simulate(config, tmp_path / "run")
    assert not CampaignStore.exists(tmp_path / "run")


def test_a_regression_reports_errors_and_accuracy_within_its_tolerance(make_config, regression, compounds, tmp_path):
    result = simulate(make_config(**regression), tmp_path / "run")
    sizes = pa.csv.read_csv(compounds)["size"].to_numpy()
    hybrid = result.hybrid
    errors = np.abs(hybrid["value"].to_numpy() - sizes)
    assert result.summary["system_accuracy"] == pytest.approx((errors <= 4.0).mean())
    assert set(hybrid["label"].to_pylist()) == {None}
    last = result.rounds.to_pylist()[-1]
    assert last["system_mse"] == pytest.approx(last["inference_mse"] * last["n_inference"] / 900)


def test_images_and_ten_classes_from_parquet(tmp_path):
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 10, 600)
    images = np.clip(rng.normal(60, 20, (600, 64)) + 120 * (np.arange(64) % 10 == digits[:, None]), 0, 255)
    column = pa.FixedSizeListArray.from_arrays(pa.array(images.astype(np.uint8).ravel()), 64)
    pq.write_table(pa.table({"image": column, "digit": digits}), tmp_path / "digits.parquet")
    config = parse_config(
        {
            "library": {
                "source": str(tmp_path / "digits.parquet"),
                "smiles_column": None,
                "duplicates": "keep",
                "features": {"kind": "dense", "column": "image", "width": 64, "dtype": "uint8", "scale": 1 / 255},
                "block_rows": 64,
                "split": {"fractions": [0.7, 0.15, 0.15]},
            },
            "labels": {"column": "digit"},
            "validation": {"source": "external"},
            "model": {"hidden_size": 32, "epochs": 30, "residual_blocks": 1, "batch_size": 32},
            "acquisition": {"batch_size": 80},
            "stopping": {"gamma": 0.9},
            "compute": {"backend": "local"},
        }
    )
    result = simulate(config, tmp_path / "run")
    assert result.summary["n_target"] == 420
    assert result.summary["system_accuracy"] > 0.95
    assert result.rounds["test_accuracy"].to_pylist()[-1] > 0.8


def test_put_if_absent_creates_once_and_leaves_nothing_behind(tmp_path):
    assert put_if_absent(tmp_path / "a.json", b"first")
    assert not put_if_absent(tmp_path / "a.json", b"second")
    assert (tmp_path / "a.json").read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_second_coordinator_loses_the_decision(screen, tmp_path):
    store = CampaignStore.create(tmp_path / "c", {"campaign_id": "x"})
    store.commit(0, {"round": 0, "decision": "continue"})
    with pytest.raises(StoreError, match="another process asked at the same time"):
        store.commit(0, {"round": 0, "decision": "stop"})


def test_events_form_a_hash_chain(screen):
    from isd_ray.storage.files import sha256_file

    files = sorted((screen.path / "events").iterdir())
    for before, file in pairwise(files):
        assert json.loads(file.read_text())["previous_sha256"] == sha256_file(before)


def test_the_share_that_reaches_an_accuracy_is_interpolated():
    rounds = [
        {"fraction_acquired": x, "system_accuracy": y, "n_acquired": 30, "n_observed": 20, "n_inference": 80}
        for x, y in ((0.0, None), (0.1, 0.8), (0.2, 0.9))
    ]
    assert fraction_reaching(rounds, 0.7) == 0.1
    assert fraction_reaching(rounds, 0.85) == pytest.approx(0.15)
    assert fraction_reaching(rounds, 0.95) == pytest.approx(0.6)
    rounds[-1]["delivered_accuracy"] = 0.96
    assert fraction_reaching(rounds, 0.95) == pytest.approx(0.2 + 0.1 * 5 / 6)


@pytest.mark.parametrize(("version", "words"), [(99, "newer"), (1, "development version")])
def test_a_campaign_of_another_version_is_refused(version, words, screen, tmp_path):
    manifest = json.loads((screen.path / "campaign.json").read_text())
    (tmp_path / "campaign.json").write_text(json.dumps({**manifest, "schema_version": version}))
    with pytest.raises(StoreError, match=words):
        CampaignStore.open(tmp_path)


def test_a_simulation_has_a_status_and_is_sound(screen):
    store = CampaignStore.open(screen.path)
    status = status_of(store)
    assert status.state == "ended"
    assert {name: n for name, n in status.counts.items() if n} == {
        "OBSERVED": screen.summary["n_acquired"],
        "INFERENCE": screen.summary["n_predicted"],
    }
    assert verify(store).problems == ()


@pytest.fixture
def begun_earlier(make_config, tmp_path):
    """A campaign that an earlier version began, which knew neither hit calling nor a key of the stopping rule, nor
    any family of models but one, nor blocks of features."""
    config = make_config(stopping={"rule": "none", "max_fraction": 0.3})
    setup = prepare(config, tmp_path / "run", Watcher())
    manifest = json.loads((begin_or_resume(setup).path / "campaign.json").read_text())
    del manifest["config"]["hits"], manifest["config"]["stopping"]["reserve_audit"]
    for key in ("families", "mixing", "blocks", "exclude", "options"):
        del manifest["config"]["model"][key]
    del manifest["blocks"]
    manifest["campaign_id"] = campaign_id(manifest["config"], manifest["library_hash"], setup.labels_hash)
    manifest["software"]["isd_ray"] = "0.0.9"
    (tmp_path / "run" / "campaign.json").write_text(json.dumps(manifest))
    return config, tmp_path / "run", manifest


def test_a_campaign_of_an_earlier_version_goes_on_with_the_defaults_of_new_keys(begun_earlier):
    config, path, manifest = begun_earlier
    assert simulate(config, path).summary["fraction_acquired"] == pytest.approx(0.3, abs=0.01)
    store = CampaignStore.open(path)
    assert store.manifest == manifest
    noted = [event["versions"]["isd_ray"] for event in store.events() if event["kind"] == "software"]
    assert noted == [version("isd_ray")]


def test_it_does_not_go_on_with_another_value_of_a_new_key_or_other_labels(begun_earlier, make_config):
    config, path, _ = begun_earlier
    other = config.model_copy(update={"stopping": config.stopping.model_copy(update={"reserve_audit": True})})
    with pytest.raises(StoreError, match=r"stopping\.reserve_audit"):
        simulate(other, path)
    setup = prepare(config, path, Watcher())
    setup.labels.labels[0] = 1 - setup.labels.labels[0]
    with pytest.raises(StoreError, match="its labels"):
        begin_or_resume(setup)
