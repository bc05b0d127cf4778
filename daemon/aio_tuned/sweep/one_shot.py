"""One sweep for `aio-tuned tune`, with its profile published and its samples saved."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from aio_tuned.devices import clones
from aio_tuned.errors import AioTunedError, Exit, ProfileError, PublishError
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from aio_tuned.profiles.replacement import why_kept
from aio_tuned.storage import atomic_file, layout, profile_store, sweep_archive
from aio_tuned.storage.name_register import NameRegister
from aio_tuned.sweep import tune as sweep_tune

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from aio_tuned.model.profile import Profile
    from aio_tuned.sweep.observer import ProgressObserver
    from aio_tuned.sweep.planning import Preview
    from aio_tuned.sweep.profile_builder import BuiltProfile
    from aio_tuned.sweep.request import TuneRequest


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The result of `aio-tuned tune`.

    `path` is the file of the published profile; `kept` is why it is still an earlier one, which is better, or "".
    `trouble` is the error if the sweep could not be archived, or "".
    """

    report: BuiltProfile
    path: Path
    samples_path: Path
    kept: str = ""
    trouble: str = ""


_EXIT_OF_SIGNAL = {
    signal.SIGHUP: Exit.HANGUP,
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
}


class InterruptedSweepError(AioTunedError):
    """A signal ended the run; no profile was published, and no scratch file is left."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"ended by {number.name}: nothing was published, and no scratch file is left")
        self.exit_code = _EXIT_OF_SIGNAL[number]


def run_interruptibly(work: Coroutine[Any, Any, _T]) -> _T:
    """Run the work as asyncio.run does, but let SIGINT, SIGTERM and SIGHUP cancel it.

    Raise InterruptedSweepError after a cancelled work has cleaned up.
    """

    async def watched() -> _T:
        task = asyncio.ensure_future(work)
        caught: list[signal.Signals] = []

        def cancel(number: signal.Signals) -> None:
            if not caught:  # a second signal must not interrupt the cleanup
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


def _folders(request: TuneRequest, out: Path | None) -> tuple[Path, Path]:
    """Return the folders of the profile and of the samples."""
    return out or request.config.profiles, out or request.config.state


def _with_known(request: TuneRequest, register: NameRegister) -> TuneRequest:
    """Return the request with the profiles and names of all drives that are known on this host."""
    known = profile_store.ProfileStore(request.config.profiles, request.config.state).load_all()
    return replace(request, others=known, named=register.named)


def preview(request: TuneRequest, out: Path | None = None) -> tuple[Preview, Path]:
    """Return what `tune` would do with the same arguments, and the file of the profile; nothing is written.

    Raise AioTunedError if the sweep could not begin.
    """
    profiles, state = _folders(request, out)
    found = asyncio.run(sweep_tune.preview(_with_known(request, NameRegister(profiles, state))))
    return found, profiles / f"{found.device.name}.toml"


def _why_kept(found: Profile, path: Path, state: Path) -> str:
    """Return why the published profile, or that in the catalog, is kept in place of this one; "" if it is not."""
    for known in (layout.catalog_folder(state) / path.name, path):
        try:
            if why := why_kept(found, load_profile(known)):
                return why
        except ProfileError:
            continue  # a missing or damaged profile is no better
    return ""


def tune(
    request: TuneRequest,
    watcher: ProgressObserver,
    out: Path | None = None,
    *,
    remember: bool = False,
    replaces: bool = False,
) -> Tuned:
    """Sweep one target and publish its profile; on any error publish nothing.

    Write the profile and the samples to the configured folders, or to the folder `out`. With `remember`, also save the
    profile in the catalog, from which the daemon publishes it again. Save a profile that is worse than the present one
    in the history only, unless it `replaces` that in any case. Raise AioTunedError if the sweep fails.
    """
    profiles, state = _folders(request, out)
    register = NameRegister(profiles, state)
    request = _with_known(request, register)
    atomic_file.check_writable(profiles)
    atomic_file.check_writable(state)
    measured = run_interruptibly(sweep_tune.run(request, watcher))
    # Claimed only now, so that a sweep that fails leaves nothing; another sweep may have claimed the name since.
    name, found = (measured.device if out else register.claim(measured.device)).name, measured.report.profile
    found = replace(found, device=replace(found.device, name=name))
    if others := clones.find_clones(measured.device):
        names = tuple(sorted((measured.device.sys_name, *others)))
        found = found.doubted(clones.describe(names, measured.device.id))
    path = profiles / f"{name}.toml"
    kept = "" if replaces else _why_kept(found, path, state)
    text = codec.render(profile_store.apply_override(found, profiles))
    trouble = ""
    try:
        sweep_archive.keep(state, found, measured.samples_text)
    except PublishError as error:
        trouble = str(error)  # the sweep is complete except for the archive
    samples_path = layout.samples_file(state, name)
    if kept:
        report = replace(measured.report, profile=found)
        return Tuned(report=report, path=path, samples_path=samples_path, kept=kept, trouble=trouble)
    atomic_file.publish(samples_path, measured.samples_text)
    if remember:
        catalog = layout.catalog_folder(state)
        atomic_file.check_writable(catalog)
        atomic_file.publish(catalog / f"{name}.toml", codec.render(found))
    atomic_file.publish(path, text)
    return Tuned(report=replace(measured.report, profile=found), path=path, samples_path=samples_path, trouble=trouble)
