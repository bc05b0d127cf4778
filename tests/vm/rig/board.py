"""What QEMU and the kernel are told of the machine of each architecture that an image can be for."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """An emulated machine with PCI Express."""

    qemu: str
    machine: tuple[str, ...]
    native_hotplug: tuple[str, ...]  # what switches ACPI's hot-plug off, where QEMU has it
    kernel_words: str


_PC = Board(
    qemu=os.environ.get("VMRIG_QEMU", "qemu-system-x86_64"),
    # QEMU 7.2 emulates AVX2 wrongly: numpy 2 sorts into a wrong order, or beyond the end of an array.
    machine=("-M", "q35,hpet=off", "-cpu", "max,la57=off,erms=off,avx2=off"),
    native_hotplug=("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
    kernel_words=(
        "console=ttyS0 no_timer_check tsc=reliable"
        " clearcpuid=rep_good,erms"  # emulated, "rep movsb" copies byte by byte
    ),
)
# Without firmware the kernel is given a device tree, and has no ACPI. This processor has no pointer authentication,
# which is slow to emulate.
_ARM = Board(
    qemu="qemu-system-aarch64",
    machine=("-M", "virt,gic-version=3", "-cpu", "neoverse-n1"),
    native_hotplug=(),
    kernel_words="console=ttyAMA0",
)
_BOARDS = {"amd64": _PC, "arm64": _ARM}


def board_for(image: Path) -> Board:
    """Return the machine that the image is for."""
    manifest = json.loads((image / "manifest.json").read_text())
    return _BOARDS[manifest["architecture"]]
