"""One training step of a committee, its members stacked into batched matrices or one after the other.

Not part of the product: it measures whether members that share a card should be fitted stacked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from isd_ray.core.features import OnBits, concatenate
from isd_ray.models.adamw import ClippedAdamW
from isd_ray.models.batches import InputBatch, Inputs, to_batch
from isd_ray.models.device import Placement
from isd_ray.models.resmlp import FIRST_WEIGHT, Architecture, NetworkWeights, ResMLP, _SumOfRows

SETTINGS = {"learning_rate": 0.001, "weight_decay": 0.01, "gradient_clip": 1.0}


class InTurn:
    """The production network and optimizer, member by member."""

    def __init__(self, members: Sequence[NetworkWeights], architecture: Architecture, placement: Placement) -> None:
        self.device = placement.device
        self.networks = [ResMLP(architecture, weights, placement.product_dtype).to(self.device) for weights in members]
        self.optimizers = [ClippedAdamW(network.parameters(), **SETTINGS) for network in self.networks]

    def batch(
        self, parts: Sequence[OnBits], labels: Sequence[NDArray[np.int64]]
    ) -> list[tuple[InputBatch, torch.Tensor]]:
        return [
            (to_batch(Inputs(part), self.device, for_training=True), torch.from_numpy(targets).to(self.device))
            for part, targets in zip(parts, labels, strict=True)
        ]

    def step(self, batch: list[tuple[InputBatch, torch.Tensor]]) -> torch.Tensor:
        """The members' losses, shape (M,)."""
        losses = []
        for network, optimizer, (bits, targets) in zip(self.networks, self.optimizers, batch, strict=True):
            for parameter in network.parameters():
                parameter.grad = None
            loss = functional.cross_entropy(network(bits), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)


class Stacked:
    """The same with all weights stacked: one sum of embeddings and one batched product for all members."""

    def __init__(self, members: Sequence[NetworkWeights], architecture: Architecture, placement: Placement) -> None:
        self.architecture, self.placement = architecture, placement
        self.weights = {
            name: torch.from_numpy(np.stack([weights[name] for weights in members])).to(placement.device)
            for name in architecture.shapes()
        }
        self.weights[FIRST_WEIGHT] = self.weights[FIRST_WEIGHT].flatten(0, 1)
        for tensor in self.weights.values():
            tensor.requires_grad_()
        # The norm is clipped over all members together: the cost is that of a step, the result is not.
        self.optimizer = ClippedAdamW(self.weights.values(), **SETTINGS)  # type: ignore[arg-type]
        self.n_members = len(members)

    def batch(self, parts: Sequence[OnBits], labels: Sequence[NDArray[np.int64]]) -> tuple[InputBatch, torch.Tensor]:
        """Bits of member m shifted by m vocabularies: one batch of M · n rows over a table of M vocabularies."""
        width = self.architecture.width
        shifted = [
            OnBits(part.values.astype(np.uint32) + np.uint32(index * width), part.offsets, width * len(parts))
            for index, part in enumerate(parts)
        ]
        device = self.placement.device
        return to_batch(Inputs(concatenate(shifted)), device, for_training=True), torch.from_numpy(np.stack(labels)).to(
            device
        )

    def step(self, batch: tuple[InputBatch, torch.Tensor]) -> torch.Tensor:
        """The members' losses, shape (M,)."""
        for tensor in self.weights.values():
            tensor.grad = None
        bits, targets = batch
        x = _SumOfRows.apply(self.weights[FIRST_WEIGHT], bits).view(self.n_members, targets.shape[1], -1)
        x = self._activation(x + self.weights["first.bias"].unsqueeze(1))
        for block in range(self.architecture.residual_blocks):
            hidden = self._activation(self._affine(f"blocks.{block}.inner", x))
            x = self._activation(x + self._affine(f"blocks.{block}.outer", hidden))
        logits = torch.baddbmm(self.weights["output.bias"].unsqueeze(1), x, self.weights["output.weight"].mT)
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses.view_as(targets).mean(dim=1)
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    def _affine(self, name: str, x: torch.Tensor) -> torch.Tensor:
        dtype = self.placement.product_dtype
        weight, bias = self.weights[f"{name}.weight"].to(dtype), self.weights[f"{name}.bias"].to(dtype)
        return torch.baddbmm(bias.unsqueeze(1), x.to(dtype), weight.mT)

    def _activation(self, x: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(x, self.architecture.leaky_slope)
