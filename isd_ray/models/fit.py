"""Fitting one member of the committee, reproducible from its seed alone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from isd_ray.config import ModelConfig, Task, ValidationConfig
from isd_ray.core.features import FeatureBlocks, Features, OnBits, Stack
from isd_ray.core.panels import unpack
from isd_ray.errors import IsdError
from isd_ray.models.adamw import ClippedAdamW
from isd_ray.models.batches import InputBatch, Inputs, Vocabulary, check_fit, to_batch
from isd_ray.models.device import Placement, release_memory
from isd_ray.models.dropout import DropoutStream
from isd_ray.models.resmlp import FIRST_WEIGHT, Architecture, NetworkWeights, ResMLP, initial_weights
from isd_ray.models.split import Places, split_rows
from isd_ray.models.targets import checked_labels, standardised, target_scaling
from isd_ray.models.two_tower import TwoTowerOutput, check_embeddings

CPU_MICRO_ROWS = 2048
"""Rows of one forward and backward pass on a CPU: a larger batch is summed from such parts, which stay in cache."""


@dataclass(frozen=True, slots=True)
class FittedMember:
    """One fitted member and how it came about.

    Attributes
    ----------
    weights:
        Float32 arrays by name: those of `Architecture.shapes`, and for a regression ``target.mean`` and ``target.sd``,
        shape (1,), in label units; of a panel with numbers shape (n_outputs,).
    validation_loss:
        Lowest mean loss on the validation rows: cross-entropy in nats, of a panel the mean over a row's measured
        outputs, or squared error in units of the training targets' variance. NaN when nothing was held out.
    best_epoch:
        The epoch (from 1) whose weights these are.
    epochs:
        Epochs run.
    n_train, n_validation:
        Rows used; a bootstrap sample counts with repetitions.
    seconds:
        Wall time.
    """

    weights: NetworkWeights
    validation_loss: float
    best_epoch: int
    epochs: int
    n_train: int
    n_validation: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Streams:
    """Independent random streams of one member, so that drawing more of one never shifts another."""

    split: np.random.Generator
    bootstrap: np.random.Generator
    initial: np.random.Generator
    order: np.random.Generator
    dropout_seed: int

    @classmethod
    def of(cls, seed: int, split_seed: int, model: ModelConfig) -> _Streams:
        own, bootstrap, initial, order, dropout = np.random.SeedSequence(seed).spawn(5)
        shared = np.random.SeedSequence(split_seed).spawn(1)[0]
        split = own if model.diversity == "split" else shared
        return cls(
            split=np.random.default_rng(split),
            bootstrap=np.random.default_rng(bootstrap),
            initial=np.random.default_rng(initial),
            order=np.random.default_rng(order),
            dropout_seed=int(dropout.generate_state(1, np.uint64)[0] >> np.uint64(1)),
        )


def fit_member(
    features: Features | FeatureBlocks | Stack,
    labels: NDArray[np.generic],
    *,
    task: Task,
    architecture: Architecture,
    model: ModelConfig,
    validation: ValidationConfig,
    seed: int,
    split_seed: int = 0,
    external: tuple[Features | FeatureBlocks | Stack, NDArray[np.generic]] | None = None,
    placement: Placement | None = None,
    rows: Places | None = None,
    output_embeddings: NDArray[np.float32] | None = None,
) -> FittedMember:
    """Fit one ResMLP with AdamW, gradient clipping and early stopping (paper, Table 1).

    The result is a function of the arguments, of the number of torch threads and of the kind of processor; global
    random state is neither read nor moved.

    Parameters
    ----------
    features:
        The observed rows. They are read batch by batch and never copied as a whole, so a stack of memory maps may be
        larger than memory.
    labels:
        Classification: class indices 0 … n_outputs - 1, shape (n,). Panel: packed bits, uint8
        (n, 2, ceil(n_outputs / 8)), of which those not measured touch nothing, or where `architecture` has numbers
        float64 (n, n_outputs) with NaN for these. Regression: finite numbers in label
        units, shape (n,).
    seed:
        Seed of this member: initial weights, order, dropout, and what `model.diversity` adds: the validation split
        (``split``) or the bootstrap sample (``bootstrap``).
    split_seed:
        Seed of the validation split that members share under ``bootstrap`` and ``seed``.
    external:
        Features and labels of a separate validation set; then nothing is held out of the observed rows.
    placement:
        Default: CPU, float32.
    rows:
        int64 (n,): where the labelled rows stand among those of `features`; default: there are no others.
    output_embeddings:
        float32 (K, d): fits a panel's two-tower head, which the weights hold as a plain output layer.

    Raises
    ------
    ConfigError
        If there is not one embedding for each output.
    LabelError
        If there are no rows, or labels are not what the task demands.
    LibraryError
        If the features do not fit `architecture`.
    IsdError
        If the loss becomes infinite or NaN.
    """
    started = time.perf_counter()
    placement = placement or Placement()
    streams = _Streams.of(seed, split_seed, model)
    observed = _stacked(features, architecture)
    rows = np.arange(len(observed)) if rows is None else rows
    numbers = architecture.numbers
    known = checked_labels(len(rows), labels, task, architecture.n_outputs, numbers)
    labels = np.zeros((len(observed), *known.shape[1:]), known.dtype)
    labels[rows] = known
    if external is None:
        train_rows, held_out = (rows[places] for places in split_rows(known, task, validation, streams.split))
        validation_set, validation_labels = observed, labels
    else:
        train_rows, validation_set = rows, _stacked(external[0], architecture)
        validation_labels = checked_labels(len(validation_set), external[1], task, architecture.n_outputs, numbers)
        held_out = np.arange(len(validation_labels))
    if model.diversity == "bootstrap":
        train_rows = streams.bootstrap.choice(train_rows, size=len(train_rows))

    scaling: NetworkWeights = {}
    if task == "regression" or numbers:
        scaling = target_scaling(labels[train_rows], numbers)
        labels = standardised(labels, scaling)
        validation_labels = standardised(validation_labels, scaling)

    weights = initial_weights(architecture, streams.initial)
    full_table = weights[FIRST_WEIGHT]
    vocabulary = None
    if architecture.kind == "on_bits":
        # AdamW walks over the whole table in each step; rows of bits that no row here has would only decay.
        parts = (*observed.parts, *(validation_set.parts if external else ()))
        mains = [architecture.main_of(part) for part in parts]
        vocabulary = Vocabulary.of([part for part in mains if isinstance(part, OnBits)])
        weights[FIRST_WEIGHT] = full_table[vocabulary.bits]

    network = ResMLP(architecture, weights, placement.product_dtype)
    if output_embeddings is not None:
        check_embeddings(output_embeddings, architecture.n_outputs)
        network.output = TwoTowerOutput(
            output_embeddings, architecture.hidden_size, model.leaky_slope, streams.initial, placement.product_dtype
        )
    network = network.to(placement.device)
    run = _Run(network, vocabulary, model, placement, task)
    dropout = (
        DropoutStream(architecture.dropout, streams.dropout_seed, placement.device) if architecture.dropout else None
    )
    best_loss, best_epoch, best, epoch = math.nan, 0, run.snapshot(), 0
    for epoch in range(1, model.epochs + 1):
        loss = run.train_epoch(observed, labels, streams.order.permutation(train_rows), dropout)
        if len(held_out):
            loss = run.mean_loss(validation_set, validation_labels, held_out)
        if not math.isfinite(loss):
            raise IsdError(
                f"the loss became {loss} in epoch {epoch} of {len(train_rows)} training rows",
                f"fit of the member with seed {seed}",
                "look for extreme values in the features or labels (library.features.scale), or lower "
                "model.learning_rate or model.gradient_clip",
            )
        if not len(held_out):
            continue
        if best_epoch == 0 or loss < best_loss:
            best_loss, best_epoch = loss, epoch
            run.snapshot(into=best)
        elif epoch - best_epoch >= model.patience:
            break
    if best_epoch == 0:
        best_epoch = epoch
        run.snapshot(into=best)

    network.load_state_dict(best)
    weights = network.weights()
    del network, run, best, dropout
    release_memory(placement)
    if vocabulary is not None:
        # Bits without a gradient see nothing of AdamW but its decay, once a step: this is what training them gives.
        steps = best_epoch * math.ceil(len(train_rows) / model.batch_size)
        full_table *= np.float32((1.0 - model.learning_rate * model.weight_decay) ** steps)
        full_table[vocabulary.bits] = weights[FIRST_WEIGHT]
        weights[FIRST_WEIGHT] = full_table
    return FittedMember(
        weights={**weights, **scaling},
        validation_loss=best_loss,
        best_epoch=best_epoch,
        epochs=epoch,
        n_train=len(train_rows),
        n_validation=len(held_out),
        seconds=time.perf_counter() - started,
    )


def _stacked(features: Features | FeatureBlocks | Stack, architecture: Architecture) -> Stack:
    stacked = features if isinstance(features, Stack) else Stack((features,))
    for part in stacked.parts:
        if architecture.main or not isinstance(part, FeatureBlocks):
            check_fit(architecture.main_of(part), architecture.kind, architecture.width)
    return stacked


class _Run:
    """A network in training: its optimizer, one epoch, its loss, copies of its weights."""

    def __init__(
        self, network: ResMLP, vocabulary: Vocabulary | None, model: ModelConfig, placement: Placement, task: Task
    ) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.model = model
        self.placement = placement
        self.task = task
        self.optimizer = ClippedAdamW(
            network.parameters(),
            learning_rate=model.learning_rate,
            weight_decay=model.weight_decay,
            gradient_clip=model.gradient_clip,
        )
        self.micro_rows = min(model.batch_size, CPU_MICRO_ROWS) if placement.on_cpu else model.batch_size

    def train_epoch(
        self, features: Stack, labels: NDArray[np.generic], order: Places, dropout: DropoutStream | None
    ) -> float:
        """One pass in the given order; a last, smaller batch is a step like the others. Returns the mean loss."""
        total = torch.zeros((), device=self.placement.device)
        for start in range(0, len(order), self.model.batch_size):
            # A batch has no order of its own: ascending rows are read from the fewest places.
            rows = np.sort(order[start : start + self.model.batch_size])
            self._forget_gradients()
            for first in range(0, len(rows), self.micro_rows):
                part = rows[first : first + self.micro_rows]
                batch = self._batch(features, part, for_training=True)
                loss = self._summed_loss(self.network(batch, dropout), labels[part])
                (loss / len(rows)).backward()
                total += loss.detach()
            self.optimizer.step()
        return float(total) / len(order)

    def _batch(self, features: Stack, rows: Places, *, for_training: bool = False) -> InputBatch:
        taken = self.network.architecture.inputs(features.take(rows))
        if self.vocabulary is not None and isinstance(taken.main, OnBits):
            taken = Inputs(self.vocabulary.remap(taken.main), taken.extra)
        return to_batch(taken, self.placement.device, for_training=for_training)

    def _forget_gradients(self) -> None:
        for parameter in self.network.parameters():
            if parameter is self.network.first.weight and parameter.grad is not None:
                parameter.grad.zero_()  # the table's is large and is added into: keep its memory
            else:
                parameter.grad = None

    @torch.no_grad()
    def mean_loss(self, features: Stack, labels: NDArray[np.generic], rows: Places) -> float:
        """Mean loss of the given rows without dropout."""
        total = torch.zeros((), device=self.placement.device)
        for start in range(0, len(rows), CPU_MICRO_ROWS):
            part = rows[start : start + CPU_MICRO_ROWS]
            total += self._summed_loss(self.network(self._batch(features, part)), labels[part])
        return float(total) / len(rows)

    def snapshot(self, into: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """Copy the weights, into the tensors of an earlier copy if given."""
        state = self.network.state_dict()
        if into is None:
            return {name: tensor.clone() for name, tensor in state.items()}
        for name, tensor in state.items():
            into[name].copy_(tensor)
        return into

    def _summed_loss(self, outputs: torch.Tensor, labels: NDArray[Any]) -> torch.Tensor:
        if numbers := self.network.architecture.numbers:
            return _summed_loss_with_numbers(outputs, labels, numbers)
        if self.task == "panel":
            return self._summed_panel_loss(outputs, labels)
        targets = torch.from_numpy(labels).to(self.placement.device)
        if self.task == "classification":
            return functional.cross_entropy(outputs, targets, reduction="sum")
        return functional.mse_loss(outputs[:, 0], targets, reduction="sum")

    def _summed_panel_loss(self, outputs: torch.Tensor, labels: NDArray[np.uint8]) -> torch.Tensor:
        """Sum over the rows of the mean cross-entropy of their measured outputs: each compound weighs the same."""
        ones, measured = (
            torch.from_numpy(unpack(labels[:, part], outputs.shape[1])).to(outputs.device).float() for part in (0, 1)
        )
        losses = functional.binary_cross_entropy_with_logits(outputs, ones, weight=measured, reduction="none")
        return (losses.sum(dim=1) / measured.sum(dim=1).clamp(min=1.0)).sum()


def _summed_loss_with_numbers(
    outputs: torch.Tensor, labels: NDArray[np.float32], numbers: Sequence[bool]
) -> torch.Tensor:
    """As of other panels, of numbers half the squared error in standard deviations: the loss of a normal density."""
    targets = torch.from_numpy(labels).to(outputs.device)
    measured = (~torch.isnan(targets)).float()
    targets = torch.nan_to_num(targets)
    of_classes = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    is_number = torch.tensor(numbers, device=outputs.device)
    losses = torch.where(is_number, 0.5 * (outputs - targets) ** 2, of_classes) * measured
    return (losses.sum(dim=1) / measured.sum(dim=1).clamp(min=1.0)).sum()
