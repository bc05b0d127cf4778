#!/usr/bin/env python3
"""Makes what the tests of this tier need and what is kept: the guest, the package, the saved states, the container.

`.ci/bootstrap` starts it in the background, so that it is ready, or nearly so, when lint and pip are done; a test that
comes first waits for it. With the standard library alone: there is no .venv yet.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vm.container_image import disk_image
from vm.product import installation, package
from vm.rig.machine import VM, build_image


def guest() -> Path:
    """The guest with the package installed, as the tests resume it."""
    image = build_image()
    VM(image, hotplug="pciehp").saved()
    return VM(image, hotplug="pciehp", set_up=installation(package())).saved()


def main() -> None:
    with ThreadPoolExecutor() as pool:
        for made in [pool.submit(guest), pool.submit(disk_image)]:
            print(made.result())


if __name__ == "__main__":
    main()
