"""The validity benchmark of the stopping rules: ``python -m tests.benchmarks.stopping``."""

import os

# Runs are parallel already; set before numpy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
