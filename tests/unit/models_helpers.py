"""Small random data and configurations that the tests of the models share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from isd_ray.config import ModelConfig, ValidationConfig
from isd_ray.core.features import OnBits
from isd_ray.models.fit import FittedMember, fit_member
from isd_ray.models.resmlp import Architecture

WIDTH = 64
RULE_BIT = 7


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread: the networks here are tiny, and two threads on a busy machine wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_bits(n_rows: int, seed: int, width: int = WIDTH, density: float = 0.2) -> OnBits:
    matrix = np.random.default_rng(seed).random((n_rows, width)) < density
    return from_matrix(matrix)


def from_matrix(matrix: NDArray[np.bool_]) -> OnBits:
    offsets = np.zeros(len(matrix) + 1, dtype=np.int64)
    np.cumsum(matrix.sum(axis=1), out=offsets[1:])
    return OnBits(np.nonzero(matrix)[1].astype(np.uint16), offsets, matrix.shape[1])


def to_matrix(bits: OnBits) -> NDArray[np.uint8]:
    matrix = np.zeros((len(bits), bits.width), dtype=np.uint8)
    matrix[np.repeat(np.arange(len(bits)), np.diff(bits.offsets)), bits.values] = 1
    return matrix


def has_rule_bit(bits: OnBits) -> NDArray[np.int64]:
    return to_matrix(bits)[:, RULE_BIT].astype(np.int64)


def small_model(**changes: object) -> ModelConfig:
    settings = {"hidden_size": 32, "residual_blocks": 1, "batch_size": 64, "epochs": 12, "learning_rate": 0.01}
    return ModelConfig.model_validate({**settings, **changes})


def small_architecture(model: ModelConfig, n_outputs: int = 2, width: int = WIDTH) -> Architecture:
    return Architecture(
        "on_bits", width, n_outputs, 1.0, model.hidden_size, model.residual_blocks, model.dropout, model.leaky_slope
    )


def fit_rule(model: ModelConfig | None = None, n_rows: int = 400, seed: int = 0, **changes: object) -> FittedMember:
    """Fit the rule "bit 7 is set" on random rows."""
    model = model or small_model()
    features = random_bits(n_rows, seed=1)
    arguments = {
        "task": "classification",
        "architecture": small_architecture(model),
        "model": model,
        "validation": ValidationConfig(),
        "seed": seed,
        **changes,
    }
    return fit_member(features, arguments.pop("labels", has_rule_bit(features)), **arguments)  # type: ignore[arg-type]
