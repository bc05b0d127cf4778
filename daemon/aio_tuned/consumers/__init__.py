"""The consumers of the settings, one module each: its export() returns that consumer's own configuration."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export, ExportOptions
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

    def export(self, drive: DriveSettings, path: str, options: ExportOptions) -> Export:
        """Return the settings of `path` as the consumer's own. UsageError if an option does not fit."""


def load(name: str) -> Consumer:
    """The consumer of that name, one of NAMES."""
    return cast("Consumer", importlib.import_module(f"aio_tuned.consumers.{_MODULES.get(name, name)}"))
