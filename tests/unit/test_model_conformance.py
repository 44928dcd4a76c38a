"""Our own families pass the tests that we ship for those of others."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from isd_ray.config import ModelConfig
from isd_ray.models.boosted import Boosted
from isd_ray.models.linear import Linear
from isd_ray.models.resmlp_family import ResMLPFamily
from isd_ray.testing.models import ModelConformance

MANY_ROWS = int(os.environ.get("ISD_MANY_ROWS", "20000"))


class TestLinear(ModelConformance):
    model = Linear
    many_rows = MANY_ROWS


class TestBoosted(ModelConformance):
    model = Boosted
    config: ClassVar = {"trees": 30, "learning_rate": 0.3, "column_share": 0.5}
    many_rows = MANY_ROWS


class TestResMLP(ModelConformance):
    """Rows are independent in mathematics only: another number of them, or of threads, is summed in another order."""

    model = ResMLPFamily
    config: ClassVar = {"hidden_size": 32, "residual_blocks": 1, "batch_size": 64, "epochs": 10, "learning_rate": 0.01}
    tolerance = 1e-5
    thread_tolerance = 1e-3  # training multiplies the last digits
    many_rows = MANY_ROWS

    def make_config(self) -> ModelConfig:
        return ModelConfig.model_validate(dict(self.config))

    def campaign_tables(self) -> dict[str, Any]:
        return {"families": ["resmlp"], "members": 2, **self.config}
