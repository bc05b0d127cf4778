"""The numbers of threads of vLLM's "fs" tier, filled in the process from the drive that its root_dir is on.

n_read_threads and n_write_threads are set where the tier's configuration leaves them out, in the copy that the tier is
made of; the size of a request is that of the tier's chunks, which is known there. Nothing else is changed, and no tier
is added. An error never stops vLLM: the tier keeps vLLM's numbers, and one warning says why.

The hook is around SecondaryTierFactory.create_secondary_tier() of vllm/v1/kv_offload/tiering/factory.py, by which each
connector makes its tiers, in the process of the scheduler. Checked with 0.33.0.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import TYPE_CHECKING, Any

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import AioTunedError
from aio_tuned.integrations import once
from aio_tuned.integrations.after_import import AfterImport
from aio_tuned.integrations.drive_of_folder import drive_of_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from aio_tuned.reader import DriveSettings

_HOOKED = "vllm.v1.kv_offload.tiering.factory"
_FACTORY = "SecondaryTierFactory"
_METHOD = "create_secondary_tier"
_KEYS = ("n_read_threads", "n_write_threads")
# vLLM shows the messages of its own loggers.
_LOGGER = "vllm.aio_tuned"


@functools.cache
def install() -> None:
    """Put the hook into vLLM, once for the process; log a warning if this release has no place for it."""
    try:
        present = importlib.util.find_spec(_HOOKED) is not None
    except ImportError:
        present = False
    if present:
        AfterImport(_HOOKED, _wrap)
    else:
        _no_place(f"no {_HOOKED}")


def _no_place(lacking: str) -> None:
    once.warn(_LOGGER, f'aio-tuned: this release of vLLM has {lacking}; run "aio-tuned export vllm" for its settings')


def _wrap(module: ModuleType) -> None:
    """Put the hook into the imported module."""
    factory = getattr(module, _FACTORY, None)
    method = getattr(factory, "__dict__", {}).get(_METHOD)
    if factory is None or not isinstance(method, classmethod):
        _no_place(f"no {_FACTORY}.{_METHOD}()")
        return
    original = method.__func__

    @functools.wraps(original)
    def create_secondary_tier(cls: type, tier_config: Any, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - vLLM's
        view = arguments[0] if arguments else keywords.get("primary_kv_view")
        return original(cls, _with_threads(tier_config, view), *arguments, **keywords)

    setattr(factory, _METHOD, classmethod(create_secondary_tier))


def _with_threads(tier: Any, view: Any) -> Any:  # noqa: ANN401 - vLLM's own
    """Return the tier's configuration with our threads; the same one, and a warning, if that fails."""
    try:
        made = filled(tier, _chunk_bytes(view), drive_of_folder)
        if made is not tier:
            text = ", ".join(f"{key}={made[key]}" for key in _KEYS if key not in tier)
            logging.getLogger(_LOGGER).info("aio-tuned: fs tier %s: %s", tier["root_dir"], text)
    except AioTunedError as error:
        once.warn(_LOGGER, f"aio-tuned: fs tier is left as it is: {error}")
    except Exception as error:  # noqa: BLE001 - vLLM itself reports what is wrong with its configuration
        once.warn(_LOGGER, f"aio-tuned: fs tier is left as it is: {type(error).__name__}: {error}")
    else:
        return made
    return tier


def _chunk_bytes(view: Any) -> int | None:  # noqa: ANN401 - vLLM's own
    """Return the bytes of a chunk, which is a file of its own; None if the view does not tell them."""
    strides = getattr(view, "strides", None)
    return int(strides[0]) if strides else None


def filled(
    tier: Mapping[str, Any], chunk_bytes: int | None, drive_of: Callable[[str], DriveSettings]
) -> Mapping[str, Any]:
    """Return a copy of a tier's configuration with the threads that it leaves out; the same one if it leaves out none.

    `drive_of` is drive_of_folder(). Raise its errors and those of the export.
    """
    folder = tier.get("root_dir")
    if tier.get("type") != "fs" or not folder or all(key in tier for key in _KEYS):
        return tier
    options = ExportOptions(request_bytes=chunk_bytes)
    exported = consumers.export_for("vllm", drive_of(folder), folder, options).values
    ours = {str(path[-1]): value for path, value in exported.items() if path[-1] in _KEYS and path[-1] not in tier}
    return {**tier, **ours}
