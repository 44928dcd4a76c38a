"""Products of numpy and SciPy have one thread while something is fitted, predicted or decided, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.linalg  # noqa: F401
from threadpoolctl import threadpool_info, threadpool_limits

from isd_ray.campaign import loop
from isd_ray.core.features import Dense, FeatureBlocks
from isd_ray.messages import Committee
from isd_ray.models.base import MemberByMember
from isd_ray.models.blas import one_blas_thread
from isd_ray.models.device import Placement
from isd_ray.models.mixture import Mixture
from isd_ray.ops.simulate import simulate

OF_A_USER = 2
FIT_WIDELY = """
from types import SimpleNamespace
import numpy as np
from isd_ray.campaign.fitting import MemberTrainer
from isd_ray.config import ValidationConfig
from isd_ray.core.features import FeatureBlocks, OnBits, stack
from isd_ray.core.panels import pack_labels
from isd_ray.messages import FitRequest
from isd_ray.models.base import BlockShape, Problem
from isd_ray.models.committee import committee_hash
from isd_ray.models.device import Placement, configure_threads
from isd_ray.models.linear import Linear, LinearConfig

TASK, OUTPUTS, WIDTH = {task!r}, {n_outputs}, {width}
N, ON = 1500, 40

class InMemory(MemberTrainer):
    def __init__(self, features, model):
        config = SimpleNamespace(validation=ValidationConfig())
        self._spec = SimpleNamespace(validation_labels=None, config=config, output_embeddings=None)
        self._placement, self._models, self._features = Placement(), {{"linear": model}}, features

    def _observed_features(self, files):
        return stack([self._features])

configure_threads(1)
generator = np.random.default_rng(0)
bits = np.sort(generator.integers(0, WIDTH, (N, ON)), axis=1).astype(np.uint16)
features = FeatureBlocks({{"bits": OnBits(bits.reshape(-1), np.arange(0, N * ON + 1, ON), WIDTH)}})
values = generator.standard_normal((WIDTH, OUTPUTS))[bits].sum(axis=1) + generator.standard_normal((N, OUTPUTS))
labels = values[:, 0] if TASK == "regression" else pack_labels((values > 0).astype(np.int8))
problem = Problem(TASK, OUTPUTS, (BlockShape("bits", "on_bits", WIDTH),))
model = Linear(LinearConfig(max_steps=40), problem)
request = FitRequest(0, "linear", 0, 1, 1, (), labels, np.arange(N))
print(committee_hash([InMemory(features, model).fit(request).weights]))
"""


@pytest.fixture
def user():
    """A process whose user has given their products some threads."""
    with threadpool_limits(OF_A_USER, user_api="blas"):
        yield


def n_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def outcome(code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("task", "n_outputs", "width"), [("panel", 12, 2048), ("regression", 1, 16384)])
def test_a_fit_of_many_weights_is_the_same_to_the_bit_whatever_threads_the_environment_gives(task, n_outputs, width):
    code = FIT_WIDELY.format(task=task, n_outputs=n_outputs, width=width)
    assert outcome(code, OPENBLAS_NUM_THREADS="2") == outcome(code, OPENBLAS_NUM_THREADS="1")


def test_a_step_of_a_campaign_has_one_thread_and_leaves_the_user_theirs(make_config, tmp_path, monkeypatch, user):
    seen = []

    def watched(*given):
        seen.append(n_threads())
        return decide(*given)

    decide = loop.decide
    monkeypatch.setattr(loop, "decide", watched)
    simulate(make_config(stopping={"rule": "none", "max_fraction": 0.2}), tmp_path / "run")
    assert seen
    assert set().union(*seen) == {1}
    assert n_threads() == {OF_A_USER}


@pytest.mark.parametrize("asked", ["outputs", "forecasts"])
def test_a_prediction_has_one_thread(asked, user):
    seen = []

    class Watched:
        def open(self, members, placement):
            return MemberByMember([lambda block: seen.append(n_threads()) or np.zeros(len(block))])

    committee = Committee("hash", ({},), ("own",), {"own": 1.0})
    mixture = Mixture(committee, {"own": Watched()}, Placement(), "regression", 1)
    getattr(mixture, asked)(FeatureBlocks({"values": Dense(np.zeros((3, 1), np.float32))}))
    assert seen == [{1}]
    assert n_threads() == {OF_A_USER}


def test_a_judge_on_ray_has_one_thread_for_good():
    code = (
        "import numpy, scipy.linalg, threadpoolctl\n"
        "from isd_ray.actors.bound import BoundActor\n"
        "BoundActor.ready(None)\n"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'})\n"
    )
    assert outcome(code, OPENBLAS_NUM_THREADS="2") == "{1}\n"


def test_it_may_be_nested_and_an_error_gives_the_threads_back(user):
    def fails():
        with one_blas_thread:
            with one_blas_thread:
                pass
            raise ValueError(n_threads())

    with pytest.raises(ValueError, match=r"\{1\}"):
        fails()
    assert n_threads() == {OF_A_USER}


def test_it_holds_in_a_thread_beside_that_of_a_user_who_has_set_a_number(user):
    seen = []
    thread = threading.Thread(target=one_blas_thread(lambda: seen.append(n_threads())))
    thread.start()
    thread.join()
    assert seen == [{1}]
    assert n_threads() == {OF_A_USER}


def test_two_campaigns_in_threads_of_one_process_do_not_end_each_others(user):
    began, may_end = threading.Event(), threading.Event()

    def other():
        with one_blas_thread:
            began.set()
            may_end.wait(60)

    thread = threading.Thread(target=other)
    with one_blas_thread:
        thread.start()
        assert began.wait(60)
    assert n_threads() == {1}
    may_end.set()
    thread.join()
    assert n_threads() == {OF_A_USER}
