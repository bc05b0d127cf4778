"""`aio-tuned` whose coordinator has a lease of seconds where the real one has one of a minute: tests need not wait."""

from __future__ import annotations

import sys

from aio_tuned.cli.main import main
from aio_tuned.fleet import coordinator, lead

lead.LEASE_S, lead.RENEW_S, lead._STOPS_BEFORE_S = 6, 1.0, 2.0
coordinator.WATCH_S, coordinator._SHORTEST_WATCH_S, coordinator._BATCH_S = 1.0, 0.2, 0.1
coordinator._SHORTEST_REST_S, coordinator._STANDBY_S = 0.2, 1.0

if __name__ == "__main__":
    sys.exit(main())
