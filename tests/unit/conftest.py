"""Settings of all unit tests."""

from __future__ import annotations

import os

from hypothesis import settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no-deadline", deadline=None)
# Where programs are emulated.
settings.register_profile("few", deadline=None, max_examples=10)
settings.load_profile(os.environ.get("AIO_TUNED_EXAMPLES", "no-deadline"))
