"""The tests that every family of models must pass: `python -m pytest`, with this package and pytest installed."""

from isd_similarity import Similarity

from isd_ray.testing.models import ModelConformance


class TestSimilarity(ModelConformance):
    model = Similarity
