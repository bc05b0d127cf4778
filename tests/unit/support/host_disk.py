"""A disk of this machine, for tests of what compares a drive's number and DISKSEQ with the kernel's."""

from __future__ import annotations

from typing import Any

from aio_tuned.devices import sysfs


def known_disk() -> dict[str, Any]:
    """Return the number and the DISKSEQ of some disk, {} if this machine has none.

    Loop devices are the last resort, since they may change beside the test.
    """
    numbers = sorted(sysfs.SYS.glob("dev/block/*"), key=lambda path: "/loop" in str(path.resolve()))
    return next(({"device_number": path.name, "diskseq": sysfs.diskseq(path.name)} for path in numbers), {})
