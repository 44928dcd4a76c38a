"""What a trainer or scorer is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isd_ray.config import CampaignConfig
from isd_ray.messages.rows import LabelArray


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a trainer or scorer needs to rebuild itself anywhere: everything else it holds comes from files.

    Attributes
    ----------
    libraries:
        Directory of the library of each part: target, and validation and test where there are such.
    classes:
        Names of the classes; empty for a regression.
    outputs:
        Names of a panel's outputs; empty for other tasks.
    validation_labels:
        Labels of the external validation library, in its row order; None when validation rows are observed rows.
    output_embeddings:
        float32 (K, d): of the outputs of a panel with a two-tower head; else None.
    blocks:
        Hashes of the feature blocks that the campaign uses, by name and in order; empty for the library's main one.
    version:
        Hash of the version of the target library; None for the library as it is.
    """

    config: CampaignConfig
    libraries: Mapping[str, str]
    classes: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    validation_labels: LabelArray | None = None
    output_embeddings: NDArray[np.float32] | None = None
    blocks: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None

    @property
    def n_outputs(self) -> int:
        """Outputs of the network: those of the panel, the classes, or one value."""
        return len(self.outputs) or len(self.classes) or 1
