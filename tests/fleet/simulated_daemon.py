"""The daemon of a node with one drive: its own desk for the fleet and its own decisions, on a drive that is simulated.

Orders, waits, class results, decisions, reports and the verdict of a check are the daemon's own code. In place of the
supervisor's loop is `work()`, which a clock of the tests calls, and in place of the worker is a model of the drive.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from aio_tuned.config.load import Config
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.devices import identity
from aio_tuned.fleet.spool import Spool
from aio_tuned.model.profile import SHARE_ONE, CombinedResult, Profile, Result, Skipped
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting
from aio_tuned.profiles import codec
from aio_tuned.profiles.decision import decide
from aio_tuned.profiles.siblings import check_agrees, check_settings, check_shares, own_settings
from aio_tuned.search.grid import settings as settings_of
from aio_tuned.service.drive import Drive
from aio_tuned.service.fleet_desk import FleetDesk
from aio_tuned.service.state_machine import DriveState, Stage
from aio_tuned.service.waits import Waits, waits_path
from aio_tuned.service.worker.messages import Disagreed, Done, Job, Points
from fleet.lying_spool import Lie, LyingSpool
from fleet.simulated_drive import Measured, SimulatedDrive, faster_challenger
from unit.support.builders import MIB, device, evidence, profile, result, scratch_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aio_tuned.profiles.decision import Decision

KERNEL = "6.8.0-45-generic"
DIRECTIONS: tuple[Direction, ...] = ("read", "write")
# The daemon looks at its orders once a minute. With a measured profile nothing is urgent, and simulations are shorter.
_GLANCE_S = 60.0
_IDLE_GLANCE_S = 300.0
_CHALLENGERS = 3


@dataclass(frozen=True, slots=True)
class Did:
    """A sweep or check that ended: whether the fleet or an operator asked for it, and whether a check confirmed."""

    task: Literal["sweep", "check"]
    at_s: float
    ordered: bool
    generation: int = 0
    confirms: bool | None = None
    waited_s: float = 0.0


@dataclass(eq=False)
class SimulatedDaemon:
    """The daemon of a node whose drive is simulated; `clock` gives its Unix time."""

    state: Path
    node: str
    domain: str
    drive: SimulatedDrive
    trusted_keys: tuple[str, ...]
    clock: Callable[[], float]
    lie: Lie = ""
    max_wait_s: float = 3600.0
    sweep_s: float = 600.0
    check_s: float = 20.0
    did: list[Did] = field(init=False, default_factory=list)
    faults: list[str] = field(init=False, default_factory=list)
    own: Profile | None = field(init=False, default=None)
    _busy: tuple[float, Decision, bool] | None = field(init=False, default=None)
    _measured: set[tuple[Direction, Setting]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.config = replace(
            Config(),
            fleet=True,
            fleet_node=self.node,
            fleet_domain=self.domain,
            fleet_trusted_keys=self.trusted_keys,
            fleet_max_wait=self.max_wait_s,
            state=self.state,
            profiles=self.state / "profiles",
        )
        serial = f"S{self.drive.seed:06}"
        self._device = device(
            id=f"eui.{self.drive.seed:016x}",
            name=f"nvme-{self.drive.model}_{serial}_1",
            model=self.drive.model,
            serial=serial,
            firmware="F1",
        )
        self.fingerprint = identity.fingerprint(self._device, "ext4", KERNEL)
        self.started_s = self.clock()
        self.restart()

    def restart(self) -> None:
        """Begin as a new process does, with what is on disk; a sweep that was running is lost."""
        state = DriveState(stage=Stage.QUEUED, reason="test")
        self._drive = Drive(device=self._device, state=state, since="", target=scratch_target())
        self._waits = Waits.open(waits_path(self.state), self.clock, self.clock)
        self.desk = FleetDesk(self.config, self._waits, self.clock)
        self.spool = LyingSpool(self.state, self.lie) if self.lie else Spool(self.state)
        self.desk._spool = self.spool
        self._busy = None
        self._held_until_s = 0.0
        self._refresh()

    @property
    def name(self) -> str:
        return self._device.name

    @property
    def hardware_class(self) -> str:
        return self.desk.class_of(self._drive, self.fingerprint)

    @property
    def shown(self) -> Profile:
        """The profile that is published."""
        assert self._drive.shown
        return self._drive.shown

    @property
    def generation(self) -> int:
        """The generation of the class that the published profile has, 0 for none."""
        return self.shown.evidence.fleet_generation or 0 if self.shown.state == "measured" else 0

    @property
    def _glance_s(self) -> float:
        return _IDLE_GLANCE_S if self.shown.state == "measured" else _GLANCE_S

    @property
    def is_busy(self) -> bool:
        return self._busy is not None

    def loss(self) -> float:
        """The share by which the published settings are below the model's best points."""
        parts = [(direction, part) for direction, part in self.shown.sections() if not isinstance(part, Skipped)]
        return 1 - min(self.drive.share(direction, part.setting) for direction, part in parts)

    def ask(self) -> None:
        """Request a sweep, as an operator does."""
        self._drive.asked = True
        self._drive.full_sweep_reason = "requested by the operator"
        self._held_until_s = 0.0

    # --- what the supervisor and the scheduler do ---------------------------------------------------------

    def work(self) -> float:
        """Do what is due, and return the time of the next look."""
        now_s = self.clock()
        if self._busy:
            ends_s, decision, ordered = self._busy
            if now_s < ends_s:
                return ends_s
            self._busy = None
            self._conclude(decision, ordered, now_s)
        if self.desk.look() or now_s >= self._held_until_s:
            return self._assess(now_s)
        return now_s + self._glance_s

    def _decide(self) -> Decision:
        drive, now = self._drive, self.fingerprint
        catalog = (self.own,) if self.own else ()
        found = decide(
            drive.device,
            now,
            KERNEL,
            drive.target,
            self.own,
            (*catalog, *self.desk.siblings(drive, now)),
            siblings=self.config.siblings,
            kernel_change=self.config.kernel_change,
            made_by="0.1.0",
        )
        if drive.full_sweep_reason:
            found = replace(found, sweep="full", reason=drive.full_sweep_reason, against=None)
        return self.desk.advise(drive, now, self.own, found)

    def _assess(self, now_s: float) -> float:
        decision = self._decide()
        self._refresh()
        self._held_until_s = float("inf")
        if decision.sweep == "none":
            return now_s + self._glance_s
        if decision.wait_s:
            self._held_until_s = now_s + decision.wait_s
            return min(self._held_until_s, now_s + self._glance_s)
        order = self.desk._orders.get(self.name)
        task = {"full": "sweep", "check": "check"}[decision.sweep]
        ordered = self._drive.asked or (order is not None and order.task == task)
        takes_s = self.sweep_s if decision.sweep == "full" else self.check_s
        self._busy = (now_s + takes_s, decision, ordered)
        return now_s + takes_s

    def _refresh(self) -> None:
        """Publish, and look for what must not happen."""
        before, self._drive.shown = self._drive.shown, self._decide().publish
        shown = self._drive.shown
        if before and before.state == "measured" and shown.state != "measured":
            self.faults.append(f"{self.node}: lost its profile")
        if shown.state == "measured":
            chosen = own_settings(shown).items()
            self.faults += [f"{self.node}: {each} was not checked" for each in chosen if each not in self._measured]
        self.desk.tell_present(self._drive, self.fingerprint)

    def _conclude(self, decision: Decision, ordered: bool, now_s: float) -> None:
        settings = check_settings(decision.against, self.own) if decision.against else None
        job = Job(
            device=self._device,
            config=self.config,
            seed=1,
            helper=None,
            checkpoint=self.state / "checkpoint",
            ledger=self.state / "ledger",
            settings=settings,
            against=decision.against if settings else None,
            before=own_settings(self.own),
            keeps_own=decision.for_fleet,
        )
        final = self._check(job, now_s) if job.against else self._sweep(now_s)
        if isinstance(final, Done):
            self.own = codec.parse(final.text)
            self._drive.full_sweep_reason, self._drive.asked = "", False
            self._waits.end_fleet(self._device.id)
        elif not job.keeps_own:
            self._drive.full_sweep_reason = final.reason
        generation = job.against.evidence.fleet_generation or 0 if job.against else 0
        confirms = isinstance(final, Done) if job.against else None
        task: Literal["sweep", "check"] = "check" if job.against else "sweep"
        self.did.append(Did(task, now_s, ordered, generation, confirms, now_s - self.started_s))
        self.desk.tell_result(self._drive, job, final)
        self._refresh()
        self._held_until_s = 0.0

    # --- what a worker measures ---------------------------------------------------------------------------

    def _sweep(self, now_s: float) -> Done:
        found = {direction: self.drive.sweep(direction) for direction in DIRECTIONS}
        parts = {direction: _chosen(points) for direction, points in found.items()}
        tables = [
            {each.setting: each.bytes_per_s / points[0].bytes_per_s for each in points} for points in found.values()
        ]
        both = max(settings_of(self.config.grid), key=lambda setting: min(table[setting] for table in tables))
        combined = CombinedResult(
            setting=both,
            read_throughput_bytes_per_s=round(tables[0][both] * found["read"][0].bytes_per_s),
            write_throughput_bytes_per_s=round(tables[1][both] * found["write"][0].bytes_per_s),
            read_share=round(tables[0][both], 4),
            write_share=round(tables[1][both], 4),
            ties=1,
        )
        self._measured |= {(direction, each.setting) for direction, points in found.items() for each in points}
        made = self._profile(now_s, parts, combined=combined)
        return Done(text=codec.render(made), points={key: _rows(points) for key, points in found.items()})

    def _check(self, job: Job, now_s: float) -> Done | Disagreed:
        assert job.against
        assert job.settings
        found = {direction: self.drive.check(direction, settings) for direction, settings in job.settings.items()}
        shares, unsettled = check_shares(job.against), {}
        parts: dict[Direction, Result] = {}
        for direction, there in job.against.sections():
            if not isinstance(there, Result):
                continue
            points = found[direction]
            faster = faster_challenger(points, there.setting, shares[direction])
            if faster:
                unsettled[direction] = f"{faster} is faster"
            parts[direction] = _part(points[there.setting], points.values(), there.challengers or ())
        self._measured |= {(direction, setting) for direction, points in found.items() for setting in points}
        of = job.against.evidence
        told = {
            "checked_against": job.against.device.name,
            "fleet_class": of.fleet_class,
            "fleet_generation": of.fleet_generation,
            "fleet_contributors": of.fleet_contributors,
        }
        made = self._profile(now_s, parts, combined=job.against.combined, **told)
        rows: Points = {}
        for direction, points in found.items():
            rows[direction] = _rows(sorted(points.values(), key=lambda each: -each.bytes_per_s))
        disagreement = check_agrees(job.against, made, unsettled)
        text = codec.render(made)
        return Disagreed(reason=disagreement, text=text, points=rows) if disagreement else Done(text=text, points=rows)

    def _profile(self, now_s: float, parts: Mapping[Direction, Result], combined: Any, **told: Any) -> Profile:  # noqa: ANN401
        measured_at = datetime.fromtimestamp(now_s, timezone.utc).isoformat(timespec="seconds")
        return replace(
            profile(),
            device=identity.info(self._device),
            fingerprint=self.fingerprint,
            evidence=evidence(kernel=KERNEL, measured_at=measured_at, **told),
            combined=combined,
            **parts,  # type: ignore[arg-type]
        )


