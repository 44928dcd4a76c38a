"""Claims about the network, its predictions, its files and its placement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isd_ray.config import DenseFeatures, Fingerprint, ModelConfig, OnBitFeatures
from isd_ray.core.features import Dense, OnBits
from isd_ray.errors import ConfigError, CorruptFileError, InputFileError, LibraryError, ResourceError
from isd_ray.models import device
from isd_ray.models.batches import Inputs, to_batch
from isd_ray.models.committee import committee_hash, load_member, save_member
from isd_ray.models.device import Placement, configure_threads, release_memory, resolve_placement
from isd_ray.models.dropout import DropoutStream
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import FIRST_WEIGHT, Architecture, ResMLP, initial_weights
from tests.unit.models_helpers import (
    WIDTH,
    fit_rule,
    from_matrix,
    has_rule_bit,
    one_thread,
    random_bits,
    small_architecture,
    small_model,
    to_matrix,
)

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures(one_thread.__name__)


def make_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    return initial_weights(architecture, np.random.default_rng(seed))


def as_dense(architecture: Architecture, weights: dict[str, np.ndarray]) -> tuple[Architecture, dict[str, np.ndarray]]:
    dense = Architecture("dense", architecture.width, architecture.n_outputs, 1.0, architecture.hidden_size,
                         architecture.residual_blocks, architecture.dropout)  # fmt: skip
    return dense, {**weights, FIRST_WEIGHT: weights[FIRST_WEIGHT].T.copy()}


def test_on_bit_network_equals_the_dense_one() -> None:
    architecture, bits = small_architecture(small_model()), random_bits(50, seed=0)
    weights = make_weights(architecture)
    dense_architecture, dense_weights = as_dense(architecture, weights)
    sparse = CommitteePredictor([weights], architecture).outputs(bits)
    dense = CommitteePredictor([dense_weights], dense_architecture).outputs(Dense(to_matrix(bits).astype(np.float32)))
    np.testing.assert_allclose(sparse, dense, atol=1e-5)
    assert sparse.std() > 0


@pytest.mark.parametrize("width", [WIDTH, 3000])
def test_on_bit_gradients_equal_the_dense_ones(width: int) -> None:
    """3,000 bits make more than one piece of the table; two passes must add up."""
    architecture, bits = small_architecture(small_model(), width=width), random_bits(40, seed=0, width=width)
    weights = make_weights(architecture)
    dense_architecture, dense_weights = as_dense(architecture, weights)
    sparse, dense = (
        ResMLP(architecture, weights, torch.float32),
        ResMLP(dense_architecture, dense_weights, torch.float32),
    )
    labels = torch.arange(40) % 2
    for _ in range(2):
        batches = to_batch(Inputs(bits), CPU, for_training=True), to_batch(Inputs(Dense(to_matrix(bits))), CPU)
        for network, batch in zip((sparse, dense), batches, strict=True):
            torch.nn.functional.cross_entropy(network(batch), labels).backward()
    torch.testing.assert_close(sparse.first.weight.grad, dense.first.weight.grad.T, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(sparse.first.bias.grad, dense.first.bias.grad, atol=1e-6, rtol=1e-4)


def test_network_is_the_one_of_the_paper() -> None:
    model = small_model(residual_blocks=2)
    architecture, bits = small_architecture(model), random_bits(10, seed=0)
    weights = make_weights(architecture)

    def lrelu(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.01 * x)

    x = lrelu(to_matrix(bits) @ weights[FIRST_WEIGHT] + weights["first.bias"])
    for block in range(2):
        inner, outer = f"blocks.{block}.inner", f"blocks.{block}.outer"
        h = lrelu(x @ weights[f"{inner}.weight"].T + weights[f"{inner}.bias"])
        x = lrelu(x + h @ weights[f"{outer}.weight"].T + weights[f"{outer}.bias"])
    logits = x @ weights["output.weight"].T + weights["output.bias"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(CommitteePredictor([weights], architecture).outputs(bits)[0], expected, atol=1e-5)


def test_architecture_follows_the_configuration() -> None:
    bits = OnBitFeatures(fingerprints=(Fingerprint(kind="morgan", count_levels=4), Fingerprint(kind="torsion")))
    architecture = Architecture.from_config(ModelConfig(preset="proprietary"), bits, 3)
    assert (architecture.kind, architecture.width, architecture.hidden_size) == ("on_bits", 10240, 1024)
    assert architecture.shapes()["output.weight"] == (3, 1024)
    image = Architecture.from_config(ModelConfig(), DenseFeatures(column="pixels", width=784, scale=1 / 255), 10)
    assert (image.kind, image.scale, image.shapes()[FIRST_WEIGHT]) == ("dense", 1 / 255, (512, 784))


def test_a_half_precision_table_is_summed_in_float32() -> None:
    """A float16 sum would lose the 598 small embeddings between the large ones; a bfloat16 table their last digit."""
    architecture = Architecture("on_bits", 600, 2, hidden_size=1, residual_blocks=0)
    small = np.float32(2**-7 * (1 + 2**-9))
    weights = {
        FIRST_WEIGHT: np.r_[np.float32(1000), np.full(598, small), np.float32(-1000)][:, None],
        "first.bias": np.float32([-598 * small]),
        "output.weight": np.float32([[0], [1]]),
        "output.bias": np.float32([0, 0]),
    }
    bits = from_matrix(np.ones((1, 600), dtype=bool))
    halved = CommitteePredictor([weights], architecture, Placement(bf16=True)).outputs(bits)
    np.testing.assert_allclose(halved, 0.5, atol=1e-3)


@pytest.mark.parametrize("bf16", [False, True])
def test_dense_bytes_are_scaled(bf16: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (30, WIDTH), dtype=np.uint8)
    architecture = Architecture("dense", WIDTH, 2, 1 / 255, 32, 1)
    weights = make_weights(architecture)
    unscaled = Architecture("dense", WIDTH, 2, 1.0, 32, 1)
    raw = CommitteePredictor([weights], architecture, Placement(bf16=bf16)).outputs(Dense(values))
    expected = CommitteePredictor([weights], unscaled).outputs(Dense((values / 255).astype(np.float32)))
    np.testing.assert_allclose(raw, expected, atol=1e-2 if bf16 else 1e-5)


def test_bf16_keeps_the_digits_of_offset_embeddings() -> None:
    """Embeddings of 1000 ± 1 would all look alike in bfloat16, which has 8 significant bits."""
    values = 1000 + np.random.default_rng(0).standard_normal((30, WIDTH), dtype=np.float32)
    architecture = Architecture("dense", WIDTH, 2, 0.01, 32, 1)
    weights = make_weights(architecture)
    weights[FIRST_WEIGHT] -= weights[FIRST_WEIGHT].mean(axis=1, keepdims=True)  # a network that ignores the offset
    exact = CommitteePredictor([weights], architecture).outputs(Dense(values))
    rounded = CommitteePredictor([weights], architecture, Placement(bf16=True)).outputs(Dense(values))
    assert np.corrcoef(exact[0, :, 0], rounded[0, :, 0])[0, 1] > 0.95


def test_bf16_rounds_factors_of_products_only() -> None:
    """Blocks that add nothing leave the activations as they are: not a digit may be lost on the way."""
    architecture, bits = small_architecture(small_model()), random_bits(50, seed=0)
    weights = make_weights(architecture)
    for name in ("blocks.0.outer.weight", "blocks.0.outer.bias"):
        weights[name] = np.zeros_like(weights[name])
    weights[FIRST_WEIGHT] = np.round(64 * weights[FIRST_WEIGHT]) / np.float32(64)  # sums without error in float16
    exact, rounded = (
        CommitteePredictor([weights], architecture, Placement(bf16=bf16)).outputs(bits) for bf16 in (False, True)
    )
    np.testing.assert_array_equal(rounded, exact)


def test_bf16_ranks_agree_with_float32() -> None:
    fitted, bits = fit_rule(small_model(hidden_size=128)), random_bits(4000, seed=5)
    architecture = small_architecture(small_model(hidden_size=128))
    uncertainty = [
        1 - CommitteePredictor([fitted.weights], architecture, Placement(bf16=bf16)).outputs(bits)[0].max(axis=1)
        for bf16 in (False, True)
    ]
    top = [set(np.argsort(-values, kind="stable")[:400]) for values in uncertainty]
    assert not np.array_equal(*uncertainty)
    assert len(top[0] & top[1]) / 400 > 0.95


def test_predictor_gives_members_in_order_and_probabilities() -> None:
    architecture, bits = small_architecture(small_model(), n_outputs=3), random_bits(2500, seed=0)
    committee = [make_weights(architecture, seed) for seed in range(2)]
    outputs = CommitteePredictor(committee, architecture).outputs(bits)
    assert outputs.shape == (2, 2500, 3)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(axis=2), 1, atol=1e-6)
    alone = [CommitteePredictor([member], architecture).outputs(bits)[0] for member in committee]
    np.testing.assert_array_equal(outputs, alone)


def test_predictor_repeats_bit_for_bit_and_reads_read_only_arrays() -> None:
    architecture, bits = small_architecture(small_model()), random_bits(300, seed=0)
    weights = make_weights(architecture)
    first = CommitteePredictor([weights], architecture, Placement(bf16=True)).outputs(bits)
    for array in (*weights.values(), bits.values, bits.offsets):
        array.setflags(write=False)
    predictor = CommitteePredictor([weights], architecture, Placement(bf16=True))
    np.testing.assert_array_equal(predictor.outputs(bits), first)
    dense = Architecture("dense", WIDTH, 2, 1.0, 32, 1)
    values = np.zeros((5, WIDTH), dtype=np.float32)
    values.setflags(write=False)
    assert CommitteePredictor([make_weights(dense)], dense).outputs(Dense(values)).shape == (1, 5, 2)


def test_predictor_reads_a_view_into_a_larger_array() -> None:
    architecture, bits = small_architecture(small_model()), random_bits(100, seed=0)
    predictor = CommitteePredictor([make_weights(architecture)], architecture)
    view = OnBits(bits.values, bits.offsets[40:61], bits.width)
    np.testing.assert_array_equal(predictor.outputs(view), predictor.outputs(bits.take(np.arange(40, 60))))


def test_empty_rows_and_empty_blocks_are_predicted() -> None:
    architecture = small_architecture(small_model())
    predictor = CommitteePredictor([make_weights(architecture)], architecture)
    assert np.isfinite(predictor.outputs(from_matrix(np.zeros((3, WIDTH), dtype=bool)))).all()
    assert predictor.outputs(random_bits(0, seed=0)).shape == (1, 0, 2)


def test_predictor_refuses_other_features() -> None:
    architecture = small_architecture(small_model())
    predictor = CommitteePredictor([make_weights(architecture)], architecture)
    with pytest.raises(LibraryError, match="128 columns"):
        predictor.outputs(random_bits(3, seed=0, width=128))
    with pytest.raises(LibraryError, match="dense"):
        predictor.outputs(Dense(np.zeros((3, WIDTH), dtype=np.float32)))
    with pytest.raises(ConfigError):
        CommitteePredictor([], architecture)


@pytest.mark.parametrize("bf16", [False, True])
def test_dropout_samples_vary_around_the_prediction_and_repeat_from_the_seed(bf16: bool) -> None:
    members, bits = [fit_rule(seed=seed).weights for seed in (0, 1)], random_bits(100, seed=3)
    predictor = CommitteePredictor(members, small_architecture(small_model()), Placement(bf16=bf16))
    torch.manual_seed(1)
    samples = predictor.dropout_outputs(bits, 30, seed=4)
    torch.manual_seed(2)
    np.testing.assert_array_equal(predictor.dropout_outputs(bits, 30, seed=4), samples)
    assert samples.shape == (60, 100, 2)
    assert not np.array_equal(predictor.dropout_outputs(bits, 30, seed=5), samples)
    assert samples[:30].std(axis=0).max() > 0.005
    means, outputs = samples.reshape(2, 30, 100, 2).mean(axis=1), predictor.outputs(bits)
    for member in (0, 1):
        error = [np.abs(means[member] - outputs[other]).mean() for other in (member, 1 - member)]
        assert error[0] < 0.05
        assert error[0] < error[1]


def test_dropout_without_dropout_is_refused() -> None:
    model = small_model(dropout=0.0)
    predictor = CommitteePredictor([make_weights(small_architecture(model))], small_architecture(model))
    with pytest.raises(ConfigError, match=r"dropout=0\.0"):
        predictor.dropout_outputs(random_bits(3, seed=0), 5, seed=0)


def test_dropout_masks_have_the_rate_and_the_mean() -> None:
    mask = DropoutStream(0.1, 3, CPU).mask(401, 513)
    assert mask.shape == (401, 513)
    assert mask.dtype is torch.float32
    assert float((mask == 0).float().mean()) == pytest.approx(0.1, abs=0.003)
    assert float(mask.max()) == pytest.approx(1 / 0.9)


def test_members_survive_the_file_and_a_torn_file_is_named(tmp_path: object) -> None:
    path = tmp_path / "member.safetensors"  # type: ignore[operator]
    weights = {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.float32([1.5])}
    save_member(path, weights)
    loaded = load_member(path)
    assert set(loaded) == {"a", "b"}
    for name, array in weights.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert committee_hash([loaded]) == committee_hash([weights])
    whole = path.read_bytes()
    for torn in (whole[:-4], whole[:5], b"", b"\xff" * 64):
        path.write_bytes(torn)
        with pytest.raises(CorruptFileError, match=r"member\.safetensors"):
            load_member(path)
    with pytest.raises(InputFileError):
        load_member(path.with_name("absent"))


def test_committee_hash_sees_values_names_shapes_and_order() -> None:
    a, b = {"w": np.zeros(4, np.float32)}, {"w": np.ones(4, np.float32)}
    variants = [
        [a],
        [b],
        [a, b],
        [b, a],
        [{"v": a["w"]}],
        [{"w": a["w"].reshape(2, 2)}],
        [{"w": np.zeros(4, np.int32)}],
    ]
    assert len({committee_hash(committee) for committee in variants}) == len(variants)
    assert committee_hash([{"x": a["w"], "w": b["w"]}]) == committee_hash([{"w": b["w"], "x": a["w"]}])


def test_cuda_without_a_card_is_an_error_and_auto_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="device = 'auto'"):
        resolve_placement("cuda", "auto")
    assert resolve_placement("auto", "auto").device == CPU


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_the_card_and_bf16_where_it_is_native(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: not native)
    cuda = torch.device("cuda")
    assert resolve_placement("auto", "auto") == resolve_placement("cuda", "auto") == Placement(cuda, native)
    assert resolve_placement("auto", "float32") == Placement(cuda, False)
    assert resolve_placement("cpu", "auto") == Placement(CPU, not native)


def test_memory_is_given_back_to_a_card_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))
    release_memory(Placement(CPU))
    assert calls == []
    release_memory(Placement(torch.device("cuda")))
    assert calls == ["emptied"]


@pytest.mark.parametrize(
    ("text", "bf16"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags : amx_bf16 sse", True),
        ("flags : avx2\nmodel name : avx512_bf16", False),
        (None, False),
    ],
)
def test_cpu_precision_follows_the_cpu(
    text: str | None, bf16: bool, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"  # type: ignore[operator]
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(device, "CPUINFO", path)
    assert resolve_placement("cpu", "auto").bf16 is bf16
    assert resolve_placement("cpu", "float32") == Placement(CPU, False)
    assert resolve_placement("cpu", "bfloat16").product_dtype is torch.bfloat16


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        configure_threads(2)
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)


def test_learned_rule_is_predicted_on_new_rows() -> None:
    new = random_bits(1000, seed=2)
    outputs = CommitteePredictor([fit_rule(n_rows=800).weights], small_architecture(small_model())).outputs(new)[0]
    assert (outputs.argmax(axis=1) == has_rule_bit(new)).mean() > 0.95
