"""The metrics of a small fleet: a node with a drive, and the coordinator of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.fleet.coordinator import Coordinator
from aio_tuned.fleet.keys import coordinator_rights
from aio_tuned.fleet.memory_store import MemoryStore
from unit.support.fleet_node import COORDINATOR_KEY, KEYRING, Site

if TYPE_CHECKING:
    from pathlib import Path


def fleet_metrics(folder: Path) -> str:
    """Return what the agent and the coordinator write for Prometheus, at work."""
    site = Site(folder)
    node = site.node()
    node.sweep()
    node.step()
    coordinator = Coordinator(
        MemoryStore(site.shared, KEYRING, coordinator_rights()),
        COORDINATOR_KEY,
        "c1",
        7 * 86400.0,
        clock=lambda: site.now_s,
        monotonic=lambda: site.now_s,
        watch_s=0,
    )
    node.step(660)
    coordinator.step()
    return node.agent.metrics_text() + coordinator.metrics_text()
