"""NIXL's POSIX plugin: the parameters that an application passes to create_backend("POSIX", parameters).

NIXL has its own configuration file (NIXL_CONFIG_FILE, ~/.nixl.cfg, /etc/nixl.cfg), but no plugin takes its backend's
parameters from it. So the export is a TOML file with a table that an application reads and passes to NIXL:

    agent.create_backend("POSIX", tomllib.loads(text)["POSIX"])

All parameters, also numbers and booleans, are strings: NIXL refuses a table with any other type.

- use_aio, use_uring, use_posix_aio: the engine, Linux AIO, NIXL's default, which works where io_uring is refused, as in
  most containers. All three are set, because NIXL refuses two that are "true": so a merge into a file with another
  engine replaces that engine.
- kernel_queue_size: the requests in flight of one agent, because an agent has one queue for all its threads. They are
  those of libaio in the curves, the larger number of reads and writes, or those of io_uring, which is asynchronous
  too, if libaio has no curves: with requests of 1 MiB unless --request-size gives another size, because the
  application chooses it. Without these curves it is queue_depth times io_parallelism of the combined settings. NIXL
  silently limits it to 16 to 1024; this module does the same, with a note.

NIXL does not have:

- block_size: each descriptor of a transfer is one request, of the length that the application chooses.
- io_parallelism: an agent has one queue and no I/O threads.
- single_submit: NIXL submits up to 64 requests in one call.
- overlap_events: NIXL refills the queue whenever it polls for completions.
- O_DIRECT: the application opens the files.

ios_pool_size is not set: it limits the requests of all transfers in progress, including queued ones; its default is its
maximum (65536), and a transfer beyond it fails.

Checked with nixl 1.5.1, by running it;
kernel_queue_size is in 1.0.0 and not in 0.10.1. Source: src/plugins/posix (io_queue.cpp, posix_backend.cpp) and
docs/nixl.md of NIXL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, Key, Value, cap_ignored, need_release
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import Needed, Usage, assumed_size, good_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings, Settings

_SMALLEST_QUEUE = 16
_LARGEST_QUEUE = 1024
_USAGE = Usage(
    direction="combined", engines=("libaio", "io_uring"), usual_bytes=1 << 20, usual="since NIXL itself has no size"
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:  # noqa: ARG001 - each file is opened by the application
    """Return the table "POSIX" of a TOML file; raise UsageError for a release without kernel_queue_size."""
    need_release(options, "NIXL", "1.0.0", "kernel_queue_size")
    size, assumed = assumed_size(drive, _USAGE, options)
    queue = queue_for(drive, _USAGE, size)
    good = good_size(drive, _USAGE) or drive.combined.block_size
    notes = [
        *assumed,
        *queue.notes,
        *parameter_notes(drive.combined),
        shared_note(drive, "combined", "kernel_queue_size", "per agent"),
        f"block_size: not in NIXL, where each descriptor is a request; make each about {good} bytes.",
        "O_DIRECT: not in NIXL; open the files with it, because the settings were measured with O_DIRECT.",
    ]
    notes += cap_ignored(options, "NIXL has no block size")
    values: dict[tuple[Key, ...], Value] = {
        ("POSIX", name): value for name, value in posix_parameters(queue.in_flight).items()
    }
    return Export(format="toml", values=values, notes=tuple(notes))


def queue_for(drive: DriveSettings, usage: Usage, request_bytes: int) -> Needed:
    """Return the requests in flight of one agent, within NIXL's limits, with notes that begin with its parameter."""
    settings = drive.combined
    otherwise = settings.queue_depth * settings.io_parallelism
    wanted = needed(drive, usage, request_bytes, "kernel_queue_size", otherwise=otherwise)
    queue = min(max(wanted.in_flight, _SMALLEST_QUEUE), _LARGEST_QUEUE)
    if queue == wanted.in_flight:
        return wanted
    limited = (
        f"kernel_queue_size: limited, because NIXL takes {_SMALLEST_QUEUE} to {_LARGEST_QUEUE}; "
        f"the measured setting is {wanted.in_flight} requests in flight."
    )
    return wanted._replace(in_flight=queue, notes=(*wanted.notes, limited))


def posix_parameters(queue: int) -> dict[str, str]:
    """Return the parameters of the POSIX plugin by name, as the strings that NIXL takes."""
    return {
        "use_aio": "true",
        "use_uring": "false",
        "use_posix_aio": "false",
        "kernel_queue_size": str(queue),
    }


def parameter_notes(settings: Settings) -> list[str]:
    """Return notes on those of the five parameters that the plugin does not have."""
    notes = []
    if settings.single_submit:
        notes.append("single_submit: not in NIXL, which submits up to 64 requests at a time.")
    if not settings.overlap_events:
        notes.append("overlap_events: not in NIXL, which always refills the queue while requests complete.")
    return notes
