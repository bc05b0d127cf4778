"""The consumers of the settings, a module each, whose export() returns the consumer's own configuration."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from aio_tuned.consumers import verdicts

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export, ExportOptions
    from aio_tuned.reader import DriveSettings

NAMES = (
    "cufile",
    "deepspeed",
    "dynamo",
    "env",
    "fastsafetensors",
    "fio",
    "flexkv",
    "flexllmgen",
    "instanttensor",
    "json",
    "kvikio",
    "lmcache",
    "lmcache_server",
    "mooncake",
    "nixl",
    "nixl_gds",
    "runai",
    "sglang",
    "tensornvme",
    "vllm",
)
# A module json here would shadow the standard library's for a script that is started in this folder.
_MODULES = {"json": "json_document"}


class Consumer(Protocol):
    """The interface of each consumer's module."""

    def export(self, drive: DriveSettings, path: str, options: ExportOptions) -> Export:
        """Return the settings for `path` in the consumer's terms; raise UsageError if an option is not valid for it."""


def load(name: str) -> Consumer:
    """Import the module of a consumer, one of NAMES."""
    return cast("Consumer", importlib.import_module(f"aio_tuned.consumers.{_MODULES.get(name, name)}"))


def export_for(name: str, drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the settings of the drive for `path` in the terms of a consumer, one of NAMES.

    They are the consumer's own default, with a note on the reason, if the drive's profile has a verdict that these
    settings are not better. Raise UsageError if the path or an option is not valid for that consumer.
    """
    made = load(name).export(drive, path, options)
    return verdicts.in_force(name, made, drive, options) if drive.verified else made
