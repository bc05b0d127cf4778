"""The [read] settings of the drive that a path is on: python3 aio_settings.py PATH [SYS [PROFILES]]"""

import os
import sys
import tomllib  # Python 3.11 and later; before that, tomli
from pathlib import Path

DEFAULT = {"block_size": 1048576, "queue_depth": 8, "io_parallelism": 1, "overlap_events": True, "single_submit": False}


def settings(path, sysfs="/sys", profiles="/etc/aio-tuned"):
    try:
        number = os.stat(path).st_dev
        disk = f"{sysfs}/dev/block/{os.major(number)}:{os.minor(number)}"
        if os.path.exists(f"{disk}/partition"):
            disk += "/.."  # the kernel follows the link first: the partition's disk
        wwid = Path(f"{disk}/wwid").read_text().strip()
    except (OSError, ValueError):
        return DEFAULT  # no such path, or no NVMe drive below it
    for file in Path(profiles).glob("*.toml"):
        try:
            profile = tomllib.loads(file.read_text(encoding="utf-8"))
            if profile["schema"] in (1, 2) and profile["device"]["id"] == wwid:
                return {key: profile["read"][key] for key in DEFAULT}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # torn or foreign, or its reads were skipped
    return DEFAULT


if __name__ == "__main__":
    for key, value in settings(*sys.argv[1:]).items():
        print(f"{key}={str(value).lower()}")
