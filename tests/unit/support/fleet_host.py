"""A daemon of a fleet with one drive, and the agent's side of its spool."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.config.load import Config
from aio_tuned.devices import identity
from aio_tuned.fleet.order import Order
from aio_tuned.fleet.signature import SigningKey
from aio_tuned.fleet.spool import Spool
from aio_tuned.profiles.codec import render
from aio_tuned.profiles.files import load_profile
from aio_tuned.service.state_machine import DriveState, Postponed, Satisfied, Stage, SweepDue, SweepRequest
from aio_tuned.service.worker import messages as wire
from unit.support.builders import SMALL_GRID, evidence, scratch_target
from unit.support.builders import profile as known_profile
from unit.support.builders import result as read_result
from unit.support.desk import FIRST, Bay, Desk, running
from unit.support.fleet import POINTS, class_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.fleet.order import Task
    from aio_tuned.fleet.report import Basis, DriveReport
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.state_machine import Event

RAW = scratch_target(kind="device", filesystem="", no_write="not mounted")
COORDINATOR, STRANGER = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(2))
SAID = "an order of the test"


class Fleet:
    """A daemon with one drive, and the agent's side of its spool."""

    def __init__(self, root: Path) -> None:
        self.desk = Desk(
            root,
            Config(
                settle=60.0,
                min_retry=300.0,
                grid=SMALL_GRID,
                fleet=True,
                fleet_node="n1",
                fleet_trusted_keys=(COORDINATOR.public,),
                fleet_max_wait=3600.0,
            ),
        )
        self.bay = Bay(self.desk.host, FIRST)
        self.spool = Spool(self.desk.config.state)

    @property
    def drive(self) -> Drive:
        return self.desk.supervisor._inventory.drives[self.bay.sys_name]

    @property
    def hardware_class(self) -> str:
        publisher = self.desk.supervisor._publisher
        desk = publisher._fleet.desk
        assert desk
        return desk.class_of(self.drive, publisher._fingerprint(self.drive))

    def assess(self) -> Satisfied | SweepDue | Postponed:
        """Return what a probe that finds the drive eligible leads to; its node does not exist."""
        self.drive.target = RAW
        return self.desk.supervisor._scheduler.assess(self.drive)

    def order(
        self, task: Task, generation: int = 0, setting: Setting = POINTS[0], key: SigningKey = COORDINATOR
    ) -> None:
        """Write what the agent would."""
        result = class_result(generation, setting, hardware_class=self.hardware_class, write=None, combined=None)
        text = key.sign(result).text if generation else ""
        self.spool.write_order(
            Order(
                drive=self.drive.device.name,
                hardware_class=self.hardware_class,
                task=task,
                said=SAID,
                result=text,
                made_at_s=1_800_000_000,
            )
        )
        self.desk.supervisor._fleet.look()

    def measured(self, setting: Setting = POINTS[0], **changes: Any) -> Profile:  # noqa: ANN401 - any field
        """Return a profile of the drive as it is now."""
        device = self.drive.device
        return replace(
            known_profile(),
            device=identity.info(device),
            fingerprint=identity.fingerprint(device, "", os.uname().release),
            read=read_result(setting=setting),
            evidence=evidence(kernel=os.uname().release, **changes),
        )

    def conclude(self, final: wire.Final) -> Event | None:
        """End a sweep that the present decision leads to."""
        scheduler = self.desk.supervisor._scheduler
        job = scheduler._job(self.drive, self.desk.supervisor._publisher.decide(self.drive))
        request = SweepRequest(sweep="full", profiled=False, mounted=False, reason="test")
        failures = self.drive.state.failures
        self.drive.state = DriveState(stage=Stage.SWEEPING, reason="test", request=request, failures=failures)
        event = scheduler.conclude(self.drive, job, final)
        if event:
            self.desk.supervisor.emit(self.drive, event)
        return event

    def refusal(self) -> wire.Disagreed:
        """Return the end of a check of POINTS[5] on a drive whose best setting is POINTS[2]."""
        text = render(self.measured(POINTS[2]))
        return wire.Disagreed(reason="read: slower", text=text, points=rows(POINTS[2], POINTS[5]))

    def report(self, basis: Basis) -> DriveReport | None:
        return self.spool.reports_of(self.drive.device.name).get(basis)

    def published(self) -> Profile:
        return load_profile(self.desk.config.profiles / f"{self.drive.device.name}.toml")


def scene(fleet: Fleet, act: Callable[[], None]) -> None:
    async def play() -> None:
        async with running(fleet.desk):
            await fleet.desk.send(fleet.bay.event())
            act()

    asyncio.run(play())


def rows(*settings: Setting) -> wire.Points:
    """Return the points of a sweep, each 1 % slower than the one before."""
    found = []
    for place, each in enumerate(settings):
        rate = 6_000_000_000 - 60_000_000 * place
        figures = (rate, rate - 1_000_000, rate + 1_000_000)
        five = (each.block_size, each.queue_depth, each.io_parallelism, each.overlap_events, each.single_submit)
        found.append([*map(int, five), *figures])
    return {"read": found}


def present() -> str:
    """Return the present time, as a profile has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
