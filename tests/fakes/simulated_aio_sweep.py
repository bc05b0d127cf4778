#!/usr/bin/env python3
"""A stand-in for aio-sweep with a drive of fakes/simulated behind it: `aio-tuned tune --helper THIS`.

$AIO_SWEEP_DRIVE names the drive (see fakes/simulated/models.py), and $AIO_SWEEP_SEED seeds its random numbers. It needs
numpy, so the first python3 on the PATH must have aio-tuned's packages.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "daemon")]

# Loading numpy takes a second, and a signal during that time must end the program in an orderly way too.
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

from fakes.simulated.front_end import main  # noqa: E402 - the path and the signals must be set before

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
