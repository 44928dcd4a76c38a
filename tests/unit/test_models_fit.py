"""Claims about fitting one member: what it trains on, when it stops, and that its seed decides everything."""

from __future__ import annotations

import gc
import random

import numpy as np
import pytest
import torch

from isd_ray.config import ValidationConfig
from isd_ray.core.features import Dense
from isd_ray.errors import IsdError, LabelError, LibraryError
from isd_ray.models import fit as fit_module
from isd_ray.models.adamw import ClippedAdamW
from isd_ray.models.batches import Vocabulary
from isd_ray.models.device import Placement
from isd_ray.models.fit import FittedMember, fit_member
from isd_ray.models.predict import CommitteePredictor
from isd_ray.models.resmlp import FIRST_WEIGHT, Architecture, ResMLP, initial_weights
from isd_ray.models.split import n_validation_rows, split_rows
from isd_ray.models.targets import standardised, target_scaling
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

pytestmark = pytest.mark.usefixtures(one_thread.__name__)


def same(a: FittedMember, b: FittedMember) -> bool:
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


def spy_training(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Collect the rows of every training epoch."""
    seen: list[np.ndarray] = []
    original = fit_module._Run.train_epoch

    def train_epoch(self, features, labels, order, dropout):  # type: ignore[no-untyped-def]
        seen.append(order)
        return original(self, features, labels, order, dropout)

    monkeypatch.setattr(fit_module._Run, "train_epoch", train_epoch)
    return seen


@pytest.mark.parametrize("bf16", [False, True])
def test_fit_repeats_bit_for_bit_whatever_the_global_random_state(bf16: bool) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    before = torch.get_rng_state()
    first = fit_rule(placement=Placement(bf16=bf16))
    assert torch.equal(torch.get_rng_state(), before)
    random.seed(2), np.random.seed(2), torch.manual_seed(2)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    second = fit_rule(placement=Placement(bf16=bf16))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert same(first, second)
    assert (first.validation_loss, first.epochs) == (second.validation_loss, second.epochs)
    assert not same(first, fit_rule(seed=1, placement=Placement(bf16=bf16)))


def test_early_stopping_restores_the_best_weights() -> None:
    """Labels are noise, so validation gets worse with training; the weights returned must give the best loss."""
    features, external = random_bits(300, seed=1), random_bits(300, seed=2)
    rng = np.random.default_rng(0)
    labels, external_labels = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    model = small_model(epochs=40, patience=3)
    fitted = fit_rule(model, n_rows=300, labels=labels, external=(external, external_labels))
    assert len(features) == fitted.n_train == 300
    assert fitted.n_validation == 300
    assert fitted.epochs == fitted.best_epoch + 3 < 40
    outputs = CommitteePredictor([fitted.weights], small_architecture(model)).outputs(external)[0]
    loss = -np.log(outputs[np.arange(300), external_labels]).mean()
    assert loss == pytest.approx(fitted.validation_loss, abs=1e-5)


def test_patience_counts_epochs_without_a_new_best() -> None:
    """With the patience of all epochs the same run goes on to the end and has the same best epoch or a later one."""
    labels = np.random.default_rng(0).integers(0, 2, 300)
    short = fit_rule(small_model(epochs=30, patience=3), n_rows=300, labels=labels)
    long = fit_rule(small_model(epochs=30, patience=30), n_rows=300, labels=labels)
    assert long.epochs == 30
    assert long.validation_loss <= short.validation_loss
    assert short.best_epoch <= long.best_epoch


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(1, 0), (199, 0), (200, 50), (499, 50), (500, 50), (504, 50), (1000, 100), (16000, 1600)]
)
def test_size_of_the_validation_split(n_rows: int, expected: int) -> None:
    assert n_validation_rows(n_rows, ValidationConfig()) == expected


def test_validation_never_takes_more_than_half() -> None:
    assert n_validation_rows(20, ValidationConfig(fixed_epochs_below=2)) == 10


def test_split_is_stratified_and_keeps_each_class_in_training() -> None:
    labels = np.repeat([0, 1, 2], [800, 199, 1])
    train, held_out = split_rows(labels, "classification", ValidationConfig(), np.random.default_rng(0))
    assert np.bincount(labels[held_out], minlength=3).tolist() == [80, 20, 0]
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(1000))
    _, other = split_rows(labels, "classification", ValidationConfig(), np.random.default_rng(1))
    assert not np.array_equal(held_out, other)
    rare = np.r_[np.zeros(102, dtype=int), np.arange(1, 99)]
    train, _ = split_rows(rare, "classification", ValidationConfig(), np.random.default_rng(0))
    assert set(rare[train]) == set(rare)
    train, held_out = split_rows(np.linspace(0, 1, 1000), "regression", ValidationConfig(), np.random.default_rng(0))
    assert (len(train), len(held_out), len(set(train) & set(held_out))) == (900, 100, 0)


def test_few_rows_train_all_epochs_without_validation() -> None:
    fitted = fit_rule(small_model(patience=1), n_rows=199)
    assert (fitted.n_train, fitted.n_validation, fitted.epochs, fitted.best_epoch) == (199, 0, 12, 12)
    assert np.isnan(fitted.validation_loss)


def test_bootstrap_resamples_and_never_trains_on_validation_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spy_training(monkeypatch)
    fitted = fit_rule(small_model(diversity="bootstrap", epochs=2))
    shared = np.random.default_rng(np.random.SeedSequence(0).spawn(1)[0])
    train, held_out = split_rows(has_rule_bit(random_bits(400, seed=1)), "classification", ValidationConfig(), shared)
    assert fitted.n_validation == len(held_out) == 50
    assert set(seen[0]) < set(train)
    assert 0.55 < len(set(seen[0])) / len(train) < 0.72
    np.testing.assert_array_equal(np.sort(seen[0]), np.sort(seen[1]))
    assert not np.array_equal(seen[0], seen[1])


def test_what_members_share_under_each_diversity(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spy_training(monkeypatch)
    rows = {}
    for diversity in ("split", "bootstrap", "seed"):
        model = small_model(diversity=diversity, epochs=1)
        members = [fit_rule(model, seed=seed, split_seed=9) for seed in (0, 1)]
        assert not same(*members)
        rows[diversity] = [set(epoch.tolist()) for epoch in seen[-2:]]
    assert rows["split"][0] != rows["split"][1]
    assert rows["bootstrap"][0] != rows["bootstrap"][1]
    assert rows["seed"][0] == rows["seed"][1]
    fit_rule(small_model(diversity="seed", epochs=1), seed=0, split_seed=8)
    assert set(seen[-1].tolist()) != rows["seed"][0]


def test_every_row_is_trained_once_an_epoch_with_an_incomplete_last_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = fit_module.to_batch

    def to_batch(features, device, **kwargs):  # type: ignore[no-untyped-def]
        if kwargs.get("for_training"):
            sizes.append(len(features))
        return original(features, device, **kwargs)

    monkeypatch.setattr(fit_module, "to_batch", to_batch)
    fit_rule(small_model(epochs=1, batch_size=64), n_rows=150)
    assert sizes == [64, 64, 22]


def test_a_batch_in_parts_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(epochs=3, batch_size=128, dropout=0.0)
    whole = fit_rule(model)
    monkeypatch.setattr(fit_module, "CPU_MICRO_ROWS", 50)
    parts = fit_rule(model)
    for name, weight in whole.weights.items():
        np.testing.assert_allclose(parts.weights[name], weight, atol=2e-4, err_msg=name)


def test_the_smaller_table_equals_plain_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits that occur in no row get what AdamW would have given them: their initial value, decayed."""
    matrix = to_matrix(random_bits(300, seed=1)).astype(bool)
    matrix[:, 20:] = False
    features = from_matrix(matrix)
    model = small_model(epochs=3, weight_decay=0.1)
    arguments = {
        "task": "classification",
        "architecture": small_architecture(model),
        "model": model,
        "validation": ValidationConfig(),
        "seed": 0,
    }
    small = fit_member(features, has_rule_bit(features), **arguments)
    monkeypatch.setattr(Vocabulary, "of", classmethod(lambda cls, parts: cls(np.arange(WIDTH), WIDTH)))
    plain = fit_member(features, has_rule_bit(features), **arguments)
    for name, weight in plain.weights.items():
        np.testing.assert_allclose(small.weights[name], weight, atol=1e-6, err_msg=name)
    seeds = np.random.SeedSequence(0).spawn(5)
    initial = initial_weights(small_architecture(model), np.random.default_rng(seeds[2]))[FIRST_WEIGHT]
    ratio = small.weights[FIRST_WEIGHT][20:] / initial[20:]
    assert ratio.mean() == pytest.approx((1 - 0.01 * 0.1) ** (small.best_epoch * 4), abs=1e-5)


@pytest.mark.parametrize("clip", [0.05, 100.0])
def test_optimizer_is_torchs_adamw_with_clipping(clip: float) -> None:
    def parameters() -> list[torch.nn.Parameter]:
        generator = torch.Generator().manual_seed(0)
        return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (4,))]

    ours, theirs = parameters(), parameters()
    optimizer = ClippedAdamW(ours, learning_rate=0.01, weight_decay=0.1, gradient_clip=clip)
    reference = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1)
    for step in range(5):
        for group in (ours, theirs):
            for parameter in group:
                parameter.grad = torch.sin(parameter.detach() * (step + 1))
        torch.nn.utils.clip_grad_norm_(theirs, clip)
        optimizer.step()
        reference.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-6)


