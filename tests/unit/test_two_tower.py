"""The two-tower head: outputs are known by their embeddings, and what is fitted is kept as a plain output layer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from isd_ray.config import ValidationConfig
from isd_ray.config_file import load_config
from isd_ray.core.panels import pack_labels, unpack
from isd_ray.core.predictions import predict
from isd_ray.data.output_embeddings import read_output_embeddings
from isd_ray.errors import ConfigError, InputFileError
from isd_ray.models.batches import Inputs, to_batch
from isd_ray.models.device import Placement
from isd_ray.models.fit import fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import Architecture, ResMLP, initial_weights
from isd_ray.models.two_tower import TwoTowerOutput
from isd_ray.ops.simulate import simulate
from tests.conftest import FRAGMENTS
from tests.unit.models_helpers import WIDTH, one_thread, random_bits, small_model, to_matrix  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")
K, D = 60, 8
ARCHITECTURE = Architecture("on_bits", WIDTH, K, hidden_size=32, residual_blocks=1, is_panel=True)


def related_outputs(seed=0):
    """Embeddings of K outputs around D centres, and labels that only the nearest centre decides."""
    rng = np.random.default_rng(seed)
    centre = np.arange(K) % D
    embeddings = (np.eye(D)[centre] + rng.normal(0, 0.1, (K, D))).astype(np.float32)

    def labels(features):
        return to_matrix(features)[:, centre].astype(np.int8)

    return embeddings, labels


def fit(features, labels, embeddings, epochs=25, **arguments):
    return fit_member(
        features,
        pack_labels(labels),
        task="panel",
        architecture=ARCHITECTURE,
        model=small_model(epochs=epochs),
        validation=ValidationConfig(),
        seed=3,
        output_embeddings=embeddings,
        **arguments,
    )


def accuracy(weights, features, labels):
    predictor = CommitteePredictor([weights], ARCHITECTURE)
    bits, _ = predict(predictor.outputs(features), "panel")
    return (unpack(bits, K) == labels).mean(axis=0)


def test_outputs_learn_from_their_neighbours():
    """Half of the outputs are never measured: only their embeddings can say what they are."""
    embeddings, labels_of = related_outputs()
    features, unseen = random_bits(600, seed=1), random_bits(300, seed=2)
    labels = labels_of(features)
    labels[:, K // 2 :] = -1
    tower, plain = (fit(features, labels, given).weights for given in (embeddings, None))
    assert accuracy(tower, unseen, labels_of(unseen))[K // 2 :].mean() > 0.9
    assert accuracy(plain, unseen, labels_of(unseen))[K // 2 :].mean() < 0.7


@pytest.mark.parametrize("bf16", [False, True])
def test_a_fitted_head_is_a_plain_output_layer(bf16):
    """Also its loss: what was validated while fitting is what the kept weights give."""
    embeddings, labels_of = related_outputs()
    features, held_out = random_bits(300, seed=1), random_bits(200, seed=4)
    placement, truth = Placement(bf16=bf16), labels_of(held_out)
    external = (held_out, pack_labels(truth))
    fitted = fit(features, labels_of(features), embeddings, epochs=4, external=external, placement=placement)
    assert {name: array.shape for name, array in fitted.weights.items()} == ARCHITECTURE.shapes()
    [ones] = CommitteePredictor([fitted.weights], ARCHITECTURE, placement).outputs(held_out).astype(float)
    loss = -np.log(np.where(truth == 1, ones, 1 - ones)).mean()
    assert fitted.validation_loss == pytest.approx(loss, rel=0.05 if bf16 else 1e-5)


def test_the_logits_are_scaled_inner_products_of_two_towers():
    embeddings, _ = related_outputs()
    rng = np.random.default_rng(0)
    network = ResMLP(ARCHITECTURE, initial_weights(ARCHITECTURE, rng), torch.float32)
    head = TwoTowerOutput(embeddings, 32, 0.01, rng, torch.float32)
    network.output = head
    with torch.no_grad():
        head.bias += torch.arange(K)
        batch = to_batch(Inputs(random_bits(5, seed=1)), torch.device("cpu"))
        compound = network.blocks[0](network.features(batch)).numpy()
        hidden = embeddings @ head.first.weight.numpy().T + head.first.bias.numpy()
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        gene = hidden @ head.second.weight.numpy().T + head.second.bias.numpy()
        expected = compound @ gene.T / np.sqrt(32) + np.arange(K)
        np.testing.assert_allclose(network(batch).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("embeddings", [np.zeros((K - 1, D)), np.zeros(K), np.full((K, D), np.inf)])
def test_embeddings_that_do_not_fit_are_refused(embeddings):
    features = random_bits(300, seed=1)
    with pytest.raises(ConfigError, match=r"are not one finite vector for each of 60 outputs"):
        fit(features, to_matrix(features)[:, :K].astype(np.int8), embeddings.astype(np.float32))


@pytest.fixture
def embeddings_file(tmp_path):
    def write(names, vectors, name="output"):
        pq.write_table(pa.table({name: names, "embedding": vectors}), tmp_path / "e.parquet")
        return "e.parquet"

    return write


def test_embeddings_are_read_by_name_and_scaled_to_directions(embeddings_file, tmp_path):
    file = embeddings_file(["c", "a", "x", "b"], [[0.0, 5.0], [3.0, 4.0], [1.0, 1.0], [-1.0, 1.0]])
    found = read_output_embeddings(file, ["a", "b", "c"], tmp_path)
    assert found.dtype == np.float32
    expected = np.array([[3, 4], [-1, 1], [0, 5]]) / np.sqrt([[12.5], [1.0], [12.5]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "vectors", "message"),
    [
        (["a"], [[1.0]], "1 outputs have no line or several: 'b'"),
        (["a", "b", "a"], [[1.0], [2.0], [3.0]], "1 outputs have no line or several: 'a'"),
        (["a", "b"], [[1.0, 2.0], [2.0]], "'b': wrong feature length: 1 instead of 2"),
        (["a", "b"], [[1.0], [0.0]], "'b': zero throughout"),
        (["a", "b"], [[1.0], [None]], "'b': non-finite"),
        (["a", "b"], ["1.0", "2.0"], "holds text, not vectors"),
    ],
)
def test_embeddings_that_cannot_be_used_are_named(names, vectors, message, embeddings_file, tmp_path):
    with pytest.raises(InputFileError, match=message):
        read_output_embeddings(embeddings_file(names, vectors), ["a", "b"], tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"head": "two-tower"}}, "go together"),
        ({"model": {"output_embeddings": "e.parquet"}}, "go together"),
        ({"task": "classification"}, "model.head='two-tower' is for task='panel'"),
    ],
)
def test_a_head_that_does_not_fit_the_campaign_is_refused(changes, message, make_config, panel):
    both = {"model": {"head": "two-tower", "output_embeddings": "e.parquet"}}
    start = {} if changes.get("task") else panel
    with pytest.raises(ConfigError, match=message):
        make_config(**{**start, **(both if "task" in changes else {}), **changes})


def test_the_file_of_embeddings_is_looked_for_beside_the_configuration(tmp_path):
    (tmp_path / "c.toml").write_text(
        'task = "panel"\n[library]\nsource = "x.csv"\n[labels]\ncolumns = ["*"]\n[acquisition]\nbatch_size = 5\n'
        '[model]\nhead = "two-tower"\noutput_embeddings = "map/genes.parquet"\n'
    )
    config = load_config(tmp_path / "c.toml")
    assert config.model.output_embeddings == str(tmp_path / "map" / "genes.parquet")


def test_a_campaign_with_a_two_tower_head_depends_on_the_embeddings_not_on_where_they_lie(tmp_path, make_config, panel):
    names = [f"has_{place:02d}" for place in range(len(FRAGMENTS) + 1)]
    vectors = np.random.default_rng(0).normal(size=(len(names), 3))

    def run(name, vectors):
        folder = tmp_path / name
        folder.mkdir()
        pq.write_table(pa.table({"output": names, "embedding": vectors.tolist()}), folder / "e.parquet")
        model = {"head": "two-tower", "output_embeddings": str(folder / "e.parquet")}
        config = make_config(**{**panel, "model": model, "stopping": {"rule": "none", "max_rounds": 2}})
        return simulate(config, folder / "run")

    first, second, other = run("a", vectors), run("b", vectors), run("c", vectors[::-1])
    assert first.summary["campaign_id"] == second.summary["campaign_id"] != other.summary["campaign_id"]
    hashes = [one.hybrid["committee_hash"].drop_null()[0].as_py() for one in (first, second, other)]
    assert hashes[0] == hashes[1] != hashes[2]
