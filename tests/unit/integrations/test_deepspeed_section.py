from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import NoProfileError
from aio_tuned.integrations.deepspeed_section import filled
from unit.support.consumer_settings import SOURCE, drive, settings

if TYPE_CHECKING:
    from aio_tuned.integrations.deepspeed_section import Filled
    from aio_tuned.reader import DriveSettings

NEWEST = ExportOptions(for_version="0.19.8")
OURS = {
    "block_size": 1 << 20,
    "queue_depth": 16,
    "intra_op_parallelism": 2,
    "single_submit": False,
    "overlap_events": True,
}
SEQUENTIAL = drive(combined=settings(overlap_events=False))


def offloaded(path: str = "/data", name: str = "offload_param", **keys: Any) -> dict[str, Any]:  # noqa: ANN401 - its keys
    """A configuration that offloads to that folder."""
    return {"zero_optimization": {"stage": 3, name: {"device": "nvme", "nvme_path": path}}, **keys}


def fill(configuration: dict[str, Any], of: DriveSettings | None = None, options: ExportOptions = NEWEST) -> Filled:
    return filled(configuration, options, lambda _: of or drive())


@pytest.mark.parametrize("name", ["offload_param", "offload_optimizer"])
@pytest.mark.parametrize("given", [{}, {"aio": None}, {"aio": {}}])
def test_without_a_section_it_is_all_ours(name: str, given: dict[str, Any]) -> None:
    made = fill(offloaded(name=name, **given))
    assert made.configuration["aio"] == OURS == made.values
    assert made.remark == ""


def test_what_the_user_gave_stays_and_what_he_handed_over_is_not_changed() -> None:
    given = offloaded(aio={"block_size": 4096, "intra_op_parallelism": None, "use_gds": False}, train_batch_size=1)
    before = copy.deepcopy(given)
    made = fill(given)
    assert made.configuration == {
        **given,
        "aio": {**OURS, "block_size": 4096, "intra_op_parallelism": None, "use_gds": False},
    }
    assert set(made.values) == {"queue_depth", "single_submit", "overlap_events"}
    assert given == before


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"zero_optimization": True},
        {"zero_optimization": {"offload_param": {"device": "cpu", "nvme_path": "/data"}}},
        {"zero_optimization": {"offload_param": {"device": "nvme"}}},
        {"zero_optimization": {"offload_param": None}},
        offloaded(aio=OURS),
        offloaded(aio="auto"),
    ],
)
def test_where_there_is_nothing_to_fill_it_is_the_same_configuration(configuration: dict[str, Any]) -> None:
    made = fill(configuration)
    assert made.configuration is configuration
    assert not made.values


def test_an_older_release_gets_its_own_name_of_the_threads() -> None:
    made = fill(offloaded(), options=ExportOptions(for_version="0.7.7"))
    assert made.configuration["aio"]["thread_count"] == 2
    assert "intra_op_parallelism" not in made.configuration["aio"]


def test_a_cap_holds_for_our_block_and_not_for_the_users() -> None:
    capped = ExportOptions(for_version="0.19.8", max_block_size=65536)
    assert fill(offloaded(), options=capped).configuration["aio"]["block_size"] == 65536
    assert fill(offloaded(aio={"block_size": 1 << 22}), options=capped).configuration["aio"]["block_size"] == 1 << 22


def test_our_queue_is_shortened_so_that_it_goes_with_the_users_block() -> None:
    """16 blocks of 256 MiB are 4 GiB, with which DeepSpeed hangs."""
    made = fill(offloaded(aio={"block_size": 256 << 20}), SEQUENTIAL)
    assert made.configuration["aio"]["queue_depth"] == 7
    capped = ExportOptions(for_version="0.19.8", max_block_size=65536)
    made = fill(offloaded(aio={"block_size": 256 << 20}), SEQUENTIAL, capped)
    assert made.configuration["aio"]["queue_depth"] == 7


def test_a_queue_of_the_user_that_does_not_go_with_our_values_leaves_his_alone() -> None:
    given = offloaded(aio={"queue_depth": 4096})
    made = fill(given, SEQUENTIAL)
    assert made.configuration is given
    assert "give at most 2047" in made.remark
    assert fill(given).configuration["aio"]["queue_depth"] == 4096


def test_two_drives_get_the_settings_of_the_parameters_and_a_remark() -> None:
    other = drive(combined=settings(queue_depth=4, source=SOURCE._replace(file="/etc/aio-tuned/nvme-B_2_1.toml")))
    given = offloaded("/data")
    given["zero_optimization"]["offload_optimizer"] = {"device": "nvme", "nvme_path": "/other"}
    made = filled(given, NEWEST, lambda path: {"/data": drive(), "/other": other}[path])
    assert made.configuration["aio"] == OURS
    assert "/other is on another drive" in made.remark
    assert fill(given).remark == ""


def test_a_second_drive_without_a_profile_is_remarked_too() -> None:
    def drive_of(path: str) -> DriveSettings:
        if path == "/other":
            raise NoProfileError("none")
        return drive()

    given = offloaded("/data")
    given["zero_optimization"]["offload_optimizer"] = {"device": "nvme", "nvme_path": "/other"}
    assert "/other is on another drive" in filled(given, NEWEST, drive_of).remark