def test_unseen_bits_and_empty_fingerprints_do_no_harm() -> None:
    empty = from_matrix(np.zeros((30, WIDTH), dtype=bool))
    fitted = fit_rule(labels=np.arange(400) % 2)
    model = small_model(epochs=2)
    alone = fit_member(
        empty,
        np.arange(30) % 2,
        task="classification",
        architecture=small_architecture(model),
        model=model,
        validation=ValidationConfig(),
        seed=0,
    )
    for member in (fitted, alone):
        outputs = CommitteePredictor([member.weights], small_architecture(model)).outputs(random_bits(50, seed=9))
        assert np.isfinite(outputs).all()


def test_three_classes_are_learned() -> None:
    features, new = random_bits(600, seed=1), random_bits(500, seed=2)

    def rule(bits):  # type: ignore[no-untyped-def]
        matrix = to_matrix(bits)
        return np.where(matrix[:, 3] == 1, 2, matrix[:, 5]).astype(np.int64)

    model = small_model()
    architecture = small_architecture(model, n_outputs=3)
    fitted = fit_member(
        features,
        rule(features),
        task="classification",
        architecture=architecture,
        model=model,
        validation=ValidationConfig(),
        seed=0,
    )
    outputs = CommitteePredictor([fitted.weights], architecture).outputs(new)
    assert outputs.shape == (1, 500, 3)
    assert (outputs[0].argmax(axis=1) == rule(new)).mean() > 0.95


