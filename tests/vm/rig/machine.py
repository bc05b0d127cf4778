"""A Debian guest under QEMU with NVMe drives that are plugged in, slowed down, broken and pulled on command.

    with VM(hotplug="pciehp") as vm:                  # about 1 s, from the saved state
        drive = vm.hotplug("SER1", "1G", read_bps=200e6, write_bps=100e6)
        vm.sh(f"fio --filename={drive.dev} ...")
        vm.unplug("SER1", surprise=True)

Root disk: virtio-blk, an overlay on a shared read-only image, so that /dev/nvme* is exactly what the test plugged in,
and so that the machine can be saved (QEMU cannot migrate a machine that has an NVMe device). Saved state: the first
start() boots (about 10 s), saves RAM and disk, and later ones resume from that. A machine with something set up on it
(SetUp) has a saved state of its own, made from that of the bare one. KVM is not used: everything runs
under software emulation, so that it runs anywhere; only throttled drives have a meaningful speed.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vm.rig.agent import Agent
from vm.rig.bays import Bays
from vm.rig.board import board_for
from vm.rig.errors import RigError
from vm.rig.guest_shell import PATIENCE
from vm.rig.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from vm.rig.bays import Drive

HERE = Path(__file__).resolve().parent
# Drives' data lie in memory where there is this much: steady timing.
_ROOMY_BYTES = 4 << 30
# The Debian of the guest; build-image.sh has the same rule.
SUITE = os.environ.get("VMRIG_SUITE") or "bookworm"
_live: set[VM] = set()


def cache() -> Path:
    """Return the folder of images and saved states; build-image.sh has the same rule."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aio-tuned-vmrig"
    return Path(os.environ.get("VMRIG_CACHE") or default)


