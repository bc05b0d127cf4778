"""`aio-tuned` whose agent waits for seconds where the real one waits for minutes, so that tests need not.

With the variable AGENT_ENDS_WITHIN_S it waits for that long for the end of its last step, as a slow disk of etcd needs.
"""

from __future__ import annotations

import os
import sys

from aio_tuned.cli.main import main
from aio_tuned.fleet import agent, class_reader, sweep_turn

# A lease of a minute may be renewed more often.
agent.RENEW_S = 0.5  # type: ignore[attr-defined]  # as the agent imports it
agent.IDLE_S, agent._IDLE_JITTER_S = 0.2, 0.1
agent._FIRST_PAUSE_S, agent._LONGEST_PAUSE_S, agent._START_SPREAD_S = 0.2, 1.0, 0.0
class_reader.POLL_S, class_reader.SOON_S = 1.0, 0.2
sweep_turn.LINGERS_S = 1.0
agent._ENDS_WITHIN_S = float(os.environ.get("AGENT_ENDS_WITHIN_S", agent._ENDS_WITHIN_S))

if __name__ == "__main__":
    sys.exit(main())
