"""The daemon publishes the verdicts of `aio-tuned verify` with the profile, while they hold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.verdicts import setting_text
from aio_tuned.profiles import codec
from aio_tuned.reader import drive_settings_for
from aio_tuned.storage import verified
from aio_tuned.storage.package import Package
from aio_tuned.storage.verified import Kept
from unit.support.verdicts import not_better

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive


def keep(daemon: Daemon, drive: LoopDrive, package: Path) -> None:
    """Keep a verdict on the settings that deepspeed gets, as `verify` does."""
    settings = drive_settings_for(drive.node, profiles=daemon.profiles)
    made = consumers.load("deepspeed").export(settings, "/", ExportOptions())
    profile = codec.parse(daemon.path(drive).read_text())
    kept = Kept(
        verdict=not_better(setting=setting_text(made)),
        fingerprint=profile.fingerprint,
        package=Package.at(package),
    )
    verified.save(daemon.state, profile.device.name, profile.device.id, [kept])


def test_a_verdict_is_published_until_the_setting_or_the_release_changes(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    drive, package = loop_drive(), tmp_path / "site-packages/deepspeed-0.19.8.dist-info/METADATA"
    package.parent.mkdir(parents=True)
    package.write_text("Version: 0.19.8\n")
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert "verified_deepspeed" not in quick_daemon.profile(drive)
    keep(quick_daemon, drive, package)

    quick_daemon.stop()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert quick_daemon.profile(drive)["verified_deepspeed"]["better"] is False
    exported = quick_daemon.run("export", "deepspeed", drive.node)
    assert "deepspeed: its own default, because aio-tuned verify found" in exported.stderr
    assert '"queue_depth": 8' in exported.stdout

    # An override is another setting.
    overrides = quick_daemon.profiles / "override.d"
    overrides.mkdir()
    (overrides / f"{drive.name}.toml").write_text("[combined]\nqueue_depth = 77\n")
    quick_daemon.stop()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert "verified_deepspeed" not in quick_daemon.profile(drive)
    (overrides / f"{drive.name}.toml").unlink()

    os.utime(package, ns=(1, 1))
    quick_daemon.stop()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert "verified_deepspeed" not in quick_daemon.profile(drive)
    assert quick_daemon.sweeps() == 0