def test_regression_predicts_in_label_units() -> None:
    features, new = random_bits(600, seed=1), random_bits(500, seed=2)
    effects = np.random.default_rng(0).normal(size=WIDTH)
    model = small_model(epochs=40, patience=10, dropout=0.0)
    architecture = small_architecture(model, n_outputs=1)
    fitted = fit_member(
        features,
        1000 + 50 * (to_matrix(features) @ effects),
        task="regression",
        architecture=architecture,
        model=model,
        validation=ValidationConfig(),
        seed=0,
    )
    predictor = CommitteePredictor([fitted.weights], architecture)
    assert predictor.task == "regression"
    predicted, truth = predictor.outputs(new), 1000 + 50 * (to_matrix(new) @ effects)
    assert predicted.shape == (1, 500)
    assert np.sqrt(np.mean((predicted[0] - truth) ** 2)) < 0.3 * truth.std()
    assert fitted.validation_loss < 0.1


def test_dense_bytes_are_learned() -> None:
    values = np.random.default_rng(0).integers(0, 256, (500, WIDTH), dtype=np.uint8)
    labels = (values[:, 4] > 127).astype(np.int64)
    model = small_model(epochs=40, patience=10)
    architecture = Architecture("dense", WIDTH, 2, 1 / 255, 32, 1)
    fitted = fit_member(
        Dense(values),
        labels,
        task="classification",
        architecture=architecture,
        model=model,
        validation=ValidationConfig(),
        seed=0,
        placement=Placement(bf16=True),
    )
    new = np.random.default_rng(1).integers(0, 256, (500, WIDTH), dtype=np.uint8)
    outputs = CommitteePredictor([fitted.weights], architecture).outputs(Dense(new))[0]
    assert (outputs.argmax(axis=1) == (new[:, 4] > 127)).mean() > 0.85


