"""A family of models for isd_ray: Tanimoto similarities to measured compounds, and scikit-learn's Ridge on them."""

from functools import partial

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from isd_ray.config import FamilyConfig
from isd_ray.models.base import Fitted, MemberByMember
from isd_ray.models.sparse import Columns, Pieces


class SimilarityConfig(FamilyConfig):
    landmarks: int = 500
    """Measured compounds, drawn by chance, with which all are compared."""


class Similarity:
    Config, tasks, needs = SimilarityConfig, frozenset({"classification"}), ()

    def __init__(self, config, problem):
        self.config, self.problem = config, problem

    def fit(self, data, *, seed, split_seed, placement):
        columns = Columns.seen(self.problem, data.features, data.rows, at_least=1)
        drawn = np.random.default_rng(seed).permutation(data.rows)[: self.config.landmarks]
        bits, offsets = columns.bit_indices(data.features.take(drawn))
        arrays = {**columns.weights(), "bits": bits, "offsets": offsets}
        inputs = np.concatenate([self.inputs(arrays, piece) for piece in Pieces(data.features, data.rows)])
        ridge = Ridge().fit(inputs, np.eye(self.problem.n_outputs, dtype=np.float32)[data.labels])
        return Fitted({**arrays, "weights": ridge.coef_, "bias": ridge.intercept_}, len(data.rows))

    def open(self, members, placement):
        return MemberByMember([partial(self.answer, arrays) for arrays in members])

    def answer(self, arrays, features):
        inputs = self.inputs(arrays, features)  # summed row by row: no answer depends on the rows around it
        found = np.stack([(inputs * weights).sum(axis=1) for weights in arrays["weights"]], axis=1) + arrays["bias"]
        found = np.clip(found, 0.001, 0.999)
        return found / found.sum(axis=1, keepdims=True)

    def inputs(self, arrays, features):
        columns = Columns.of(self.problem, arrays)
        parts = columns.bit_indices(features), (arrays["bits"], arrays["offsets"])
        rows, marks = (
            csr_array((np.ones(len(bits), "f4"), bits, ends), (len(ends) - 1, columns.width)) for bits, ends in parts
        )
        common = (rows @ marks.T).toarray()
        similarities = common / np.maximum(1, rows.sum(axis=1)[:, None] + marks.sum(axis=1) - common)
        return np.hstack([similarities, np.nan_to_num(columns.dense_values(features))])
