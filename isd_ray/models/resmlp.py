"""The ResMLP of the paper (appendix B), with a first layer that sums embeddings of on-bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from isd_ray.config import FeatureSpec, ModelConfig
from isd_ray.core.features import Dense, FeatureBlocks, Features, OnBits
from isd_ray.models.base import BlockShape, Problem
from isd_ray.models.batches import DenseBatch, InputBatch, Inputs, OnBitBatch, check_fit, with_flags
from isd_ray.models.dropout import DropoutStream

FIRST_WEIGHT = "first.weight"
EXTRA_WEIGHT = "extra.weight"
NetworkWeights = dict[str, NDArray[np.float32]]
"""Those of a network, all float32."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Shape of a ResMLP: all that is needed beside the weights to run it.

    Attributes
    ----------
    kind:
        ``on_bits``: the first layer is an embedding table summed over set bits; ``dense``: a linear layer.
    width:
        Columns of the features.
    scale:
        Dense values are multiplied by this; 1 for on-bits.
    hidden_size, residual_blocks, dropout, leaky_slope:
        As in `ModelConfig`.
    n_outputs:
        Classes of a classification, or outputs of a panel (logits); 1 for a regression.
    is_panel:
        Outputs are questions of their own, not classes that exclude each other.
    numbers:
        Of a panel: which outputs are numbers, in standard deviations; empty where all are logits.
    main:
        Name of the block that the first layer reads; empty where features are no named blocks.
    beside:
        Names of the standardised blocks that stand beside it.
    extra:
        Columns that those give: a value and a flag each.
    """

    kind: Literal["on_bits", "dense"]
    width: int
    n_outputs: int
    scale: float = 1.0
    hidden_size: int = 512
    residual_blocks: int = 2
    dropout: float = 0.1
    leaky_slope: float = 0.01
    is_panel: bool = False
    main: str = ""
    beside: tuple[str, ...] = ()
    extra: int = 0
    numbers: tuple[bool, ...] = ()

    @classmethod
    def for_problem(cls, model: ModelConfig, problem: Problem) -> Architecture:
        """The architecture that `model` gives on the blocks of a problem.

        The first layer reads the first block that is not standardised, on-bits or dense; standardised blocks stand
        beside it, or, where there is no other, are its input.
        """
        main: BlockShape | None = next((block for block in problem.blocks if not block.standardised), None)
        beside = tuple(block for block in problem.blocks if block.standardised)
        extra = 2 * sum(block.width for block in beside)
        return cls(
            kind="on_bits" if main is not None and main.kind == "on_bits" else "dense",
            width=extra if main is None else main.width,
            n_outputs=problem.n_outputs,
            scale=1.0 if main is None else main.scale,
            hidden_size=model.hidden_size,
            residual_blocks=model.residual_blocks,
            dropout=model.dropout,
            leaky_slope=model.leaky_slope,
            is_panel=problem.task == "panel",
            main="" if main is None else main.name,
            beside=tuple(block.name for block in beside),
            extra=0 if main is None else extra,
            numbers=problem.numbers,
        )

    def main_of(self, features: Features | FeatureBlocks) -> Features:
        """The block that the first layer reads."""
        if not isinstance(features, FeatureBlocks):
            return features
        if not self.main:
            return Dense(with_flags([_dense(features, name) for name in self.beside]))
        main = features[self.main]
        assert isinstance(main, OnBits | Dense), "a network reads numbers"
        return main

    def inputs(self, features: Features | FeatureBlocks) -> Inputs:
        """What the network takes of some rows.

        Raises
        ------
        LibraryError
            If they are of another kind or width than it was made for.
        """
        main = self.main_of(features)
        check_fit(main, self.kind, self.width)
        if not self.extra or not isinstance(features, FeatureBlocks):
            return Inputs(main)
        return Inputs(main, with_flags([_dense(features, name) for name in self.beside]))

    @classmethod
    def from_config(
        cls,
        model: ModelConfig,
        spec: FeatureSpec,
        n_outputs: int,
        *,
        is_panel: bool = False,
        numbers: tuple[bool, ...] = (),
    ) -> Architecture:
        """The architecture that `model` gives on features of `spec`."""
        return cls(
            kind=spec.kind,
            width=spec.width,
            n_outputs=n_outputs,
            scale=spec.scale if spec.kind == "dense" else 1.0,
            hidden_size=model.hidden_size,
            residual_blocks=model.residual_blocks,
            dropout=model.dropout,
            leaky_slope=model.leaky_slope,
            is_panel=is_panel,
            numbers=numbers,
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each weight, in the order of the forward pass."""
        hidden = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        shapes[FIRST_WEIGHT] = (self.width, hidden) if self.kind == "on_bits" else (hidden, self.width)
        shapes["first.bias"] = (hidden,)
        if self.extra:
            shapes[EXTRA_WEIGHT] = (hidden, self.extra)
        for block in range(self.residual_blocks):
            for layer in ("inner", "outer"):
                shapes[f"blocks.{block}.{layer}.weight"] = (hidden, hidden)
                shapes[f"blocks.{block}.{layer}.bias"] = (hidden,)
        shapes["output.weight"] = (self.n_outputs, hidden)
        shapes["output.bias"] = (self.n_outputs,)
        return shapes


