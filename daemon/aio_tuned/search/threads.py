"""How many threads the search may compute with.

numpy's linear algebra (BLAS) starts a thread for each processor when it is loaded, and lets them spin between calls.
The matrices of the search are small, 240 by 240 at most: a simulated sweep on two busy processors took 16 s of
processor time with two threads and 1.5 s with one. On an inference node the threads would also take processors from
the workload.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# OpenBLAS reads the first; MKL, BLIS and an OpenBLAS that was built for OpenMP read the second.
_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> MutableMapping[str, str]:
    """Limit BLAS to one thread in the processes of that environment, and return it.

    In this process it has an effect only before numpy is imported. A number that the user has set is kept.
    """
    for name in _VARIABLES:
        environment.setdefault(name, "1")
    return environment
