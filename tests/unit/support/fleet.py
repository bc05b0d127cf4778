"""What the programs of a fleet write: reports of drives, results, plans, statuses and pins of a class, and orders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet.class_status import ClassStatus, Noted
from aio_tuned.fleet.consensus import ClassCombined, ClassDirection, ClassResult, Contributor
from aio_tuned.fleet.order import Order
from aio_tuned.fleet.pin import Pin
from aio_tuned.fleet.plan import ClassPlan
from aio_tuned.fleet.report import DirectionReport, DriveReport, Rate, Share
from aio_tuned.fleet.rollout import Rollout
from aio_tuned.search.grid import settings
from unit.support.builders import MIB, SMALL_GRID

if TYPE_CHECKING:
    from aio_tuned.model.setting import Setting

CLASS = "0123456789abcdef"
NOW_S = 1_800_000_000
POINTS = settings(SMALL_GRID)


def rate_of(bytes_per_s: float, width: float = 0.005) -> Rate:
    return Rate(*(round(bytes_per_s * part) for part in (1, 1 - width, 1 + width)))


def direction_report(
    bytes_per_s: float = 6e9,
    best: tuple[Setting, ...] = POINTS[:3],
    step: int = 100,
    **changes: Any,  # noqa: ANN401 - any field
) -> DirectionReport:
    """Return a direction whose best points lose `step` ten-thousandths each."""
    made = DirectionReport(
        setting=best[0],
        rate=rate_of(bytes_per_s),
        default_bytes_per_s=round(bytes_per_s / 2),
        latency_p99_us=1210.5,
        transfer_bytes=256 * MIB,
        best=tuple(Share(each, 10_000 - step * place) for place, each in enumerate(best)),
    )
    return replace(made, **changes)


def sweep_report(node: str = "n1", read: DirectionReport | None = None, **changes: Any) -> DriveReport:  # noqa: ANN401 - any field
    made = DriveReport(
        node=node,
        drive="nvme-ACME_X1_S123_1",
        domain="rack-7",
        hardware_class=CLASS,
        state="measured",
        basis="sweep",
        generation=0,
        confirms=None,
        grid=SMALL_GRID,
        read=read or direction_report(),
        write=None,
        tool_version="0.5.0",
        helper_version="1.4",
        at_s=NOW_S,
    )
    return replace(made, **changes)


def presence_report(node: str = "n1", **changes: Any) -> DriveReport:  # noqa: ANN401 - any field
    about = "ACME X1, firmware 1.0, 3.84 TB, xfs"
    made = replace(sweep_report(node), basis="presence", read=None, helper_version="", about=about)
    return replace(made, **changes)


def class_result(generation: int = 1, setting: Setting = POINTS[0], **changes: Any) -> ClassResult:  # noqa: ANN401 - any field
    made = ClassResult(
        hardware_class=CLASS,
        generation=generation,
        grid=SMALL_GRID,
        read=ClassDirection(
            setting=setting,
            rate=rate_of(6e9),
            default_bytes_per_s=3_000_000_000,
            latency_p99_us=1210.5,
            transfer_bytes=256 * MIB,
            share=9900,
            challengers=(Share(POINTS[5], 9500),),
        ),
        write=None,
        combined=ClassCombined(setting=setting, read_share=9900, write_share=9800),
        contributors=(Contributor("n1", "nvme-ACME_X1_S123_1"),),
        made_at_s=NOW_S,
    )
    return replace(made, **changes)


def class_plan(**changes: Any) -> ClassPlan:  # noqa: ANN401 - any field
    made = ClassPlan(
        hardware_class=CLASS,
        swept=2,
        wanted=3,
        open_slots=(0, 1, 2),
        racks=("rack-7", ""),
        generation=2,
        result_made_at_s=NOW_S,
        rollout=Rollout(hardware_class=CLASS, generation=2, step=1, reach=1000, since_s=NOW_S, before=1),
        made_at_s=NOW_S,
    )
    return replace(made, **changes)


def class_status(**changes: Any) -> ClassStatus:  # noqa: ANN401 - any field
    made = ClassStatus(
        hardware_class=CLASS,
        about="ACME X1, firmware 1.0, 3.84 TB, xfs",
        generation=2,
        nodes=10_000,
        drives=80_000,
        confirmed=7_600,
        refused=12,
        waiting=3,
        stale=4,
        ignored=1,
        swept=3,
        wanted=3,
        rollout=class_plan().rollout,
        decision="generation 2: 95 of 100 nodes confirm it",
        disagreement="",
        pinned="",
        noted=(Noted("odd", "n7", "nvme-ACME_X1_S7_1", "read: 40 % slower than its class"),),
        made_at_s=NOW_S,
    )
    return replace(made, **changes)


def class_pin(**changes: Any) -> Pin:  # noqa: ANN401 - any field
    made = Pin(
        hardware_class=CLASS, read=POINTS[3], write=None, combined=None, by="alice", why="latency first", at_s=NOW_S
    )
    return replace(made, **changes)


def fleet_order(**changes: Any) -> Order:  # noqa: ANN401 - any field
    made = Order(
        drive="nvme-ACME_X1_S123_1",
        hardware_class=CLASS,
        task="wait",
        said=f"waiting for class {CLASS}: 2 of 3 swept",
        result="",
        made_at_s=NOW_S,
    )
    return replace(made, **changes)
