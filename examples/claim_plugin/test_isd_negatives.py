"""The tests that every claim must pass: `python -m pytest`, with this package and pytest installed."""

from isd_negatives import negative_predictive_value

from isd_ray.testing.claims import ClaimConformance


class TestNegativePredictiveValue(ClaimConformance):
    claim = negative_predictive_value
