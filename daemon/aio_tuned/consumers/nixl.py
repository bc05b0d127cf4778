"""NIXL's POSIX plugin: the parameters that an application passes to create_backend("POSIX", parameters).

NIXL has its own configuration file (NIXL_CONFIG_FILE, ~/.nixl.cfg, /etc/nixl.cfg), but no plugin takes its backend's
parameters from it. So the export is a TOML file with a table that an application reads and passes to NIXL:

    agent.create_backend("POSIX", tomllib.loads(text)["POSIX"])

All parameters, also numbers and booleans, are strings: NIXL refuses a table with any other type.

- use_aio, use_uring, use_posix_aio: the engine. The settings were measured with Linux AIO. All three are set, because
  NIXL refuses two that are "true": so a merge into a file with another engine replaces that engine.
- kernel_queue_size: the requests in flight of one agent, queue_depth times io_parallelism, because an agent has one
  queue for all its threads. NIXL silently limits it to 16 to 1024; this module does the same, with a note.

NIXL does not have:

- block_size: each descriptor of a transfer is one request, of the length that the application chooses.
- io_parallelism: an agent has one queue and no I/O threads; it is a factor of kernel_queue_size.
- single_submit: NIXL submits up to 64 requests in one call.
- overlap_events: NIXL refills the queue whenever it polls for completions.
- O_DIRECT: the application opens the files.

ios_pool_size is not set: it limits the requests of all transfers in progress, including queued ones; its default is its
maximum (65536), and a transfer beyond it fails.

The values are from the combined settings, because an agent reads and writes. Checked with nixl 1.5.1, by running it;
kernel_queue_size is in 1.0.0 and not in 0.10.1. Source: src/plugins/posix (io_queue.cpp, posix_backend.cpp) and
docs/nixl.md of NIXL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, Key, Value, cap_ignored, need_release

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings, Settings

_SMALLEST_QUEUE = 16
_LARGEST_QUEUE = 1024


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:  # noqa: ARG001 - each file is opened by the application
    """Return the table "POSIX" of a TOML file; raise UsageError for a release without kernel_queue_size."""
    need_release(options, "NIXL", "1.0.0", "kernel_queue_size")
    settings = drive.combined
    notes = [
        *queue_notes(settings),
        "kernel_queue_size: per agent; if several use the drive at once, divide by their number.",
        f"block_size: not in NIXL, where each descriptor is a request; make each about {settings.block_size} bytes.",
        "O_DIRECT: not in NIXL; open the files with it, because the settings were measured with O_DIRECT.",
    ]
    notes += cap_ignored(options, "NIXL has no block size")
    values: dict[tuple[Key, ...], Value] = {
        ("POSIX", name): value for name, value in posix_parameters(settings).items()
    }
    return Export(format="toml", values=values, notes=tuple(notes))


def posix_parameters(settings: Settings) -> dict[str, str]:
    """Return the parameters of the POSIX plugin by name, as the strings that NIXL takes."""
    return {
        "use_aio": "true",
        "use_uring": "false",
        "use_posix_aio": "false",
        "kernel_queue_size": str(min(max(_in_flight(settings), _SMALLEST_QUEUE), _LARGEST_QUEUE)),
    }


def queue_notes(settings: Settings) -> list[str]:
    """Return notes on those settings of the queue that these parameters cannot express."""
    notes = []
    if not _SMALLEST_QUEUE <= _in_flight(settings) <= _LARGEST_QUEUE:
        notes.append(
            f"kernel_queue_size: limited, because NIXL takes {_SMALLEST_QUEUE} to {_LARGEST_QUEUE}; "
            f"the measured setting is {_in_flight(settings)} requests in flight."
        )
    if settings.single_submit:
        notes.append("single_submit: not in NIXL, which submits up to 64 requests at a time.")
    if not settings.overlap_events:
        notes.append("overlap_events: not in NIXL, which always refills the queue while requests complete.")
    return notes


def _in_flight(settings: Settings) -> int:
    return settings.queue_depth * settings.io_parallelism
