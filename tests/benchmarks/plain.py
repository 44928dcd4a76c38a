"""The same network, fit and scoring as anyone would write them in PyTorch: dense float32, nn.Linear, a DataLoader."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from isd_ray.config import ModelConfig
from isd_ray.core.features import OnBits

SCORING_BATCH = 1024
"""The fastest of 256, 1,024 and 4,096 for both feature sets."""


class Block(nn.Module):
    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(model.hidden_size, model.hidden_size)
        self.outer = nn.Linear(model.hidden_size, model.hidden_size)
        self.activation = nn.LeakyReLU(model.leaky_slope)
        self.dropout = nn.Dropout(model.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.activation(x + self.outer(self.activation(self.inner(x)))))


class PlainResMLP(nn.Module):
    def __init__(self, width: int, model: ModelConfig) -> None:
        super().__init__()
        self.first = nn.Linear(width, model.hidden_size)
        self.activation = nn.LeakyReLU(model.leaky_slope)
        self.blocks = nn.Sequential(*(Block(model) for _ in range(model.residual_blocks)))
        self.output = nn.Linear(model.hidden_size, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.blocks(self.activation(self.first(x))))


def plain_network(weights: Mapping[str, NDArray[np.float32]], model: ModelConfig, device: torch.device) -> PlainResMLP:
    """A plain network with the weights of one of ours."""
    network = PlainResMLP(len(weights["first.weight"]), model)
    table = np.ascontiguousarray(weights["first.weight"].T)
    network.load_state_dict(
        {name: torch.from_numpy(np.array(a)) for name, a in {**weights, "first.weight": table}.items()}
    )
    return network.eval().to(device)


def dense(features: OnBits) -> torch.Tensor:
    """The 0/1 matrix, float32, shape (n, width)."""
    matrix = np.zeros((len(features), features.width), dtype=np.float32)
    starts = features.offsets - features.offsets[0]
    values = features.values[features.offsets[0] : features.offsets[-1]]
    matrix[np.repeat(np.arange(len(features)), np.diff(starts)), values] = 1
    return torch.from_numpy(matrix)


@torch.no_grad()
def plain_top(networks: Sequence[PlainResMLP], x: torch.Tensor, k: int, device: torch.device) -> list[int]:
    """The k rows of least confidence."""
    confidences: list[float] = []
    for (batch,) in DataLoader(TensorDataset(x), batch_size=SCORING_BATCH):
        on_device = batch.to(device)
        outputs = [torch.softmax(network(on_device), dim=1) for network in networks]
        confidences += torch.stack(outputs).mean(dim=0).max(dim=1).values.tolist()
    return sorted(range(len(confidences)), key=confidences.__getitem__)[:k]


def plain_fit(
    train: tuple[torch.Tensor, torch.Tensor],
    held_out: tuple[torch.Tensor, torch.Tensor],
    model: ModelConfig,
    seed: int,
    device: torch.device,
) -> float:
    """Fit for all epochs, keep the best weights; returns their validation loss."""
    torch.manual_seed(seed)
    network = PlainResMLP(train[0].shape[1], model).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=model.learning_rate, weight_decay=model.weight_decay)
    batches = DataLoader(TensorDataset(*train), batch_size=model.batch_size, shuffle=True)
    validation = DataLoader(TensorDataset(*held_out), batch_size=SCORING_BATCH)
    best, best_state = float("inf"), None
    for _ in range(model.epochs):
        network.train()
        for x, y in batches:
            optimizer.zero_grad()
            functional.cross_entropy(network(x.to(device)), y.to(device)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), model.gradient_clip)
            optimizer.step()
        network.eval()
        with torch.no_grad():
            losses = [
                functional.cross_entropy(network(x.to(device)), y.to(device), reduction="sum").item()
                for x, y in validation
            ]
        if sum(losses) / len(held_out[1]) < best:
            best, best_state = sum(losses) / len(held_out[1]), copy.deepcopy(network.state_dict())
    network.load_state_dict(best_state)
    return best
