"""The limit of the threads with which the search computes.

numpy's linear algebra library (BLAS) starts a thread for each processor when it is loaded, and the threads spin between
calls. The matrices of the search are small, 240 by 240 at most: a simulated sweep on two busy processors took 16 s of
processor time with two threads and 1.5 s with one. On an inference node the threads would also take processors from the
workload.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# OpenBLAS reads the first; MKL, BLIS and an OpenBLAS that was built for OpenMP read the second.
_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> MutableMapping[str, str]:
    """Limit BLAS to one thread in the given environment, and return the environment.

    In this process the limit works only before numpy is imported. A number set by the user stays.
    """
    for name in _VARIABLES:
        environment.setdefault(name, "1")
    return environment
