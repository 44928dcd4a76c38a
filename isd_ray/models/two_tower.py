"""The two-tower head: an output's weights are a function of its given embedding, learnt over all outputs together."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from isd_ray.errors import ConfigError
from isd_ray.models.resmlp import Affine


class TwoTowerOutput(nn.Module):
    """An output layer whose weights come from a second tower: W = V lrelu(U e + u) + v for an output's embedding e.

    The logit of a compound and an output is the scaled inner product of what the two towers make of them, and a bias of
    the output's own. `weight` has the shape of a plain output layer, so a fitted head is kept, sent and scored as one:
    only the fit knows of towers.

    Parameters
    ----------
    embeddings:
        float32 (K, d), one for each output.
    hidden_size:
        Width of both towers.
    rng:
        Draws the initial weights, uniform within ± 1 / sqrt(fan-in) as those of the ResMLP.
    product_dtype:
        float32 or bfloat16: in which the hidden layer multiplies.
    """

    embeddings: torch.Tensor

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        hidden_size: int,
        leaky_slope: float,
        rng: np.random.Generator,
        product_dtype: torch.dtype,
    ) -> None:
        super().__init__()
        n_outputs, width = embeddings.shape
        self.register_buffer("embeddings", torch.from_numpy(np.array(embeddings, np.float32)), persistent=False)
        self.first = Affine((hidden_size, width), hidden_size)
        self.second = Affine((hidden_size, hidden_size), hidden_size)
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        self._leaky_slope = leaky_slope
        self._product_dtype = product_dtype
        for layer in (self.first, self.second):
            bound = 1.0 / math.sqrt(layer.weight.shape[1])
            for parameter in (layer.weight, layer.bias):
                draw = rng.uniform(-bound, bound, tuple(parameter.shape)).astype(np.float32)
                parameter.data.copy_(torch.from_numpy(draw))

    @property
    def weight(self) -> torch.Tensor:
        """The weights of a plain output layer, float32 (K, hidden_size)."""
        hidden = functional.leaky_relu(self.first(self.embeddings), self._leaky_slope)
        tower: torch.Tensor = self.second(hidden.to(self._product_dtype)).float()
        # As in scaled dot-product attention: logits of a new network do not grow with its width.
        return tower / math.sqrt(tower.shape[1])


def check_embeddings(embeddings: NDArray[np.float32], n_outputs: int) -> None:
    """Refuse embeddings that are not one finite vector for each output.

    Raises
    ------
    ConfigError
        With the shape.
    """
    if embeddings.ndim != 2 or len(embeddings) != n_outputs or not np.isfinite(embeddings).all():
        raise ConfigError(
            f"embeddings of shape {embeddings.shape} are not one finite vector for each of {n_outputs} outputs",
            "model.output_embeddings",
            "give one line for each output of the panel",
        )
