"""A guest with the Debian package installed and the daemon running, and what the tests of the daemon ask of it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

from busy import busy_s
from vm.guest import PROFILES, TOLERANT, Guest, validated
from vm.rig.errors import RigError
from vm.rig.guest_shell import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aio_tuned.journald.events import EventId
    from vm.rig.bays import Drive

STATUS = "/run/aio-tuned/status.json"
DROP_INS = f"{PROFILES}/aio-tuned.conf.d"
# What makes a volume of that kernel name over two drives.
VOLUMES = {
    "md0": "mdadm --create /dev/md0 --run --level=0 --raid-devices=2 {nodes}",
    "dm-0": "vgcreate -q vg {nodes} && lvcreate -q -y -n fast-lv -i 2 -l 100%FREE vg",
}
# Emulated, everything that is Python takes twenty times as long as elsewhere.
SWEEP_S = 90.0

Entry = dict[str, Any]


def small(time_budget_s: float = 7) -> str:
    """As guest.QUICK: two points that an emulated drive can be seen to differ in, and budgets to match.

    A guest whose every disk access waits for a busy host is never quiet, so only long tests have a drop.
    """
    return f"""{TOLERANT}
[grid]
block_size = ["256K", "1M"]
queue_depth = [8]
io_parallelism = [1]
overlap_events = [true]
single_submit = [false]
[sweep]
time_budget = {busy_s(time_budget_s)}
drop_caches = "file"
[daemon]
settle = 0.5
min_retry = 600
[throttle]
min_pause = 1
busy_requests_per_s = 0
"""


class DaemonGuest(Guest):
    """One Debian 12 machine with NVMe bays and aio-tuned as its package installs it."""

    cursor = ""  # where in the guest's journal the test began

    def configure(self, text: str) -> None:
        """The tests' part of the configuration, for when the daemon next reads it."""
        self.sh(f"mkdir -p {DROP_INS}")
        self.write(f"{DROP_INS}/tier.conf", text)

    # --- what the daemon says ----------------------------------------------------------------------------------

    def status(self) -> Entry:
        """The status file, which is not there for a moment while the daemon starts."""
        found: Entry = json.loads(self.read(STATUS))
        return found

    def drive(self, name: str) -> Entry:
        """What the status says of the drive whose name, serial or node that is; {} if it knows none."""
        with_name = (each for each in self.status()["drives"] if name in (each["name"], each["serial"], each["node"]))
        return next(with_name, {})

    def until(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait; an assertion with the daemon's own words if it does not come to that."""
        end = time.monotonic() + timeout_s * PATIENCE
        while True:
            with contextlib.suppress(RigError):  # no status file yet
                if condition():
                    return
            if time.monotonic() > end:
                status = self.run(["cat", STATUS]).out
                raise AssertionError(f"{what}: not within {timeout_s * PATIENCE:.0f} s\n{status}\n{self.words()}")
            time.sleep(0.2)  # the guest has better things to do than to answer

    def until_stage(self, name: str, *stages: str, reason: str = "", timeout_s: float = SWEEP_S) -> Entry:
        """The drive's entry once it is in one of these stages, with that in its reason."""

        def there() -> bool:
            entry = self.drive(name)
            return bool(entry) and entry["stage"] in stages and reason in entry["reason"]

        self.until(there, timeout_s, f"{name} {'/'.join(stages)} {reason}")
        return self.drive(name)

    def until_measured(self, *names: str, timeout_s: float = SWEEP_S) -> None:
        """Until each of the drives has been swept and its profile is published."""
        for name in names:
            self.until_stage(name, "published", timeout_s=timeout_s)
            assert self.drive(name)["published"] == "measured", self.words()

    def until_sweeping(self, name: str, doing: str, timeout_s: float = SWEEP_S) -> None:
        """Until a sweep of the drive is at that."""

        def there() -> bool:
            at: Entry = self.drive(name).get("sweeping") or {"doing": ""}
            return doing in at["doing"]

        self.until(there, timeout_s, f"{name} sweeping: {doing}")

    def words(self) -> str:
        """What the daemon has said since the test began."""
        return self.sh(["journalctl", "-u", "aio-tuned", "-o", "cat", "--no-pager", f"--after-cursor={self.cursor}"])

    def records(self, event_id: EventId) -> list[dict[str, str]]:
        """The journal's records of that kind since the daemon was started, with all their fields."""
        # With --after-cursor, journalctl leaves out the first that matches if the cursor's own record does not.
        of_this_run = f"_SYSTEMD_INVOCATION_ID={self.unit('InvocationID')}"
        asked = ["journalctl", "-o", "json", "--no-pager", of_this_run, f"MESSAGE_ID={event_id.value}"]
        return [json.loads(line) for line in self.sh(asked).splitlines()]

    def sweeps(self, node: str = "") -> int:
        """How many sweeps, of that node or of any, have begun since the test began."""
        of = node.removeprefix("/dev/")
        return len(re.findall(rf"^{of or '.*'}: sweeping: (?:raw device|scratch file)", self.words(), re.MULTILINE))

    # --- what the daemon leaves --------------------------------------------------------------------------------

    def profile(self, name: str) -> Entry:
        """The published profile, held against docs/profile.schema.json; {} if there is none."""
        try:
            text = self.read(f"{PROFILES}/{name}.toml").decode()
        except RigError:
            return {}
        found = validated(text)
        assert found["device"]["name"] == name
        return found

    def profile_of(self, drive: Drive) -> Entry:
        """The published profile of one of QEMU's drives."""
        return self.profile(name_of(drive))

    def sound(self) -> Collection[str]:
        """The names of all published profiles, each of which is whole; nothing half-written lies beside them."""
        files = self.sh(f"cd {PROFILES} && find . -maxdepth 1 -type f ! -name aio-tuned.conf -printf '%P\\n'").split()
        assert all(file.endswith(".toml") and file[0] != "." for file in files), files
        names = [file.removesuffix(".toml") for file in files]
        for name in names:
            assert self.profile(name)
        return names

    def main_pid(self) -> int:
        """The daemon's process; another one after a restart."""
        return int(self.unit("MainPID"))

    def unit(self, name: str) -> str:
        """A property of the service."""
        return self.sh(["systemctl", "show", "aio-tuned", "-P", name]).strip()

    def lives(self) -> None:
        """It is there, has never been restarted by systemd, and has not been surprised."""
        # For a moment it is still reloading.
        self.until(lambda: self.unit("ActiveState") == "active", 30, "the daemon is active")
        assert self.unit("NRestarts") == "0", self.words()
        said = self.words()
        assert "Traceback" not in said, said
        assert "internal error" not in said, said
        assert self.complaints() == ""

    # --- from test to test -------------------------------------------------------------------------------------

    def begin(self, config: str = "") -> None:
        """Start the daemon with that configuration; what it says from now on is the test's."""
        self.configure(config or small())
        self.cursor = self.sh("journalctl -n 1 -o cat --show-cursor").split("-- cursor: ")[1].strip()
        self.sh("systemctl start aio-tuned")


def name_of(drive: Drive) -> str:
    """The name of the profile of one of QEMU's drives."""
    return f"nvme-QEMU_NVMe_Ctrl_{drive.serial}_1"
