from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.sensors import Sensors
from aio_tuned.model.temperature import Temperature
from unit.support.drives import Block, Host, namespaces, nvme

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def sensors(host: Host, number: str = "259:0") -> Sensors:
    return Sensors(number, host.sys, host.proc)


def mirror(host: Host, *members: Block) -> Block:
    volume = host.block("virtual/block/md0", "9:0")
    for member in members:
        member.below(volume)
    return volume


def multipath(host: Host) -> tuple[Block, list[Block]]:
    """The head 259:9 of two namespaces' worth of subsystem, and its hidden paths by two controllers."""
    subsystem = host.sys / "devices/virtual/nvme-subsystem/nvme-subsys3"
    head = host.block(f"{subsystem.relative_to(host.sys / 'devices')}/nvme3n1", "259:9")
    head.device(subsystem)
    paths = []
    for number in (0, 1):
        controller = host.sys / f"devices/pci0000:00/0000:0{number}:00.0/nvme/nvme{number}"
        for namespace in (1, 11):
            made = host.block(
                f"{controller.relative_to(host.sys / 'devices')}/nvme3c{number}n{namespace}", f"0:{number}{namespace}"
            )
            made.device(controller)
            if namespace == 1:
                paths.append(made)
            else:
                made.moves(read=1 << 40)  # another namespace's
        (subsystem / f"nvme{number}").symlink_to(controller)
    return head, paths


class TestMovedBytes:
    def test_what_is_read_written_and_discarded_counts(self, host: Host) -> None:
        nvme(host).moves(read=4096, written=1 << 20, discarded=512)
        assert sensors(host).moved_bytes() == 4096 + (1 << 20) + 512

    def test_an_old_kernel_counts_no_discards(self, host: Host) -> None:
        (nvme(host).directory / "stat").write_text("1 2 8 4 5 6 16 8 9 10 11\n")
        assert sensors(host).moved_bytes() == 24 * 512

    def test_it_is_not_known_of_a_drive_that_is_gone(self, host: Host) -> None:
        assert sensors(host).moved_bytes() is None

    def test_it_is_not_known_where_the_kernel_does_not_count(self, host: Host) -> None:
        (nvme(host).directory / "queue/iostats").write_text("0\n")
        assert sensors(host).moved_bytes() is None

    def test_it_is_not_known_where_the_counters_are_unreadable(self, host: Host) -> None:
        (nvme(host).directory / "stat").write_text("\n")
        assert sensors(host).moved_bytes() is None

    def test_a_volumes_are_its_members(self, host: Host) -> None:
        first, second = nvme(host, 0), nvme(host, 1)
        volume = mirror(host, first, second)
        first.moves(written=8192)
        second.moves(written=8192, read=512)  # 512 beside the volume
        volume.moves(written=8192)
        assert sensors(host, "9:0").moved_bytes() == 2 * 8192 + 512

    def test_a_volume_is_not_known_if_one_member_is_not(self, host: Host) -> None:
        first, second = nvme(host, 0), nvme(host, 1)
        mirror(host, first, second)
        (second.directory / "stat").unlink()
        assert sensors(host, "9:0").moved_bytes() is None

    def test_a_multipath_heads_are_its_paths(self, host: Host) -> None:
        head, paths = multipath(host)
        for path in paths:
            path.moves(read=4096)
        head.moves(read=8192)  # newer kernels count there too
        assert sensors(host, "259:9").moved_bytes() == 8192

    def test_a_head_that_has_lost_its_last_path_is_not_known(self, host: Host) -> None:
        subsystem = host.sys / "devices/virtual/nvme-subsystem/nvme-subsys3"
        host.block("virtual/nvme-subsystem/nvme-subsys3/nvme3n1", "259:9").device(subsystem)
        assert sensors(host, "259:9").moved_bytes() is None


class TestRequests:
    def test_reads_writes_discards_and_flushes_count(self, host: Host) -> None:
        words = "1 0 8 0 20 0 16 0 0 0 0 300 0 0 0 4000 0"
        (nvme(host).directory / "stat").write_text(f"{words}\n")
        assert sensors(host).requests() == 4321

    def test_an_old_kernel_counts_reads_and_writes(self, host: Host) -> None:
        (nvme(host).directory / "stat").write_text("1 2 8 4 20 6 16 8 9 10 11\n")
        assert sensors(host).requests() == 21

    def test_it_is_not_known_where_the_kernel_does_not_count(self, host: Host) -> None:
        (nvme(host).directory / "queue/iostats").write_text("0\n")
        assert sensors(host).requests() is None

    def test_those_of_other_namespaces_and_members_count(self, host: Host) -> None:
        first, second = nvme(host, 0), nvme(host, 1)
        mirror(host, first, second)
        before = sensors(host, "9:0").requests()
        assert before is not None
        first.moves(requests=2)
        second.moves(requests=3)
        assert sensors(host, "9:0").requests() == before + 5