def test_nothing_of_a_fit_is_left_on_the_device_when_its_memory_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[Placement] = []

    def release(placement: Placement) -> None:
        assert not {type(thing) for thing in gc.get_objects()} & {fit_module._Run, ResMLP}
        released.append(placement)

    monkeypatch.setattr(fit_module, "release_memory", release)
    gc.collect()
    fit_rule(small_model(epochs=2), placement=Placement(bf16=True))
    assert released == [Placement(bf16=True)]


@pytest.mark.parametrize("labels", [np.full(400, 2), np.full(400, -1), np.zeros(399), np.zeros(0)])
def test_labels_that_make_no_sense_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(LabelError):
        fit_rule(labels=labels)


def test_missing_numbers_are_refused() -> None:
    with pytest.raises(LabelError, match="1 of 400"):
        fit_rule(task="regression", labels=np.r_[np.nan, np.zeros(399)])


def test_a_constant_target_is_predicted_as_it_is() -> None:
    model = small_model(epochs=2)
    architecture = small_architecture(model, n_outputs=1)
    fitted = fit_rule(model, task="regression", architecture=architecture, labels=np.full(400, 7.0))
    assert fitted.weights["target.sd"] == 1
    assert CommitteePredictor([fitted.weights], architecture).outputs(random_bits(9, 0))[0] == pytest.approx(7, abs=0.7)


def test_what_is_constant_is_not_scaled_by_the_rounding_of_its_mean() -> None:
    values = np.full(3, 0.1)
    assert values.std() > 0, "the case is one"
    of_panel = np.column_stack([values, [1.0, 2.0, np.nan], [np.nan] * 3, [0.0, 1.0, 1.0]])
    for labels, numbers in ((values, ()), (of_panel, (True, True, True, False))):
        scaling = target_scaling(labels, numbers)
        assert scaling["target.sd"].tolist() == [1.0, 0.5, 1.0, 1.0][: len(numbers) or 1]
        assert scaling["target.mean"] == pytest.approx([0.1, 1.5, 0.0, 0.0][: len(numbers) or 1])
        assert np.nanmax(np.abs(standardised(labels, scaling))) <= 1.0


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(LibraryError):
        fit_rule(architecture=small_architecture(small_model(), width=WIDTH + 1))


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    values = np.full((300, 4), 1e38, dtype=np.float32)
    architecture = Architecture("dense", 4, 2, 1.0, 32, 1)
    with pytest.raises(IsdError, match=r"(?s)epoch 1 .*Remedy"):
        fit_member(
            Dense(values),
            np.arange(300) % 2,
            task="classification",
            architecture=architecture,
            model=small_model(),
            validation=ValidationConfig(),
            seed=3,
        )