def _dense(features: FeatureBlocks, name: str) -> Dense:
    block = features[name]
    assert isinstance(block, Dense), "standardised blocks are dense"
    return block


def initial_weights(architecture: Architecture, rng: np.random.Generator) -> NetworkWeights:
    """Draw initial weights, distributed as by ``torch.nn.Linear``: uniform within ± 1 / sqrt(fan-in), biases too."""
    hidden = architecture.hidden_size
    weights = {}
    for name, shape in architecture.shapes().items():
        inputs = {"first": architecture.width, "extra": architecture.extra}.get(name.partition(".")[0], hidden)
        bound = 1.0 / math.sqrt(inputs)
        draw = rng.random(shape, dtype=np.float32)
        draw *= np.float32(2.0 * bound)
        draw -= np.float32(bound)
        weights[name] = draw
    return weights


class _SumOfRows(torch.autograd.Function):
    """EmbeddingBag(sum) whose gradient is the EmbeddingBag(sum) of the transposed index, added into ``weight.grad``.

    torch's own backward sorts the indices and adds row by row into a fresh table: 4.8 ms for 256 rows of 73 bits on
    6,000 × 512. The transposed sum reads the gradient of the batch, which fits the cache, and visits each row of the
    table once: 0.6 ms. No two threads ever add to one row, so it is deterministic on any device. Adding in place
    instead of returning the gradient saves a table for each step.
    """

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, batch: OnBitBatch) -> torch.Tensor:
        ctx.weight, ctx.pieces = weight, batch.pieces
        return _sum_rows(batch.bits, weight, batch.offsets)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, None]:
        upstream = gradients[0].contiguous()
        if ctx.weight.grad is None:
            ctx.weight.grad = torch.zeros_like(ctx.weight)
        for piece in ctx.pieces:
            ctx.weight.grad[piece.start : piece.stop].add_(_sum_rows(piece.rows, upstream, piece.offsets))
        return None, None


