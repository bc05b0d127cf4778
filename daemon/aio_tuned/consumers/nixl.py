"""NIXL's POSIX plugin: the parameters that an application gives to create_backend("POSIX", parameters).

NIXL has a configuration file of its own (NIXL_CONFIG_FILE, ~/.nixl.cfg, /etc/nixl.cfg), but no plugin takes its
backend's parameters from it. So this is a TOML file with a table that an application reads and passes to NIXL:

    agent.create_backend("POSIX", tomllib.loads(text)["POSIX"])

All parameters are strings, numbers and booleans too: NIXL refuses a table with any other type in it.

- use_aio, use_uring, use_posix_aio: the engine. The settings were measured with Linux AIO. All three are given since
  NIXL refuses two that are "true": a file that had another engine changes over as a whole.
- kernel_queue_size: the requests in flight of one agent, queue_depth times io_parallelism, for an agent has one queue
  for all its threads. NIXL silently limits it to 16 to 1024; so does this module, with a note.

What NIXL does not have:

- block_size: each descriptor of a transfer is one request, as long as the application makes it.
- io_parallelism: an agent has one queue and no I/O threads; it only counts in kernel_queue_size.
- single_submit: NIXL submits up to 64 requests in one call.
- overlap_events: NIXL refills the queue whenever it looks for completions.
- O_DIRECT: the application opens the files.

ios_pool_size is not given: it bounds the requests of all transfers that are under way, queued ones too, its default
is its maximum (65536), and a transfer that finds no room fails.

Takes the drive's combined settings: an agent reads and writes. Checked with nixl 1.5.1, by running it;
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
        "kernel_queue_size: for one agent; where several use the drive at once, divide by their number.",
        f"block_size: NIXL has none, each descriptor is one request; give each about {settings.block_size} bytes.",
        "O_DIRECT: no parameter of NIXL; open the files with it, for the drive was measured so.",
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
    """Return notes on what these parameters cannot express of the settings' queue."""
    notes = []
    if not _SMALLEST_QUEUE <= _in_flight(settings) <= _LARGEST_QUEUE:
        notes.append(
            f"kernel_queue_size: NIXL takes {_SMALLEST_QUEUE} to {_LARGEST_QUEUE}; "
            f"the drive's setting is {_in_flight(settings)} requests in flight."
        )
    if settings.single_submit:
        notes.append("single_submit: NIXL has none, it submits up to 64 requests at a time.")
    if not settings.overlap_events:
        notes.append("overlap_events: NIXL has none, it always refills the queue while requests complete.")
    return notes


def _in_flight(settings: Settings) -> int:
    return settings.queue_depth * settings.io_parallelism
