"""The publisher of the daemon's status file, of its line for systemd, and of its files for other programs."""

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

# Changes within 50 ms are written together.
_SOON_S = 0.05


def _foreign(path: Path, begins: bytes) -> bool:
    """Return whether another program wrote the file: it exists, but is not a regular file that begins with `begins`."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return True
        with path.open("rb") as file:
            return file.read(len(begins)) not in (b"", begins)
    except OSError:
        return False  # the file is missing, or writing will fail too and report the error


class _ForeignFile:
    """A file for another program at the path that [publish] `key` sets; `trouble` is the last error of writing, or "".

    It does not replace a file that does not begin with `begins`, which aio-tuned has not written.
    """

    def __init__(self, key: str, begins: bytes) -> None:
        self.trouble = ""
        self._key = key
        self._begins = begins
        self._path: Path | None = None

    def write(self, path: Path | None, text: Callable[[], str]) -> None:
        """Replace the file; remove it from its former path if that has changed."""
        if path != self._path:
            if self._path and not _foreign(self._path, self._begins):
                with contextlib.suppress(OSError):
                    self._path.unlink()
            self._path = path
            if path:
                atomic_file.remove_leftovers(path.parent, time.time(), glob.escape(path.name))
        trouble = ""
        if path and _foreign(path, self._begins):
            trouble = (
                f"{path}: not written by aio-tuned, so it is not replaced; remove it or change [publish] {self._key}"
            )
        elif path:
            try:
                atomic_file.publish(path, text(), sync=False)
            except PublishError as error:
                trouble = f"{error}; create the folder, let the daemon write to it, or change [publish] {self._key}"
        if trouble and trouble != self.trouble:
            _log.warning("%s", trouble)
        self.trouble = trouble


class StatusPublisher:
    """The publisher of the snapshots that `look` returns, soon after each call of `changed` or `progressed`.

    It combines calls that come before an update, and no method raises an error for a file that cannot be written. It
    writes a sweep's progress into the status at most every `status_every_s`, and into the metrics at most every
    `metrics_every_s`. It rewrites the metrics at least every `refresh_s`, if `beat` is called that often.
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
        """Return a sentence for each file that could not be written."""
        return tuple(file.trouble for file in (self._metrics, self._features) if file.trouble)

    def begin(self) -> None:
        """Publish the status at once, and the other files soon."""
        self._tell_status(self._look())
        self.changed()

    def changed(self) -> None:
        """Publish a change soon."""
        self._news = True
        self._tell_in(_SOON_S)

    def progressed(self) -> None:
        """Publish a sweep's progress at the next interval."""
        self._tell_in(self._status_every_s)

    def beat(self) -> None:
        """Rewrite the metrics and the node features before they expire; call this at regular intervals."""
        now = self._monotonic()
        if now - self._metrics_at >= self._refresh_s or now >= self._features_until:
            self.changed()

    def close(self) -> None:
        """Remove the status file, and write the metrics of a daemon that has ended."""
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
            self._tell_in(_SOON_S)  # the status must show the new troubles

    def _tell_status(self, seen: Snapshot) -> None:
        try:
            status.write(seen.config.runtime, snapshot.status(seen))
        except OSError as error:
            _log.warning("status: cannot be written: %s", error)
        self._notify.status(snapshot.headline(seen))

    def _write_metrics(self, path: Path | None, text: Callable[[], str]) -> None:
        if not self._can_measure:
            return
        try:
            self._metrics.write(path, text)
        except ImportError:
            # The package is optional, so its absence is logged once and is no trouble in the status.
            self._can_measure = False
            _log.info(
                "metrics: not written to %s: prometheus_client is not installed; run %s, then restart the daemon",
                path,
                extras.get("python3-prometheus-client", "prometheus-client"),
            )

    def _write_features(self, seen: Snapshot, now: float) -> None:
        """Write the node features if they have changed, or if half of their lifetime has passed."""
        path, expiry_s = seen.config.node_features, seen.config.node_features_expiry
        profiles = tuple(drive.published for drive in seen.drives if drive.published)
        wanted = (path, expiry_s, profiles)
        if wanted == self._features_of and now < self._features_until:
            return
        self._features.write(path, lambda: node_features.render(profiles, datetime.now(timezone.utc), expiry_s))
        self._features_of = None if self._features.trouble else wanted
        self._features_until = now + expiry_s / 2 if path else math.inf