def build_image(**of: str) -> Path:
    """Return the guest's image, and build it if it is missing; raise RigError with the builder's messages.

    of: suite, arch and kernel, the variables of build-image.sh; else SUITE, this machine's and the cloud kernel
    """
    env = os.environ | {f"VMRIG_{name.upper()}": value for name, value in of.items()}
    done = subprocess.run([HERE / "build-image.sh"], capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RigError(f"build-image.sh failed (exit {done.returncode}): {done.stderr.strip()[-2000:]}")
    return Path(done.stdout.strip().splitlines()[-1])


def _folder_for_drives() -> Path:
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOMY_BYTES
    return Path(tempfile.mkdtemp(prefix="vmrig-", dir=memory if roomy else None))


@dataclasses.dataclass(frozen=True, slots=True)
class SetUp:
    """A set-up that is done once to a guest before its state is saved; equal keys do the same."""

    key: str
    do: Callable[[VM], None]


class VM(Bays):
    """One guest.

    hotplug: "pciehp" is PCIe native hot-plug, what servers with U.2 bays use (an orderly removal takes 6 s, the
        spec's attention-button delay); "acpi" is QEMU's default, immediate in both directions
    ports: number of hot-pluggable slots
    drives: (from new_drive) present from power-on; implies boot, since a saved state cannot have NVMe drives
    cpus: number of processors; another number, set to the attribute, counts from the next reboot() on
    boot: boot afresh; else resume the saved state, which is made if there is none
    set_up: what the saved state has beyond a booted Debian
    """

    def __init__(
        self,
        image: Path,
        *,
        hotplug: Literal["acpi", "pciehp"] = "acpi",
        boot: bool = False,
        set_up: SetUp | None = None,
        drives: Sequence[Drive] = (),
        ports: int = 8,
        mem_mib: int = 2048,
        cpus: int = 2,
        qemu_args: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.image, self.board = image, board_for(image)
        self.hotplug_mode, self.ports, self.mem_mib, self.cpus = hotplug, ports, mem_mib, cpus
        self.qemu_args = list(qemu_args)
        self.boot, self.set_up, self.cold = boot or bool(drives), set_up, list(drives)
        self.dir = folder or Path(tempfile.mkdtemp(prefix="vmrig-"))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.data = _folder_for_drives()  # and sockets, whose paths must be short
        self.disk = self.dir / "root.qcow2"
        self.console = self.dir / "console.log"
        self.process: subprocess.Popen[bytes] | None = None

    # --- life ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Return whether QEMU runs."""
        return self.process is not None and self.process.poll() is None

    def _machine(self) -> list[str]:
        """Return the QEMU arguments that must be equal to resume a saved state."""
        words = ["-nodefaults", "-no-user-config", "-name", "vmrig", "-display", "none"]
        words += ["-accel", "tcg,thread=multi,tb-size=512", *self.board.machine]
        words += ["-m", str(self.mem_mib), "-smp", str(self.cpus)]
        words += ["-device", "virtio-serial-pci,id=vs"]
        words += ["-device", "virtserialport,chardev=agent,name=rig.agent"]
        words += ["-object", "rng-random,id=rng,filename=/dev/urandom"]
        words += ["-device", "virtio-rng-pci,rng=rng"]
        words += ["-device", "virtio-blk-pci,drive=root"]
        if self.hotplug_mode == "pciehp":
            words += self.board.native_hotplug
        for slot in range(self.ports):
            place = f"bus=pcie.0,addr=0x{0x10 + slot // 8:x}.{slot % 8},multifunction=on"
            words += ["-device", f"pcie-root-port,id=rp{slot},chassis={slot + 1},slot={slot + 1},{place}"]
        return words + self.qemu_args

    def _kernel_words(self) -> str:
        common = "panic=-1 quiet mitigations=off random.trust_cpu=on systemd.show_status=no"
        return f"{self.board.kernel_words} {common}"

    def _state_dir(self, set_up: SetUp | None) -> Path:
        version = subprocess.run([self.board.qemu, "--version"], capture_output=True, text=True, check=True).stdout
        done = [set_up.key] if set_up else []
        what = json.dumps([self.image.name, version, self._machine(), self._kernel_words(), *done])
        return cache() / ("state-" + hashlib.sha256(what.encode()).hexdigest()[:12])

    def start(self) -> None:
        """Start QEMU without waiting; wait_ready() waits for the guest."""
        if self.boot:
            self._overlay(self.image / "rootfs.img", "raw")
            self._launch()
            return
        state = self.saved()
        self._overlay(state / "root.qcow2", "qcow2")
        self._launch(state / "ram")

    def saved(self) -> Path:
        """Return the folder with the saved state of such a machine, and make the state if it is missing."""
        state = self._state_dir(self.set_up)
        with (cache() / (state.name + ".lock")).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (state / "ram").exists():
                self._save_state(state)
        for used in {state, self._state_dir(None)}:  # a disk is an overlay on the bare machine's
            os.utime(used)  # build-image.sh removes what is not used
        return state

    def _overlay(self, backing: Path, form: str) -> None:
        words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(backing), str(self.disk)]
        subprocess.run(words, check=True)

    def _command_line(self) -> list[str]:
        file = {"driver": "file", "filename": str(self.disk), "cache": {"direct": False, "no-flush": True}}
        return [
            *(self.board.qemu, *self._machine(), "-no-reboot"),
            *("-kernel", str(self.image / "vmlinuz"), "-initrd", str(self.image / "initrd.img")),
            *("-append", self._kernel_words()),
            *("-blockdev", json.dumps({"driver": "qcow2", "node-name": "root", "file": file})),
            *("-chardev", f"socket,id=agent,path={self.data}/agent.sock,server=on,wait=off"),
            *("-chardev", f"socket,id=qmp,path={self.data}/qmp.sock,server=on,wait=off"),
            *("-mon", "chardev=qmp,mode=control"),
            *("-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"),
        ]

    def _launch(self, ram: Path | None = None) -> None:
        monitor = self.data / "qmp.sock"
        for name in ("qmp.sock", "agent.sock"):
            (self.data / name).unlink(missing_ok=True)
        words = self._command_line() + (["-incoming", "defer"] if ram else []) + (["-S"] if self.cold else [])
        with (self.dir / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.dir)},
                start_new_session=True,
            )
        _live.add(self)
        (self.dir / "qemu.pid").write_text(f"{self.process.pid}\n")
        self._wait_for(lambda: self._monitored(monitor), 20, "the QMP socket")
        if ram:
            self.qmp.command("migrate-incoming", uri=f"exec:cat {shlex.quote(str(ram))}")
            self._wait_for(lambda: self.qmp.command("query-status")["status"] == "paused", 60, "the saved state")
            self.qmp.command("cont")
        if self.cold:
            for drive in self.cold:
                self.attach(drive)
            self.qmp.command("cont")

    def _monitored(self, monitor: Path) -> bool:
        """Return whether QEMU's monitor accepts a connection; its socket exists before it listens."""
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            self.qmp = Qmp(monitor)
            return True
        return False

    def _wait_for(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        end = time.monotonic() + timeout_s * PATIENCE
        while not condition():
            if not self.alive:
                raise RigError(f"QEMU has ended while waiting for {what}:\n{self._log_tail()}")
            if time.monotonic() > end:
                raise RigError(f"{what}: not within {timeout_s} s; console ends:\n{self.console_tail()}")
            time.sleep(0.01)

    def wait_ready(self, timeout_s: float = 180) -> None:
        """Wait until the agent answers and, after a boot, systemd has started everything."""
        self._connect(timeout_s)
        self.agent.call("time", unix=time.time())  # a resumed guest's clock is old
        if self.boot:
            state = self.run("systemctl is-system-running --wait", timeout_s).out.strip()
            if state not in ("running", "degraded"):
                raise RigError(f"guest is {state!r}")
            for drive in self.drives.values():
                self.find(drive, 60)

    def _connect(self, timeout_s: float) -> None:
        """Call the agent repeatedly, because QEMU discards data before the guest opens its port."""
        end = time.monotonic() + timeout_s * PATIENCE
        while True:
            # QEMU removes its socket when it ends.
            with contextlib.suppress(OSError):
                agent = Agent(self.data / "agent.sock")
                with contextlib.suppress(RigError):
                    if agent.result(agent.send("ping"), 1.0 if self.boot else 5.0):
                        self.agent = agent
                        return
                agent.close()
            if not self.alive:
                raise RigError(f"QEMU has ended:\n{self._log_tail()}")
            if time.monotonic() > end:
                raise RigError(f"guest not ready in {timeout_s} s; console ends:\n{self.console_tail()}")
            time.sleep(0.05)

    def _save_state(self, state: Path) -> None:
        """Boot another machine like this, or resume a bare one and set it up; keep its RAM and disk."""
        kept = Path(tempfile.mkdtemp(prefix=".state-", dir=cache()))
        model = VM(
            self.image,
            hotplug=self.hotplug_mode,
            boot=self.set_up is None,
            ports=self.ports,
            mem_mib=self.mem_mib,
            cpus=self.cpus,
            qemu_args=self.qemu_args,
            folder=kept / "work",
        )
        try:
            model.start()
            model.wait_ready()
            if self.set_up:
                self.set_up.do(model)
            model.save(kept)
        except BaseException:
            model.stop()
            shutil.rmtree(kept, ignore_errors=True)
            raise
        model.stop()
        shutil.rmtree(state, ignore_errors=True)
        kept.rename(state)

    def save(self, folder: Path) -> None:
        """End the guest, leaving its RAM and disk in `folder`. It may not have NVMe drives."""
        assert self.process is not None
        # Fault in what every test needs, then let the guest go quiet.
        self.run("python3 -c 'import asyncio, argparse, json, numpy, pyudev, toml'; udevadm settle; sync; sleep 1")
        self.agent.close()
        time.sleep(0.2)
        self.qmp.command("stop")
        self.qmp.command("migrate-set-parameters", max_bandwidth=1 << 40)
        self.qmp.command("migrate", uri=f"exec:cat > {shlex.quote(str(folder / 'ram.part'))}")
        ends = ("completed", "failed")
        self._wait_for(lambda: self.qmp.command("query-migrate").get("status") in ends, 120, "the state to be saved")
        info = self.qmp.command("query-migrate")
        if info["status"] != "completed":
            raise RigError(f"saving the state failed: {info}")
        with contextlib.suppress(RigError):
            self.qmp.command("quit")
        self.process.wait(20)
        self.disk.rename(folder / "root.qcow2")
        (folder / "ram.part").rename(folder / "ram")

    def _disconnect(self) -> None:
        for name in ("agent", "qmp"):
            if hasattr(self, name):
                getattr(self, name).close()

    def stop(self) -> None:
        """End QEMU (no guest shutdown) and remove what start() made."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._disconnect()
        _live.discard(self)
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def power_cut(self) -> None:
        """Cut the power, then boot the same root disk with the same drives plugged in.

        Lost is what the guest had not written back: QEMU's disks here have no volatile cache of their own.
        """
        assert self.process is not None
        self.process.kill()
        self._boot_again()

    def reboot(self, timeout_s: float = 120) -> None:
        """Have the guest reboot in an orderly way; as power_cut() otherwise."""
        assert self.process is not None
        self.spawn("systemctl reboot")
        self.process.wait(timeout_s * PATIENCE)  # -no-reboot: QEMU ends
        self._boot_again()

    def _boot_again(self) -> None:
        assert self.process is not None
        self.process.wait()
        self._disconnect()
        self.cold, self.drives, self.boot = list(self.drives.values()), {}, True
        self._launch()
        self.wait_ready()

    # --- post-mortem ---------------------------------------------------------------------------------------

    def _log_tail(self) -> str:
        return (self.dir / "qemu.log").read_text(errors="replace")[-2000:]

    def console_tail(self, lines: int = 30) -> str:
        """Return the end of the guest's kernel log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])
        return ""


@atexit.register
def _stop_all() -> None:
    for machine in list(_live):
        with contextlib.suppress(Exception):
            machine.stop()
