"""`aio-tuned verify`: a consumer's own I/O with its default and with the exported settings."""

from __future__ import annotations

CONSUMERS = ("deepspeed", "fio", "kvikio", "lmcache")
