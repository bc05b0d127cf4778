"""Composition root: builds the adapters, hands them to the movers, keeps what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aio_tuned import __version__, eligibility, location, profile, publish, report
from aio_tuned.claim import check_same, claim
from aio_tuned.errors import AioTunedError, Exit, ProfileError, TargetError
from aio_tuned.helper import Helper, Tick, arguments, find
from aio_tuned.model import Policy, Skip
from aio_tuned.sweep import Order, Outcome, Progress, check_write_budget, sweep

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Protocol

    from aio_tuned.config import Config
    from aio_tuned.model import Device, Direction, Profile, Target
    from aio_tuned.report import Report

    class Watcher(Protocol):
        """Who is told how a tune goes on."""

        def begin(self, device: Device, target: Target) -> None:
            """The target is decided on."""

        def tick(self, tick: Tick) -> None:
            """The helper is busy with something long."""

        def update(self, progress: Progress) -> None:
            """One more visit is done."""


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """What `aio-tuned tune` was asked for; `config` has the command line's changes in it."""

    target: Path
    config: Config
    seed: int
    raw: bool = False
    read_only: bool = False
    helper: Path | None = None
    profiles: Path
    state: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What `aio-tuned tune` did."""

    report: Report
    path: Path
    samples_path: Path


_EXIT_OF_SIGNAL = {
    signal.SIGHUP: Exit.HANGUP,
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
}


class InterruptedSweepError(AioTunedError):
    """A signal ended the run; nothing was published and no scratch file is left."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"ended by {number.name}: nothing was published, and no scratch file is left")
        self.exit_code = _EXIT_OF_SIGNAL[number]


def run_interruptibly(work: Coroutine[Any, Any, _T]) -> _T:
    """asyncio.run, but SIGINT, SIGTERM and SIGHUP cancel the work, let it clean up, and raise InterruptedSweepError."""

    async def watched() -> _T:
        task = asyncio.ensure_future(work)
        caught: list[signal.Signals] = []

        def cancel(number: signal.Signals) -> None:
            if not caught:  # a second one must not end the cleaning up
                task.cancel()
            caught.append(number)

        loop = asyncio.get_running_loop()
        for number in _EXIT_OF_SIGNAL:
            loop.add_signal_handler(number, cancel, number)
        try:
            return await task
        except asyncio.CancelledError:
            if caught:
                raise InterruptedSweepError(caught[0]) from None
            raise

    return asyncio.run(watched())


def _decide(options: TuneOptions) -> tuple[str, Device, Target]:
    """Read all facts afresh and decide: (number of the filesystem's or the raw device, whole device, target).

    TargetError if the device is not to be swept.
    """
    place = location.resolve(options.target)
    device = location.device(place)
    config = options.config
    policy = Policy(raw=options.raw, read_only=options.read_only, raw_write=config.raw_write)
    # Filling the scratch file is written too: an eighth of the budget at most.
    most_span = config.write_budget_bytes(device.size_bytes) // 8
    span = max(policy.least_span_bytes, min(config.span_bytes, most_span))
    policy = replace(policy, span_bytes=span)
    usage = location.usage(place, device, span, raw=options.raw)
    decision = eligibility.decide(device, usage, policy, place.directory)
    if isinstance(decision, Skip):
        raise TargetError(f"{options.target}: {decision.reason}")
    number = place.mount_number if decision.kind == "scratch" else place.node_number
    return number, device, decision


async def _measure(
    options: TuneOptions, number: str, device: Device, target: Target, helper: Path, watcher: Watcher
) -> Outcome:
    config = options.config
    directions: tuple[Direction, ...] = ("read",) if target.no_write else ("read", "write")
    # A scratch file is filled before it is read, whether or not writes are then measured.
    allow_write = not target.no_write or target.kind == "scratch"
    counters = Path("/sys/dev/block") / device.device_number / "stat"
    most_transfer = min(config.transfer_bytes, target.span_bytes)
    # A raw device that is written is zeroed again, and that is written too.
    zeroed_bytes = target.span_bytes if target.kind == "device" and allow_write else 0
    words = arguments(
        target,
        allow_write=allow_write,
        most_transfer_bytes=most_transfer,
        drop_caches=config.drop_caches,
        counters=counters if counters.exists() else None,
    )
    order = Order(
        directions=directions,
        grid=config.grid,
        most_transfer_bytes=most_transfer,
        time_budget_ns=int(config.time_budget * 1e9),
        write_budget_bytes=config.write_budget_bytes(device.size_bytes) - zeroed_bytes,
        tolerance=config.tolerance_percent / 100,
        seed=options.seed,
        may_drop_caches=config.drop_caches != "never",
        device_number=number,
    )
    if "write" in directions:
        check_write_budget(order, target.span_bytes, device.logical_block_bytes)
    async with await Helper.start(helper, words, watcher.tick) as started:
        return await sweep(started, order, watcher.update)


def _samples_text(outcome: Outcome) -> str:
    """Every visit of the sweep, one JSON object a line."""
    return "".join(json.dumps(asdict(sample), separators=(",", ":")) + "\n" for sample in outcome.samples)


def tune(options: TuneOptions, watcher: Watcher) -> Tuned:
    """Sweep one target and publish its profile, or raise and publish nothing."""
    helper = find(options.helper)
    publish.check_writable(options.profiles)
    publish.check_writable(options.state)
    number, device, target = _decide(options)
    started = time.monotonic()
    with contextlib.ExitStack() as held:
        # The helper takes the lock itself on a device that it writes to.
        if target.kind == "scratch" or target.no_write:
            held.enter_context(claim(device))
        *again, fresh = _decide(options)
        # The free space, and with it the span, may have moved meanwhile.
        if [*again, replace(fresh, span_bytes=0)] != [number, device, replace(target, span_bytes=0)]:
            raise TargetError(f"{device.node} or its use has just changed; try again")
        target = fresh
        watcher.begin(device, target)
        outcome = run_interruptibly(_measure(options, number, device, target, helper, watcher))
        check_same(device)
        built = report.build(
            device,
            target,
            options.config,
            outcome,
            report.Circumstances(
                measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                seconds=time.monotonic() - started,
                kernel=os.uname().release,
                tool_version=__version__,
                seed=options.seed,
            ),
            options.config.drop_caches,
        )
        text = profile.render(built.profile)
        samples_path = publish.publish(options.state, f"{device.name}.samples.jsonl", _samples_text(outcome))
        path = publish.publish(options.profiles, f"{device.name}.toml", text)
    return Tuned(report=built, path=path, samples_path=samples_path)


def load_profile(path: Path) -> Profile:
    """The profile in a file; ProfileError names the file."""
    try:
        return profile.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


def profile_paths(profiles: Path, target: str | None) -> list[Path]:
    """The files of all profiles, or of the one that `target` names: a file, a profile's name, or any TARGET of tune."""
    if target is None:
        try:
            return sorted(path for path in profiles.iterdir() if path.suffix == ".toml" and path.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TargetError(f"{profiles}: {error.strerror}") from None
    given = Path(target)
    if given.suffix == ".toml" and given.is_file():
        return [given]
    named = profiles / f"{target}.toml"
    if "/" not in target and named.is_file():
        return [named]
    if not given.exists():
        raise TargetError(f"{target} is neither a profile in {profiles} nor a path")
    device = location.device(location.resolve(given))
    path = profiles / f"{device.name}.toml"
    if not path.is_file():
        raise TargetError(f"{target} is on {device.node}, which has no profile ({path}): run aio-tuned tune {target}")
    return [path]
