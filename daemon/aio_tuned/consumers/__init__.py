"""Consumers of the settings, a module each: its export() makes them that consumer's own configuration."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export, Wishes
    from aio_tuned.reader import DriveSettings

NAMES = (
    "cufile",
    "deepspeed",
    "env",
    "fastsafetensors",
    "fio",
    "json",
    "kvikio",
    "lmcache",
    "mooncake",
    "nixl",
    "runai",
    "sglang",
    "tensornvme",
    "vllm",
)
# A module of the standard library's name, in the same folder, would be taken for it by scripts started there.
_MODULES = {"json": "json_document"}


class Consumer(Protocol):
    """What each of the modules is."""

    def export(self, drive: DriveSettings, path: str, wishes: Wishes) -> Export:
        """The settings as the consumer's own; `path` is the one asked for. UsageError: a wish cannot be met."""


def load(name: str) -> Consumer:
    """The consumer of that name, one of NAMES."""
    return cast("Consumer", importlib.import_module(f"aio_tuned.consumers.{_MODULES.get(name, name)}"))