def _part(chosen: Measured, points: Any, challengers: tuple[tuple[int, ...], ...]) -> Result:  # noqa: ANN401 - measured points
    default = next((each.bytes_per_s for each in points if each.setting == DEFAULT_SETTING), chosen.bytes_per_s)
    return result(
        setting=chosen.setting,
        throughput_bytes_per_s=round(chosen.bytes_per_s),
        throughput_ci95_bytes_per_s=(round(chosen.low_bytes_per_s), round(chosen.high_bytes_per_s)),
        default_throughput_bytes_per_s=round(default),
        versus_default_percent=round(100 * (chosen.bytes_per_s / default - 1), 2),
        transfer_bytes=256 * MIB,
        challengers=challengers,
    )


def _chosen(points: list[Measured]) -> Result:
    """Return the section of a sweep: the fastest point, and the best of other threads and block sizes."""
    best = points[0]
    seen = {(best.setting.io_parallelism, best.setting.block_size)}
    challengers: list[tuple[int, ...]] = []
    for each in points[1:]:
        kind = (each.setting.io_parallelism, each.setting.block_size)
        if kind not in seen and len(challengers) < _CHALLENGERS:
            seen.add(kind)
            challengers.append((*_five(each.setting), round(SHARE_ONE * each.bytes_per_s / best.bytes_per_s)))
    return _part(best, points, tuple(challengers))


def _five(setting: Setting) -> tuple[int, ...]:
    return tuple(int(getattr(setting, key)) for key in SETTING_KEYS)


def _rows(points: list[Measured]) -> list[list[int]]:
    return [[*_five(each.setting), *map(round, each[1:])] for each in points]
