"""Predictions of a whole committee on one block of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from isd_ray.config import Task
from isd_ray.core.features import FeatureBlocks, Features
from isd_ray.errors import ConfigError
from isd_ray.models.batches import InputBatch, to_batch
from isd_ray.models.device import Placement
from isd_ray.models.dropout import DropoutStream
from isd_ray.models.resmlp import Architecture, ResMLP
from isd_ray.models.targets import TARGET_MEAN, TARGET_SD

CPU_TILE_ROWS = 512
"""Rows of one pass on a CPU: 1 MB of float32 activations at 512 columns, half of a usual second-level cache. 256 to
1,024 differ by a few per cent, 2,048 takes a third longer with short fingerprints."""


class CommitteePredictor:
    """A committee ready to score: weights are converted once, here.

    The same block, weights, thread count and kind of processor give the same bits. Rows are independent of each other
    in mathematics only: kernels may choose another order of summation for another number of rows, so callers that need
    equal bits pass equal blocks (the fixed grid of the library).

    Parameters
    ----------
    weights:
        One mapping for each member, as `FittedMember.weights`; the arrays may be read-only and are copied.
    architecture:
        The shape that all members share.
    placement:
        Default: CPU, float32.
    """

    def __init__(
        self,
        weights: Sequence[Mapping[str, NDArray[np.float32]]],
        architecture: Architecture,
        placement: Placement | None = None,
    ) -> None:
        if not weights:
            raise ConfigError("a committee needs at least one member", "CommitteePredictor", "fit a member first")
        self.architecture = architecture
        self._placement = placement or Placement()
        self._tile_rows = CPU_TILE_ROWS if self._placement.on_cpu else None
        self._members = []
        for member in weights:
            network = ResMLP(architecture, member, self._placement.product_dtype).requires_grad_(False)
            network.blocks.to(self._placement.product_dtype)
            if self._placement.bf16 and architecture.kind == "on_bits":
                # The sum reads one row of the table for each on-bit: half the bytes take a quarter off the time of
                # `standard`, and eleven significant bits, summed in float32, leave the logits' error as it is.
                network.first.weight = nn.Parameter(network.first.weight.half(), requires_grad=False)
            self._members.append(network.to(self._placement.device))
        self._scalings = [
            (float(member[TARGET_MEAN][0]), float(member[TARGET_SD][0]))
            if TARGET_MEAN in member and not architecture.numbers
            else None
            for member in weights
        ]
        of_outputs = [[member[name] for name in (TARGET_MEAN, TARGET_SD)] for member in weights if architecture.numbers]
        self._of_outputs = [torch.from_numpy(np.array(pair)).to(self._placement.device) for pair in of_outputs]
        self._is_number = torch.tensor(architecture.numbers, dtype=torch.bool, device=self._placement.device)

    @property
    def task(self) -> Task:
        """``regression`` if the members carry a target scaling, ``panel`` by the architecture, or classification."""
        if self.architecture.is_panel:
            return "panel"
        return "classification" if self._scalings[0] is None else "regression"

    def __len__(self) -> int:
        return len(self._members)

    def outputs(self, features: Features | FeatureBlocks) -> NDArray[np.float32]:
        """Predict a block.

        Parameters
        ----------
        features:
            The n rows of one block; arrays may be read-only.

        Returns
        -------
        numpy.ndarray
            Float32. Classification: probabilities, shape (M, n, K). Panel: probabilities that an output is 1, shape
            (M, n, K), of numbers among its outputs in label units. Regression: label units, shape (M, n).

        Raises
        ------
        LibraryError
            If the features do not fit the architecture.
        """
        result = self._empty(len(self), len(features))
        with torch.inference_mode():
            for start, stop, batch in self._tiles(features):
                for index, network in enumerate(self._members):
                    result[index, start:stop] = self._finish(network(batch), index)
        return result

    def dropout_outputs(self, features: Features | FeatureBlocks, n_samples: int, seed: int) -> NDArray[np.float32]:
        """Predict a block `n_samples` times a member with dropout active (Monte-Carlo dropout, Gal & Ghahramani 2016).

        Parameters
        ----------
        seed:
            0 <= seed < 2**64; the masks are a function of it, of the block's size and of the committee's.

        Returns
        -------
        numpy.ndarray
            As `outputs`, with first axis M · n_samples; sample t of member m is at m · n_samples + t.

        Raises
        ------
        ConfigError
            If the architecture has no dropout, so that all samples would be equal.
        LibraryError
            If the features do not fit the architecture.
        """
        if not self.architecture.dropout or not self.architecture.residual_blocks:
            raise ConfigError(
                f"dropout={self.architecture.dropout} with residual_blocks={self.architecture.residual_blocks} "
                "leaves nothing to sample",
                "model.dropout",
                "set dropout above 0 and residual_blocks to at least 1, or use another acquisition function",
            )
        dropout = DropoutStream(self.architecture.dropout, seed, self._placement.device)
        result = self._empty(len(self) * n_samples, len(features))
        with torch.inference_mode():
            for start, stop, batch in self._tiles(features):
                for index, network in enumerate(self._members):
                    shared = network.features(batch)
                    for sample in range(n_samples):
                        outputs = self._finish(network.head(shared, dropout), index)
                        result[index * n_samples + sample, start:stop] = outputs
        return result

    def _tiles(self, features: Features | FeatureBlocks) -> Iterator[tuple[int, int, InputBatch]]:
        inputs = self.architecture.inputs(features)
        n_rows = len(inputs)
        step = self._tile_rows or max(n_rows, 1)
        for start in range(0, n_rows, step):
            stop = min(start + step, n_rows)
            yield start, stop, to_batch(inputs.slice_rows(start, stop), self._placement.device)

    def _finish(self, outputs: torch.Tensor, index: int) -> NDArray[np.float32]:
        """Probabilities or label units, on the host."""
        scaling = self._scalings[index]
        if scaling is not None:
            outputs = outputs[:, 0] * scaling[1] + scaling[0]
        elif self._of_outputs:
            mean, sd = self._of_outputs[index]
            outputs = torch.where(self._is_number, outputs * sd + mean, torch.sigmoid(outputs))
        else:
            outputs = torch.sigmoid(outputs) if self.architecture.is_panel else torch.softmax(outputs, dim=1)
        array: NDArray[np.float32] = outputs.cpu().numpy()
        return array

    def _empty(self, n_samples: int, n_rows: int) -> NDArray[np.float32]:
        shape = (n_samples, n_rows, self.architecture.n_outputs)
        return np.empty(shape[:2] if self.task == "regression" else shape, dtype=np.float32)
