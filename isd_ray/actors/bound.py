"""The bound actor: evidence in, decision out."""

from __future__ import annotations

from isd_ray.config import StoppingConfig
from isd_ray.core.stopping import decide
from isd_ray.messages import RoundEvidence, StopDecision


class BoundActor:
    """Decides about termination; sees evidence only, never a label or a model."""

    def __init__(self, config: StoppingConfig) -> None:
        self._config = config

    def decide(self, evidence: RoundEvidence) -> StopDecision:
        """Judge a round by the configured rule."""
        return decide(evidence, self._config)

    def ready(self) -> None:
        """Nothing to prepare."""
