#!/usr/bin/env python3
"""A stand-in for aio-sweep with a drive of fakes/simulated behind it: `aio-tuned tune --helper THIS`.

$AIO_SWEEP_DRIVE names the drive (see fakes/simulated/models.py), $AIO_SWEEP_SEED its dice. It needs numpy, hence an
interpreter that has aio-tuned's packages first on the PATH.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS.parent / "daemon")]

# numpy starts threads. One that does not block a signal may take it in the main thread's place, which then learns of it
# in the midst of something else.
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

from fakes.simulated.front_end import main  # noqa: E402 - the path and the signals come first

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
