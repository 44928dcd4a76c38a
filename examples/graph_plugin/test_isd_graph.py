"""The tests that every family of models must pass: `python -m pytest`, with this package and pytest installed."""

from isd_graph import Graph

from isd_ray.testing.models import ModelConformance


class TestGraph(ModelConformance):
    """Sums of many rows at once: how many there are moves the last digits."""

    model = Graph
    config = dict(hidden_size=16, epochs=20, learning_rate=0.01)  # noqa: C408, RUF012
    tolerance = 1e-5
    thread_tolerance = 1e-3
    many_rows = 2000
