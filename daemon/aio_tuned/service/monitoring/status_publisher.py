"""Adapter: tells of the daemon: its status file, systemd's line, and what it publishes for other programs."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import logging
import math
import stat
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aio_tuned import __version__, extras
from aio_tuned.errors import PublishError
from aio_tuned.service import status
from aio_tuned.service.monitoring import node_features, prometheus, snapshot
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.service.monitoring.snapshot import Snapshot
    from aio_tuned.service.sd_notify import Notify

_log = logging.getLogger(__name__)

# A change is told this soon.
_SOON_S = 0.05


def _foreign(path: Path, begins: bytes) -> bool:
    """Whether there is something else than a regular file that begins so: a device, another program's file."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return True
        with path.open("rb") as file:
            return file.read(len(begins)) not in (b"", begins)
    except OSError:
        return False  # there is nothing, or it cannot be replaced either


class _ForeignFile:
    """A file for another program, where the configuration wants it; `trouble` says why it is not there, or is "".

    It is known by what it `begins` with: whatever else is at the path stays.
    """

    def __init__(self, key: str, begins: bytes) -> None:
        self.trouble = ""
        self._key = key
        self._begins = begins
        self._path: Path | None = None

    def write(self, path: Path | None, text: Callable[[], str]) -> None:
        """Replace it; nothing is left of it where it was wanted before."""
        if path != self._path:
            if self._path and not _foreign(self._path, self._begins):
                with contextlib.suppress(OSError):
                    self._path.unlink()
            self._path = path
            if path:
                atomic_file.remove_leftovers(path.parent, time.time(), glob.escape(path.name))
        trouble = ""
        if path and _foreign(path, self._begins):
            trouble = f"{path}: what is there is not ours, and stays: remove it, or change [publish] {self._key}"
        elif path:
            try:
                atomic_file.publish(path, text(), sync=False)
            except PublishError as error:
                trouble = f"{error}: make the folder, and let the daemon write there, or change [publish] {self._key}"
        if trouble and trouble != self.trouble:
            _log.warning("%s", trouble)
        self.trouble = trouble


class StatusPublisher:
    """Tells what `look` sees, soon after `changed` or `progressed` was called: once for all that comes meanwhile.

    What cannot be told raises nothing. How far a sweep is goes into the status every `status_every_s` at most, into the
    metrics every `metrics_every_s`; these are written anew every `refresh_s` at least, if `beat` is called that often.
    """

    def __init__(
        self,
        look: Callable[[], Snapshot],
        notify: Notify,
        *,
        status_every_s: float = 1.0,
        metrics_every_s: float = 5.0,
        refresh_s: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._notify = notify
        self._status_every_s = status_every_s
        self._metrics_every_s = metrics_every_s
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._due: asyncio.TimerHandle | None = None
        self._closed = False
        self._news = False
        self._metrics = _ForeignFile("metrics", prometheus.BEGINS)
        self._metrics_at = 0.0
        self._features = _ForeignFile("node_features", node_features.BEGINS)
        self._features_of: object = None
        self._features_until = math.inf
        self._can_measure = True

    @property
    def troubles(self) -> tuple[str, ...]:
        """A sentence for each file that could not be written."""
        return tuple(file.trouble for file in (self._metrics, self._features) if file.trouble)

    def begin(self) -> None:
        """Tell that the daemon is there, at once; what takes longer follows soon."""
        self._tell_status(self._look())
        self.changed()

    def changed(self) -> None:
        """Something has happened: tell it soon."""
        self._news = True
        self._tell_in(_SOON_S)

    def progressed(self) -> None:
        """A sweep has come on: tell it now and then."""
        self._tell_in(self._status_every_s)

    def beat(self) -> None:
        """To be called from time to time: what must not grow old is written anew when that is due."""
        now = self._monotonic()
        if now - self._metrics_at >= self._refresh_s or now >= self._features_until:
            self.changed()

    def close(self) -> None:
        """Tell that the daemon has ended."""
        self._closed = True
        if self._due:
            self._due.cancel()
        config = self._look().config
        with contextlib.suppress(OSError):
            status.status_path(config.runtime).unlink()
        self._write_metrics(config.metrics_file, lambda: prometheus.farewell(__version__, time.time()))

    def _tell_in(self, wait: float) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        if self._due:
            if self._due.when() <= loop.time() + wait:
                return
            self._due.cancel()
        self._due = loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        self._due = None
        news, self._news = self._news, False
        seen, now, troubles = self._look(), self._monotonic(), self.troubles
        self._tell_status(seen)
        if news or now - self._metrics_at >= self._metrics_every_s:
            self._metrics_at = now
            self._write_metrics(seen.config.metrics_file, lambda: prometheus.render(seen, time.time()))
        if news:
            self._write_features(seen, now)
        if self.troubles != troubles:
            self._tell_in(_SOON_S)  # in the status

    def _tell_status(self, seen: Snapshot) -> None:
        try:
            status.write(seen.config.runtime, snapshot.status(seen))
        except OSError as error:
            _log.warning("the status cannot be written: %s", error)
        self._notify.status(snapshot.headline(seen))

    def _write_metrics(self, path: Path | None, text: Callable[[], str]) -> None:
        if not self._can_measure:
            return
        try:
            self._metrics.write(path, text)
        except ImportError:
            # Whoever has not installed it has not asked for metrics: no trouble, but a hint.
            self._can_measure = False
            _log.info(
                "no metrics are written to %s: they need prometheus_client: %s; then restart the daemon",
                path,
                extras.get("python3-prometheus-client", "prometheus-client"),
            )

    def _write_features(self, seen: Snapshot, now: float) -> None:
        """Write the node features if they are others, or have been there for half of the time that they hold for."""
        path, expiry_s = seen.config.node_features, seen.config.node_features_expiry
        profiles = tuple(drive.published for drive in seen.drives if drive.published)
        wanted = (path, expiry_s, profiles)
        if wanted == self._features_of and now < self._features_until:
            return
        self._features.write(path, lambda: node_features.render(profiles, datetime.now(timezone.utc), expiry_s))
        self._features_of = None if self._features.trouble else wanted
        self._features_until = now + expiry_s / 2 if path else math.inf
