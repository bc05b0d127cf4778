"""Anything that can happen to a node, again and again, each step decided by the seed; the daemon must live through it.

test_soak.py does some rounds of it; tests/bench/endure.py as many as it is asked for. A round is some steps, each
followed by a look at what the daemon says of itself, and then rest, when nothing may have been left behind.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vm.daemon_guest import SWEEP_S, small
from vm.guest import READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vm.daemon_guest import DaemonGuest, Entry
    from vm.rig.bays import Drive

SERIALS = [f"SOAK{number}" for number in range(1, 7)]
SIZE = "512M"
CONFIG = small(3).replace("min_retry = 600", "min_retry = 20")
STEPS_A_ROUND = 12
# Its process lives for so many rounds, so that a slow leak shows.
ROUNDS_A_RESTART = 5
# Stages that pass by themselves, and those in which the daemon says why nothing is done.
PASSING = {"settling", "queued", "sweeping"}
# What its first sweeps may still add to the daemon's process.
SPARE_KIB = 12 << 10
SPARE_DESCRIPTORS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the daemon's process holds while it rests."""

    pid: int
    rss_kib: int
    descriptors: int
    threads: int
    children: int


class Soak:
    """A guest with six bays, the drives that are in them, and where they are mounted."""

    def __init__(self, host: DaemonGuest) -> None:
        self.host = host
        self._chance = random.Random(0)
        self._mounted: dict[str, str] = {}
        self._first: Held | None = None
        host.begin(CONFIG)

    def attack(self, seed: int) -> str:
        """Do a round; return what happened, and what the daemon holds when it rests."""
        self._chance = random.Random(seed)
        if seed % ROUNDS_A_RESTART == 0:
            self._restart()
        done = []
        for _ in range(STEPS_A_ROUND):
            done.append(self._step())
            self._check()
        held = self._rest()
        return f"{', '.join(done)}; {held.rss_kib} KiB, {held.descriptors} descriptors, {held.threads} threads"

    def end(self) -> None:
        """The guest's kernel has no complaints, and no profile is torn."""
        self._check()
        self.host.sound()

    # --- what happens ------------------------------------------------------------------------------------------

    def _step(self) -> str:
        """Let one thing happen that can happen now; return what."""
        host = self.host
        away = [serial for serial in SERIALS if serial not in host.drives]
        there = [drive for drive in host.drives.values() if drive.serial not in self._mounted]
        mounted = [host.drives[serial] for serial in self._mounted]
        could: list[tuple[Callable[..., None], Sequence[Drive | str]]] = [
            *[(self._plug, away)] * 3,
            (self._pull, there),
            (self._pull, mounted),
            (self._unplug, there),
            *[(self._mount, there)] * 2,
            (self._unmount, mounted),
            (self._fill, mounted),
            (self._freeze, mounted),
            (self._reset, [*there, *mounted]),
            *[(self._neighbour, [*there, *mounted])] * 2,
            (self._retune, [*there, *mounted]),
            *[(act, ["the daemon"]) for act in (self._reload, self._kill_helper, self._kill_worker)],
            (self._restart_udevd, ["udevd"]),
            (self._burst, ["udevd"]),
        ]
        act, objects = self._chance.choice([(act, objects) for act, objects in could if objects])
        which = self._chance.choice(objects)
        act(which)
        name = act.__name__.removeprefix("_").replace("_", " ")
        return f"{name} {which if isinstance(which, str) else which.serial}"

    def _plug(self, serial: str) -> None:
        """A drive that is blank the first time, and then comes with what it had."""
        self.host.hotplug(serial, SIZE, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)

    def _pull(self, drive: Drive) -> None:
        self.host.unplug(drive.serial, surprise=True)
        self._left(drive)

    def _unplug(self, drive: Drive) -> None:
        self.host.unplug(drive.serial)
        self._left(drive)

    def _left(self, drive: Drive) -> None:
        if point := self._mounted.pop(drive.serial, ""):
            self.host.run(f"umount -l {point}")

    def _mount(self, drive: Drive) -> None:
        point = f"/mnt/{drive.serial}"
        made = f"mkdir -p {point}; blkid -p {drive.dev} >/dev/null || mkfs.ext4 -q -F {drive.dev}"
        if self.host.run(f"{made}; fsck.ext4 -p {drive.dev}; mount {drive.dev} {point}", 120).status == 0:
            self._mounted[drive.serial] = point

    def _unmount(self, drive: Drive) -> None:
        self.host.run(f"umount -l {self._mounted.pop(drive.serial)}")

    def _fill(self, drive: Drive) -> None:
        """All but a few MiB, and it is free again some seconds later."""
        point = self._mounted[drive.serial]
        free = f"$(($(df --output=avail -B1M {point} | tail -1) - 5))M"
        self.host.run(f"fallocate -l {free} {point}/full; sleep {self._chance.randint(1, 4)}; rm -f {point}/full")

    def _freeze(self, drive: Drive) -> None:
        point = self._mounted[drive.serial]
        self.host.run(f"fsfreeze -f {point}; sleep {self._chance.randint(1, 6)}; fsfreeze -u {point}")

    def _reset(self, drive: Drive) -> None:
        self.host.run(f"echo 1 > /sys/class/nvme/{drive.ctrl}/reset_controller")

    def _neighbour(self, drive: Drive) -> None:
        """Somebody reads the drive for some seconds, in large requests or in small ones."""
        size = self._chance.choice(["4K", "1M"])
        seconds = self._chance.randint(2, 8)
        self.host.sh(
            f"timeout {seconds} dd if={drive.dev} of=/dev/null bs={size} iflag=direct >/dev/null 2>&1 </dev/null &"
        )

    def _retune(self, drive: Drive) -> None:
        # It may have gone from the status, or not come yet: then it is refused.
        self.host.run(f"aio-tuned retune {self._chance.choice(['', '--force'])} {drive.dev}")

    def _restart(self) -> None:
        self.host.sh("systemctl restart aio-tuned")
        self._first = None

    def _reload(self, _: str) -> None:
        self.host.run("systemctl reload aio-tuned")

    def _kill_helper(self, _: str) -> None:
        self.host.run("pkill -9 -x aio-sweep")

    def _kill_worker(self, _: str) -> None:
        self.host.run("pkill -9 -f aio_tuned.service.worker")

    def _restart_udevd(self, _: str) -> None:
        self.host.sh("systemctl restart systemd-udevd")

    def _burst(self, _: str) -> None:
        """As `udevadm trigger` makes it, in a loop."""
        self.host.run("for round in 1 2 3 4 5; do udevadm trigger --subsystem-match=block; done; udevadm settle -t 30")

    # --- what must hold ----------------------------------------------------------------------------------------

    def _check(self) -> None:
        """It runs as systemd started it, has each drive that is there and no other, and says why it is where it is."""
        host = self.host
        present = {drive.serial for drive in host.drives.values()}
        host.until(
            lambda: {entry["serial"] for entry in host.status()["drives"]} == present, 60, f"the drives {present}"
        )
        host.until(lambda: host.unit("ActiveState") == "active", 60, "it has read its configuration again")
        unexplained = [entry for entry in host.status()["drives"] if not explained(entry)]
        assert not unexplained, unexplained
        host.lives()

    def _rest(self) -> Held:
        """Let it come to rest; nothing of earlier rounds may be held. Return what it holds."""
        host = self.host
        self._check()
        host.until(
            lambda: not any(entry["stage"] in PASSING for entry in host.status()["drives"]),
            len(host.drives) * SWEEP_S + 60,
            "all drives at rest",
        )
        host.until(lambda: not host.helper_runs(), 30, "no helper")
        host.sound()
        held, first = self._held(), self._first
        if first is None or first.pid != held.pid:
            self._first = held
            return held

        def is_back() -> bool:
            nonlocal held
            held = self._held()
            return (
                held.rss_kib <= first.rss_kib + SPARE_KIB
                and held.descriptors <= first.descriptors + SPARE_DESCRIPTORS
                and held.threads <= first.threads
                and held.children <= first.children
            )

        # A sweep that failed is tried again at any moment, and has a process while it lasts.
        host.until(is_back, SWEEP_S + 60, f"it holds no more than {first}")
        return held

    def _held(self) -> Held:
        pid = self.host.main_pid()
        words = self.host.sh(
            f"awk '/^(VmRSS|Threads)/ {{print $2}}' /proc/{pid}/status; ls /proc/{pid}/fd | wc -l;"
            f" pgrep -c -P {pid} || true"
        )
        rss, threads, descriptors, children = map(int, words.split())
        return Held(pid=pid, rss_kib=rss, threads=threads, descriptors=descriptors, children=children)

    def clean_up(self) -> None:
        """Leave a guest that others can use."""
        self.host.run("systemctl restart systemd-udevd")


def explained(entry: Entry) -> bool:
    """Whether the status says of a drive what is done with it, or why nothing is."""
    return entry["stage"] in {*PASSING, "published"} or bool(entry["reason"])
