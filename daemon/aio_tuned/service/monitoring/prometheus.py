"""The metrics of a snapshot as the text of a file for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aio_tuned.service.monitoring.metrics import BUILD, DEVICE, OF_DAEMON, OF_DRIVE, UP, WRITTEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric as Family

    from aio_tuned.service.monitoring.metrics import Metric
    from aio_tuned.service.monitoring.snapshot import DriveSnapshot, Snapshot

_Of = TypeVar("_Of")
# The beginning of each file that aio-tuned has written.
BEGINS = f"# HELP {UP.name} ".encode()


def render(snapshot: Snapshot, now_s: float) -> str:
    """Return the file of a running daemon; raise ImportError without prometheus_client.

    Include only the first of several drives of the same name, because no series may occur twice.
    """
    drives: dict[str, DriveSnapshot] = {}
    for seen in snapshot.drives:
        drives.setdefault(_clean(seen.device.name), seen)
    return _text(
        [
            *_daemon(snapshot.version, now_s, up=True),
            *(_family(metric, [((), snapshot)]) for metric in OF_DAEMON),
            *(_family(metric, [((name,), seen) for name, seen in drives.items()], DEVICE) for metric in OF_DRIVE),
        ]
    )


def farewell(version: str, now_s: float) -> str:
    """Return the file of a daemon that has ended, without drives; raise ImportError without prometheus_client."""
    return _text(_daemon(version, now_s, up=False))


def _daemon(version: str, now_s: float, *, up: bool) -> list[Family]:
    return [_family(UP, [((), up)]), _family(WRITTEN, [((), now_s)]), _family(BUILD, [((), version)])]


def _family(metric: Metric[_Of], subjects: Iterable[tuple[tuple[str, ...], _Of]], own: tuple[str, ...] = ()) -> Family:
    """Return the metric of all subjects; `own` are the names of the labels whose values stand beside each subject."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.text, labels=(*own, *metric.labels))
    for subject, of in subjects:
        for labels, value in metric.values(of):
            family.add_metric([*subject, *map(_clean, labels)], value)
    return family


def _clean(text: str) -> str:
    """Return the text with a "?" for each character that UTF-8 cannot encode; a drive's name may have such ones."""
    return text.encode("utf-8", "replace").decode("utf-8")


class _Families:
    """A collector for CollectorRegistry."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        return self._families


def _text(families: list[Family]) -> str:
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Families([family for family in families if family.samples]))
    return generate_latest(registry).decode("utf-8")
