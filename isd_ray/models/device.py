"""Where a model runs and in which precision: the one place that looks at the hardware."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from isd_ray.errors import ResourceError

BF16_CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
CPUINFO = Path("/proc/cpuinfo")
CUBLAS_WORKSPACE = ":4096:8"


@dataclass(frozen=True, slots=True)
class Placement:
    """Device and precision of a fit or of scoring.

    Attributes
    ----------
    device:
        Where tensors live.
    bf16:
        Whether hidden layers multiply in bfloat16, and a predictor keeps its embedding table in float16. Sums of
        embeddings, the output layer and softmax are float32 either way.
    threads:
        Of families that do not run on torch, whose own are `configure_threads`.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    bf16: bool = False
    threads: int = 1

    @property
    def product_dtype(self) -> torch.dtype:
        """The dtype in which hidden layers multiply."""
        return torch.bfloat16 if self.bf16 else torch.float32

    @property
    def on_cpu(self) -> bool:
        """Whether tensors live in host memory, where cache blocking pays."""
        return self.device.type == "cpu"


def resolve_placement(
    device: Literal["auto", "cpu", "cuda"], precision: Literal["auto", "float32", "bfloat16"], threads: int = 1
) -> Placement:
    """Turn `ComputeConfig.device` and `ComputeConfig.precision` into what this machine offers.

    ``auto`` takes CUDA if there is a usable card, else the CPU; and bfloat16 where the hardware multiplies it natively,
    else float32. An explicit ``bfloat16`` is obeyed everywhere: without support it is correct, only slow.

    Raises
    ------
    ResourceError
        If ``device = "cuda"`` and torch sees no CUDA device.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ResourceError(
            f"device='cuda' is configured, but torch {torch.__version__} sees no CUDA device",
            "compute.device",
            "run on a machine with a GPU and a CUDA build of torch, or set device = 'auto' or 'cpu'; "
            "inside Ray, give the actor a share of a card with trainer_gpus / scorer_gpus",
        )
    use_cuda = has_cuda and device != "cpu"
    native_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if use_cuda else cpu_multiplies_bf16()
    bf16 = native_bf16 if precision == "auto" else precision == "bfloat16"
    return Placement(torch.device("cuda" if use_cuda else "cpu"), bf16, threads)


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has bfloat16 dot products (AVX512-BF16 or AMX).

    Without them a bfloat16 product is emulated and slower than float32. torch has no public question for this on all
    its versions, so the kernel's list of flags is read; where there is none (macOS, Windows) the answer is no.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(
        not BF16_CPU_FLAGS.isdisjoint(line.partition(":")[2].split())
        for line in text.splitlines()
        if line.startswith("flags")
    )


def configure_threads(n_threads: int) -> None:
    """Set the threads of torch's operators in this process, and demand deterministic kernels.

    Both are part of what makes a result repeatable. Operators without a deterministic kernel raise. Uninitialised
    memory is not filled with NaN (torch's default in this mode): it costs a pass over each result and guards against a
    mistake that the bit-for-bit tests would catch.
    """
    torch.set_num_threads(n_threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def release_memory(placement: Placement) -> None:
    """Give memory that torch keeps for its next tensors back to the card, where other actors may need it."""
    if not placement.on_cpu:
        torch.cuda.empty_cache()