class TestNeighbours:
    def test_other_namespaces_of_the_controller_use_the_drive(self, host: Host) -> None:
        first, second, third = namespaces(host, 1, 2, 3)
        for block, count in ((first, 4096), (second, 8192), (third, 512)):
            block.moves(read=count)
        assert sensors(host, "259:1").moved_bytes() == 4096 + 8192 + 512
        assert sensors(host, "259:1").neighbours_moved_bytes() == 8192 + 512
        assert sensors(host, "259:3").neighbours_moved_bytes() == 4096 + 8192

    def test_other_drives_do_not(self, host: Host) -> None:
        nvme(host, 0)
        nvme(host, 1).moves(read=4096)
        assert sensors(host).neighbours_moved_bytes() == 0

    def test_a_volume_over_one_namespace_has_the_others_as_neighbours(self, host: Host) -> None:
        first, second = namespaces(host, 1, 2)
        mirror(host, first).moves(read=4096)
        first.moves(read=4096)
        second.moves(read=8192)
        assert sensors(host, "9:0").neighbours_moved_bytes() == 8192
        assert sensors(host, "9:0").moved_bytes() == 4096 + 8192

    def test_the_paths_of_a_head_are_its_own_and_those_of_another_head_are_not(self, host: Host) -> None:
        _, paths = multipath(host)
        for path in paths:
            path.moves(read=4096)
        assert sensors(host, "259:9").neighbours_moved_bytes() == 0
        subsystem = host.sys / "devices/virtual/nvme-subsystem/nvme-subsys3"
        for controller in subsystem.glob("nvme[0-9]"):
            (controller / "transport").write_text("pcie\n")
        (host.sys / "class/nvme-subsystem").mkdir(parents=True)
        (host.sys / "class/nvme-subsystem/nvme-subsys3").symlink_to(subsystem)
        host.block("virtual/nvme-subsystem/nvme-subsys3/nvme3n11", "259:11").device(subsystem)
        # multipath() has moved so much by each of its paths.
        assert sensors(host, "259:9").neighbours_moved_bytes() == 2 << 40
        assert sensors(host, "259:11").neighbours_moved_bytes() == 2 * 4096

    def test_a_neighbour_that_does_not_count_hides_nothing_else(self, host: Host) -> None:
        first, second = namespaces(host, 1, 2)
        (second.directory / "stat").unlink()
        first.moves(read=4096)
        assert sensors(host, "259:1").moved_bytes() == 4096


class TestInFlight:
    def test_reads_and_writes_count(self, host: Host) -> None:
        (nvme(host).directory / "inflight").write_text("       3        4\n")
        assert sensors(host).in_flight() == 7

    def test_it_is_summed_over_members(self, host: Host) -> None:
        members = nvme(host, 0), nvme(host, 1)
        mirror(host, *members)
        for member in members:
            (member.directory / "inflight").write_text("1 1\n")
        assert sensors(host, "9:0").in_flight() == 4

    def test_nothing_is_in_flight_on_a_drive_that_is_gone(self, host: Host) -> None:
        assert sensors(host).in_flight() == 0


class TestPressure:
    def test_it_is_the_total_of_some(self, host: Host) -> None:
        host.pressure(367584)
        assert sensors(host).pressure_us() == 367584

    def test_there_may_be_none(self, host: Host) -> None:
        assert sensors(host).pressure_us() is None


class TestTemperatures:
    @pytest.mark.parametrize(
        "place",
        [
            pytest.param("device/hwmon2", id="NVMe, from Linux 5.12"),
            pytest.param("device/device/hwmon/hwmon2", id="NVMe, before"),
            pytest.param("device/hwmon/hwmon0", id="drivetemp"),
        ],
    )
    def test_it_is_found_with_its_limit(self, host: Host, place: str) -> None:
        nvme(host).warm(place, temp1_input=41850, temp1_max=83850, temp1_crit=84850, temp2_input=51850)
        assert sensors(host).temperatures() == (Temperature(celsius=41.85, warning_celsius=83.85),)

    @pytest.mark.parametrize("limit", [{}, {"temp1_max": 65261850}, {"temp1_max": -273150}])
    def test_a_drive_may_have_no_limit(self, host: Host, limit: dict[str, int]) -> None:
        nvme(host).warm("device/hwmon2", temp1_input=41850, **limit)
        assert sensors(host).temperatures() == (Temperature(celsius=41.85, warning_celsius=None),)

    @pytest.mark.parametrize("value", [-273150, 65261850])
    def test_a_sensor_may_say_nothing(self, host: Host, value: int) -> None:
        nvme(host).warm("device/hwmon2", temp1_input=value, temp1_max=83850)
        assert sensors(host).temperatures() == ()

    def test_a_drive_may_not_answer(self, host: Host) -> None:
        (nvme(host).directory / "device/hwmon2/temp1_input").mkdir(parents=True)  # cannot be read, not even by root
        assert sensors(host).temperatures() == ()

    def test_a_drive_may_have_no_sensor_or_be_gone(self, host: Host) -> None:
        assert sensors(host).temperatures() == ()
        nvme(host)
        assert sensors(host).temperatures() == ()

    def test_each_member_of_a_volume_has_its_own(self, host: Host) -> None:
        first, second = nvme(host, 0), nvme(host, 1)
        mirror(host, first, second)
        first.warm("device/hwmon0", temp1_input=40000, temp1_max=70000)
        second.warm("device/hwmon1", temp1_input=50000, temp1_max=90000)
        assert set(sensors(host, "9:0").temperatures()) == {
            Temperature(celsius=40.0, warning_celsius=70.0),
            Temperature(celsius=50.0, warning_celsius=90.0),
        }

    def test_a_multipath_heads_are_its_controllers(self, host: Host) -> None:
        _, (first, second) = multipath(host)
        first.warm("device/hwmon0", temp1_input=40000)
        second.warm("device/hwmon1", temp1_input=41000)
        assert [each.celsius for each in sensors(host, "259:9").temperatures()] == [40.0, 41.0]