def _sum_rows(rows: torch.Tensor, table: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return functional.embedding_bag(rows, table, offsets, mode="sum", include_last_offset=True)


class Affine(nn.Module):
    """A linear layer that multiplies in the dtype of its input, whatever the dtype of its parameters.

    Parameters
    ----------
    weight_shape:
        (n_outputs, n_inputs).
    """

    def __init__(self, weight_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(weight_shape))
        self.bias = nn.Parameter(torch.empty(n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, n_inputs) to (n, n_outputs)."""
        return functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class BiaslessLinear(nn.Module):
    """A product with a float32 matrix, shape (n_outputs, n_inputs), and nothing else."""

    def __init__(self, weight_shape: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(weight_shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, n_inputs) to (n, n_outputs)."""
        return functional.linear(x, self.weight)


class _Block(nn.Module):
    """A residual block as in the paper's code: lrelu(x + W₂ lrelu(W₁ x)).

    Only the factors of the products are of `product_dtype`. The stream `x` stays float32: this nearly halves the error
    of bfloat16 logits, costs scoring nothing and a fit 3 %.
    """

    def __init__(self, hidden_size: int, slope: float, product_dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = Affine((hidden_size, hidden_size), hidden_size)
        self.outer = Affine((hidden_size, hidden_size), hidden_size)
        self.slope = slope
        self.product_dtype = product_dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.leaky_relu(self.inner(x.to(self.product_dtype)), self.slope, inplace=True)
        return functional.leaky_relu(x + self.outer(hidden), self.slope, inplace=True)


class ResMLP(nn.Module):
    """First layer, leaky ReLU, residual blocks each followed by dropout, linear output.

    `output` may be exchanged for a head that has a `weight` and a `bias` of the same shapes.

    Dropout is active exactly when a `DropoutStream` is passed, so there is no train/eval mode to forget. Parameters
    keep the dtype they are given; hidden layers multiply in `product_dtype`, everything between them is float32.

    Parameters
    ----------
    architecture:
        Its shape. For on-bits the table may have fewer rows (see `Vocabulary`): those of the weights loaded.
    weights:
        Float32 arrays by the names of `Architecture.shapes`; copied.
    product_dtype:
        float32 or bfloat16.
    """

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, NDArray[np.float32]], product_dtype: torch.dtype
    ) -> None:
        super().__init__()
        hidden = architecture.hidden_size
        self.architecture = architecture
        self.product_dtype = product_dtype
        self.first = Affine(weights[FIRST_WEIGHT].shape, hidden)
        if architecture.extra:
            self.extra = BiaslessLinear((hidden, architecture.extra))
        self.blocks = nn.ModuleList(
            _Block(hidden, architecture.leaky_slope, product_dtype) for _ in range(architecture.residual_blocks)
        )
        self.output: Any = Affine((architecture.n_outputs, hidden), architecture.n_outputs)
        self.load_state_dict({name: torch.from_numpy(np.array(weights[name])) for name in architecture.shapes()})

    def features(self, batch: InputBatch) -> torch.Tensor:
        """Output of the first layer and its leaky ReLU, float32, shape (n, hidden_size)."""
        if isinstance(batch, DenseBatch):
            x = self._dense(batch)
        elif batch.pieces:
            x = _SumOfRows.apply(self.first.weight, batch).add_(self.first.bias)
        else:
            x = _sum_rows(batch.bits, self.first.weight, batch.offsets).float().add_(self.first.bias)
        if batch.extra is not None:
            x = x.float() + self.extra(batch.extra)
        return functional.leaky_relu(x.float(), self.architecture.leaky_slope, inplace=True)

    def _dense(self, batch: DenseBatch) -> torch.Tensor:
        # Integers up to 255 are exact in bfloat16; of other values (think of 100 ± 1) it would lose too much.
        dtype = self.product_dtype if batch.values.dtype is torch.uint8 else torch.float32
        weight = self.first.weight * self.architecture.scale
        return functional.linear(batch.values.to(dtype), weight.to(dtype), self.first.bias.to(dtype))

    def head(self, x: torch.Tensor, dropout: DropoutStream | None = None) -> torch.Tensor:
        """Blocks and output on the result of `features`, which is left unchanged; float32, shape (n, n_outputs)."""
        for block in self.blocks:
            x = block(x)
            if dropout is not None:
                x = x * dropout.mask(x.shape[0], x.shape[1])
        return functional.linear(x, self.output.weight, self.output.bias)

    def forward(self, batch: InputBatch, dropout: DropoutStream | None = None) -> torch.Tensor:
        """Logits or standardised predictions, float32, shape (n, n_outputs)."""
        return self.head(self.features(batch), dropout)

    def weights(self) -> NetworkWeights:
        """The weights by the names of `Architecture.shapes`; of any head those of a plain output layer.

        On a CPU they share memory with the network.
        """
        with torch.no_grad():
            tensors = self.state_dict() | {"output.weight": self.output.weight, "output.bias": self.output.bias}
            return {name: tensors[name].detach().cpu().numpy() for name in self.architecture.shapes()}
