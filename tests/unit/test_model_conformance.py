"""Our own families pass the tests that we ship for those of others."""

from __future__ import annotations

import os
from typing import Any

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
    config = {"trees": 30, "learning_rate": 0.3, "column_share": 0.5}
    many_rows = MANY_ROWS


class TestResMLP(ModelConformance):
    """Rows are independent in mathematics only: another number of them may be summed in another order."""

    model = ResMLPFamily
    tolerance = 1e-5
    many_rows = MANY_ROWS
    config = {"hidden_size": 32, "residual_blocks": 1, "batch_size": 64, "epochs": 12, "learning_rate": 0.01}

    def make_config(self) -> ModelConfig:
        return ModelConfig.model_validate(dict(self.config))

    def campaign_tables(self) -> dict[str, Any]:
        return {"families": ["resmlp"], "members": 2, **self.config}
